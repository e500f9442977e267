//! Network objects are read strictly: a guest sends some of them.

use virtcontainers_types::net::{MacAddr, PciPath};

#[test]
fn hardware_addresses_are_six_pairs() {
    let mac: MacAddr = "02:AB:00:00:00:fF".parse().unwrap();
    assert_eq!((mac.0, mac.to_string().as_str()), ([2, 0xab, 0, 0, 0, 255], "02:ab:00:00:00:ff"));
    let bad = [
        "",
        ":",
        "02:00:00:00:00",
        "02:00:00:00:00:01:02",
        "2:0:0:0:0:1",
        "02-00-00-00-00-01",
        "020000000001",
        "+2:00:00:00:00:01",
        "02:00:00:00:00:0g",
        "02:00:00:00:00:01 ",
        "０２:00:00:00:00:01",
    ];
    for text in bad {
        let error = text.parse::<MacAddr>().unwrap_err();
        assert_eq!(error.0, text);
        assert!(MacAddr::try_from(text.to_owned()).is_err(), "{text:?} was taken from a record");
    }
}

#[test]
fn an_interface_has_a_unicast_address() {
    let unicast = |text: &str| text.parse::<MacAddr>().unwrap().is_unicast();
    assert!(unicast("02:00:00:00:00:01") && unicast("fe:ff:ff:ff:ff:ff"));
    assert!(!unicast("00:00:00:00:00:00") && !unicast("ff:ff:ff:ff:ff:ff") && !unicast("01:00:5e:00:00:01"));
}

#[test]
fn pci_paths_are_slots_within_reach() {
    let path: PciPath = "02/1f".parse().unwrap();
    assert_eq!((path.slots(), path.to_string().as_str()), (&[2, 31][..], "02/1f"));
    let long = ["00"; 33].join("/");
    for bad in ["", "/", "2", "02/", "/02", "20", "0x", "+1", "02/00.0", "02//03", "../..", long.as_str()] {
        assert!(bad.parse::<PciPath>().is_err(), "{bad:?}");
    }
    assert!("00".parse::<PciPath>().is_ok() && ["1f"; 32].join("/").parse::<PciPath>().is_ok());
    assert!(PciPath::new(vec![]).is_err() && PciPath::new(vec![32]).is_err());
}
