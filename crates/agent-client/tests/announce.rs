//! What counts as an announcement, over real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::{io, path::Path, time::Duration};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    time::timeout,
};
use virtcontainers_agent_client::{AgentErrorKind, Announcement, announce::HYBRID_PORT};
use virtcontainers_sys::unix;

const SOON: Duration = Duration::from_millis(50);
const LATE: Duration = Duration::from_secs(20);

/// A guest's connection, as the vsock device brings it.
fn dial(dir: &Path) -> io::Result<UnixStream> {
    UnixStream::from_std(unix::connect_in(dir, "vsock.sock_1025")?)
}

fn listen() -> (TempDir, Announcement) {
    let dir = TempDir::new().unwrap();
    let announcement = Announcement::hybrid(dir.path(), "vsock.sock", HYBRID_PORT).unwrap();
    assert_eq!(announcement.port(), 1025);
    (dir, announcement)
}

#[tokio::test]
async fn an_agent_that_says_ready_is_heard_and_its_connection_kept() {
    let (dir, mut announcement) = listen();
    let mut agent = dial(dir.path()).unwrap();
    timeout(SOON, announcement.heard()).await.expect_err("it has said nothing yet");
    agent.write_all(b"rea").await.unwrap();
    timeout(SOON, announcement.heard()).await.expect_err("nor all of it");
    agent.write_all(b"dy\n").await.unwrap();
    timeout(LATE, announcement.heard()).await.unwrap().unwrap();
    timeout(LATE, announcement.heard()).await.unwrap().unwrap();

    let mut byte = [0];
    timeout(SOON, agent.read(&mut byte)).await.expect_err("the connection stays open");
    drop(announcement);
    assert_eq!(
        timeout(LATE, agent.read(&mut byte)).await.unwrap().unwrap(),
        0,
        "and ends with the announcement"
    );
}

#[tokio::test]
async fn nobody_can_connect_after_the_announcement() {
    let (dir, mut announcement) = listen();
    let mut agent = dial(dir.path()).unwrap();
    agent.write_all(b"ready\n").await.unwrap();
    timeout(LATE, announcement.heard()).await.unwrap().unwrap();
    assert!(dial(dir.path()).is_err());
    assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none(), "the socket is removed");
}

#[tokio::test]
async fn strangers_are_refused_and_the_agent_is_still_heard() {
    let (dir, mut announcement) = listen();
    let mut silent = dial(dir.path()).unwrap();
    let mut strangers = Vec::new();
    for rubbish in [&b"steady\n"[..], b"\n", b"ready\r\n", &[b'r'; 4096]] {
        let mut stranger = dial(dir.path()).unwrap();
        stranger.write_all(rubbish).await.unwrap();
        strangers.push(stranger);
    }
    drop(dial(dir.path()).unwrap());
    let mut agent = dial(dir.path()).unwrap();
    agent.write_all(b"ready\n").await.unwrap();
    timeout(LATE, announcement.heard()).await.unwrap().unwrap();
    for stranger in &mut strangers {
        let end = timeout(LATE, stranger.read(&mut [0; 8])).await.unwrap();
        assert!(matches!(end, Ok(0) | Err(_)), "a stranger's connection is closed");
    }
    assert_eq!(
        timeout(LATE, silent.read(&mut [0; 8])).await.unwrap().unwrap(),
        0,
        "so is one that said nothing"
    );
}

#[tokio::test]
async fn a_guest_that_floods_the_port_is_given_up() {
    let (dir, mut announcement) = listen();
    let flood = async {
        loop {
            match dial(dir.path()) {
                Ok(mut stranger) => stranger.write_all(b"no\n").await.unwrap_or_default(),
                Err(_full) => tokio::task::yield_now().await,
            }
        }
    };
    let error = tokio::select! {
        heard = timeout(LATE, announcement.heard()) => heard.unwrap().unwrap_err(),
        () = flood => unreachable!(),
    };
    assert_eq!(error.kind(), AgentErrorKind::Protocol);
}

#[tokio::test]
async fn the_kernel_gives_a_free_vsock_port() {
    let two = (Announcement::vsock(3), Announcement::vsock(4));
    match two {
        (Ok(first), Ok(second)) => assert!(first.port() != second.port() && first.port() > 0),
        // A kernel without vsock says so at once.
        (first, second) => {
            for error in [first.err(), second.err()] {
                assert_eq!(error.map(|error| error.kind()), Some(AgentErrorKind::Transport));
            }
        }
    }
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_a_typed_error() {
    let error = Announcement::hybrid(Path::new("/nonexistent"), "vsock.sock", HYBRID_PORT).unwrap_err();
    assert_eq!(error.kind(), AgentErrorKind::Transport);
    assert!(error.to_string().contains("/nonexistent/vsock.sock_1025"));
}
