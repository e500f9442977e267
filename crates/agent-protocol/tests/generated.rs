//! The committed code under `src/generated` is what the generator makes of `proto/` today.
//!
//! Committing it keeps the users' builds free of a generator. `VC_REGENERATE=1 cargo test -p
//! virtcontainers-agent-protocol --test generated` writes it anew after a change of `proto/`.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ttrpc_codegen::{Codegen, Customize, ProtobufCustomize};

const PROTOS: [&str; 6] = ["agent", "csi", "health", "oci", "types", "virtcontainers"];

fn generate(into: &Path) {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    Codegen::new()
        .out_dir(into)
        .include(&proto)
        .inputs(PROTOS.iter().map(|name| proto.join(format!("{name}.proto"))))
        .rust_protobuf()
        .customize(Customize { async_all: true, ..Customize::default() })
        .rust_protobuf_customize(ProtobufCustomize::default().gen_mod_rs(false))
        .run()
        .expect("the protocol files parse");
}

fn rust_files(dir: &Path) -> BTreeMap<PathBuf, String> {
    fs::read_dir(dir)
        .expect("the folder of generated code exists")
        .map(|entry| entry.expect("a readable entry").path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "rs"))
        .map(|path| {
            let name = PathBuf::from(path.file_name().expect("a file has a name"));
            (name, fs::read_to_string(&path).expect("generated code is text"))
        })
        .collect()
}

#[test]
fn committed_code_matches_the_protocol_files() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    generate(scratch.path());
    let fresh = rust_files(scratch.path());
    let committed_dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/generated");

    if std::env::var_os("VC_REGENERATE").is_some() {
        for (name, text) in &fresh {
            fs::write(committed_dir.join(name), text).expect("the source folder is writable");
        }
    }

    let committed = rust_files(&committed_dir);
    assert_eq!(
        fresh.keys().collect::<Vec<_>>(),
        committed.keys().collect::<Vec<_>>(),
        "the set of generated files differs; run with VC_REGENERATE=1"
    );
    for (name, text) in &fresh {
        assert!(committed[name] == *text, "{} is stale; run with VC_REGENERATE=1", name.display());
    }
}
