//! The agent's binary outside of a virtual machine: containers on this host, in a mount namespace of their own.
//! Needs root, a kernel with cgroup v2, and busybox (`apt-get install busybox-static`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at the first surprise"
)]

mod fixture;

use std::{path::Path, pin::pin, time::Duration};

use rustix::fs::{CWD, FileType, Mode};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::unix::pipe,
};
use virtcontainers_agent_protocol::api::{agent::*, oci};

use fixture::{BUSYBOX, Fixture, code, connect, context, creation, process, specification};

#[tokio::test]
async fn processes_run_and_are_refused_as_the_protocol_says() {
    let fixture = Fixture::start("c").await;
    outputs_and_codes(&fixture).await;
    users(&fixture).await;
    back_pressure(&fixture).await;
    refusals(&fixture).await;
    termination(&fixture).await;
    terminals_of_the_longest_ids(&fixture).await;
    a_removal_waits_for_a_creation_given_up(&fixture).await;
    fixture.end().await;
}

async fn outputs_and_codes(fixture: &Fixture) {
    fixture.exec("a", "", process(&["sh", "-c", "echo out; exit 7"])).await.unwrap();
    assert_eq!(fixture.wait("a").await, 7);
    assert_eq!(fixture.output("a").await, "out\n", "output outlives the process and the wait");
    assert_eq!(fixture.output("a").await, "", "the end of a stream stays its end");
    assert_eq!(fixture.wait("a").await, 7, "a code can be asked for again");
    fixture.exec("k", "", process(&["sh", "-c", "kill -9 $$"])).await.unwrap();
    assert_eq!(fixture.wait("k").await, 128 + 9);
    let mut terminal = process(&["sh", "-c", "stty size"]);
    terminal.Terminal = true;
    terminal.ConsoleSize = Some(oci::Box { Height: 33, Width: 77, ..Default::default() }).into();
    // The size is set once the process has its terminal: it may have run by then, so only the stream is certain.
    fixture.exec("t", "", terminal).await.unwrap();
    assert!(fixture.output("t").await.ends_with("\r\n"));
    assert_eq!(fixture.wait("t").await, 0);
}

async fn users(fixture: &Fixture) {
    fixture.exec("u", "ann", process(&["sh", "-c", "id -u; id -g; id -G; echo $HOME"])).await.unwrap();
    assert_eq!(fixture.output("u").await, "7\n8\n8 9\n/home/ann\n");
    assert_eq!(code(fixture.exec("v", "eve", process(&["true"])).await), ttrpc::Code::INVALID_ARGUMENT);
}

async fn back_pressure(fixture: &Fixture) {
    let before = fixture.resident();
    fixture.exec("y", "", process(&["sh", "-c", "yes | head -c 20000000; exit 5"])).await.unwrap();
    // Nobody reads: the process cannot have ended, and the agent holds nothing of it.
    let wait = tokio::time::timeout(Duration::from_secs(1), fixture.wait("y")).await;
    assert!(wait.is_err(), "a workload that nobody reads must block");
    assert!(fixture.resident() < before + 4096, "{} KiB before, {} after", before, fixture.resident());
    assert_eq!(fixture.output("y").await.len(), 20_000_000);
    assert_eq!(fixture.wait("y").await, 5);
}

async fn refusals(fixture: &Fixture) {
    use ttrpc::Code;
    let root = fixture.root();
    assert_eq!(code(fixture.create("c", specification(&root, &["true"])).await), Code::ALREADY_EXISTS);
    assert_eq!(code(fixture.create("d/e", specification(&root, &["true"])).await), Code::INVALID_ARGUMENT);
    assert_eq!(
        code(fixture.create("d", specification(Path::new("/no"), &["true"])).await),
        Code::INVALID_ARGUMENT
    );
    assert_eq!(code(fixture.create("d", specification(&root, &["none"])).await), Code::NOT_FOUND);
    assert_eq!(code(fixture.create("d", specification(&root, &[])).await), Code::INVALID_ARGUMENT);
    assert_eq!(code(fixture.exec("x", "", process(&["none"])).await), Code::NOT_FOUND);
    assert_eq!(code(fixture.exec("c", "", process(&["true"])).await), Code::ALREADY_EXISTS);
    let policy = fixture.client.set_policy(context(), &SetPolicyRequest::new()).await;
    assert_eq!(code(policy.map(drop)), Code::UNIMPLEMENTED);
    let mut request = SignalProcessRequest { container_id: "c".into(), ..Default::default() };
    request.signal = 65;
    assert_eq!(
        code(fixture.client.signal_process(context(), &request).await.map(drop)),
        Code::INVALID_ARGUMENT
    );
    (request.exec_id, request.signal) = ("a".into(), 9);
    assert_eq!(code(fixture.client.signal_process(context(), &request).await.map(drop)), Code::NOT_FOUND);
}

/// A first process that says nothing about `SIGTERM` ends by it nevertheless; one that ignores it goes on.
async fn termination(fixture: &Fixture) {
    fixture.create("plain", specification(&fixture.root(), &["sleep", "1000"])).await.unwrap();
    fixture.start_container("plain").await;
    fixture.terminate("plain").await.unwrap();
    assert_eq!(fixture.wait_in("plain", "").await, 128 + 9);
    fixture.remove("plain").await.unwrap();

    let script = "trap '' TERM; echo ready; read line; echo $line; exit 3";
    fixture.create("deaf", specification(&fixture.root(), &["sh", "-c", script])).await.unwrap();
    fixture.start_container("deaf").await;
    let ready = ReadStreamRequest { container_id: "deaf".into(), len: 64, ..Default::default() };
    assert_eq!(fixture.client.read_stdout(context(), &ready).await.unwrap().data, b"ready\n");
    fixture.terminate("deaf").await.unwrap();
    let line =
        WriteStreamRequest { container_id: "deaf".into(), data: b"on\n".to_vec(), ..Default::default() };
    fixture.client.write_stdin(context(), &line).await.unwrap();
    assert_eq!(fixture.wait_in("deaf", "").await, 3);
    assert_eq!(fixture.output_in("deaf", "").await, "on\n");
    fixture.remove("deaf").await.unwrap();
}

/// Ids are longer than the address of a socket.
async fn terminals_of_the_longest_ids(fixture: &Fixture) {
    let (container, exec) = ("l".repeat(128), "x".repeat(128));
    let mut spec = specification(&fixture.root(), &["sh", "-c", "tty; read line; exit 4"]);
    spec.Process.as_mut().unwrap().Terminal = true;
    fixture.create(&container, spec).await.unwrap();
    fixture.start_container(&container).await;
    let mut terminal = process(&["sh", "-c", "tty; exit 5"]);
    terminal.Terminal = true;
    fixture.exec_in(&container, &exec, "", terminal).await.unwrap();
    assert_eq!(fixture.wait_in(&container, &exec).await, 5);
    assert!(fixture.output_in(&container, &exec).await.starts_with("/dev/"), "a terminal has a name");
    let line =
        WriteStreamRequest { container_id: container.clone(), data: b"\n".to_vec(), ..Default::default() };
    fixture.client.write_stdin(context(), &line).await.unwrap();
    assert_eq!(fixture.wait_in(&container, "").await, 4);
    assert!(fixture.output_in(&container, "").await.starts_with("/dev/"));
    fixture.remove(&container).await.unwrap();
}

/// The host hangs up in the middle of a creation and removes the container on another connection.
async fn a_removal_waits_for_a_creation_given_up(fixture: &Fixture) {
    assert_eq!(code(fixture.remove("ghost").await), ttrpc::Code::NOT_FOUND, "nobody has made it");
    let pipe = |name: &str| {
        let path = fixture.directory.path().join(name);
        rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let (receiver, sender) = (pipe::OpenOptions::new().read_write(true).open_receiver(&path), &path);
        let sender = pipe::OpenOptions::new().read_write(true).open_sender(sender);
        (path.display().to_string(), receiver.unwrap(), sender.unwrap())
    };
    let (reached, mut at_reached, _) = pipe("reached");
    let (go, _, mut to_go) = pipe("go");
    let mut spec = specification(&fixture.root(), &["sleep", "1000"]);
    let script = format!("echo > {reached}; read line < {go}");
    let args = ["busybox", "sh", "-c", &script].map(str::to_owned).to_vec();
    let hook = oci::Hook { Path: BUSYBOX.into(), Args: args, ..Default::default() };
    spec.Hooks = Some(oci::Hooks { CreateRuntime: vec![hook], ..Default::default() }).into();

    let host = connect(fixture.directory.path()).await;
    let creation = creation("ghost", spec);
    tokio::select! {
        created = host.create_container(context(), &creation) => panic!("it waits for its hook: {created:?}"),
        reached = at_reached.read_u8() => assert_eq!(reached.unwrap(), b'\n'),
    }
    drop(host);
    let mut removal = pin!(fixture.remove("ghost"));
    let early = tokio::time::timeout(Duration::from_secs(1), &mut removal).await;
    assert!(early.is_err(), "the creation is under way, and yet: {early:?}");
    to_go.write_all(b"\n").await.unwrap();
    removal.await.unwrap();
    assert_eq!(code(fixture.terminate("ghost").await), ttrpc::Code::NOT_FOUND);
    fixture
        .create("ghost", specification(&fixture.root(), &["true"]))
        .await
        .expect("nothing was left behind");
}
