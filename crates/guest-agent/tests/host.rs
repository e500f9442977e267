//! The agent's binary outside of a virtual machine: containers on this host, in a mount namespace of their own.
//! Needs root, a kernel with cgroup v2, and busybox (`apt-get install busybox-static`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at the first surprise"
)]

use std::{
    fs,
    io::Read as _,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    pin::pin,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::fs::{CWD, FileType, Mode};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::unix::pipe,
};
use virtcontainers_agent_protocol::{
    api::{AgentServiceClient, agent::*, oci},
    transport::{self, AgentAddress},
};

const BUSYBOX: &str = "/bin/busybox";

/// An agent with one container `c` that sleeps; dropping it ends all.
struct Fixture {
    directory: tempfile::TempDir,
    agent: Child,
    client: AgentServiceClient,
}

fn context() -> ttrpc::context::Context {
    ttrpc::context::with_timeout(60_000_000_000)
}

fn rootfs(directory: &Path) -> PathBuf {
    assert!(Path::new(BUSYBOX).exists(), "{BUSYBOX} is missing: apt-get install busybox-static");
    let root = directory.join("rootfs");
    for name in ["bin", "proc", "dev", "sys", "etc"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    fs::copy(BUSYBOX, root.join("bin/busybox")).unwrap();
    for applet in ["sh", "cat", "sleep", "id", "true", "head", "yes", "stty", "tty"] {
        symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\nann:x:7:8::/home/ann:/bin/sh\n").unwrap();
    fs::write(root.join("etc/group"), "root:x:0:\nstaff:x:8:\nwheel:x:9:bob,ann\n").unwrap();
    root
}

fn process(args: &[&str]) -> oci::Process {
    let mut process = oci::Process::new();
    process.Args = args.iter().map(|arg| (*arg).to_owned()).collect();
    process.Env = vec!["PATH=/bin".into()];
    process
}

fn specification(root: &Path, args: &[&str]) -> oci::Spec {
    let mut spec = oci::Spec::new();
    spec.Version = "1.0.2".into();
    let root = oci::Root { Path: root.to_str().unwrap().into(), ..Default::default() };
    spec.Root = Some(root).into();
    spec.Process = Some(process(args)).into();
    for (kind, destination) in [("proc", "/proc"), ("tmpfs", "/dev"), ("devpts", "/dev/pts")] {
        let (type_, source, destination) = (kind.into(), kind.into(), destination.into());
        spec.Mounts.push(oci::Mount { type_, source, destination, ..Default::default() });
    }
    spec
}

fn creation(id: &str, spec: oci::Spec) -> CreateContainerRequest {
    CreateContainerRequest { container_id: id.into(), OCI: Some(spec).into(), ..Default::default() }
}

async fn connect(directory: &Path) -> AgentServiceClient {
    let address = AgentAddress::Unix { dir: directory.into(), name: "agent".into() };
    AgentServiceClient::new(transport::client(transport::connect(&address).await.unwrap()))
}

impl Fixture {
    async fn start() -> Self {
        assert!(rustix::process::geteuid().is_root(), "these tests make containers: run them as root");
        let directory = tempfile::tempdir().unwrap();
        let root = rootfs(directory.path());
        let mut agent = Command::new(env!("CARGO_BIN_EXE_vc-agent"))
            .args(["--listen", &format!("unix:{}", directory.path().join("agent").display())])
            .args(["--directory", directory.path().join("state").to_str().unwrap()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = [0; 6];
        agent.stdout.take().unwrap().read_exact(&mut line).expect("the agent announces itself");
        let client = connect(directory.path()).await;
        let fixture = Self { directory, agent, client };
        fixture.create("c", specification(&root, &["sleep", "1000"])).await.unwrap();
        fixture.start_container("c").await;
        fixture
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("rootfs")
    }

    async fn start_container(&self, id: &str) {
        let start = StartContainerRequest { container_id: id.into(), ..Default::default() };
        self.client.start_container(context(), &start).await.unwrap();
    }

    async fn remove(&self, id: &str) -> ttrpc::Result<()> {
        let request = RemoveContainerRequest { container_id: id.into(), ..Default::default() };
        self.client.remove_container(context(), &request).await.map(drop)
    }

    async fn terminate(&self, id: &str) -> ttrpc::Result<()> {
        let (container_id, exec_id) = (id.into(), id.into());
        let request = SignalProcessRequest { container_id, exec_id, signal: 15, ..Default::default() };
        self.client.signal_process(context(), &request).await.map(drop)
    }

    async fn create(&self, id: &str, spec: oci::Spec) -> ttrpc::Result<()> {
        self.client.create_container(context(), &creation(id, spec)).await.map(drop)
    }

    async fn exec(&self, id: &str, user: &str, process: oci::Process) -> ttrpc::Result<()> {
        self.exec_in("c", id, user, process).await
    }

    async fn exec_in(
        &self,
        container: &str,
        id: &str,
        user: &str,
        process: oci::Process,
    ) -> ttrpc::Result<()> {
        let mut request = ExecProcessRequest::new();
        request.container_id = container.into();
        request.exec_id = id.into();
        request.string_user = Some(StringUser { uid: user.into(), ..Default::default() }).into();
        request.process = Some(process).into();
        self.client.exec_process(context(), &request).await.map(drop)
    }

    async fn output(&self, id: &str) -> String {
        self.output_in("c", id).await
    }

    async fn output_in(&self, container: &str, id: &str) -> String {
        let request = ReadStreamRequest {
            container_id: container.into(),
            exec_id: id.into(),
            len: 1 << 20,
            ..Default::default()
        };
        let mut output = Vec::new();
        loop {
            let data = self.client.read_stdout(context(), &request).await.unwrap().data;
            if data.is_empty() {
                return String::from_utf8(output).unwrap();
            }
            output.extend(data);
        }
    }

    async fn wait(&self, id: &str) -> i32 {
        self.wait_in("c", id).await
    }

    async fn wait_in(&self, container: &str, id: &str) -> i32 {
        let request =
            WaitProcessRequest { container_id: container.into(), exec_id: id.into(), ..Default::default() };
        self.client.wait_process(context(), &request).await.unwrap().status
    }

    fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.agent.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    async fn end(mut self) {
        self.client.destroy_sandbox(context(), &DestroySandboxRequest::new()).await.unwrap();
        assert!(self.agent.wait().unwrap().success());
        for name in ["containers", "tty"] {
            let left: Vec<_> =
                fs::read_dir(self.directory.path().join("state").join(name)).unwrap().collect();
            assert!(left.is_empty(), "{left:?}");
        }
    }
}

fn code(result: ttrpc::Result<()>) -> ttrpc::Code {
    match result {
        Err(ttrpc::Error::RpcStatus(status)) => status.code(),
        other => panic!("expected a status, got {other:?}"),
    }
}

/// All in one: the containers of two agents would share a cgroup by their ids.
#[tokio::test]
async fn processes_run_and_are_refused_as_the_protocol_says() {
    let fixture = Fixture::start().await;
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
    let metrics = fixture.client.get_metrics(context(), &GetMetricsRequest::new()).await;
    assert_eq!(code(metrics.map(drop)), Code::UNIMPLEMENTED);
    let sandbox = CreateSandboxRequest { sandbox_pidns: true, ..Default::default() };
    assert_eq!(code(fixture.client.create_sandbox(context(), &sandbox).await.map(drop)), Code::UNIMPLEMENTED);
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
