//! House checks: what the compiler and clippy cannot see of this workspace's rules.
//!
//! `cargo run -p xtask -- check` runs every check and fails when one of them finds something;
//! `cargo run -p xtask -- parity` counts the rows of docs/parity.tsv by status.
//!
//! Each check is a pure function from the [`tree::Tree`] (all text files, in memory) or the [`metadata::Workspace`] (what
//! cargo says of the packages) to a list of findings, so that its tests can hand it a tree which must fail.

mod layering;
mod links;
mod manifests;
mod metadata;
mod parity;
mod rooms;
mod sizes;
mod tokens;
mod tree;
mod unsafety;

use std::{
    fmt,
    path::{Path, PathBuf},
    process::ExitCode,
};

use metadata::Workspace;
use tree::Tree;

/// One place that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    /// The file, relative to the workspace, with its line where there is one: `path:line`.
    place: String,
    /// What is wrong and what to do instead.
    message: String,
}

impl Finding {
    fn new(place: impl fmt::Display, message: impl Into<String>) -> Self {
        Self { place: place.to_string(), message: message.into() }
    }
}

/// Why a command could not do its work at all.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Tree(#[from] tree::TreeError),
    #[error(transparent)]
    Metadata(#[from] metadata::MetadataError),
    #[error(transparent)]
    Parity(#[from] parity::ParityError),
    #[error("usage: cargo run -p xtask -- check | parity")]
    Usage,
}

/// What a command has to say, and whether that is good.
struct Report {
    text: String,
    passed: bool,
}

fn check(root: &Path) -> Result<Report, Error> {
    let tree = Tree::read(root)?;
    let workspace = Workspace::read(root)?;
    let results = [
        ("layering", layering::check(&workspace)),
        ("manifests", manifests::check(&workspace, &tree)),
        ("sizes", sizes::check(&tree, sizes::REASONS)),
        ("rooms", rooms::check(&tree)),
        ("unsafe", unsafety::check(&tree)),
        ("links", links::check(&tree)),
    ];
    let passed = results.iter().all(|(_, findings)| findings.is_empty());
    let mut text = String::new();
    for (name, mut findings) in results {
        findings.sort();
        if findings.is_empty() {
            text.push_str(&format!("ok    {name}\n"));
        } else {
            text.push_str(&format!("FAIL  {name}: {}\n", findings.len()));
        }
        for Finding { place, message } in findings {
            text.push_str(&format!("      {place}: {message}\n"));
        }
    }
    Ok(Report { text, passed })
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool")]
fn main() -> ExitCode {
    let root =
        PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| "xtask".into())).join("..");
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["check"] => check(&root),
        ["parity"] => parity::summary(&root).map(|text| Report { text, passed: true }).map_err(Error::from),
        _ => Err(Error::Usage),
    };
    match result {
        Ok(report) => {
            print!("{}", report.text);
            if report.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::from(2)
        }
    }
}
