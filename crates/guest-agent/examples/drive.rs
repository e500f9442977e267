//! Drives an agent through the life of a container and says how long each call takes.
//!
//! `drive unix:SOCKET ROOTFS` (an agent outside of a virtual machine), or
//! `drive (serial|hybrid):SOCKET (9p|virtio-fs)`: the shared directory then holds `c1/rootfs`.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    reason = "an example talks, and ends at the first surprise"
)]

use std::{path::Path, time::Instant};

use virtcontainers_agent_protocol::{
    api::{AgentServiceClient, HealthClient, agent::*, health::CheckRequest, oci},
    guest_paths, ports,
    transport::{self, AgentAddress, Mux},
};

fn context() -> ttrpc::context::Context {
    ttrpc::context::with_timeout(60_000_000_000)
}

fn process(args: &[&str], terminal: bool) -> oci::Process {
    let mut process = oci::Process::new();
    process.Args = args.iter().map(|arg| (*arg).to_owned()).collect();
    process.Cwd = "/".into();
    process.Env = vec!["PATH=/bin:/usr/bin:/sbin:/usr/sbin".into(), "TERM=xterm".into()];
    process.Terminal = terminal;
    process
}

fn mount(kind: &str, destination: &str, options: &[&str]) -> oci::Mount {
    let mut mount = oci::Mount::new();
    mount.type_ = kind.into();
    mount.source = kind.into();
    mount.destination = destination.into();
    mount.options = options.iter().map(|option| (*option).to_owned()).collect();
    mount
}

fn specification(rootfs: &Path, args: &[&str]) -> oci::Spec {
    let mut spec = oci::Spec::new();
    spec.Version = "1.0.2".into();
    let mut root = oci::Root::new();
    root.Path = rootfs.to_str().unwrap().into();
    spec.Root = Some(root).into();
    spec.Process = Some(process(args, false)).into();
    spec.Hostname = "drive".into();
    spec.Mounts = vec![
        mount("proc", "/proc", &[]),
        mount("tmpfs", "/dev", &["nosuid", "strictatime", "mode=755"]),
        mount("devpts", "/dev/pts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
        mount("sysfs", "/sys", &["nosuid", "noexec", "nodev", "ro"]),
    ];
    if std::env::var_os("RUN").is_some() {
        // The script shall see the agent.
        let mut guest = mount("bind", "/guest", &["rbind"]);
        guest.source = "/proc".into();
        spec.Mounts.push(guest);
    }
    let mut linux = oci::Linux::new();
    for kind in ["pid", "mount", "uts", "ipc", "network"] {
        let mut namespace = oci::LinuxNamespace::new();
        namespace.Type = kind.into();
        linux.Namespaces.push(namespace);
    }
    spec.Linux = Some(linux).into();
    spec
}

struct Driver {
    client: AgentServiceClient,
}

impl Driver {
    async fn create(&self, id: &str, rootfs: &Path, args: &[&str]) {
        let mut request = CreateContainerRequest::new();
        request.container_id = id.into();
        request.exec_id = id.into();
        request.OCI = Some(specification(rootfs, args)).into();
        timed("CreateContainer", self.client.create_container(context(), &request)).await.unwrap();
    }

    async fn start(&self, id: &str) {
        let request = StartContainerRequest { container_id: id.into(), ..Default::default() };
        timed("StartContainer", self.client.start_container(context(), &request)).await.unwrap();
    }

    async fn exec(&self, id: &str, exec: &str, process: oci::Process) -> ttrpc::Result<()> {
        let mut request = ExecProcessRequest::new();
        request.container_id = id.into();
        request.exec_id = exec.into();
        request.process = Some(process).into();
        self.client.exec_process(context(), &request).await.map(drop)
    }

    async fn output(&self, id: &str, exec: &str) -> String {
        let mut text = Vec::new();
        let request = ReadStreamRequest {
            container_id: id.into(),
            exec_id: exec.into(),
            len: 1 << 20,
            ..Default::default()
        };
        loop {
            let data = self.client.read_stdout(context(), &request).await.unwrap().data;
            if data.is_empty() {
                return String::from_utf8_lossy(&text).into_owned();
            }
            text.extend(data);
        }
    }

    async fn wait(&self, id: &str, exec: &str) -> i32 {
        let request =
            WaitProcessRequest { container_id: id.into(), exec_id: exec.into(), ..Default::default() };
        self.client.wait_process(context(), &request).await.unwrap().status
    }

    async fn remove(&self, id: &str) {
        let request = RemoveContainerRequest { container_id: id.into(), ..Default::default() };
        timed("RemoveContainer", self.client.remove_container(context(), &request)).await.unwrap();
    }

    async fn write(&self, exec: &str, data: Vec<u8>) {
        let (container_id, exec_id) = ("c2".to_owned(), exec.to_owned());
        let request = WriteStreamRequest { container_id, exec_id, data, ..Default::default() };
        self.client.write_stdin(context(), &request).await.unwrap();
    }

    async fn signal(&self, exec: &str, signal: u32) -> ttrpc::Result<()> {
        let (container_id, exec_id) = ("c2".to_owned(), exec.to_owned());
        let request = SignalProcessRequest { container_id, exec_id, signal, ..Default::default() };
        self.client.signal_process(context(), &request).await.map(drop)
    }

    async fn run(&self, id: &str, exec: &str, args: &[&str]) -> (i32, String) {
        self.exec(id, exec, process(args, false)).await.unwrap();
        let output = self.output(id, exec).await;
        (self.wait(id, exec).await, output)
    }
}

async fn timed<T>(name: &str, call: impl Future<Output = T>) -> T {
    let start = Instant::now();
    let result = call.await;
    println!("{name:18} {:8.2} ms", start.elapsed().as_secs_f64() * 1e3);
    result
}

async fn connect(address: &str) -> (ttrpc::r#async::Client, Option<Mux>) {
    let (kind, path) = address.split_once(':').unwrap();
    let path = Path::new(path);
    let dir = path.parent().unwrap().to_owned();
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    match kind {
        "serial" => {
            let mux = Mux::client(tokio::net::UnixStream::connect(path).await.unwrap());
            (transport::client(mux.open().await.unwrap()), Some(mux))
        }
        "hybrid" => {
            let address = AgentAddress::HybridVsock { dir, name, port: ports::AGENT };
            (transport::client(transport::connect(&address).await.unwrap()), None)
        }
        _ => {
            let address = AgentAddress::Unix { dir, name };
            (transport::client(transport::connect(&address).await.unwrap()), None)
        }
    }
}

async fn open_sandbox(driver: &Driver, filesystem: Option<&str>) {
    let mut request = CreateSandboxRequest::new();
    request.sandbox_id = "drive".into();
    request.hostname = "guest".into();
    if let Some(kind) = filesystem {
        let mut storage = Storage::new();
        storage.driver = kind.into();
        storage.source = guest_paths::SHARE_TAG.into();
        storage.mount_point = guest_paths::SHARED_CONTAINERS.into();
        if kind == "9p" {
            storage.options = vec!["trans=virtio,version=9p2000.L,msize=524288".into(), "nodev".into()];
        }
        request.storages = vec![storage];
    }
    timed("CreateSandbox", driver.client.create_sandbox(context(), &request)).await.unwrap();
}

async fn short_lives(driver: &Driver, rootfs: &Path) {
    for round in 0..2 {
        driver.create("c1", rootfs, &["sh", "-c", "echo hello; exit 7"]).await;
        driver.start("c1").await;
        let output = driver.output("c1", "").await;
        println!("round {round}: {output:?} code {}", driver.wait("c1", "c1").await);
        assert_eq!(output, "hello\n");
        driver.remove("c1").await;
    }
}

async fn execs(driver: &Driver) {
    if let Ok(script) = std::env::var("RUN") {
        println!("{}", driver.run("c2", "script", &["sh", "-c", &script]).await.1);
    }
    let mut times = Vec::new();
    for index in 0..20 {
        let start = Instant::now();
        driver.exec("c2", &format!("t{index}"), process(&["true"], false)).await.unwrap();
        let ready = start.elapsed();
        assert_eq!(driver.wait("c2", &format!("t{index}")).await, 0);
        times.push((ready.as_secs_f64() * 1e3, start.elapsed().as_secs_f64() * 1e3));
    }
    times.sort_by(|a, b| a.1.total_cmp(&b.1));
    let (ready, done) = times[10];
    println!("exec true: median {ready:.1} ms to run, {done:.1} ms with the code; best {:.1}", times[0].1);
    println!("{:?}", driver.run("c2", "e1", &["sh", "-c", "id; hostname; exit 3"]).await);
    let start = Instant::now();
    let names: Vec<String> = (0..100).map(|index| format!("many{index}")).collect();
    let runs = names.iter().map(|name| driver.run("c2", name, &["sh", "-c", "echo $$; exit 5"]));
    let results = futures::future::join_all(runs).await;
    assert!(results.iter().all(|(code, output)| *code == 5 && !output.is_empty()), "{results:?}");
    println!("100 execs at once: {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
}

async fn streams(driver: &Driver) {
    let script = "tty; stty size; read x; echo got $x; exit 4";
    driver.exec("c2", "tty", process(&["sh", "-c", script], true)).await.unwrap();
    let (container_id, exec_id) = ("c2".to_owned(), "tty".to_owned());
    let resize = TtyWinResizeRequest { container_id, exec_id, row: 40, column: 100, ..Default::default() };
    driver.client.tty_win_resize(context(), &resize).await.unwrap();
    driver.write("tty", b"abc\n".into()).await;
    println!("tty: {:?} {}", driver.output("c2", "tty").await, driver.wait("c2", "tty").await);

    driver.exec("c2", "cat", process(&["cat"], false)).await.unwrap();
    let close = CloseStdinRequest { container_id: "c2".into(), exec_id: "cat".into(), ..Default::default() };
    let write = async {
        driver.write("cat", vec![b'x'; 300_000]).await;
        driver.client.close_stdin(context(), &close).await.unwrap();
    };
    let ((), output) = futures::join!(write, driver.output("c2", "cat"));
    println!("cat: {} bytes, code {}", output.len(), driver.wait("c2", "cat").await);

    let start = Instant::now();
    let args = ["dd", "if=/dev/zero", "bs=65536", "count=1024"];
    driver.exec("c2", "big", process(&args, false)).await.unwrap();
    let total = driver.output("c2", "big").await.len();
    println!("output: {total} bytes, {:.1} MiB/s", 64.0 / start.elapsed().as_secs_f64());
}

async fn refusals(driver: &Driver) {
    let pause = PauseContainerRequest { container_id: "c2".into(), ..Default::default() };
    let resume = ResumeContainerRequest { container_id: "c2".into(), ..Default::default() };
    driver.exec("c2", "s", process(&["sleep", "9"], false)).await.unwrap();
    for (what, error) in [
        ("unknown executable", driver.exec("c2", "n1", process(&["/no/such"], false)).await.err()),
        ("used id", driver.exec("c2", "s", process(&["true"], false)).await.err()),
        ("bad id", driver.exec("c2", "../x", process(&["true"], false)).await.err()),
        ("no container", driver.exec("c9", "x", process(&["true"], false)).await.err()),
        ("metrics", driver.client.get_metrics(context(), &GetMetricsRequest::new()).await.err()),
        ("pause", driver.client.pause_container(context(), &pause).await.err()),
        ("exec while paused", driver.exec("c2", "p", process(&["true"], false)).await.err()),
        ("resume", driver.client.resume_container(context(), &resume).await.err()),
        ("term", driver.signal("s", 15).await.err()),
    ] {
        println!("{what:20} {}", error.map_or_else(|| "-".to_owned(), |error| error.to_string()));
    }
    println!("terminated: {}", driver.wait("c2", "s").await);
    println!("signal after the end: {:?}", driver.signal("s", 9).await.err());
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, root] = &arguments[..] else { panic!("usage: drive ADDRESS ROOTFS|9p|virtio-fs") };
    let (client, _mux) = connect(address).await;
    let health = HealthClient::new(client.clone());
    for _ in 0..5 {
        timed("Check", health.check(context(), &CheckRequest::new())).await.unwrap();
    }
    let driver = Driver { client: AgentServiceClient::new(client) };
    let filesystem = Some(root.as_str()).filter(|root| !root.starts_with('/'));
    if std::env::var_os("AGAIN").is_none() {
        open_sandbox(&driver, filesystem).await;
    }
    let rootfs = filesystem.map_or_else(|| root.into(), |_| guest_paths::rootfs("c1"));
    short_lives(&driver, &rootfs).await;
    driver.create("c2", &rootfs, &["sleep", "1000"]).await;
    driver.start("c2").await;
    execs(&driver).await;
    streams(&driver).await;
    refusals(&driver).await;
    driver.signal("c2", 15).await.unwrap();
    println!("c2: {}", driver.wait("c2", "c2").await);
    driver.remove("c2").await;
    if std::env::var_os("KEEP").is_none() {
        timed("DestroySandbox", driver.client.destroy_sandbox(context(), &DestroySandboxRequest::new()))
            .await
            .unwrap();
    }
}
