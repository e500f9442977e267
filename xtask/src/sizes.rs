//! Rooms stay small: a source file has at most 600 lines, or up to 800 with a reason. (Functions are clippy's.)

use crate::{Finding, tree::Tree};

#[cfg(test)]
mod tests;

const NEEDS_A_REASON: usize = 600;
const TOO_LONG: usize = 800;

/// The files over 600 lines, each with the reason why it is better whole.
pub(crate) const REASONS: &[(&str, &str)] = &[];

/// Files that are too long, and reasons that no file needs any more.
pub(crate) fn check(tree: &Tree, reasons: &[(&str, &str)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.rust() {
        let lines = text.lines().count();
        let excused = reasons.iter().any(|(file, _)| *file == path);
        if lines > TOO_LONG {
            findings.push(Finding::new(path, format!("{lines} lines: split it, {TOO_LONG} is the limit")));
        } else if lines > NEEDS_A_REASON && !excused {
            findings.push(Finding::new(
                path,
                format!("{lines} lines: split it, or give the reason in xtask/src/sizes.rs (from {NEEDS_A_REASON} on)"),
            ));
        }
    }
    for (path, reason) in reasons {
        let lines = tree.get(path).map_or(0, |text| text.lines().count());
        if lines <= NEEDS_A_REASON {
            findings.push(Finding::new(
                path,
                format!("{lines} lines need no reason any more: remove {reason:?}"),
            ));
        }
    }
    findings
}
