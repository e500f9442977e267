//! Every room has a name that says what is in it, and tests have rooms of their own.

use crate::{
    Finding,
    tokens::{Mark, marks},
    tree::Tree,
};

#[cfg(test)]
mod tests;

/// Names that say nothing: a newcomer could not guess what such a module holds.
const NAMELESS: &[&str] = &["common", "util", "utils", "inner", "manager_inner", "misc", "helpers"];

/// Modules with a forbidden name, by file or inline, and test modules that are not in a file of their own.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.rust() {
        let stem = path.trim_end_matches(".rs");
        findings.extend(stem.split('/').filter(|part| NAMELESS.contains(part)).map(|part| {
            Finding::new(path, format!("`{part}` says nothing: name the module after what it owns"))
        }));
        for mark in marks(text).unwrap_or_default() {
            match mark {
                Mark::ModInline(name, line) if name == "tests" || name == "test" => {
                    findings.push(Finding::new(
                        format_args!("{path}:{line}"),
                        format!("tests live in a file of their own: write `mod {name};` and move them there"),
                    ))
                }
                Mark::ModInline(name, line) if NAMELESS.contains(&name.as_str()) => {
                    findings.push(Finding::new(
                        format_args!("{path}:{line}"),
                        format!("`{name}` says nothing: name the module after what it owns"),
                    ))
                }
                Mark::ModInline(..) | Mark::ModFile(..) | Mark::Unsafe(_) => {}
            }
        }
    }
    findings
}
