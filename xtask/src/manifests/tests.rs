use serde_json::{Value, json};

use super::check;
use crate::tree::Tree;

const MANIFEST: &str = "[package]\nname = \"virtcontainers-a\"\n[lints]\nworkspace = true\n";

/// The findings for a package that is right but for `change`.
fn findings(change: Value) -> Vec<String> {
    let mut package = json!({
        "name": "virtcontainers-a", "manifest_path": "/w/crates/a/Cargo.toml", "license": "Apache-2.0",
        "description": "A", "readme": "README.md", "categories": ["virtualization"], "keywords": ["sandbox"],
    });
    package.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    let workspace = serde_json::from_value(json!({"packages": [package]})).unwrap();
    let tree = Tree::of(&[("crates/a/Cargo.toml", MANIFEST)]);
    check(&workspace, &tree).into_iter().map(|finding| finding.message).collect()
}

#[test]
fn a_whole_manifest_passes() {
    assert!(findings(json!({})).is_empty());
}

#[test]
fn each_missing_field_is_found() {
    for (field, nothing) in [
        ("license", Value::Null),
        ("description", json!(" ")),
        ("readme", Value::Null),
        ("categories", json!([])),
        ("keywords", json!([])),
        ("keywords", json!(["a", "b", "c", "d", "e", "f"])),
        ("keywords", json!(["two words"])),
        ("keywords", json!(["a-keyword-of-21-letter"])),
    ] {
        assert_eq!(findings(json!({field: nothing})).len(), 1, "{field}");
    }
}

#[test]
fn a_path_needs_a_version() {
    let to = |kind| json!({"dependencies": [{"name": "b", "req": "*", "path": "/w/crates/b", "kind": kind}]});
    assert_eq!(findings(to(Value::Null)).len(), 1);
    assert!(findings(to(json!("dev"))).is_empty());
}

#[test]
fn what_stays_at_home_needs_no_description() {
    assert!(findings(json!({"publish": [], "description": null})).is_empty());
}

#[test]
fn lints_are_taken() {
    let workspace = serde_json::from_value(json!({"packages": [
        {"name": "x", "manifest_path": "/w/xtask/Cargo.toml", "publish": []}]}))
    .unwrap();
    for (text, count) in
        [("[lints]\nworkspace = true", 0), ("[lints]\nworkspace = false", 1), ("# [lints]", 1)]
    {
        assert_eq!(check(&workspace, &Tree::of(&[("xtask/Cargo.toml", text)])).len(), count, "{text}");
    }
}
