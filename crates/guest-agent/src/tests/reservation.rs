use std::{sync::Arc, time::Duration};

use virtcontainers_types::ContainerId;

use crate::{
    agent::{Agent, Settings},
    container::remove,
    error::CallError,
    reaper::Reaper,
};

fn agent() -> Arc<Agent> {
    let settings = Settings { directory: "/nowhere".into(), pivot: true, is_init: false, pipe_size: None };
    Agent::new(settings, Arc::new(Reaper::default()), None)
}

#[tokio::test]
async fn a_removal_ends_with_a_creation_that_fails() {
    let agent = agent();
    let reservation = agent.reserve(ContainerId::new("a").unwrap()).unwrap();
    let removal = remove::remove_named(&agent, "a", None);
    let (removed, ()) = tokio::join!(biased; removal, async { drop(reservation) });
    assert!(matches!(removed, Err(CallError::NoContainer(_))), "{removed:?}");
    agent.reserve(ContainerId::new("a").unwrap()).expect("the id is free again");
}

#[tokio::test]
async fn a_removal_does_not_wait_for_a_creation_for_ever() {
    let agent = agent();
    let _reservation = agent.reserve(ContainerId::new("a").unwrap()).unwrap();
    let removed = remove::remove_named(&agent, "a", Some(Duration::from_millis(20))).await;
    assert!(matches!(removed, Err(CallError::Timeout(_))), "{removed:?}");
}
