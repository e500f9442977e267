use super::check;
use crate::tree::Tree;

const WITH: &str = "#![allow(unsafe_code)]\n/// unsafe in words\nfn f() {\n    unsafe { g() }\n}\n";

#[test]
fn unsafe_is_found_outside_its_rooms() {
    let findings = check(&Tree::of(&[("crates/store/src/lib.rs", WITH)]));
    assert_eq!(
        findings.iter().map(|finding| finding.place.as_str()).collect::<Vec<_>>(),
        ["crates/store/src/lib.rs:4"]
    );
}

#[test]
fn unsafe_in_macros_and_attributes_counts() {
    assert_eq!(check(&Tree::of(&[("crates/a/src/m.rs", "m! { unsafe fn f() {} }")])).len(), 1);
    assert_eq!(check(&Tree::of(&[("crates/a/src/m.rs", "#[unsafe(no_mangle)] fn f() {}")])).len(), 1);
}

#[test]
fn its_rooms_may_hold_it() {
    for path in
        ["crates/sys/src/pidfd.rs", "crates/guest-agent/src/sys.rs", "crates/guest-agent/src/sys/mount.rs"]
    {
        assert_eq!(check(&Tree::of(&[(path, WITH)])), [], "{path}");
    }
    assert_eq!(check(&Tree::of(&[("crates/guest-agent/src/system.rs", WITH)])).len(), 1);
}

#[test]
fn words_are_not_code() {
    let text = "// unsafe\nconst A: &str = \"unsafe\";\nfn unsafe_like() {}\n";
    assert_eq!(check(&Tree::of(&[("crates/a/src/lib.rs", text)])), []);
}
