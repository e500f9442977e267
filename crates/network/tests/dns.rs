//! What a `resolv.conf` says.

use std::path::Path;

use virtcontainers_network::{NetworkError, dns};

#[test]
fn a_file_is_understood_as_the_resolver_does() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("resolv.conf");
    let text = "# comment\n; another\nnameserver 10.0.0.53\nnameserver\tfe80::1%eth0\ndomain old.example\n\
                search a.example b.example\noptions ndots:5 edns0\nsortlist 10.0.0.0\nnameserver\n\n";
    std::fs::write(&path, text).unwrap();
    let dns = dns::read(&path).unwrap();
    let lines = [
        "nameserver 10.0.0.53",
        "nameserver fe80::1%eth0",
        "search a.example b.example",
        "options ndots:5 edns0",
    ];
    assert_eq!(dns.lines(), lines);
    assert_eq!(dns::Dns::parse(&dns.lines().join("\n")), dns);
}

#[test]
fn a_huge_file_is_read_in_part() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("resolv.conf");
    std::fs::write(
        &path,
        format!("nameserver 10.0.0.53\n{}", "#\n".repeat(1 << 20) + "nameserver 10.0.0.54\n"),
    )
    .unwrap();
    assert_eq!(dns::read(&path).unwrap().nameservers, ["10.0.0.53"]);
}

#[test]
fn a_missing_file_is_named() {
    let error = dns::read(Path::new("/nowhere/resolv.conf")).unwrap_err();
    assert!(matches!(&error, NetworkError::Io { path, .. } if path.ends_with("resolv.conf")), "{error}");
}
