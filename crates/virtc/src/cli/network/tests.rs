use super::{Net, route};

#[test]
fn networks() {
    assert_eq!("none".parse(), Ok(Net::None));
    assert_eq!("cni:web".parse(), Ok(Net::Cni("web".to_owned())));
    assert_eq!("netns:/run/netns/a:b".parse(), Ok(Net::Netns("/run/netns/a:b".into())));
    for text in ["", "cni", "cni:", "netns:", "bridge", "none:", "None"] {
        assert!(text.parse::<Net>().is_err(), "{text}");
    }
}

#[test]
fn routes() {
    let read = |text: &str| route(text).unwrap();
    let plain = read("10.7.0.0/16 via 10.1.0.1 dev eth0 src 10.1.0.2");
    assert_eq!(plain.destination, Some("10.7.0.0/16".parse().unwrap()));
    assert_eq!(plain.gateway, Some("10.1.0.1".parse().unwrap()));
    assert_eq!(plain.source, Some("10.1.0.2".parse().unwrap()));
    assert_eq!((plain.device.as_str(), plain.ipv6, plain.scope), ("eth0", false, 0));
    assert_eq!(read("10.7.0.9 dev eth0").destination, Some("10.7.0.9/32".parse().unwrap()));
    assert_eq!(read("10.7.0.9 dev eth0").scope, 253);
    let v6 = read("default dev eth0 via fd00::1");
    assert_eq!((v6.destination, v6.ipv6), (None, true));

    for (text, words) in [
        ("", "no destination"),
        ("nowhere dev eth0", "\"nowhere\""),
        ("10.0.0.0/33 dev eth0", "10.0.0.0/33"),
        ("10.0.0.0/8", "no device"),
        ("10.0.0.0/8 dev", "nothing follows"),
        ("10.0.0.0/8 via here dev eth0", "\"here\""),
        ("10.0.0.0/8 over eth0", "\"over\""),
        ("10.0.0.0/8 via fd00::1 dev eth0", "both families"),
    ] {
        let error = route(text).unwrap_err();
        assert!(error.contains(words) && error.contains("DESTINATION"), "{text}: {error}");
    }
}
