use super::check;
use crate::tree::Tree;

fn places(path: &str, text: &str) -> Vec<String> {
    check(&Tree::of(&[(path, text)])).into_iter().map(|finding| finding.place).collect()
}

#[test]
fn names_that_speak_pass() {
    assert!(places("crates/a/src/lease.rs", "mod tests;\nmod inner_ring { }\n// mod util {}\n").is_empty());
}

#[test]
fn a_nameless_file_or_folder_is_found() {
    assert_eq!(places("crates/a/src/utils.rs", ""), ["crates/a/src/utils.rs"]);
    assert_eq!(places("crates/a/src/common/lease.rs", ""), ["crates/a/src/common/lease.rs"]);
    assert_eq!(places("crates/a/src/helpers/mod.rs", ""), ["crates/a/src/helpers/mod.rs"]);
}

#[test]
fn a_nameless_inline_module_is_found() {
    assert_eq!(places("crates/a/src/lib.rs", "\npub mod misc {\n}\n"), ["crates/a/src/lib.rs:2"]);
}

#[test]
fn inline_tests_are_found_wherever_they_hide() {
    assert_eq!(places("crates/a/src/lib.rs", "#[cfg(test)]\nmod tests {\n}\n"), ["crates/a/src/lib.rs:2"]);
    assert_eq!(
        places("crates/a/src/lib.rs", "mod a {\n mod b {\n  mod test { }\n }\n}"),
        ["crates/a/src/lib.rs:3"]
    );
}
