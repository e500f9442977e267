//! `unsafe` has two rooms: crates/sys on the host, and the guest agent's sys module.

use crate::{
    Finding,
    tokens::{Mark, marks},
    tree::Tree,
};

#[cfg(test)]
mod tests;

const ROOMS: &[&str] = &["crates/sys/", "crates/guest-agent/src/sys/", "crates/guest-agent/src/sys.rs"];

/// Every `unsafe` outside its rooms, generated code included.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let sources = tree.iter().filter(|(path, _)| path.ends_with(".rs"));
    let outside = sources.filter(|(path, _)| !ROOMS.iter().any(|room| path.starts_with(room)));
    let mut findings = Vec::new();
    for (path, text) in outside {
        for mark in marks(text).unwrap_or_default() {
            match mark {
                Mark::Unsafe(line) => findings.push(Finding::new(
                    format_args!("{path}:{line}"),
                    "`unsafe` belongs in crates/sys or the guest agent's sys module",
                )),
                Mark::ModFile(..) | Mark::ModInline(..) => {}
            }
        }
    }
    findings
}
