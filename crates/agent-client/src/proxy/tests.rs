use super::*;

#[test]
fn each_transport_and_agent_has_its_proxies() {
    use AgentKind as A;
    use ProxyKind as P;
    use Transport as T;
    let choice = |kind, transport, agent| resolve(kind, transport, agent).ok();
    for vsock in [T::Vsock, T::HybridVsock] {
        for (kind, expected) in [
            (P::Auto, Some(ProxyChoice::None)),
            (P::None, Some(ProxyChoice::None)),
            (P::Kata, None),
            (P::KataBuiltIn, None),
            (P::Noop, None),
        ] {
            assert_eq!(choice(kind, vsock, A::Kata), expected, "{kind} {vsock}");
        }
    }
    for (kind, expected) in [
        (P::Auto, Some(ProxyChoice::Process)),
        (P::None, None),
        (P::Kata, Some(ProxyChoice::Process)),
        (P::KataBuiltIn, Some(ProxyChoice::BuiltIn)),
        (P::Noop, None),
    ] {
        assert_eq!(choice(kind, T::VirtioSerial, A::Kata), expected, "{kind}");
    }
    for &transport in T::ALL {
        for (kind, sensible) in
            [(P::Auto, true), (P::None, true), (P::Noop, true), (P::Kata, false), (P::KataBuiltIn, false)]
        {
            assert_eq!(choice(kind, transport, A::Noop).is_some(), sensible, "{kind} {transport}");
        }
    }
    for &kind in P::ALL {
        assert_eq!(choice(kind, T::Auto, A::Kata), None, "the transport comes first");
    }
}

#[test]
fn a_choice_that_makes_no_sense_names_the_remedy() {
    let error = resolve(ProxyKind::None, Transport::VirtioSerial, AgentKind::Kata).unwrap_err().to_string();
    assert!(error.contains("virtio-serial") && error.contains("use auto"), "{error}");
}
