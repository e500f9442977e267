//! Real packets between a container and a namespace of the test.

#![allow(dead_code, reason = "each test program uses its part of it")]

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    process::Stdio,
    thread,
    time::Duration,
};

use sha2::{Digest as _, Sha256};
use virtcontainers::{Cmd, Container, NetworkConfig, Runtime, Sandbox, SandboxConfig};
use virtcontainers_network::NetNs;
use virtcontainers_testkit::{NetSnapshot, TestNetNs};

use crate::guest::{Stage, output};

/// How much a transfer carries each way.
const SIZE: usize = 4 << 20;
/// How long either side of a transfer waits for the other.
const PATIENCE: Duration = Duration::from_secs(30);
/// What the host is called by the sandbox.
pub(crate) const HOST: [&str; 2] = ["10.7.0.1", "fd07::1"];

/// A namespace for a sandbox, joined to one that plays the host.
pub(crate) struct Wire {
    pub(crate) ns: TestNetNs,
    pub(crate) host: TestNetNs,
    before: NetSnapshot,
}

impl Wire {
    /// As `fill` makes them: first the sandbox's, then the host's.
    pub(crate) fn new(fill: impl FnOnce(&TestNetNs, &TestNetNs)) -> Self {
        let (ns, host) = (TestNetNs::new(), TestNetNs::new());
        fill(&ns, &host);
        let before = ns.snapshot();
        Self { ns, host, before }
    }

    /// `eth0`, a veth with an address of each family and a way out, and its other end `v0`.
    pub(crate) fn veth() -> Self {
        Self::new(|ns, host| {
            ns.join("eth0", host, "v0");
            address(ns, host, "eth0", "v0");
        })
    }

    pub(crate) fn config(&self, stage: &Stage) -> SandboxConfig {
        let network_config =
            NetworkConfig { netns_path: Some(self.ns.path().to_owned()), ..NetworkConfig::default() };
        let containers = vec![stage.shell("c", "sleep 1000")];
        SandboxConfig { network_config, containers, ..stage.config("box") }
    }

    /// Fails the test unless the sandbox's namespace is as it was before there was a sandbox.
    #[track_caller]
    pub(crate) fn assert_as_found(&self) {
        assert_eq!(self.ns.snapshot().changes_since(&self.before), [""; 0]);
    }
}

/// Addresses on both sides.
pub(crate) fn address(ns: &TestNetNs, host: &TestNetNs, inside: &str, outside: &str) {
    for (space, link, end) in [(ns, inside, 2), (host, outside, 1)] {
        space.ip(&format!("addr add 10.7.0.{end}/24 dev {link}"));
        space.ip(&format!("addr add fd07::{end}/64 dev {link} nodad"));
    }
    ns.ip("route add default via 10.7.0.1");
    ns.ip("route add fd99::/16 via fd07::1");
}

/// Moves a link into another namespace.
pub(crate) fn give(from: &TestNetNs, link: &str, to: &TestNetNs) {
    let mut keeper = to.command("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    // It answers, so it is there.
    keeper.stdin.as_mut().unwrap().write_all(b".").unwrap();
    keeper.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    from.ip(&format!("link set {link} netns {}", keeper.id()));
    keeper.kill().unwrap();
    keeper.wait().unwrap();
}

pub(crate) async fn run(runtime: &Runtime, config: SandboxConfig) -> (Sandbox, Container) {
    let sandbox = runtime.run_sandbox(config).await.unwrap_or_else(|error| panic!("{}", error.report()));
    let container = sandbox.container(&virtcontainers::ContainerId::new("c").unwrap());
    (sandbox, container)
}

/// What a command in the container says; it must succeed.
pub(crate) async fn say(container: &Container, script: &str) -> String {
    let process = container.exec(Cmd::new(["sh", "-c", script])).await.unwrap();
    let (text, code) = output(&process).await;
    assert_eq!(code, 0, "{script}: {text}");
    text
}

/// No packet is lost on the way to `to`; large ones of `size` bytes too.
pub(crate) async fn ping(container: &Container, to: &str, size: usize) {
    let text = say(container, &format!("ping -c 5 -i 0.1 -W 5 -s {size} {to}")).await;
    assert!(text.contains(" 0% packet loss"), "{text}");
}

/// Bytes that no two tests share.
pub(crate) fn blob() -> Vec<u8> {
    let mut bytes = vec![0; SIZE];
    let mut random = std::fs::File::open("/dev/urandom").unwrap();
    random.read_exact(&mut bytes).unwrap();
    bytes
}

pub(crate) fn sum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A socket in another namespace, which stays there.
pub(crate) async fn listen(namespace: &TestNetNs, address: &str) -> TcpListener {
    let address = SocketAddr::new(address.parse::<IpAddr>().unwrap(), 0);
    let namespace = NetNs::open(namespace.path()).unwrap();
    namespace.run(async move |_: &_| TcpListener::bind(address)).await.unwrap().unwrap()
}

/// Some MiB each way, over a connection that the container makes, checked on both sides.
pub(crate) async fn transfer(stage: &Stage, container: &Container, host: &TestNetNs, address: &str) {
    let listener = listen(host, address).await;
    let port = listener.local_addr().unwrap().port();
    let (there, back) = (blob(), blob());
    std::fs::write(stage.rootfs.path().join("srv/blob"), &there).unwrap();
    let expected = sum(&back);
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap();
        stream.write_all(&back).unwrap();
        received
    });
    let text = say(container, &format!("nc {address} {port} < /srv/blob | sha256sum")).await;
    assert!(text.starts_with(&expected), "from {address}: {text}");
    assert!(server.join().unwrap() == there, "to {address}");
}

/// Some MiB there and back, over a connection to the container's port that is made from `from`.
pub(crate) async fn transfer_in(container: &Container, port: u16, from: &TestNetNs, to: &str, to_port: u16) {
    let script = format!("nc -l -p {port} -e cat");
    let server = container.exec(Cmd::new(["sh", "-c", &script])).await.unwrap();
    let address = SocketAddr::new(to.parse::<IpAddr>().unwrap(), to_port);
    let from = NetNs::open(from.path()).unwrap();
    let mut stream = None;
    for _ in 0..100 {
        let connect = async move |_: &_| TcpStream::connect_timeout(&address, Duration::from_secs(1));
        match from.run(connect).await.unwrap() {
            Ok(connected) => {
                stream = Some(connected);
                break;
            }
            // It is not listening yet.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
    let mut stream = stream.unwrap_or_else(|| panic!("nobody listens at {address}"));
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let sent = blob();
    let mut writer = stream.try_clone().unwrap();
    let (expected, mut received) = (sent.clone(), Vec::new());
    let writing = thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let reading = thread::spawn(move || {
        stream.read_to_end(&mut received).unwrap();
        received
    });
    writing.join().unwrap();
    assert!(reading.join().unwrap() == expected, "echo of {address}");
    drop(server);
}
