//! Looking at what runs: figures, processes, the guest; without waiting for whoever is at work.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use virtcontainers::{
    Cmd, ContainerStats, DeleteMode, ErrorKind, GuestDetails, GuestProcess, ProcessListFormat,
    ProcessListOptions, Sandbox, Signal, StopMode, TerminalSize,
    agent::{
        RpcCode,
        mock::{Method, MockFailure, MockProcess},
    },
};

use crate::stage::{Stage, cid, eid, sid};

/// A sandbox that runs a container.
async fn running(stage: &Stage) -> Sandbox {
    stage.runtime().run_sandbox(stage.config("web", &["c"])).await.unwrap()
}

fn memory(usage: u64) -> ContainerStats {
    let mut stats = ContainerStats::default();
    stats.cgroup_stats.memory_stats.usage.usage = usage;
    stats
}

#[tokio::test]
async fn figures_of_containers_and_of_the_host() {
    let stage = Stage::new();
    let runtime = stage.runtime();
    let sandbox = runtime.run_sandbox(stage.config("web", &["a", "b", "gone"])).await.unwrap();
    stage.agent.set_stats(&cid("a"), memory(1));
    stage.agent.set_stats(&cid("b"), memory(2));
    sandbox.container(&cid("gone")).stop(StopMode::Force).await.unwrap();

    assert_eq!(runtime.stats_container(&sid("web"), &cid("a")).await.unwrap(), memory(1));
    let (host, containers) = runtime.stats_sandbox(&sid("web")).await.unwrap();
    assert_eq!(host.cpus, 1);
    assert_eq!(containers, [(cid("a"), memory(1)), (cid("b"), memory(2))]);

    // One that ends between the look and the question is left out.
    let ended = MockFailure::Rpc(RpcCode::NotFound, "no container a".into());
    stage.agent.fail(Method::StatsContainer, 1, ended);
    assert_eq!(sandbox.stats().await.unwrap().1, [(cid("b"), memory(2))]);

    // So is one that the agent cannot count; an agent that cannot count at all leaves the host's figures.
    stage.agent.fail(Method::StatsContainer, 1, MockFailure::Rpc(RpcCode::Internal, "no such file".into()));
    assert_eq!(sandbox.stats().await.unwrap().1, [(cid("b"), memory(2))]);
    stage.agent.fail(Method::StatsContainer, 2, MockFailure::Unimplemented);
    assert_eq!(sandbox.stats().await.unwrap().1, []);
    stage.agent.fail(Method::StatsContainer, 1, MockFailure::Timeout);
    assert_eq!(
        sandbox.stats().await.unwrap_err().kind(),
        ErrorKind::Timeout,
        "an agent that does not answer is told"
    );

    let error = sandbox.container(&cid("gone")).stats().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongState, "{error}");
    sandbox.pause().await.unwrap();
    assert_eq!(sandbox.stats().await.unwrap().1, [], "the guest of a paused sandbox cannot be asked");
    sandbox.delete(DeleteMode::Force).await.unwrap();
    assert_eq!(sandbox.stats().await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn processes_as_ps_lists_them() {
    let stage = Stage::new();
    let sandbox = running(&stage).await;
    let container = sandbox.container(&cid("c"));
    let listed = GuestProcess {
        pid: 71,
        container_pid: 1,
        uid: 7,
        comm: "sleep".into(),
        args: vec!["sleep".into(), "9".into()],
        ..GuestProcess::default()
    };
    let listed = vec![listed];
    stage.agent.set_processes(&cid("c"), listed.clone());
    assert_eq!(container.process_table().await.unwrap(), listed);

    let list = async |format, args: &[&str]| {
        let options = ProcessListOptions { format, args: args.iter().map(|&arg| arg.into()).collect() };
        stage.runtime().process_list_container(&sid("web"), &cid("c"), options).await
    };
    let json = list(ProcessListFormat::Json, &[]).await.unwrap();
    assert_eq!(serde_json::from_slice::<Vec<GuestProcess>>(json.as_ref()).unwrap(), listed);
    let table = list(ProcessListFormat::Table, &["-o", "pid,gpid,user,args"]).await.unwrap();
    assert_eq!(table.to_string(), "PID GPID USER COMMAND\n  1   71 bob  sleep 9\n");

    let asked = stage.agent.count(Method::ListProcesses);
    for args in [&["--forest"][..], &["-o", "nonsense"], &["-o"]] {
        let error = list(ProcessListFormat::Table, args).await.unwrap_err();
        assert_eq!((error.kind(), error.violations().len()), (ErrorKind::InvalidConfig, 1), "{error}");
    }
    assert_eq!(stage.agent.count(Method::ListProcesses), asked, "bad words are not the guest's business");
    sandbox.delete(DeleteMode::Force).await.unwrap();
}

#[tokio::test]
async fn an_agent_without_a_listing_has_the_containers_own_ps_run() {
    let stage = Stage::new();
    let sandbox = running(&stage).await;
    let container = sandbox.container(&cid("c"));
    stage.agent.fail(Method::ListProcesses, 2, MockFailure::Unimplemented);
    let listing = "PID   PPID  USER  COMMAND\n 1 0 root init\n 9 1 bob sleep 5\n 10 1 root ps -e -o pid,ppid,user,args\n";
    stage.agent.script_all(MockProcess::output(listing, 0));
    let table = container.process_table().await.unwrap();
    let seen: Vec<_> = table.iter().map(|p| (p.pid, p.container_ppid, p.uid, p.args.join(" "))).collect();
    assert_eq!(seen, [(1, 0, 0, "init".to_owned()), (9, 1, 7, "sleep 5".to_owned())]);

    stage.agent.script_all(MockProcess::output("ps: bad option\n", 1));
    let error = container.process_table().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Agent, "{error}");
    sandbox.delete(DeleteMode::Force).await.unwrap();
}

#[tokio::test]
async fn what_a_guest_tells_of_itself() {
    let stage = Stage::new();
    let sandbox = running(&stage).await;
    stage.agent.set_metrics("up 1\n");
    let details = GuestDetails { mem_block_size: 128 << 20, ..GuestDetails::default() };
    stage.agent.set_guest_details(details.clone());
    assert_eq!(sandbox.agent_metrics().await.unwrap(), "up 1\n");
    assert_eq!(sandbox.guest_details().await.unwrap(), details);

    let mut oom = std::pin::pin!(sandbox.oom_event());
    assert!(tokio::time::timeout(Duration::from_millis(20), &mut oom).await.is_err());
    stage.agent.run_out_of_memory(&cid("c"));
    assert_eq!(oom.await.unwrap(), cid("c"));

    stage.agent.fail(Method::Metrics, 1, MockFailure::Unimplemented);
    assert_eq!(sandbox.agent_metrics().await.unwrap_err().kind(), ErrorKind::NotBuilt);
    for error in [sandbox.console_shell().await.unwrap_err(), sandbox.agent_log().await.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::WrongState, "{error}");
    }
    sandbox.pause().await.unwrap();
    for error in [sandbox.oom_event().await.map(drop), sandbox.agent_metrics().await.map(drop)] {
        assert!(error.unwrap_err().to_string().contains("resume the sandbox first"));
    }
    sandbox.delete(DeleteMode::Force).await.unwrap();
}

/// The lease is with a slow verb, and all of these take none.
#[tokio::test]
async fn to_look_waits_for_nobody() {
    let stage = Stage::new();
    let sandbox = running(&stage).await;
    let container = sandbox.container(&cid("c"));
    let slow = Duration::from_secs(20);
    stage.agent.delay(Method::CreateContainer, slow);
    let creates = {
        let (sandbox, late) = (sandbox.clone(), stage.container("late"));
        tokio::spawn(async move { sandbox.create_container(late).await })
    };
    while stage.agent.count(Method::CreateContainer) < 2 {
        tokio::task::yield_now().await;
    }
    let looks = async {
        container.stats().await.unwrap();
        container.process_table().await.unwrap();
        sandbox.stats().await.unwrap();
        sandbox.agent_info().await.unwrap();
        let process = container.exec(Cmd { interactive: true, ..Cmd::new(["/bin/cat"]) }).await.unwrap();
        process.resize(TerminalSize { rows: 3, columns: 4 }).await.unwrap();
        let again = container.process_by_id(process.id()).await.unwrap();
        again.signal(Signal::KILL).await.unwrap();
        assert_eq!(process.wait().await.unwrap(), 137);
        container.kill(Signal::HUP, Default::default()).await.unwrap();
    };
    tokio::time::timeout(slow / 4, looks).await.unwrap();
    creates.abort();
    stage.agent.delay(Method::CreateContainer, Duration::ZERO);
    sandbox.delete(DeleteMode::Force).await.unwrap();
}

#[tokio::test]
async fn processes_start_side_by_side() {
    let stage = Stage::new();
    let sandbox = running(&stage).await;
    let container = sandbox.container(&cid("c"));
    stage.agent.delay(Method::ExecProcess, Duration::from_millis(200));
    stage.agent.script_all(MockProcess::output("out", 4));
    let one = || async {
        let process = container.exec(Cmd::new(["/bin/true"])).await.unwrap();
        let mut text = String::new();
        process.stdout().read_to_string(&mut text).await.unwrap();
        (text, process.wait().await.unwrap())
    };
    let begin = std::time::Instant::now();
    let ends = futures::future::join_all((0..50).map(|_| one())).await;
    assert!(ends.iter().all(|end| *end == ("out".to_owned(), 4)), "{ends:?}");
    assert!(begin.elapsed() < Duration::from_secs(5), "one after the other: {:?}", begin.elapsed());
    sandbox.delete(DeleteMode::Force).await.unwrap();
}

#[tokio::test]
async fn ids_of_the_callers_choice() {
    let stage = Stage::new();
    let sandbox = running(&stage).await;
    let container = sandbox.container(&cid("c"));
    let process = container.exec_as(eid("mine"), Cmd::new(["/bin/cat"])).await.unwrap();
    assert_eq!(process.id(), &eid("mine"));
    for id in ["mine", "c"] {
        let error = container.exec_as(eid(id), Cmd::new(["/bin/cat"])).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
    }
    sandbox.delete(DeleteMode::Force).await.unwrap();
}

#[tokio::test]
async fn a_connection_that_broke_is_made_anew() {
    let stage = Stage::new();
    let sandbox = running(&stage).await;
    let container = sandbox.container(&cid("c"));
    container.stats().await.unwrap();
    let made = stage.agent.count(Method::Connect);
    stage.agent.fail(Method::StatsContainer, 1, MockFailure::Disconnected);
    assert_eq!(container.stats().await.unwrap_err().kind(), ErrorKind::Agent);
    container.stats().await.unwrap();
    assert_eq!(stage.agent.count(Method::Connect), made + 1);
    // To let go of it is no different.
    sandbox.release().await.unwrap();
    container.stats().await.unwrap();
    assert_eq!(stage.agent.count(Method::Connect), made + 2);
    sandbox.delete(DeleteMode::Force).await.unwrap();
}
