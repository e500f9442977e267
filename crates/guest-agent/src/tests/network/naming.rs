use super::{MAC, OTHER_MAC, described, ip, update, with_links};

fn mac_of(name: &str) -> String {
    let shown = ip(&format!("-o link show dev {name}"));
    shown.split_whitespace().skip_while(|word| *word != "link/ether").nth(1).unwrap().to_owned()
}

#[test]
fn an_interface_gets_its_name() {
    with_links(async || {
        update(&described("net-of-15-bytes", MAC, &["10.0.0.2/24"])).await;
        assert_eq!(mac_of("net-of-15-bytes"), MAC.to_string());
        assert_eq!(mac_of("eth1"), OTHER_MAC.to_string());
    });
}

#[test]
fn interfaces_exchange_their_names() {
    with_links(async || {
        update(&described("eth1", MAC, &["10.0.0.2/24"])).await;
        assert_eq!((mac_of("eth1"), mac_of("eth0")), (MAC.to_string(), OTHER_MAC.to_string()));
        update(&described("eth0", OTHER_MAC, &["10.0.0.3/24"])).await;
        assert_eq!((mac_of("eth1"), mac_of("eth0")), (MAC.to_string(), OTHER_MAC.to_string()));
        assert_eq!(ip("-o link show").lines().count(), 3, "nothing is left of the exchange");
    });
}

#[test]
fn interfaces_in_use_keep_what_they_have_while_they_are_renamed() {
    with_links(async || {
        update(&described("eth0", MAC, &["10.0.0.2/24", "2001:db8::2/64"])).await;
        update(&described("eth1", OTHER_MAC, &["10.1.0.2/24", "2001:db8:1::2/64"])).await;
        ip("route add default via 10.0.0.1");
        ip("route add 10.7.0.0/16 dev eth1");
        ip("-6 route add default via 2001:db8:1::1");
        update(&described("eth1", MAC, &["10.0.0.2/24", "2001:db8::2/64"])).await;
        assert_eq!(mac_of("eth1"), MAC.to_string());
        let (v4, v6) = (ip("route show"), ip("-6 route show default"));
        assert!(v4.contains("default via 10.0.0.1 dev eth1"), "{v4}");
        assert!(v4.contains("10.7.0.0/16 dev eth0"), "{v4}");
        assert!(v6.contains("via 2001:db8:1::1 dev eth0"), "{v6}");
        assert!(ip("-6 address show dev eth0").contains("2001:db8:1::2/64"));
    });
}
