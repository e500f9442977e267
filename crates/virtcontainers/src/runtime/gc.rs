//! Gc: what dead processes left behind, found by record, by process mark, by control group and by mount, and released.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use serde::Serialize;
use virtcontainers_sys::{cgroup, mount, process::Mark};
use virtcontainers_types::SandboxId;

use super::Runtime;
use crate::{
    drive::to_the_end,
    error::{Cause, Error, chain},
    sandbox::{collect, collect_nameless},
};

/// How [`Runtime::gc`] goes about it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GcOptions {
    /// Only tell what would be removed.
    pub dry_run: bool,
    /// Put right also what cannot be put right without ending what lives: a virtual machine whose record is damaged is
    /// ended with all that belongs to it, a container whose record is damaged is taken out of its guest; the records are
    /// set aside.
    pub force: bool,
}

impl GcOptions {
    /// Tells what would be removed, and removes nothing.
    #[must_use]
    pub const fn dry_run() -> Self {
        Self { dry_run: true, force: false }
    }

    /// Puts right also what lives under a damaged record.
    #[must_use]
    pub const fn force(mut self) -> Self {
        self.force = true;
        self
    }
}

/// What [`Runtime::gc`] has found, in the order in which it was looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct GcReport {
    /// Each finding.
    pub items: Vec<GcItem>,
}

/// One thing that was left behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct GcItem {
    /// The sandbox that it was part of.
    pub sandbox: String,
    /// What it is.
    pub what: String,
    /// What became of it.
    pub outcome: GcOutcome,
}

/// What became of something that was left behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum GcOutcome {
    /// It was removed; in a dry run, it would be.
    Removed,
    /// It cannot be read, and was moved out of the way; in a dry run it would be, and has no place yet.
    SetAside {
        /// Why it cannot be read.
        why: String,
        /// Where it is now.
        to: Option<PathBuf>,
    },
    /// It was left as it is.
    Left {
        /// Why.
        why: String,
    },
    /// It could not be removed, and is found again the next time.
    Failed {
        /// Why.
        why: String,
    },
}

/// Findings on the way to a report.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    dry_run: bool,
    force: bool,
    items: Vec<GcItem>,
}

impl Findings {
    pub(crate) const fn dry_run(&self) -> bool {
        self.dry_run
    }

    pub(crate) const fn force(&self) -> bool {
        self.force
    }

    /// Things that were removed, or were to be.
    pub(crate) fn removed(&mut self, sandbox: &str, left: Vec<String>, outcome: Result<(), Error>) {
        let outcome = match outcome {
            Ok(()) => GcOutcome::Removed,
            Err(error) => {
                let why: Vec<_> =
                    std::iter::once(chain(&error)).chain(error.undo_errors().iter().cloned()).collect();
                GcOutcome::Failed { why: why.join("; ") }
            }
        };
        self.items.extend(left.into_iter().map(|what| GcItem {
            sandbox: sandbox.to_owned(),
            what,
            outcome: outcome.clone(),
        }));
    }

    /// A record that was set aside, or was to be.
    pub(crate) fn set_aside(
        &mut self,
        sandbox: &str,
        what: &str,
        why: String,
        to: Result<Option<PathBuf>, Error>,
    ) {
        let outcome = match to {
            Ok(to) => GcOutcome::SetAside { why, to },
            Err(error) => GcOutcome::Failed { why: chain(&error) },
        };
        self.items.push(GcItem { sandbox: sandbox.to_owned(), what: what.to_owned(), outcome });
    }

    /// Something that stays as it is.
    pub(crate) fn left(&mut self, sandbox: &str, what: &str, why: String) {
        let outcome = GcOutcome::Left { why };
        self.items.push(GcItem { sandbox: sandbox.to_owned(), what: what.to_owned(), outcome });
    }
}

impl Runtime {
    /// Removes what processes that died have left behind below this root, and nothing else: creates that did not finish,
    /// what machines that are gone have left, deletes that were begun, processes, control groups and mounts of sandboxes
    /// that are no more.
    ///
    /// A sandbox at which somebody is at work or whose machine lives is left alone, so is everything of another root. A
    /// sandbox that was stopped stays until it is deleted. A record that cannot be read is moved to `<root>/set-aside`, one
    /// of a newer version is left as it is; both are told. What lives under a damaged record is left too, unless
    /// [`GcOptions::force`] is asked for.
    ///
    /// # Errors
    /// Only when there is nothing to be seen at all; what cannot be removed is told in the report.
    pub async fn gc(&self, options: GcOptions) -> Result<GcReport, Error> {
        to_the_end(self, "collect garbage", collect_all(self.clone(), options)).await
    }
}

async fn collect_all(runtime: Runtime, options: GcOptions) -> Result<GcReport, Error> {
    let mut found = Findings { dry_run: options.dry_run, force: options.force, ..Findings::default() };
    for name in runtime.store().names()? {
        match SandboxId::new(&name) {
            Ok(id) => collect(runtime.handle(&id).shared(), &mut found).await,
            Err(_) => {
                found.left(&name, "a file or directory", "it does not belong here: remove it".to_owned())
            }
        }
    }
    nameless(&runtime, &mut found).await?;
    outgoing_mounts(&runtime, &mut found)?;
    if !options.dry_run {
        runtime.store().sweep()?;
    }
    Ok(GcReport { items: found.items })
}

/// Processes that carry the mark of a sandbox that is in no list, and control groups that bear its name.
async fn nameless(runtime: &Runtime, found: &mut Findings) -> Result<(), Error> {
    let marked = Mark::find_under(runtime.root());
    let marked = marked.map_err(|source| Cause::Host { what: "search for marked processes", source })?;
    let groups = cgroup::find_under(runtime.root());
    let groups = groups.map_err(|source| Cause::Host { what: "search for control groups", source })?;
    // Listed after the search: what has come to be since is in it.
    let names: BTreeSet<String> = runtime.store().names()?.into_iter().collect();
    let mut orphans: BTreeMap<SandboxId, Vec<String>> = BTreeMap::new();
    for orphan in marked.into_iter().filter(|marked| !names.contains(marked.sandbox.as_str())) {
        let what = format!("process {} ({})", orphan.role, orphan.process.pid);
        orphans.entry(orphan.sandbox).or_default().push(what);
    }
    for orphan in groups.into_iter().filter(|group| !names.contains(group.sandbox.as_str())) {
        let what = format!("control group {}", orphan.dir.display());
        orphans.entry(orphan.sandbox).or_default().push(what);
    }
    for (id, left) in orphans {
        collect_nameless(runtime, &id, left, found).await;
    }
    Ok(())
}

/// Mounts below directories that were on their way out.
fn outgoing_mounts(runtime: &Runtime, found: &mut Findings) -> Result<(), Error> {
    let sandboxes = runtime.root().join("sandboxes");
    let mounts = mount::mounts_under(&sandboxes);
    let mounts = mounts.map_err(|source| Cause::Path {
        what: "list the mounts under",
        path: sandboxes.clone(),
        source,
    })?;
    for point in mounts {
        let below = point.strip_prefix(&sandboxes).ok().and_then(|below| below.components().next());
        let Some(name) = below.map(|name| name.as_os_str().to_string_lossy().into_owned()) else { continue };
        if !name.starts_with('.') {
            continue;
        }
        let outcome = if found.dry_run() { Ok(()) } else { mount::unmount(&point).map(drop) };
        let failed = |source| Error::from(Cause::Path { what: "unmount", path: point.clone(), source });
        let what = format!("mount {}", point.display());
        found.removed(&name, vec![what], outcome.map_err(failed));
    }
    Ok(())
}
