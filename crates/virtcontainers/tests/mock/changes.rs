//! Changes to what runs: limits and annotations; and what every verb refuses, changing nothing.

use virtcontainers::{
    Cmd, ContainerResources, DeleteMode, ErrorKind, KillScope, Problem, Sandbox, Signal, StopMode,
    TerminalSize,
    agent::{
        KernelModule, RpcCode,
        mock::{Method, MockFailure},
    },
    oci_runtime::LinuxResources,
};

use crate::stage::{Stage, cid, sid};

async fn running(stage: &Stage) -> Sandbox {
    stage.runtime().run_sandbox(stage.config("web", &["c"])).await.unwrap()
}

fn limits(json: serde_json::Value) -> LinuxResources {
    serde_json::from_value(json).unwrap()
}

#[tokio::test]
async fn limits_join_those_that_hold() {
    let stage = Stage::new();
    let mut config = stage.config("web", &["c"]);
    config.containers[0].resources = Some(limits(serde_json::json!({
        "cpu": {"quota": 50_000, "period": 100_000}, "pids": {"limit": 9},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 0}]
    })));
    let sandbox = stage.runtime().run_sandbox(config).await.unwrap();
    let container = sandbox.container(&cid("c"));
    container.update(ContainerResources { vcpus: 0, mem_byte: 64 << 20 }).await.unwrap();
    container.update(limits(serde_json::json!({"cpu": {"quota": -1, "shares": 512}}))).await.unwrap();
    container.update(limits(serde_json::json!({"unified": {"memory.high": "1000"}}))).await.unwrap();

    let whole = limits(serde_json::json!({
        "cpu": {"quota": -1, "period": 100_000, "shares": 512}, "pids": {"limit": 9},
        "memory": {"limit": 64 << 20}, "unified": {"memory.high": "1000"},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 0}]
    }));
    assert_eq!(stage.agent.resources(&cid("c")).unwrap(), whole, "the guest is told what holds from now on");
    // Another process finds them.
    assert_eq!(
        stage.runtime().container_status(&sid("web"), &cid("c")).await.unwrap().resources,
        Some(whole)
    );
    sandbox.delete(DeleteMode::Force).await.unwrap();
}

#[tokio::test]
async fn an_update_that_cannot_be_changes_nothing() {
    let stage = Stage::new();
    let sandbox = running(&stage).await;
    let container = sandbox.container(&cid("c"));
    container.update(ContainerResources { vcpus: 1, mem_byte: 64 << 20 }).await.unwrap();
    let before = container.status().await.unwrap().resources;
    let asked = stage.agent.count(Method::UpdateContainer);
    for (json, field) in [
        (serde_json::json!({}), "resources"),
        (serde_json::json!({"memory": {"limit": 0}}), "resources.memory.limit"),
        (serde_json::json!({"memory": {"limit": -2}}), "resources.memory.limit"),
        (serde_json::json!({"memory": {"limit": 100, "swap": 50}}), "resources.memory.swap"),
        // Less than the limit that holds already.
        (serde_json::json!({"memory": {"swap": 50}}), "resources.memory.swap"),
        (serde_json::json!({"memory": {"swappiness": 3}}), "resources.memory.swappiness"),
        (serde_json::json!({"cpu": {"quota": 5}}), "resources.cpu.quota"),
        (serde_json::json!({"cpu": {"period": 5}}), "resources.cpu.period"),
        (serde_json::json!({"cpu": {"shares": 1}}), "resources.cpu.shares"),
        (serde_json::json!({"cpu": {"cpus": "3-1"}}), "resources.cpu.cpus"),
        (serde_json::json!({"cpu": {"realtimePeriod": 1}}), "resources.cpu.realtimePeriod"),
        (serde_json::json!({"pids": {"limit": -7}}), "resources.pids.limit"),
        (serde_json::json!({"blockIO": {"weight": 5}}), "resources.blockIO.weight"),
        (
            serde_json::json!({"hugepageLimits": [{"pageSize": "2", "limit": 0}]}),
            "resources.hugepageLimits[0].pageSize",
        ),
        (serde_json::json!({"network": {"classID": 1}}), "resources.network"),
        (serde_json::json!({"unified": {"../escape": "1"}}), "resources.unified"),
        (serde_json::json!({"unified": {"cgroup.procs": "1"}}), "resources.unified"),
        (serde_json::json!({"devices": [{"allow": true}], "pids": {"limit": 3}}), "resources.devices"),
    ] {
        let error = container.update(limits(json.clone())).await.unwrap_err();
        let fields: Vec<_> = error.violations().iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!((error.kind(), fields), (ErrorKind::InvalidConfig, vec![field]), "{json}");
    }
    assert_eq!(stage.agent.count(Method::UpdateContainer), asked);

    let refused = MockFailure::Rpc(RpcCode::Internal, "no such controller".into());
    stage.agent.fail(Method::UpdateContainer, 1, refused);
    let other = || ContainerResources { vcpus: 2, mem_byte: 0 };
    assert_eq!(container.update(other()).await.unwrap_err().kind(), ErrorKind::Agent);
    assert_eq!(container.status().await.unwrap().resources, before);

    let unknown = sandbox.container(&cid("unknown")).update(other()).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound, "{unknown}");
    sandbox.pause().await.unwrap();
    let paused = container.update(other()).await.unwrap_err();
    assert!(paused.to_string().contains("resume the sandbox first"), "{paused}");
    sandbox.resume().await.unwrap();
    container.stop(StopMode::Force).await.unwrap();
    assert_eq!(container.update(other()).await.unwrap_err().kind(), ErrorKind::WrongState);
    sandbox.delete(DeleteMode::Force).await.unwrap();
}

#[tokio::test]
async fn annotations_of_both() {
    let stage = Stage::new();
    let mut config = stage.config("web", &["c"]);
    config.annotations = [("kept".to_owned(), "1".to_owned()), ("old".to_owned(), "2".to_owned())].into();
    let sandbox = stage.runtime().run_sandbox(config).await.unwrap();
    let container = sandbox.container(&cid("c"));
    let more = || [("old".to_owned(), "3".to_owned()), ("new".to_owned(), "4".to_owned())].into();
    sandbox.set_annotations(more()).await.unwrap();
    container.set_annotations(more()).await.unwrap();

    let other = stage.runtime().fetch_sandbox(&sid("web")).await.unwrap();
    let listed = |annotations: std::collections::BTreeMap<String, String>| {
        annotations.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>()
    };
    assert_eq!(listed(other.annotations().await.unwrap()), ["kept=1", "new=4", "old=3"]);
    assert_eq!(listed(other.container(&cid("c")).annotations().await.unwrap()), ["new=4", "old=3"]);
    assert_eq!(other.annotation("old").await.unwrap(), "3");
    assert_eq!(other.status().await.unwrap().annotations.len(), 3);
    for error in [other.annotation("none").await, container.annotation("kept").await] {
        assert_eq!(error.unwrap_err().kind(), ErrorKind::NotFound);
    }
    sandbox.remove_annotations(["old".to_owned(), "none".to_owned()]).await.unwrap();
    container.remove_annotations(["old".to_owned()]).await.unwrap();
    assert_eq!(listed(other.annotations().await.unwrap()), ["kept=1", "new=4"]);

    for key in ["", "io.katacontainers.config.hypervisor.path"] {
        let bad = || [(key.to_owned(), String::new())].into();
        let (of_sandbox, of_container) =
            (sandbox.set_annotations(bad()).await, container.set_annotations(bad()).await);
        assert_eq!(of_sandbox.unwrap_err().kind(), ErrorKind::InvalidConfig, "{key:?}");
        assert_eq!(of_container.unwrap_err().kind(), ErrorKind::InvalidConfig, "{key:?}");
    }
    let unknown = sandbox.container(&cid("unknown"));
    assert_eq!(unknown.set_annotations(more()).await.unwrap_err().kind(), ErrorKind::NotFound);

    // They are the caller's own, and stay readable and writable whatever becomes of the guest.
    sandbox.stop(StopMode::Force).await.unwrap();
    sandbox.set_annotations(more()).await.unwrap();
    assert_eq!(sandbox.status().await.unwrap().state, virtcontainers::SandboxState::Stopped);
    sandbox.delete(DeleteMode::IfStopped).await.unwrap();
}

#[tokio::test]
async fn to_kill_everything_never_fails_where_nothing_lives() {
    let stage = Stage::new();
    let sandbox = running(&stage).await;
    let container = sandbox.container(&cid("c"));
    // It has ended, and nobody has noticed.
    for code in [RpcCode::NotFound, RpcCode::FailedPrecondition] {
        stage.agent.fail(Method::SignalProcess, 2, MockFailure::Rpc(code, "it has ended".into()));
        container.kill(Signal::KILL, KillScope::All).await.unwrap();
        container.kill(Signal::TERM, KillScope::All).await.unwrap_err();
    }
    let stuck = MockFailure::Rpc(RpcCode::Internal, "broken".into());
    stage.agent.fail(Method::SignalProcess, 1, stuck);
    container.kill(Signal::KILL, KillScope::All).await.unwrap_err();

    container.stop(StopMode::Force).await.unwrap();
    container.kill(Signal::KILL, KillScope::All).await.unwrap();
    for (signal, scope) in [(Signal::TERM, KillScope::All), (Signal::KILL, KillScope::Init)] {
        assert_eq!(container.kill(signal, scope).await.unwrap_err().kind(), ErrorKind::WrongState);
    }
    let unknown = sandbox.container(&cid("unknown")).kill(Signal::KILL, KillScope::All).await;
    assert_eq!(unknown.unwrap_err().kind(), ErrorKind::NotFound);
    sandbox.stop(StopMode::Force).await.unwrap();
    container.kill(Signal::KILL, KillScope::All).await.unwrap();
    sandbox.delete(DeleteMode::IfStopped).await.unwrap();
}

#[tokio::test]
async fn what_stands_still_runs_nothing() {
    let stage = Stage::new();
    let sandbox = running(&stage).await;
    let container = sandbox.container(&cid("c"));
    let process = container.exec(Cmd::new(["/bin/cat"])).await.unwrap();
    let asked = stage.agent.count(Method::ExecProcess);
    container.pause().await.unwrap();
    let error = container.exec(Cmd::new(["/bin/cat"])).await.unwrap_err();
    assert!(error.to_string().contains("resume the container first"), "{error}");
    container.stats().await.unwrap();
    container.resume().await.unwrap();
    sandbox.pause().await.unwrap();
    for refused in [
        container.exec(Cmd::new(["/bin/cat"])).await.map(drop),
        container.stats().await.map(drop),
        container.process_table().await.map(drop),
        container.kill(Signal::TERM, KillScope::Init).await,
        process.signal(Signal::TERM).await,
        process.resize(TerminalSize { rows: 1, columns: 1 }).await,
    ] {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WrongState);
        assert!(error.to_string().contains("resume the sandbox first"), "{error}");
    }
    assert_eq!(stage.agent.count(Method::ExecProcess), asked);
    sandbox.delete(DeleteMode::Force).await.unwrap();
}

#[tokio::test]
async fn sizes_of_terminals() {
    let stage = Stage::new();
    let sandbox = running(&stage).await;
    let container = sandbox.container(&cid("c"));
    let size = TerminalSize { rows: 24, columns: 80 };
    let terminal = Cmd { interactive: true, terminal_size: Some(size), ..Cmd::new(["/bin/sh"]) };
    let process = container.exec(terminal.clone()).await.unwrap();
    let big = TerminalSize { rows: 70_000, columns: 1 };
    let asked = stage.agent.count(Method::ResizeTerminal);
    assert_eq!(process.resize(big).await.unwrap_err().kind(), ErrorKind::InvalidConfig);
    assert_eq!(stage.agent.count(Method::ResizeTerminal), asked);
    let without = Cmd { interactive: false, ..terminal.clone() };
    let error = container.exec(without).await.unwrap_err();
    assert!(matches!(error.violations()[0].problem, Problem::Conflict { .. }), "{error}");
    let too_big = Cmd { terminal_size: Some(big), ..terminal.clone() };
    assert_eq!(container.exec(too_big).await.unwrap_err().kind(), ErrorKind::InvalidConfig);

    let mut late = stage.container("late");
    late.cmd = terminal;
    sandbox.create_container(late).await.unwrap();
    let spec = stage.agent.container(&cid("late")).unwrap().spec;
    let told = spec.process().as_ref().unwrap().console_size().unwrap();
    assert_eq!((told.height(), told.width()), (24, 80));
    sandbox.delete(DeleteMode::Force).await.unwrap();
}

#[tokio::test]
async fn what_a_guest_is_told_as_a_whole() {
    let stage = Stage::new();
    let mut config = stage.config("web", &["c"]);
    config.dns = vec!["nameserver 10.0.0.1".into()];
    config.share_pid_ns = true;
    config.agent_config.kernel_modules = vec!["e1000e EEE=1 Debug=2".into(), "dummy".into()];
    config.hypervisor_config.guest_hook_path = Some("/usr/share/oci/hooks".into());
    let sandbox = stage.runtime().create_sandbox(config.clone()).await.unwrap();
    let told = stage.agent.sandbox().unwrap();
    assert_eq!(told.dns, ["nameserver 10.0.0.1"]);
    assert!(told.shared_pid_namespace && stage.agent.container(&cid("c")).unwrap().shared_pid_namespace);
    let module = |name: &str, parameters: &[&str]| KernelModule {
        name: name.into(),
        parameters: parameters.iter().map(|&parameter| parameter.into()).collect(),
    };
    assert_eq!(told.kernel_modules, [module("e1000e", &["EEE=1", "Debug=2"]), module("dummy", &[])]);
    assert_eq!(told.guest_hook_path, "/usr/share/oci/hooks");
    sandbox.delete(DeleteMode::IfStopped).await.unwrap();

    config.dns = vec!["two\nlines".into()];
    config.agent_config.kernel_modules = vec!["../evil".into(), String::new()];
    config.hypervisor_config.guest_hook_path = Some("hooks".into());
    config.containers[0].resources = Some(limits(serde_json::json!({"cpu": {"quota": 3}})));
    let error = stage.runtime().create_sandbox(config).await.unwrap_err();
    let fields: Vec<_> = error.violations().iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "hypervisor_config.guest_hook_path",
            "agent_config.kernel_modules[0]",
            "agent_config.kernel_modules[1]",
            "dns[0]",
            "containers[0].resources.cpu.quota",
        ]
    );
}
