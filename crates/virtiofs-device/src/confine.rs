//! What this process takes from itself before it hears the guest: capabilities and system calls.

use std::{io, str::FromStr};

use rustix::{
    io::Errno,
    thread::{CapabilitySet, CapabilitySets},
};
use virtiofsd::{
    passthrough::InodeFileHandlesMode,
    seccomp::{SeccompAction, enable_seccomp},
};

/// What the kernel does at a system call that is not expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seccomp {
    Kill,
    Trap,
    Log,
    None,
}

pub(crate) fn seccomp_action(word: &str) -> Result<Seccomp, &'static str> {
    match word {
        "kill" => Ok(Seccomp::Kill),
        "trap" => Ok(Seccomp::Trap),
        "log" => Ok(Seccomp::Log),
        "none" => Ok(Seccomp::None),
        _ => Err("it is kill, trap, log or none"),
    }
}

/// From now on only the system calls that serving files takes are left, for this thread and those that it starts.
pub(crate) fn filter(action: Seccomp) -> Result<(), virtiofsd::seccomp::Error> {
    match action {
        Seccomp::Kill => enable_seccomp(SeccompAction::Kill, false),
        Seccomp::Trap => enable_seccomp(SeccompAction::Trap, false),
        Seccomp::Log => enable_seccomp(SeccompAction::Log, false),
        Seccomp::None => Ok(()),
    }
}

/// Changes to the capabilities that are kept: `+name` and `-name`, with colons between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CapabilityChanges {
    kept: CapabilitySet,
    dropped: CapabilitySet,
}

impl FromStr for CapabilityChanges {
    type Err = String;

    fn from_str(words: &str) -> Result<Self, String> {
        let mut changes = Self { kept: CapabilitySet::empty(), dropped: CapabilitySet::empty() };
        for word in words.split(':').filter(|_| !words.is_empty()) {
            let (name, keep) = match (word.strip_prefix('+'), word.strip_prefix('-')) {
                (Some(name), _) => (name, true),
                (None, Some(name)) => (name, false),
                (None, None) => return Err(format!("{word:?} begins with neither + nor -")),
            };
            let one = CapabilitySet::from_name(&name.to_uppercase())
                .ok_or_else(|| format!("{name:?} is no capability"))?;
            // The last word on a capability counts.
            changes.kept.set(one, keep);
            changes.dropped.set(one, !keep);
        }
        Ok(changes)
    }
}

/// What it takes to serve files of any owner.
fn needed(changes: CapabilityChanges, handles: InodeFileHandlesMode) -> CapabilitySet {
    let mut kept = CapabilitySet::CHOWN
        | CapabilitySet::DAC_OVERRIDE
        | CapabilitySet::FOWNER
        | CapabilitySet::FSETID
        | CapabilitySet::SETGID
        | CapabilitySet::SETUID
        | CapabilitySet::MKNOD
        | CapabilitySet::SETFCAP;
    kept = (kept | changes.kept) - changes.dropped;
    // A file's handle opens it past the directories above it.
    if handles != InodeFileHandlesMode::Never {
        kept |= CapabilitySet::DAC_READ_SEARCH;
    }
    kept
}

/// Keeps the capabilities that serving files takes, and can never get others again.
///
/// # Errors
/// As `capset(2)` and `prctl(2)`.
pub(crate) fn drop_capabilities(changes: CapabilityChanges, handles: InodeFileHandlesMode) -> io::Result<()> {
    for one in CapabilitySet::all().iter() {
        match rustix::thread::remove_capability_from_bounding_set(one) {
            // One that this kernel does not have; or, without CAP_SETPCAP, a bound that is not ours to narrow.
            Ok(()) | Err(Errno::INVAL | Errno::PERM) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let kept = needed(changes, handles);
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    Ok(rustix::thread::set_capabilities(None, sets)?)
}

#[cfg(test)]
mod tests;
