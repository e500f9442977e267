//! Replies that are none, byte by byte: an error of the one call, and no more.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod guest;

use std::time::Duration;

use guest::samples::{full_stats, init, usage};
use protobuf::Message as _;
use tokio::time::timeout;
use virtcontainers_agent_client::{Agent, AgentErrorKind, kata::reply};
use virtcontainers_agent_protocol::api::{agent as wire, csi, virtcontainers as own};
use virtcontainers_types::{ContainerId, ExecId};

const LATE: Duration = Duration::from_secs(20);

/// Answers each request on `far` with this payload.
async fn answer_raw(mut far: tokio::net::UnixStream, payload: Vec<u8>) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut header = [0; 10];
    while far.read_exact(&mut header).await.is_ok() {
        let number = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().unwrap());
        far.read_exact(&mut vec![0; number(0) as usize]).await.unwrap();
        let mut response = ttrpc::Response::new();
        response.set_payload(payload.clone());
        let body = response.write_to_bytes().unwrap();
        let header = ttrpc::proto::MessageHeader::new_response(number(4), body.len() as u32);
        far.write_all(&[Vec::from(header), body].concat()).await.unwrap();
    }
}

#[tokio::test]
async fn a_reply_that_is_no_message_spoils_its_own_call_only() {
    // A field that is cut off, text that is not UTF-8 in the first field, a type of field that is none.
    for payload in [&b"\x0a\x05ab"[..], b"\x0a\x02\xff\xfe", b"\x0f", b"\x0a"] {
        let (near, far) = tokio::net::UnixStream::pair().unwrap();
        let server = answer_raw(far, payload.to_vec());
        let client = async move {
            let agent = virtcontainers_agent_client::KataAgent::over(near);
            let (id, exec) = (&ContainerId::new("web").unwrap(), &ExecId::new("shell").unwrap());
            let errors = [
                agent.stats_container(id).await.map(drop),
                agent.list_processes(id).await.map(drop),
                agent.oom_event().await.map(drop),
                agent.metrics().await.map(drop),
                agent.diagnostic_data("log", None).await.map(drop),
                agent.volume_stats("/").await.map(drop),
                agent.info().await.map(drop),
            ];
            for (n, result) in errors.into_iter().enumerate() {
                let error = result.expect_err(&format!("call {n} of {payload:?}"));
                assert_eq!(error.kind(), AgentErrorKind::Protocol, "{error}");
            }
            // Output is bytes: it need not be UTF-8.
            let output = agent.read_stdout(id, exec, 10).await;
            assert_eq!(output.ok(), (payload == b"\x0a\x02\xff\xfe").then(|| vec![0xff, 0xfe]));
            assert!(agent.is_connected());
        };
        timeout(LATE, futures::future::join(client, server)).await.unwrap();
    }
}

/// Whatever bytes come, a decoder either takes them within its bounds or refuses them.
#[test]
fn decoders_bear_any_bytes() {
    let mut dice = 0x9e37_79b9_u64;
    let mut roll = |sides: usize| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) as usize % sides
    };
    let seeds = [
        full_stats().write_to_bytes().unwrap(),
        own::ListProcessesResponse { processes: vec![init(); 3], ..Default::default() }
            .write_to_bytes()
            .unwrap(),
        csi::VolumeStatsResponse { usage: vec![usage(1, 2)], ..Default::default() }.write_to_bytes().unwrap(),
    ];
    let mut taken = 0;
    for round in 0..20_000 {
        let mut bytes = seeds[round % seeds.len()].clone();
        for _ in 0..roll(4) {
            let at = roll(bytes.len());
            bytes[at] = roll(256) as u8;
        }
        bytes.truncate(bytes.len() - roll(3));
        if let Ok(message) = wire::StatsContainerResponse::parse_from_bytes(&bytes) {
            taken += usize::from(reply::container_stats(message).is_ok());
        }
        if let Ok(message) = own::ListProcessesResponse::parse_from_bytes(&bytes)
            && let Ok(processes) = reply::processes(message)
        {
            taken += 1;
            assert!(processes.iter().all(|process| process.pid > 0 && !process.comm.contains('\x1b')));
        }
        if let Ok(message) = csi::VolumeStatsResponse::parse_from_bytes(&bytes) {
            taken += usize::from(reply::volume_stats(message).is_ok());
        }
        if let Ok(message) = wire::GuestDetailsResponse::parse_from_bytes(&bytes) {
            taken += usize::from(reply::guest_details(message).is_ok());
        }
        if let Ok(message) = wire::OOMEvent::parse_from_bytes(&bytes) {
            taken += usize::from(reply::oom_event(message).is_ok());
        }
    }
    assert!(taken > 1000, "the decoders were reached: {taken}");
}
