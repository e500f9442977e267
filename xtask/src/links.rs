//! What the documents point at exists: links, file paths in code spans, and `make` targets.

use crate::{Finding, tree::Tree};

#[cfg(test)]
mod tests;

/// Documents that every checkout has.
const REQUIRED: &[&str] = &["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE"];

/// Folders whose mention in a code span is a path of this workspace.
const FOLDERS: &[&str] = &["crates/", "docs/", "scripts/", "xtask/", "fuzz/", "benches/", ".ci/", ".config/"];

/// Every broken reference in the Markdown files.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let missing = REQUIRED.iter().filter(|path| !tree.has(path));
    let mut findings: Vec<Finding> = missing.map(|path| Finding::new(path, "is missing")).collect();
    for (path, text) in tree.iter().filter(|(path, _)| path.ends_with(".md")) {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut fenced = false;
        for (number, line) in text.lines().enumerate() {
            if line.trim_start().starts_with("```") {
                fenced = !fenced;
                continue;
            }
            let broken = |what: String| Finding::new(format_args!("{path}:{}", number + 1), what);
            if !fenced {
                let links = links(line).into_iter().filter(|link| !link_exists(tree, folder, text, link));
                findings.extend(links.map(|link| broken(format!("the link {link} leads nowhere"))));
                let spans = line.split('`').skip(1).step_by(2).filter(|span| !span_exists(tree, span));
                findings.extend(spans.map(|span| broken(format!("`{span}` does not exist"))));
            }
        }
    }
    findings
}

/// The targets of `[text](target)` in a line.
fn links(line: &str) -> Vec<&str> {
    let after = line.split("](").skip(1);
    after
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.split(' ').next().unwrap_or(target))
        .collect()
}

fn link_exists(tree: &Tree, folder: &str, text: &str, link: &str) -> bool {
    if link.contains("://") || link.starts_with("mailto:") {
        return true;
    }
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = join(folder, path);
    let body = if path.is_empty() { Some(text) } else { tree.get(&target) };
    let exists = path.is_empty() || tree.has(&target);
    let anchored = anchor.is_empty() || body.is_some_and(|body| has_heading(body, anchor));
    exists && anchored
}

/// `folder/path` with `.` and `..` resolved.
fn join(folder: &str, path: &str) -> String {
    let mut parts = Vec::new();
    for part in folder.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Whether a heading's anchor, as Markdown hosts make it, is `anchor`.
fn has_heading(text: &str, anchor: &str) -> bool {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| line.trim_start_matches('#').trim().to_lowercase()).any(|heading| {
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).eq(anchor.chars())
    })
}

/// Whether what a code span names exists, if it names a file or a target of ours.
fn span_exists(tree: &Tree, span: &str) -> bool {
    if let Some(target) = span.strip_prefix("make ").filter(|target| target.chars().all(char::is_alphabetic))
    {
        let makefile = tree.get("Makefile").unwrap_or_default();
        return makefile
            .lines()
            .any(|line| line.strip_prefix(target).is_some_and(|rest| rest.starts_with(':')));
    }
    let word = span.split(['#', ':']).next().unwrap_or(span);
    if word.contains([' ', '*', '<', '{', '$', '…', '[']) || word.starts_with(['/', '~']) {
        return true;
    }
    if FOLDERS.iter().any(|folder| word.starts_with(folder)) {
        return tree.has(word);
    }
    // `sandbox/create.rs` may leave out the crate; some file must end so.
    !word.ends_with(".rs") || tree.iter().any(|(file, _)| file == word || file.ends_with(&format!("/{word}")))
}
