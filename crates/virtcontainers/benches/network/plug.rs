//! A network interface plugged into a sandbox that runs: from the request to the answer of the guest's agent, which has then
//! found the device, named it, and given it its addresses.

use std::time::Instant;

use serde_json::json;
use virtcontainers::{DeleteMode, Interface};

use crate::{
    Failure,
    figures::{Sample, Table, show},
    stage::Stage,
    wire::Wire,
};

const DEVICE: &str = "eth1";
const ADDRESS: &str = "10.8.0.2/24";

pub(crate) async fn measure(stage: &Stage) -> Result<(), Failure> {
    let wire = Wire::new();
    let sandbox = stage.runtime()?.run_sandbox(stage.config("plug", &wire)).await;
    let sandbox = sandbox.map_err(|error| error.report().to_string())?;
    wire.ns.join(DEVICE, &wire.host, "v1");
    wire.ns.ip(&format!("addr add {ADDRESS} dev {DEVICE}"));
    // Its hardware address is the link's.
    let wanted: Interface = serde_json::from_value(json!({ "name": DEVICE, "mac": "02:00:00:00:00:01" }))?;
    let (mut plugged, mut unplugged) = (Sample::default(), Sample::default());
    for _ in 0..stage.options.plugs {
        let clock = Instant::now();
        sandbox.add_interface(wanted.clone()).await?;
        plugged.add(clock.elapsed());
        let listed = sandbox.list_interfaces().await?;
        let found = listed.iter().find(|interface| interface.name == DEVICE);
        if !found.is_some_and(|found| found.addresses.iter().any(|address| address.to_string() == ADDRESS)) {
            return Err(format!("the guest has no {DEVICE} with {ADDRESS}: {listed:?}").into());
        }
        let clock = Instant::now();
        sandbox.remove_interface(DEVICE).await?;
        unplugged.add(clock.elapsed());
    }
    sandbox.delete(DeleteMode::Force).await?;
    println!("\none interface plugged into a running sandbox, {} times", plugged.len());
    let mut table = Table::new(["", "median", "min", "max"]);
    for (name, sample) in
        [("request until the guest's address is configured", &plugged), ("and unplugged", &unplugged)]
    {
        let times = [sample.median(), sample.min(), sample.max()].map(show);
        table.line([name.to_owned()].into_iter().chain(times));
    }
    table.print();
    Ok(())
}
