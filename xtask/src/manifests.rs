//! Every crate that is not `publish = false` could be published as it stands, and every crate takes the workspace's lints.

use crate::{
    Finding,
    metadata::{Package, Workspace},
    tree::Tree,
};

#[cfg(test)]
mod tests;

/// The registry's limits (the cargo book, "The Manifest Format").
const MAX_KEYWORDS: usize = 5;
const MAX_KEYWORD_LEN: usize = 20;
const MAX_CATEGORIES: usize = 5;

/// What each manifest lacks.
pub(crate) fn check(workspace: &Workspace, tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &workspace.packages {
        let manifest = package.manifest();
        let mut wrong = if package.is_published() { unpublishable(package) } else { Vec::new() };
        if !tree.get(&manifest).is_some_and(takes_the_lints) {
            wrong.push("takes no lints: add [lints] workspace = true".to_owned());
        }
        findings.extend(wrong.into_iter().map(|message| Finding::new(&manifest, message)));
    }
    findings
}

fn takes_the_lints(manifest: &str) -> bool {
    let table: Option<toml::Table> = manifest.parse().ok();
    let lints = table.as_ref().and_then(|table| table.get("lints"));
    lints.and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool) == Some(true)
}

fn unpublishable(package: &Package) -> Vec<String> {
    let mut wrong = Vec::new();
    for (field, value) in
        [("license", &package.license), ("description", &package.description), ("readme", &package.readme)]
    {
        if value.as_ref().is_none_or(|text| text.trim().is_empty()) {
            wrong.push(format!("has no {field}"));
        }
    }
    if package.categories.is_empty() || package.categories.len() > MAX_CATEGORIES {
        wrong.push(format!("has {} categories: give 1 to {MAX_CATEGORIES}", package.categories.len()));
    }
    if package.keywords.is_empty() || package.keywords.len() > MAX_KEYWORDS {
        wrong.push(format!("has {} keywords: give 1 to {MAX_KEYWORDS}", package.keywords.len()));
    }
    wrong.extend(package.keywords.iter().filter(|word| !is_keyword(word)).map(|word| {
        format!("has the keyword {word:?}: at most {MAX_KEYWORD_LEN} letters, digits, '_', '-' and '+'")
    }));
    // A dev-dependency without a version is left out of the published manifest, so it needs none.
    let unversioned =
        package.dependencies.iter().filter(|to| to.path.is_some() && to.req == "*" && !to.is_dev());
    wrong.extend(unversioned.map(|to| format!("depends on {} by path alone: give a version too", to.name)));
    wrong
}

fn is_keyword(word: &str) -> bool {
    let first = word.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    let rest = word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+'));
    first && rest && word.len() <= MAX_KEYWORD_LEN
}
