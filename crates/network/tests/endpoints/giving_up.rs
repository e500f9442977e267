//! A caller that gives up in the middle: what it leaves is found from the record.

use std::time::Duration;

use tokio::time::timeout;
use virtcontainers_types::NetInterworkingModel::{Macvtap, TcFilter};

use crate::scene::{Scene, options, queue, speaks};

#[tokio::test]
async fn attaching_can_be_given_up_anywhere() {
    let scene = Scene::veth();
    let before = scene.sandbox.snapshot();
    let mut given_up = 0;
    for round in 0..24 {
        let endpoint = scene.choose("eth0", &options([TcFilter, Macvtap][round % 2])).await;
        let patience = Duration::from_micros(150 * u64::try_from(round).unwrap());
        given_up += usize::from(timeout(patience, endpoint.attach(&scene.ns)).await.is_err());
        scene.detach(&endpoint, &before).await;
    }
    assert!(given_up > 0, "no round was short enough");
    let endpoint = scene.choose("eth0", &options(TcFilter)).await;
    let queue = queue(endpoint.attach(&scene.ns).await.unwrap());
    speaks(&queue, &endpoint).await;
}
