//! Unix sockets below long paths, and waiting for one that a daemon makes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{
    fs,
    io::{ErrorKind, Read as _, Write as _},
    os::{
        fd::AsRawFd as _,
        unix::fs::{FileTypeExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use virtcontainers_sys::{
    process::{ProcessRef, Signal},
    spawn::Spawn,
    unix::{self, WaitError},
};

/// A directory whose own path is longer than a socket address holds.
fn deep(root: &Path) -> PathBuf {
    let dir = root.join("d".repeat(200));
    fs::create_dir(&dir).unwrap();
    dir
}

#[test]
fn sockets_work_below_200_bytes_of_directory() {
    let root = tempfile::tempdir().unwrap();
    let dir = deep(root.path());
    let listener = unix::bind_in(&dir, "a.sock").unwrap();
    let mode = fs::metadata(dir.join("a.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // Nobody has accepted: the backlog holds the caller and what it says.
    let mut client = unix::connect_at(&dir.join("a.sock")).unwrap();
    client.write_all(b"early").unwrap();
    let (mut server, _) = listener.accept().unwrap();
    drop(client);
    let mut said = String::new();
    server.set_nonblocking(false).unwrap();
    server.read_to_string(&mut said).unwrap();
    assert_eq!(said, "early");
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "the listener is non-blocking");
}

#[test]
fn a_stale_socket_is_replaced_and_nothing_else() {
    let root = tempfile::tempdir().unwrap();
    drop(unix::bind_in(root.path(), "s").unwrap());
    assert_eq!(unix::connect_in(root.path(), "s").unwrap_err().kind(), ErrorKind::ConnectionRefused);
    let listener = unix::bind_in(root.path(), "s").unwrap();
    unix::connect_in(root.path(), "s").unwrap();
    drop(listener);
    fs::write(root.path().join("file"), "precious").unwrap();
    std::os::unix::fs::symlink("s", root.path().join("link")).unwrap();
    for taken in ["file", "link"] {
        assert_eq!(unix::bind_in(root.path(), taken).unwrap_err().kind(), ErrorKind::AddrInUse);
    }
    assert_eq!(fs::read_to_string(root.path().join("file")).unwrap(), "precious");
    assert!(fs::symlink_metadata(root.path().join("s")).unwrap().file_type().is_socket());
    for bad in ["", ".", "..", "a/b", "../a", &"n".repeat(200)] {
        assert!(unix::bind_in(root.path(), bad).is_err(), "{bad:?}");
    }
    assert_eq!(unix::connect_in(root.path(), "nobody").unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_socket_is_awaited_until_somebody_listens() {
    let root = tempfile::tempdir().unwrap();
    let dir = deep(root.path());
    let me = ProcessRef::myself().unwrap();
    assert!(!unix::is_listening(&me, "later.sock").unwrap());
    let mut waiting =
        std::pin::pin!(unix::wait_for_socket(&dir, "later.sock", Some(me), Duration::from_secs(10)));
    // Other names and plain files do not count. What happened is in the watch's queue when it is asked again.
    for name in ["before", "other", "later.sock"] {
        tokio::select! {
            biased;
            early = &mut waiting => panic!("{early:?} before {name}"),
            () = tokio::task::yield_now() => fs::write(dir.join(name), "").unwrap(),
        }
    }
    fs::remove_file(dir.join("later.sock")).unwrap();
    let listener = unix::bind_in(&dir, "later.sock").unwrap();
    waiting.await.unwrap();
    assert!(unix::is_listening(&me, "later.sock").unwrap());
    assert!(!unix::is_listening(&me, "ater.sock").unwrap());
    drop(listener);
    assert!(!unix::is_listening(&me, "later.sock").unwrap(), "the file is there, nobody listens");
}

#[tokio::test]
async fn a_wait_is_bounded_and_ends_with_its_server() {
    let root = tempfile::tempdir().unwrap();
    let wait =
        |server, millis| unix::wait_for_socket(root.path(), "never", server, Duration::from_millis(millis));
    let late = wait(None, 30).await.unwrap_err();
    assert!(matches!(late, WaitError::Timeout { ref path, .. } if path.ends_with("never")), "{late}");

    let mut child = Spawn::new("sleep").args(["60"]).spawn().unwrap();
    let server = child.process();
    let waiting = wait(Some(server), 20_000);
    let killing = async { child.signal(Signal::KILL) };
    let (outcome, signalled) = tokio::join!(waiting, killing);
    assert!(signalled.unwrap());
    assert!(
        matches!(outcome, Err(WaitError::ServerExited { server: gone, .. }) if gone == server),
        "{outcome:?}"
    );
    child.wait().await.unwrap();
}

#[test]
fn an_inherited_listener_is_told_from_what_is_none() {
    let root = tempfile::tempdir().unwrap();
    let listener = unix::bind_in(root.path(), "inherited").unwrap();
    let taken = unix::inherited_listener(listener.as_raw_fd()).unwrap();
    drop(listener);
    let stream = unix::connect_in(root.path(), "inherited").unwrap();
    taken.accept().unwrap();
    let kind = |fd| unix::inherited_listener(fd).unwrap_err().kind();
    assert_eq!(kind(stream.as_raw_fd()), ErrorKind::InvalidInput, "connected");
    let file = fs::File::open("/dev/null").unwrap();
    assert_eq!(kind(file.as_raw_fd()), ErrorKind::InvalidInput, "no socket");
    for closed in [-1, i32::MAX] {
        unix::inherited_listener(closed).unwrap_err();
    }
}
