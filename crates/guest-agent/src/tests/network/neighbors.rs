use std::net::IpAddr;

use ttrpc::Code;
use virtcontainers_types::net::Neighbor;

use super::{MAC, OTHER_MAC, described, ip, update, with_links};
use crate::network::neighbor;

fn known(address: &str, device: &str, state: u16) -> Neighbor {
    let address: IpAddr = address.parse().unwrap();
    Neighbor { address, device: device.to_owned(), mac: OTHER_MAC, state, flags: 0 }
}

#[test]
fn neighbours_of_both_families_are_known_for_good() {
    with_links(async || {
        update(&described("eth0", MAC, &["10.0.0.2/24", "2001:db8::2/64"])).await;
        neighbor::add(&[known("10.0.0.1", "eth0", 0), known("2001:db8::1", "eth0", 0x80)]).unwrap();
        let shown = ip("neigh show dev eth0");
        for address in ["10.0.0.1", "2001:db8::1"] {
            assert!(shown.contains(&format!("{address} lladdr {OTHER_MAC} PERMANENT")), "{shown}");
        }
        let moved = Neighbor { mac: MAC, ..known("10.0.0.1", "eth0", 0) };
        neighbor::add(&[moved]).unwrap();
        assert!(ip("neigh show dev eth0").contains(&format!("10.0.0.1 lladdr {MAC} PERMANENT")));
    });
}

#[test]
fn none_is_added_if_one_is_of_no_interface() {
    with_links(async || {
        let error = neighbor::add(&[known("10.0.0.1", "eth0", 0), known("10.0.0.1", "eth5", 0)]).unwrap_err();
        assert_eq!(error.code(), Code::NOT_FOUND);
        assert!(error.to_string().contains("eth5"), "{error}");
        assert!(ip("neigh show dev eth0").is_empty());
    });
}
