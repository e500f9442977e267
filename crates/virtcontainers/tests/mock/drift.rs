//! Records that are behind the host: verbs look, and do not take a record's word.

use std::{
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    process::Command,
};

use serde_json::json;
use virtcontainers::{
    ContainerState, DeleteMode, Runtime, SandboxState,
    hypervisor::{Hypervisor as _, VmRecord, VmState},
};

use crate::stage::{Stage, cid};

fn machine(stage: &Stage) -> VmRecord {
    let record = stage.record("web");
    let phase = record["body"]["phase"].as_object().unwrap().values().next().unwrap();
    serde_json::from_value(phase["vm"].clone()).unwrap()
}

#[tokio::test]
async fn a_pause_or_resume_that_was_never_recorded_can_be_taken_back() {
    let stage = Stage::new();
    let sandbox = stage.runtime().run_sandbox(stage.config("web", &["c"])).await.unwrap();
    let vm = stage.vmm.reattach(&machine(&stage)).await.unwrap();
    vm.pause().await.unwrap();
    assert_eq!(sandbox.status().await.unwrap().state, SandboxState::Running, "as the record says");
    sandbox.resume().await.unwrap();
    assert_eq!(vm.state().await.unwrap(), VmState::Running);

    sandbox.pause().await.unwrap();
    vm.resume().await.unwrap();
    sandbox.pause().await.unwrap();
    assert_eq!(vm.state().await.unwrap(), VmState::Paused);
    sandbox.delete(DeleteMode::Force).await.unwrap();
}

#[tokio::test]
async fn a_start_does_not_pass_over_a_container_that_cannot_be_read() {
    let stage = Stage::new();
    let sandbox = stage.runtime().create_sandbox(stage.config("web", &["good", "torn"])).await.unwrap();
    std::fs::write(stage.dir("web").join("container.torn.json"), "{").unwrap();
    let error = sandbox.start().await.unwrap_err();
    assert!(error.to_string().contains("torn"), "{error}");
    let status = sandbox.status().await.unwrap();
    assert_eq!((status.state, status.containers[0].state), (SandboxState::Ready, ContainerState::Ready));
    sandbox.delete(DeleteMode::Force).await.unwrap();
}

/// A proxy is put on record before it is started; one that was started and not recorded makes room.
#[tokio::test]
async fn a_proxy_that_died_is_replaced_by_exactly_one() {
    let stage = Stage::new();
    let creator = stage.runtime();
    creator.run_sandbox(stage.config("web", &["c"])).await.unwrap();
    stage.edit_record("web", |body| {
        body["transport"] = json!("virtio-serial");
        body["resources"].as_array_mut().unwrap().push(json!({
            "daemon": { "role": "proxy", "process": { "pid": 1, "start": 1 } }
        }));
    });
    let with = |program: &str| -> Runtime { stage.runtime_with_helper(program) };
    let proxies = || {
        let record = stage.record("web");
        let held = record["body"]["resources"].as_array().unwrap().clone();
        held.iter()
            .filter_map(|held| held.get("daemon").map(|daemon| daemon["process"].clone()))
            .collect::<Vec<_>>()
    };
    let pause = async |runtime: Runtime| {
        let sandbox = runtime.fetch_sandbox(&crate::stage::sid("web")).await.unwrap();
        sandbox.container(&cid("c")).pause().await
    };
    pause(with("/nonexistent")).await.unwrap_err();
    assert_eq!(proxies(), [json!(null)], "the intent is on record");

    let mark = format!("{}:web:proxy", creator.root().display());
    let mut stray = Command::new("sleep");
    let mut stray = stray.arg("1000").env("VIRTCONTAINERS_MARK", mark).process_group(0).spawn().unwrap();
    let script = stage.rootfs.path().join("proxy");
    std::fs::write(&script, "#!/bin/sh\nexec sleep 1000\n").unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    pause(with(script.to_str().unwrap())).await.unwrap();
    assert!(stray.wait().unwrap().signal().is_some());
    assert!(matches!(proxies().as_slice(), [process] if process["pid"].is_u64()));
    creator.delete_sandbox(&crate::stage::sid("web"), DeleteMode::Force).await.unwrap();
}
