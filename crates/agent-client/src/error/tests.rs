use super::*;

fn status(code: i32, message: &str) -> ttrpc::Error {
    let mut status = ttrpc::Status::new();
    status.code = protobuf::EnumOrUnknown::from_i32(code);
    status.message = message.to_owned();
    ttrpc::Error::RpcStatus(status)
}

#[test]
fn a_guest_cannot_steer_the_terminal_of_the_host() {
    let evil = "no \x1b[2Jsuch\r\nERROR forged \u{202e}txt\u{0}";
    assert_eq!(guest_text(evil), "no  [2Jsuch  ERROR forged  txt ");
}

#[test]
fn a_guest_cannot_fill_the_memory_with_a_message() {
    let long = "é".repeat(1 << 20);
    let shown = guest_text(&long);
    assert!(shown.len() <= MAX_GUEST_MESSAGE && shown.len() > MAX_GUEST_MESSAGE - 2, "{}", shown.len());
}

#[test]
fn codes_become_kinds() {
    let kind = |code| AgentError::of_call("X", status(code, "")).kind();
    assert_eq!(kind(5), AgentErrorKind::NotFound);
    assert_eq!(kind(6), AgentErrorKind::AlreadyExists);
    assert_eq!(kind(3), AgentErrorKind::InvalidArgument);
    assert_eq!(kind(12), AgentErrorKind::Unimplemented);
    assert_eq!(kind(14), AgentErrorKind::NotReady);
    assert_eq!(kind(4711), AgentErrorKind::Failed, "a number that is no code");
    assert_eq!(AgentError::of_call("X", ttrpc::Error::Eof).kind(), AgentErrorKind::Disconnected);
}

#[test]
fn codes_keep_their_numbers() {
    for number in 1..=16 {
        assert_eq!(RpcCode::from_number(number).number(), number);
    }
}
