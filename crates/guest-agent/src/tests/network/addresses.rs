use ttrpc::Code;

use super::{MAC, described, interface, ip, search, update, with_links};

#[test]
fn an_interface_becomes_what_is_described_and_lists_as_it_was() {
    with_links(async || {
        let wanted =
            described("eth0", MAC, &["10.0.0.2/24", "10.0.0.3/24", "192.168.7.1/32", "2001:db8::2/64"]);
        assert_eq!(update(&wanted).await, wanted);
        let shown = ip("address show dev eth0");
        assert!(shown.contains("mtu 1400") && shown.contains(",UP"), "{shown}");
        assert!(shown.contains("inet 10.0.0.2/24 brd 10.0.0.255 scope global eth0"), "{shown}");
        let v6 = shown.lines().find(|line| line.contains("2001:db8::2/64")).unwrap();
        assert!(v6.contains("nodad") && !v6.contains("tentative"), "{shown}");

        let listed = interface::list(&search()).unwrap();
        assert_eq!(listed.iter().map(|listed| listed.name.as_str()).max(), Some("eth1"), "no lo: {listed:?}");
        let mut listed = listed.into_iter().find(|listed| listed.name == "eth0").unwrap();
        assert_eq!((listed.mac, listed.mtu, listed.kind.as_str()), (MAC, 1400, "veth"));
        listed.addresses.retain(|net| !net.to_string().starts_with("fe80"));
        listed.addresses.sort();
        let mut asked = wanted.addresses.clone();
        asked.sort();
        assert_eq!(listed.addresses, asked);
        // What is listed may be told again.
        assert_eq!(update(&listed).await, listed);
    });
}

#[test]
fn addresses_that_are_there_stay_and_others_go() {
    with_links(async || {
        update(&described("eth0", MAC, &["10.0.0.2/24", "10.0.0.3/24", "2001:db8::2/64", "2001:db8::3/64"]))
            .await;
        ip("link set eth1 up");
        ip("address add fe80::77/64 dev eth0");
        ip("route add 10.9.0.0/16 via 10.0.0.1 dev eth0 src 10.0.0.3");
        // The first of a network goes, which in the kernel takes the second along.
        let wanted = described("eth0", MAC, &["10.0.0.3/24", "2001:db8::3/48", "10.1.0.1/16"]);
        update(&wanted).await;
        let shown = ip("-o address show dev eth0");
        let held: Vec<_> = shown.lines().filter_map(|line| line.split_whitespace().nth(3)).collect();
        for net in ["10.0.0.3/24", "10.1.0.1/16", "2001:db8::3/48", "fe80::77/64"] {
            assert!(held.contains(&net), "{net}: {shown}");
        }
        for net in ["10.0.0.2/24", "2001:db8::2/64", "2001:db8::3/64"] {
            assert!(!held.contains(&net), "{net}: {shown}");
        }
        // Nothing to do leaves all as it is, a route through it too.
        ip("route replace 10.9.0.0/16 via 10.0.0.1 dev eth0 src 10.0.0.3");
        update(&wanted).await;
        assert!(ip("route show").contains("10.9.0.0/16 via 10.0.0.1"));
    });
}

#[test]
fn neighbours_are_not_resolved_if_so_described() {
    with_links(async || {
        let mut wanted = described("eth0", MAC, &[]);
        wanted.raw_flags = 0x80 | 0x100;
        assert_eq!(update(&wanted).await.raw_flags, 0x80, "other flags are not the host's");
        let shown = ip("link show dev eth0");
        assert!(shown.contains("NOARP") && !shown.contains("PROMISC"), "{shown}");
        wanted.raw_flags = 0;
        update(&wanted).await;
        assert!(!ip("link show dev eth0").contains("NOARP"));
    });
}

#[test]
fn what_the_kernel_refuses_is_named() {
    with_links(async || {
        let mut wanted = described("eth0", MAC, &[]);
        wanted.mtu = 60;
        let error = interface::update(wanted, &search()).await.unwrap_err();
        assert_eq!(error.code(), Code::INVALID_ARGUMENT, "{error}");
        assert!(error.to_string().contains("MTU of interface eth0 to 60"), "{error}");
    });
}
