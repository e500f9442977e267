//! Connecting and dialling.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test names the variants that it expects")]

mod guest;

use std::{sync::Arc, time::Duration};

use guest::{Answer, Guest};
use tempfile::TempDir;
use tokio::{net::UnixListener, time::timeout};
use virtcontainers_agent_client::{
    AgentConnector, AgentError, AgentErrorKind, Backoff, KataConnector, NoopConnector, Timeouts,
    dial_until_ready,
    mock::{Method, MockAgent, MockFailure},
};
use virtcontainers_agent_protocol::transport::{self, AgentAddress};
use virtcontainers_sys::unix;

const LATE: Duration = Duration::from_secs(20);

fn address(dir: &TempDir) -> AgentAddress {
    AgentAddress::Unix { dir: dir.path().to_owned(), name: "agent.sock".to_owned() }
}

async fn serve(dir: &TempDir, guest: &Arc<Guest>) -> ttrpc::r#async::Server {
    let listener = UnixListener::from_std(unix::bind_in(dir.path(), "agent.sock").unwrap()).unwrap();
    let incoming = futures::stream::unfold(listener, |listener| async {
        Some((listener.accept().await.map(|(stream, _)| stream), listener))
    });
    transport::serve(guest.services(), incoming).await.unwrap()
}

fn quick(total: Duration) -> Backoff {
    Backoff { first: Duration::from_millis(5), max: Duration::from_millis(20), total }
}

#[tokio::test]
async fn a_connected_agent_serves() {
    let (dir, guest) = (TempDir::new().unwrap(), Arc::new(Guest::default()));
    let _server = serve(&dir, &guest).await;
    let agent = KataConnector::default().connect(&address(&dir)).await.unwrap();
    agent.check().await.unwrap();
    assert_eq!(guest.methods(), ["Check"]);
}

#[tokio::test]
async fn an_address_where_nobody_listens_is_not_ready() {
    let dir = TempDir::new().unwrap();
    drop(unix::bind_in(dir.path(), "agent.sock").unwrap());
    let error = KataConnector::default().connect(&address(&dir)).await.unwrap_err();
    assert!(error.is_not_ready(), "{error:?}");
    assert!(error.to_string().contains("agent.sock"), "{error}");
}

#[tokio::test]
async fn a_listener_that_never_answers_the_handshake_is_a_timeout() {
    let dir = TempDir::new().unwrap();
    let _listener = unix::bind_in(dir.path(), "vsock.sock").unwrap();
    let address =
        AgentAddress::HybridVsock { dir: dir.path().to_owned(), name: "vsock.sock".to_owned(), port: 1024 };
    let connector = KataConnector::new(Timeouts::default().connect(Duration::from_millis(50)));
    let error = timeout(LATE, connector.connect(&address)).await.unwrap().unwrap_err();
    assert!(matches!(error, AgentError::Timeout { method: "connect", .. }), "{error:?}");
}

#[tokio::test]
async fn dialling_goes_on_until_the_agent_serves() {
    let (dir, guest) = (TempDir::new().unwrap(), Arc::new(Guest::default()));
    drop(unix::bind_in(dir.path(), "agent.sock").unwrap());
    guest.answer("Check", Answer::Number(2));
    let (connector, address) = (KataConnector::default(), address(&dir));
    let mut dial = std::pin::pin!(dial_until_ready(&connector, &address, quick(LATE)));
    timeout(Duration::from_millis(50), &mut dial).await.expect_err("nobody listens");
    let _server = serve(&dir, &guest).await;
    let checked = async {
        while guest.count("Check") == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        result = &mut dial => panic!("it does not serve yet: {:?}", result.map(drop)),
        () = checked => guest.answer("Check", Answer::Number(1)),
    }
    let agent = timeout(LATE, dial).await.unwrap().unwrap();
    agent.check().await.unwrap();
}

#[tokio::test]
async fn dialling_ends_in_time_and_says_what_it_met() {
    let mock = MockAgent::new();
    mock.fail(Method::Check, 1000, MockFailure::NotReady);
    let total = Duration::from_millis(100);
    let address = AgentAddress::Vsock { cid: 3, port: 1024 };
    match dial_until_ready(&mock, &address, quick(total)).await.unwrap_err() {
        AgentError::NeverReady { after, attempts, last, .. } => {
            assert_eq!(after, total);
            assert!(attempts > 2 && attempts as usize == mock.count(Method::Check), "{attempts}");
            assert_eq!(last.kind(), AgentErrorKind::NotReady);
        }
        error => panic!("{error}"),
    }
}

#[tokio::test]
async fn dialling_ends_at_once_when_the_agent_is_broken() {
    let mock = MockAgent::new();
    mock.fail(Method::Connect, 1, MockFailure::NotReady);
    mock.fail(Method::Check, 1, MockFailure::Unimplemented);
    let address = AgentAddress::Vsock { cid: 3, port: 1024 };
    let error = dial_until_ready(&mock, &address, quick(LATE)).await.unwrap_err();
    assert_eq!(error.kind(), AgentErrorKind::Unimplemented);
    assert_eq!((mock.count(Method::Connect), mock.count(Method::Check)), (2, 1));
}

#[tokio::test]
async fn the_noop_agent_is_always_there() {
    let agent = NoopConnector.connect(&AgentAddress::Vsock { cid: 3, port: 1 }).await.unwrap();
    let id = virtcontainers_types::ContainerId::new("c").unwrap();
    agent.start_container(&id).await.unwrap();
    assert_eq!(agent.wait_process(&id, &(&id).into()).await.unwrap(), 0);
    assert_eq!(agent.read_stdout(&id, &(&id).into(), 10).await.unwrap(), b"");
    assert_eq!(agent.write_stdin(&id, &(&id).into(), b"abc").await.unwrap(), 3);
}
