use super::{REQUIRED, check};
use crate::tree::Tree;

/// The places of what is broken when README.md says `readme`.
fn broken(readme: &str) -> Vec<String> {
    let mut files: Vec<(&str, &str)> = REQUIRED.iter().map(|path| (*path, "# Title one\n")).collect();
    files.retain(|(path, _)| *path != "README.md");
    files.extend([
        ("README.md", readme),
        ("Makefile", "demo: build ## runs\n"),
        ("crates/a/src/sandbox/create.rs", ""),
        ("docs/tour.md", "[up](../README.md) [wrong](README.md)"),
    ]);
    check(&Tree::of(&files))
        .into_iter()
        .map(|finding| finding.place)
        .filter(|place| !place.starts_with("docs"))
        .collect()
}

#[test]
fn what_exists_passes() {
    let readme = "[a](ARCHITECTURE.md#title-one) [b](https://example.org/x) [c](docs/) `make demo`\n\
                  `crates/a/src/sandbox/create.rs:12` `sandbox/create.rs` `crates/*/src` `cargo add x`\n";
    assert!(broken(readme).is_empty(), "{:?}", broken(readme));
}

#[test]
fn each_broken_reference_is_found() {
    for wrong in [
        "[a](GONE.md)",
        "[a](ARCHITECTURE.md#title-two)",
        "[a](#nowhere)",
        "`make supper`",
        "`crates/b/src/lib.rs`",
        "`crates/b`",
        "`sandbox/destroy.rs`",
        "`reate.rs`",
    ] {
        assert_eq!(broken(&format!("# Top\n{wrong}\n")), ["README.md:2"], "{wrong}");
    }
}

#[test]
fn links_start_at_their_document() {
    let files: Vec<(&str, &str)> = REQUIRED.iter().map(|path| (*path, "")).collect();
    let with = |text| [files.as_slice(), &[("docs/tour.md", text)]].concat();
    assert!(check(&Tree::of(&with("[up](../README.md)"))).is_empty());
    assert_eq!(check(&Tree::of(&with("[wrong](README.md)"))).len(), 1);
}

#[test]
fn required_documents_are_missed() {
    assert_eq!(check(&Tree::default()).len(), REQUIRED.len());
}

#[test]
fn fenced_blocks_are_left_alone() {
    assert!(broken("```\n[a](GONE.md) `crates/b`\n```\n").is_empty());
}
