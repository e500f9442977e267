//! Setting the limits of a container's cgroup, all of them or none.

use std::{fs, io, path::PathBuf};

use oci_spec::runtime::LinuxResources;

use super::{
    Container, State,
    cgroup::Cgroup,
    limits::{self, Limit},
};
use crate::error::CallError;

/// A value could not be set.
#[derive(Debug, thiserror::Error)]
#[error("could not write `{value}` to {}: {source}{}", file.display(), self.hint())]
pub struct LimitError {
    /// The file.
    pub file: PathBuf,
    /// The value.
    pub value: String,
    /// Files whose earlier values could not be restored either.
    pub changed: Vec<String>,
    /// How it failed.
    #[source]
    pub source: io::Error,
}

impl LimitError {
    /// Whether the value is at fault and not the guest.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(
            rustix::io::Errno::from_io_error(&self.source),
            Some(rustix::io::Errno::INVAL | rustix::io::Errno::RANGE | rustix::io::Errno::NODEV)
        )
    }

    /// Whether the guest's kernel has no such limit.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }

    fn hint(&self) -> String {
        let absent = if self.is_absent() { " (the guest's kernel has no such limit)" } else { "" };
        if self.changed.is_empty() {
            return format!("{absent}; the limits are as they were");
        }
        format!("{absent}; {} could not be restored", self.changed.join(", "))
    }
}

/// Changes the limits of a container that is there; what `resources` are silent about stays.
///
/// # Errors
/// [`CallError::WrongState`] for a stopped one, [`CallError::Invalid`], [`CallError::NotBuilt`] and
/// [`CallError::Limit`]; the limits are as they were then.
pub async fn update(container: &Container, resources: &LinuxResources) -> Result<(), CallError> {
    let _verb = container.verb.lock().await;
    match container.state() {
        State::Created | State::Running | State::Paused => {}
        State::Stopped => return Err(container.wrong_state("it has no processes to limit any more")),
    }
    apply(&container.cgroup, &limits::of(resources, &container.cgroup)?)
}

/// Makes the group of a container about to be created, with its limits.
///
/// # Errors
/// As [`update`]; the caller removes the group.
pub fn prepare(group: &Cgroup, resources: Option<&LinuxResources>) -> Result<(), CallError> {
    group.make().map_err(CallError::io("make", group.directory()))?;
    resources.map_or(Ok(()), |resources| apply(group, &limits::of(resources, group)?))
}

/// Writes `limits` in order. When one fails, the earlier ones get their old values back.
///
/// # Errors
/// [`CallError::Limit`].
pub fn apply(group: &Cgroup, limits: &[Limit]) -> Result<(), CallError> {
    let mut done: Vec<Limit> = Vec::new();
    for limit in limits {
        match set(group, limit) {
            Ok(before) => done.extend(before),
            Err(source) => {
                let failed = done.iter().rev().filter(|before| write(group, before).is_err());
                let changed = failed.map(|before| before.file.clone()).collect();
                let file = group.directory().join(&limit.file);
                return Err(LimitError { file, value: limit.value.clone(), changed, source }.into());
            }
        }
    }
    Ok(())
}

/// Writes one value; what to write to have the old one again.
fn set(group: &Cgroup, limit: &Limit) -> io::Result<Option<Limit>> {
    let Some(text) = group.read(&limit.file)? else {
        return if limit.optional { Ok(None) } else { Err(io::ErrorKind::NotFound.into()) };
    };
    let before = Limit { value: present(&text, limit), ..limit.clone() };
    write(group, limit)?;
    Ok(Some(before))
}

/// What `text`, read from the file, has in the place of `limit`.
fn present(text: &str, limit: &Limit) -> String {
    let Some(key) = &limit.key else {
        let value = text.trim_end();
        return if value.is_empty() { limit.neutral.clone() } else { value.to_owned() };
    };
    let line = text.lines().find(|line| line.split_whitespace().next() == Some(key));
    line.map_or_else(|| limit.neutral.clone(), str::to_owned)
}

fn write(group: &Cgroup, limit: &Limit) -> io::Result<()> {
    // Not created: a file that is not there is an error.
    let mut file = fs::File::options().write(true).open(group.directory().join(&limit.file))?;
    io::Write::write_all(&mut file, limit.value.as_bytes())
}
