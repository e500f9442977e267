use std::{sync::Arc, time::Duration};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tracing_subscriber::layer::SubscriberExt as _;

use crate::{
    init::cmdline::Cmdline,
    log::{self, JsonLines, Ring, layer::timestamp, ring::CAPACITY},
};

#[test]
fn events_become_json_lines_with_their_fields() {
    let ring = Arc::new(Ring::default());
    let subscriber = tracing_subscriber::registry().with(JsonLines::new(Arc::clone(&ring)));
    tracing::subscriber::with_default(subscriber, || {
        tracing::info!(number = 7, level = "mine", path = %"/a \"b\"", "hello\n{}", "x".repeat(5000));
    });
    let text = ring.text();
    assert_eq!(text.lines().count(), 1);
    let line: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["target"], module_path!());
    assert_eq!(line["number"], 7);
    assert_eq!(line["path"], "/a \"b\"");
    let message = line["msg"].as_str().unwrap();
    assert!(message.starts_with("hello\nxxx") && message.len() <= 1024);
    assert!(line["ts"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn dates_are_those_of_the_calendar() {
    for (seconds, date) in [
        (0, "1970-01-01T00:00:00.000007Z"),
        (951_782_400, "2000-02-29T00:00:00.000007Z"),
        (1_709_251_199, "2024-02-29T23:59:59.000007Z"),
        (4_102_444_800, "2100-01-01T00:00:00.000007Z"),
    ] {
        assert_eq!(timestamp(seconds, 7), date);
    }
}

#[test]
fn the_level_is_the_kernel_parameters() {
    use tracing::level_filters::LevelFilter;
    for (line, level) in [
        ("", LevelFilter::INFO),
        ("vc.debug", LevelFilter::DEBUG),
        ("vc.debug agent.log=warn", LevelFilter::WARN),
        ("agent.log=critical", LevelFilter::ERROR),
        ("agent.log=loud", LevelFilter::INFO),
    ] {
        assert_eq!(log::level(&Cmdline::parse(line)), level, "{line}");
    }
    let cmdline = Cmdline::parse("agent.log_vport=4000 agent.debug_console agent.debug_console_vport=0");
    assert_eq!((cmdline.log_port(), cmdline.debug_console_port()), (4000, Some(1026)));
    assert_eq!(Cmdline::parse("agent.debug_console_vport=5").debug_console_port(), None);
    assert_eq!(Cmdline::parse("agent.container_pipe_size=65536").container_pipe_size(), Some(65_536));
    assert_eq!(Cmdline::parse("agent.container_pipe_size=0").container_pipe_size(), None);
}

#[tokio::test]
async fn a_follower_gets_what_is_kept_and_then_what_follows() {
    let ring = Arc::new(Ring::default());
    ring.push("one\n");
    let (host, guest) = tokio::io::duplex(64);
    let follow = log::follow(&ring, guest);
    let read = async {
        let mut lines = BufReader::new(host).lines();
        assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("one"));
        ring.push("two\n");
        assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("two"));
    };
    tokio::select! {
        ended = follow => panic!("{ended:?}"),
        () = read => {}
    }
}

/// The one that does not read neither delays the writer nor makes the log grow; it learns what it has missed.
#[tokio::test]
async fn a_follower_that_does_not_read_only_loses_lines() {
    let ring = Arc::new(Ring::default());
    let (mut host, guest) = tokio::io::duplex(64);
    let mut follow = std::pin::pin!(log::follow(&ring, guest));
    ring.push(&("first".repeat(20) + "\n"));
    let blocked = tokio::time::timeout(Duration::from_millis(50), &mut follow).await;
    assert!(blocked.is_err(), "nobody reads: {blocked:?}");
    let lines = 2 * CAPACITY / 100;
    for number in 0..lines {
        ring.push(&format!("{number:099}\n"));
    }
    assert!(ring.text().len() <= CAPACITY && ring.text().len() > CAPACITY - 100);
    ring.push(&("x".repeat(CAPACITY) + "\n"));
    ring.push("last\n");
    let mut text = String::new();
    let read = async {
        let mut buffer = [0; 4096];
        while !text.ends_with("last\n") {
            let count = host.read(&mut buffer).await.unwrap();
            text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        }
    };
    tokio::select! {
        ended = &mut follow => panic!("{ended:?}"),
        () = read => {}
    }
    let lost: Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
    let seen = text.lines().count() - 3;
    assert_eq!(lost["lost"].as_u64().unwrap() as usize + seen, lines, "every line is seen or counted");
    assert!(seen > 0 && !text.contains('x'), "a line of more than the log can hold is left out");
}
