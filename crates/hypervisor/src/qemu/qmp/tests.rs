//! The client against monitors made of a socket and a script.

use std::{path::Path, sync::mpsc, time::Duration};

use futures::{SinkExt as _, StreamExt as _};
use qapi::qmp;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::codec::{Framed, LinesCodec};
use virtcontainers_sys::task::{self, Task};

use super::{GuestEvent, Qmp};
use crate::error::VmError;

const BOUND: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(50);
const GREETING: &str =
    r#"{"QMP":{"version":{"qemu":{"micro":0,"minor":2,"major":7},"package":""},"capabilities":["oob"]}}"#;

/// Greets, answers `qmp_capabilities`, and leaves the rest to the script.
fn monitor<F>(
    dir: &Path,
    script: impl FnOnce(Framed<UnixStream, LinesCodec>) -> F + Send + 'static,
) -> Task<()>
where
    F: Future<Output = ()> + Send,
{
    let listener = UnixListener::bind(dir.join("m")).expect("a fresh directory");
    task::spawn("monitor", async move {
        let (stream, _) = listener.accept().await.expect("a client comes");
        let mut lines = Framed::new(stream, LinesCodec::new());
        lines.send(GREETING).await.expect("the client listens");
        let id = request(&mut lines, "qmp_capabilities").await;
        lines.send(format!(r#"{{"return":{{}},"id":{id}}}"#)).await.expect("the client listens");
        script(lines).await;
    })
}

/// Takes a request and returns its id.
async fn request(lines: &mut Framed<UnixStream, LinesCodec>, command: &str) -> u64 {
    let line = lines.next().await.expect("a request").expect("a line");
    let request: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(request["execute"], command);
    request["id"].as_u64().expect("a number")
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

#[tokio::test]
async fn unknown_events_and_unasked_replies_do_no_harm() {
    let dir = directory();
    let _monitor = monitor(dir.path(), async |mut lines| {
        let id = request(&mut lines, "query-status").await;
        let stamp = r#""timestamp":{"seconds":1,"microseconds":2}"#;
        for line in [
            format!(r#"{{"event":"OF_THE_FUTURE","data":{{"x":[1]}},{stamp}}}"#),
            format!(r#"{{"event":"VSERPORT_CHANGE","data":{{"nonsense":1}},{stamp}}}"#),
            format!(r#"{{"event":"VSERPORT_CHANGE","data":{{"id":"agent","open":true}},{stamp}}}"#),
            format!(r#"{{"event":"SHUTDOWN","data":{{"guest":true,"reason":"guest-reset"}},{stamp}}}"#),
            r#"{"return":{},"id":4711}"#.to_owned(),
            format!(r#"{{"return":{{"running":true,"singlestep":false,"status":"running"}},"id":{id}}}"#),
        ] {
            lines.send(line).await.expect("the client listens");
        }
    });
    let (tell, told) = mpsc::channel();
    let qmp = Qmp::open(dir.path(), "m", BOUND, move |event| tell.send(event).expect("the test listens"));
    let qmp = qmp.await.expect("negotiates");
    let status = qmp.execute(qmp::query_status {}, BOUND).await.expect("answers");
    assert_eq!(status.status, qmp::RunState::running);
    let events: Vec<_> = told.try_iter().collect();
    let port = GuestEvent::Port { id: "agent".into(), open: true };
    assert_eq!(events, [port, GuestEvent::Shutdown { reason: "guest-reset" }]);
}

#[tokio::test]
async fn a_late_reply_goes_to_nobody_and_the_next_command_works() {
    let dir = directory();
    let _monitor = monitor(dir.path(), async |mut lines| {
        let late = request(&mut lines, "stop").await;
        let id = request(&mut lines, "cont").await;
        lines.send(format!(r#"{{"return":{{}},"id":{late}}}"#)).await.expect("the client listens");
        lines.send(format!(r#"{{"return":{{}},"id":{id}}}"#)).await.expect("the client listens");
    });
    let qmp = Qmp::open(dir.path(), "m", BOUND, drop).await.expect("negotiates");
    let error = qmp.execute(qmp::stop {}, SHORT).await.expect_err("no reply in time");
    assert!(matches!(error, VmError::Timeout { after: SHORT, .. }), "{error:?}");
    qmp.execute(qmp::cont {}, BOUND).await.expect("answers");
}

#[tokio::test]
async fn a_refusal_is_typed() {
    let dir = directory();
    let _monitor = monitor(dir.path(), async |mut lines| {
        let id = request(&mut lines, "cont").await;
        let error = format!(r#"{{"id":{id},"error":{{"class":"GenericError","desc":"not now"}}}}"#);
        lines.send(error).await.expect("the client listens");
    });
    let qmp = Qmp::open(dir.path(), "m", BOUND, drop).await.expect("negotiates");
    match qmp.execute(qmp::cont {}, BOUND).await {
        Err(VmError::Qmp { command: "cont", class, desc }) => {
            assert_eq!((class.as_str(), desc.as_str()), ("GenericError", "not now"));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_end_of_the_stream_ends_the_wait() {
    let dir = directory();
    let _monitor = monitor(dir.path(), async |mut lines| {
        request(&mut lines, "quit").await;
    });
    let qmp = Qmp::open(dir.path(), "m", BOUND, drop).await.expect("negotiates");
    let error = qmp.execute(qmp::quit {}, BOUND).await.expect_err("the monitor went away");
    assert!(matches!(error, VmError::Control { .. }), "{error:?}");
    let error = qmp.execute(qmp::quit {}, BOUND).await.expect_err("it stays away");
    assert!(matches!(error, VmError::Control { .. }), "{error:?}");
}

#[tokio::test]
async fn a_line_without_end_is_cut_off() {
    let dir = directory();
    let _monitor = monitor(dir.path(), async |mut lines| {
        request(&mut lines, "query-status").await;
        // The client hangs up before it has all of this.
        lines.send("x".repeat(super::LONGEST_LINE * 4)).await.ok();
        std::future::pending().await
    });
    let qmp = Qmp::open(dir.path(), "m", BOUND, drop).await.expect("negotiates");
    let error = qmp.execute(qmp::query_status {}, BOUND).await.expect_err("no reply");
    assert!(matches!(error, VmError::Control { .. }), "{error:?}");
    assert!(!qmp.is_open());
}

#[tokio::test]
async fn a_monitor_that_is_busy_is_a_bounded_wait() {
    let dir = directory();
    let _listener = UnixListener::bind(dir.path().join("m")).expect("a fresh directory");
    let error = Qmp::open(dir.path(), "m", SHORT, drop).await.expect_err("nobody greets");
    assert!(matches!(error, VmError::Timeout { after: SHORT, .. }), "{error:?}");
}

/// The descriptor comes with its command, and the next command without one.
#[tokio::test]
async fn a_descriptor_travels_with_its_command() {
    let dir = directory();
    let listener = UnixListener::bind(dir.path().join("m")).expect("a fresh directory");
    let monitor = task::spawn("monitor", async move {
        let (stream, _) = listener.accept().await.expect("a client comes");
        stream.writable().await.expect("it is open");
        stream.try_write(format!("{GREETING}\n").as_bytes()).expect("it is empty");
        let mut received = Vec::new();
        for _ in 0..3 {
            let (line, fds) = receive(&stream).await;
            let request: serde_json::Value = serde_json::from_slice(&line).expect("JSON");
            let reply = format!("{{\"return\":{{}},\"id\":{}}}\n", request["id"]);
            stream.try_write(reply.as_bytes()).expect("it has room");
            received.push((request, fds));
        }
        received
    });
    let qmp = Qmp::open(dir.path(), "m", BOUND, drop).await.expect("negotiates");
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    qmp.give("nic-net0-tap0".into(), writer.into(), BOUND).await.expect("it is taken");
    qmp.execute(qmp::cont {}, BOUND).await.expect("answers");
    let mut received = monitor.await.expect("the script ends");
    assert_eq!(received[1].0["execute"], "getfd");
    assert_eq!(received[1].0["arguments"]["fdname"], "nic-net0-tap0");
    assert_eq!([0, 1, 2].map(|place| received[place].1.len()), [0, 1, 0]);
    let writer = received[1].1.remove(0);
    std::io::Write::write_all(&mut std::fs::File::from(writer), b"through").expect("it is the pipe");
    let mut through = String::new();
    std::io::Read::read_to_string(&mut reader, &mut through).expect("nobody else holds its other end");
    assert_eq!(through, "through");
}

/// One line, and what came with it.
async fn receive(stream: &UnixStream) -> (Vec<u8>, Vec<std::os::fd::OwnedFd>) {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
    let (mut line, mut fds) = (Vec::new(), Vec::new());
    while !line.ends_with(b"\n") {
        let read = stream.async_io(tokio::io::Interest::READABLE, || {
            let mut bytes = [0; 256];
            let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let into = &mut [std::io::IoSliceMut::new(&mut bytes)];
            let count = recvmsg(stream, into, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?.bytes;
            let came: Vec<_> =
                ancillary
                    .drain()
                    .filter_map(|message| {
                        if let RecvAncillaryMessage::ScmRights(fds) = message { Some(fds) } else { None }
                    })
                    .flatten()
                    .collect();
            Ok((bytes[..count].to_vec(), came))
        });
        let (bytes, came) = read.await.expect("the client is there");
        assert!(!bytes.is_empty(), "the client hung up");
        line.extend(bytes);
        fds.extend(came);
    }
    (line, fds)
}
