use super::{HOUSE, check};
use crate::metadata::Workspace;

/// A workspace with one edge, `from -> to`; all of the house's crates are members.
fn edge(from: &str, to: &str, kind: &str) -> Workspace {
    let full = |room: &str| match room {
        "virtcontainers" | "xtask" => room.to_owned(),
        _ => format!("virtcontainers-{room}"),
    };
    let rooms = HOUSE.iter().map(|(room, _)| *room).chain(["testkit", "xtask"]);
    let package = |room: &str| {
        let dependencies = if room == from {
            serde_json::json!([{"name": full(to), "kind": serde_json::from_str::<Option<String>>(kind).unwrap(), "req": "^0.1"}])
        } else {
            serde_json::json!([])
        };
        serde_json::json!({"name": full(room), "manifest_path": format!("/w/crates/{room}/Cargo.toml"),
                           "dependencies": dependencies})
    };
    serde_json::from_value(serde_json::json!({"packages": rooms.map(package).collect::<Vec<_>>()})).unwrap()
}

#[test]
fn downward_edges_pass() {
    assert_eq!(check(&edge("store", "sys", "null")), []);
    assert_eq!(check(&edge("virtc", "virtcontainers", "null")), []);
}

#[test]
fn an_upward_edge_is_named() {
    let findings = check(&edge("types", "sys", "null"));
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].place, "crates/types/Cargo.toml");
    assert!(findings[0].message.starts_with("types -> sys"), "{}", findings[0].message);
}

#[test]
fn a_sideward_edge_is_found() {
    assert_eq!(check(&edge("agent-client", "hypervisor", "null")).len(), 1);
    assert_eq!(check(&edge("device", "network", "\"build\"")).len(), 1);
}

#[test]
fn tests_may_use_the_testkit_and_what_lies_below() {
    assert_eq!(check(&edge("store", "testkit", "\"dev\"")), []);
    assert_eq!(check(&edge("virtcontainers", "guest-image", "\"dev\"")), []);
    assert_eq!(check(&edge("store", "virtcontainers", "\"dev\"")).len(), 1);
    assert_eq!(check(&edge("store", "testkit", "null")).len(), 1);
}

#[test]
fn nothing_depends_on_the_tools() {
    assert_eq!(check(&edge("virtc", "xtask", "\"build\"")).len(), 1);
    assert_eq!(check(&edge("xtask", "types", "null")).len(), 1);
}

#[test]
fn a_crate_without_a_floor_is_found() {
    let json =
        r#"{"packages": [{"name": "virtcontainers-attic", "manifest_path": "/w/crates/attic/Cargo.toml"}]}"#;
    let findings = check(&serde_json::from_str(json).unwrap());
    assert_eq!(findings.len(), 1);
    assert!(findings[0].message.contains("attic"));
}

#[test]
fn the_table_itself_points_down() {
    for (at, (room, allowed)) in HOUSE.iter().enumerate() {
        for to in *allowed {
            assert!(HOUSE[..at].iter().any(|(lower, _)| lower == to), "{room} -> {to} does not point down");
        }
    }
}
