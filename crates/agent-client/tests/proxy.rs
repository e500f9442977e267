//! The proxy between a scripted serial port and its clients: built in, and as a process of its own. Run without the
//! test harness, since this program is the proxy process too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "it is its own harness")]

mod guest;

use std::{io, path::Path, sync::Arc, time::Duration};

use guest::Guest;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
    time::timeout,
};
use virtcontainers_agent_client::{
    AgentConnector, KataConnector,
    proxy::{
        PROXY_SOCKET, Proxy, ProxyOptions, ProxyProcess, ProxyRecord, SERIAL_SOCKET, run_inherited, serve,
    },
};
use virtcontainers_agent_protocol::transport::{self, AgentAddress, Incoming, Mux, MuxStream};
use virtcontainers_sys::{
    process::{Mark, Signal},
    task, unix,
};
use virtcontainers_types::{ContainerId, SandboxId};

const LATE: Duration = Duration::from_secs(60);

/// QEMU's serial socket, and the guest behind it.
struct Serial {
    dir: TempDir,
    listener: UnixListener,
}

impl Serial {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let listener = UnixListener::from_std(unix::bind_in(dir.path(), SERIAL_SOCKET).unwrap()).unwrap();
        Self { dir, listener }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The guest's side of the next proxy's session.
    async fn guest(&self) -> (Mux, Incoming) {
        let (stream, _) = timeout(LATE, self.listener.accept()).await.expect("a proxy connects").unwrap();
        Mux::server(stream)
    }

    fn dial(&self) -> io::Result<UnixStream> {
        UnixStream::from_std(unix::connect_in(self.path(), PROXY_SOCKET)?)
    }

    async fn built_in(&self) -> (Proxy, Mux, Incoming) {
        let proxy = serve(ProxyOptions::in_dir(self.path())).unwrap();
        let (mux, incoming) = self.guest().await;
        (proxy, mux, incoming)
    }

    fn launch(&self) -> ProxyProcess {
        let id = SandboxId::new("s").unwrap();
        let program = std::env::current_exe().unwrap();
        ProxyProcess::launch(&program, self.path(), Mark::new(self.path(), &id, "proxy")).unwrap()
    }
}

/// Sends everything back, to the end.
async fn echo(stream: MuxStream) {
    let (mut from, mut to) = tokio::io::split(stream);
    tokio::io::copy(&mut from, &mut to).await.unwrap();
    to.shutdown().await.unwrap();
}

fn echo_all(mut incoming: Incoming) -> task::Task<()> {
    task::spawn("echo", async move {
        while let Some(stream) = incoming.accept().await {
            task::spawn("echo one", echo(stream)).detach();
        }
    })
}

fn pattern(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|n| (n.wrapping_mul(2_654_435_761) >> 11) as u8 ^ seed).collect()
}

/// Sends and receives at once, closes its sending side at the end, and reads on to the other's end.
async fn round_trip(client: UnixStream, data: &[u8]) -> Vec<u8> {
    let (mut from, mut to) = client.into_split();
    let mut received = Vec::new();
    let write = async {
        to.write_all(data).await.unwrap();
        to.shutdown().await.unwrap();
    };
    let ((), read) =
        timeout(LATE, async { tokio::join!(write, from.read_to_end(&mut received)) }).await.unwrap();
    read.unwrap();
    received
}

async fn two_clients_at_once_get_their_own_bytes_back() {
    let serial = Serial::new();
    let (_proxy, _mux, incoming) = serial.built_in().await;
    let _echo = echo_all(incoming);
    let (one, two) = (pattern(8 << 20, 0), pattern(8 << 20, 0xff));
    let (one_back, two_back) =
        tokio::join!(round_trip(serial.dial().unwrap(), &one), round_trip(serial.dial().unwrap(), &two));
    assert!(one_back == one && two_back == two, "8 MiB come back intact");
}

async fn a_client_that_leaves_is_told_to_the_guest_and_back() {
    let serial = Serial::new();
    let (_proxy, _mux, mut incoming) = serial.built_in().await;
    let mut client = serial.dial().unwrap();
    client.write_all(b"hello").await.unwrap();
    let mut stream = timeout(LATE, incoming.accept()).await.unwrap().unwrap();
    let mut hello = [0; 5];
    timeout(LATE, stream.read_exact(&mut hello)).await.unwrap().unwrap();
    drop(client);
    let end = timeout(LATE, stream.read(&mut hello)).await.unwrap();
    assert!(matches!(end, Ok(0) | Err(_)), "the guest reads the end");

    let mut client = serial.dial().unwrap();
    client.write_all(b"hello").await.unwrap();
    let mut stream = timeout(LATE, incoming.accept()).await.unwrap().unwrap();
    timeout(LATE, stream.read_exact(&mut hello)).await.unwrap().unwrap();
    stream.shutdown().await.unwrap();
    drop(stream);
    let end = timeout(LATE, client.read(&mut hello)).await.unwrap();
    assert!(matches!(end, Ok(0) | Err(_)), "the client reads the end");
}

async fn connections_beyond_the_bound_wait_for_their_turn() {
    let serial = Serial::new();
    let (_proxy, _mux, incoming) = serial.built_in().await;
    let _echo = echo_all(incoming);
    let mut clients = Vec::new();
    for n in 0..64 {
        let mut client = serial.dial().unwrap();
        ping(&mut client, n).await;
        clients.push(client);
    }
    let mut late = serial.dial().expect("the backlog takes it");
    timeout(Duration::from_millis(100), ping(&mut late, 64)).await.expect_err("64 are served at once");
    clients.truncate(63);
    let mut back = [0];
    timeout(LATE, late.read_exact(&mut back)).await.unwrap().unwrap();
    assert_eq!(back, [64]);
    for client in &mut clients {
        ping(client, 7).await;
    }
}

/// One byte there and back.
async fn ping(client: &mut UnixStream, byte: u8) {
    client.write_all(&[byte]).await.unwrap();
    let mut back = [0];
    timeout(LATE, client.read_exact(&mut back)).await.unwrap().unwrap();
    assert_eq!(back, [byte]);
}

async fn the_proxy_ends_with_the_serial_side() {
    let serial = Serial::new();
    let (proxy, mux, incoming) = serial.built_in().await;
    let mut client = serial.dial().unwrap();
    client.write_all(b"x").await.unwrap();
    assert!(proxy.is_serving());
    drop((mux, incoming));
    timeout(LATE, proxy.ended()).await.unwrap();
    let end = timeout(LATE, client.read(&mut [0])).await.unwrap();
    assert!(matches!(end, Ok(0) | Err(_)), "its clients are told");
    assert!(serial.dial().is_err(), "nobody listens any more");
}

async fn without_a_serial_port_there_is_no_proxy() {
    let dir = TempDir::new().unwrap();
    let error = serve(ProxyOptions::in_dir(dir.path())).unwrap_err();
    assert!(error.to_string().contains(SERIAL_SOCKET), "{error}");
}

async fn an_agent_is_reached_through_a_proxy_process() {
    let serial = Serial::new();
    let mut proxy = serial.launch();
    let address = AgentAddress::Unix { dir: serial.path().to_owned(), name: PROXY_SOCKET.to_owned() };
    // Nothing is waited for: the backlog holds the connection until the process is there.
    let agent = KataConnector::default().connect(&address).await.unwrap();
    let (_mux, incoming) = serial.guest().await;
    let guest = Arc::new(Guest::default());
    let _server = transport::serve(guest.services(), incoming).await.unwrap();
    timeout(LATE, agent.check()).await.unwrap().unwrap();
    agent.start_container(&ContainerId::new("c").unwrap()).await.unwrap();
    assert_eq!(guest.methods(), ["Check", "StartContainer"]);
    let second = KataConnector::default().connect(&address).await.unwrap();
    second.check().await.unwrap();
    proxy.stop().await.unwrap();
    assert!(agent.check().await.is_err());
}

async fn a_killed_proxy_process_is_noticed_and_replaced() {
    let serial = Serial::new();
    let mut proxy = serial.launch();
    let (mux, incoming) = serial.guest().await;
    let mut client = serial.dial().unwrap();
    client.write_all(b"x").await.unwrap();
    let first: ProxyRecord = serde_json::from_str(&serde_json::to_string(&proxy.record()).unwrap()).unwrap();
    assert!(first.is_alive() && first == proxy.record());

    assert!(first.process.kill(Signal::KILL).unwrap());
    let status = timeout(LATE, proxy.exited()).await.unwrap().unwrap();
    assert!(!status.success() && !first.is_alive());
    timeout(LATE, mux.closed()).await.unwrap().ok();
    drop((mux, incoming));
    assert!(matches!(timeout(LATE, client.read(&mut [0])).await.unwrap(), Ok(0) | Err(_)));
    first.stop().await.expect("to stop what is gone is done");

    let second = timeout(LATE, proxy.restart()).await.unwrap().unwrap();
    assert!(second.is_alive() && second != first);
    let client = serial.dial().unwrap();
    let (_mux, incoming) = serial.guest().await;
    let _echo = echo_all(incoming);
    assert_eq!(round_trip(client, b"again").await, b"again");
    second.stop().await.unwrap();
    timeout(LATE, proxy.exited()).await.unwrap().unwrap();
}

async fn a_proxy_process_ends_with_the_serial_side() {
    let serial = Serial::new();
    let mut proxy = serial.launch();
    drop(serial.guest().await);
    assert!(timeout(LATE, proxy.exited()).await.unwrap().unwrap().success());
    assert!(serial.dial().is_err());
}

fn main() {
    if std::env::args().nth(1).as_deref() == Some("proxy") && std::env::var_os(Mark::VAR).is_some() {
        run_inherited().unwrap();
        return;
    }
    // As much of the usual harness's command line as test runners use: NAME, --exact, --list, --ignored.
    let args: Vec<String> = std::env::args().skip(1).collect();
    let given = |flag: &str| args.iter().any(|arg| arg == flag);
    let wanted = args.first().filter(|arg| !arg.starts_with('-')).cloned().unwrap_or_default();
    let (list, exact) = (given("--list"), given("--exact"));
    if given("--ignored") {
        return; // none is
    }
    let chosen = |test: &str| if exact { test == wanted } else { test.contains(&wanted) };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    macro_rules! run {
        ($($test:ident),+ $(,)?) => {$(
            if list {
                println!("{}: test", stringify!($test));
            } else if chosen(stringify!($test)) {
                runtime.block_on($test());
                println!("test {} ... ok", stringify!($test));
            }
        )+};
    }
    run!(
        two_clients_at_once_get_their_own_bytes_back,
        a_client_that_leaves_is_told_to_the_guest_and_back,
        connections_beyond_the_bound_wait_for_their_turn,
        the_proxy_ends_with_the_serial_side,
        without_a_serial_port_there_is_no_proxy,
        an_agent_is_reached_through_a_proxy_process,
        a_killed_proxy_process_is_noticed_and_replaced,
        a_proxy_process_ends_with_the_serial_side,
    );
}
