//! What the host makes of an agent's replies: decoding and conversion, with the guest as the attacker. The first byte
//! chooses the message, the rest is its encoding.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protobuf::Message;
use virtcontainers_agent_client::{MAX_GUEST_MESSAGE, guest_text, kata::reply};
use virtcontainers_agent_protocol::api::{agent::*, csi, health, virtcontainers::ListProcessesResponse};

/// How much is asked for in a read, and sent in a write.
const ASKED: usize = 64;

fn decoded<M: Message>(bytes: &[u8]) -> Option<M> {
    M::parse_from_bytes(bytes).ok()
}

/// A reply with more than was asked for is refused.
fn data(message: ReadStreamResponse) {
    let asked = u32::try_from(ASKED).unwrap_or(u32::MAX);
    if let Ok(data) = reply::data("ReadStdout", message, asked) {
        assert!(data.len() <= ASKED);
    }
}

fn taken(message: WriteStreamResponse) {
    if let Ok(taken) = reply::taken(message, ASKED) {
        assert!(taken <= ASKED);
    }
}

/// Text of the guest is shown to people and kept in records.
fn text(bytes: &[u8]) {
    let text = guest_text(&String::from_utf8_lossy(bytes));
    assert!(text.len() <= MAX_GUEST_MESSAGE, "{}", text.len());
    assert!(!text.chars().any(|character| character == '\u{1b}'), "{text:?}");
}

fuzz_target!(|input: &[u8]| {
    let Some((choice, bytes)) = input.split_first() else { return };
    match choice {
        0 => drop(decoded::<StatsContainerResponse>(bytes).map(reply::container_stats)),
        1 => drop(decoded::<ListProcessesResponse>(bytes).map(reply::processes)),
        2 => drop(decoded(bytes).map(data)),
        3 => drop(decoded(bytes).map(taken)),
        4 => drop(decoded::<WaitProcessResponse>(bytes).map(|message| reply::exit_status(message.status))),
        5 => drop(decoded::<OOMEvent>(bytes).map(reply::oom_event)),
        6 => drop(decoded::<Metrics>(bytes).map(reply::metrics)),
        7 => drop(decoded::<GetDiagnosticDataResponse>(bytes).map(reply::diagnostic_data)),
        8 => drop(decoded::<csi::VolumeStatsResponse>(bytes).map(reply::volume_stats)),
        9 => drop(decoded::<GuestDetailsResponse>(bytes).map(reply::guest_details)),
        10 => drop(decoded::<health::HealthCheckResponse>(bytes).map(reply::serving)),
        11 => drop(decoded::<Interfaces>(bytes).map(reply::interfaces)),
        12 => drop(decoded::<Routes>(bytes).map(reply::routes)),
        _ => text(bytes),
    }
});
