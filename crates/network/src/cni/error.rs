//! What can go wrong with networks and their plugins.

use std::{fmt, io, path::PathBuf, time::Duration};

use thiserror::Error;
use virtcontainers_sys::spawn::SpawnError;

use super::version::Version;

/// Why a network could not be attached, checked or detached.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CniError {
    /// No file describes the network.
    #[error(
        "no CNI network {name:?} in {}: {}; put its .conflist there{}",
        dir.display(), Known(known), Broken(broken)
    )]
    NoNetwork {
        /// The name asked for.
        name: String,
        /// Where descriptions are.
        dir: PathBuf,
        /// The networks that there are.
        known: Vec<String>,
        /// The files that cannot be read.
        broken: Vec<CniError>,
    },
    /// A directory or file of descriptions cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file or directory.
        path: PathBuf,
        /// The kernel's reason.
        #[source]
        source: io::Error,
    },
    /// A file describes no network.
    #[error("{} describes no CNI network: {reason}", path.display())]
    BadConf {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A parameter of the attachment that the specification does not allow.
    #[error("{value:?} is no {what}: it must be {rule}")]
    BadAttachment {
        /// Which parameter.
        what: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        rule: &'static str,
    },
    /// Something is asked for that no plugin of the network does.
    #[error(
        "no plugin of the CNI network {network:?} ({}) declares the capability {capability:?}{}",
        path.display(), if capability == "portMappings" { ": add the plugin portmap to its list to publish ports" } else { "" }
    )]
    NoCapability {
        /// The network.
        network: String,
        /// The file that describes it.
        path: PathBuf,
        /// What is asked for.
        capability: String,
    },
    /// A plugin of the network is nowhere.
    #[error(
        "the CNI network {network:?} needs the plugin {plugin:?}, which is not in {}: install it (Debian's package \
         containernetworking-plugins puts the standard ones into /usr/lib/cni), or name its directory",
        searched.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(", ")
    )]
    NoPlugin {
        /// The network.
        network: String,
        /// The plugin's type.
        plugin: String,
        /// The directories searched.
        searched: Vec<PathBuf>,
    },
    /// A plugin speaks none of the versions that its network is described for.
    #[error(
        "{} of the CNI network {network:?} speaks none of the versions {} that the network is described for; it speaks {}",
        plugin.display(), Versions(wanted), if spoken.is_empty() { "none" } else { spoken }
    )]
    NoVersion {
        /// The network.
        network: String,
        /// The plugin.
        plugin: PathBuf,
        /// The versions left to choose from.
        wanted: Vec<Version>,
        /// Those of the plugin.
        spoken: String,
    },
    /// The attachment exists.
    #[error("{ifname} of {container_id} is attached to the CNI network {network:?} already: detach it first")]
    AlreadyAttached {
        /// The network.
        network: String,
        /// The container.
        container_id: String,
        /// The interface.
        ifname: String,
    },
    /// There is no attachment to be checked.
    #[error("{ifname} of {container_id} is not attached to the CNI network {network:?}")]
    NotAttached {
        /// The network.
        network: String,
        /// The container.
        container_id: String,
        /// The interface.
        ifname: String,
    },
    /// The network namespace that is the host to the plugins cannot be entered.
    #[error("cannot run CNI plugins in the network namespace {}", path.display())]
    HostNetns {
        /// The namespace.
        path: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// A run of a plugin went wrong.
    #[error("{command} by the plugin {} of the CNI network {network:?} {failure}", plugin.display())]
    Plugin {
        /// The network.
        network: String,
        /// The plugin.
        plugin: PathBuf,
        /// ADD, CHECK, DEL or VERSION.
        command: &'static str,
        /// What went wrong.
        #[source]
        failure: Box<PluginFailure>,
    },
    /// Some plugins could not undo their part. The attachment is still noted.
    #[error(
        "{ifname} of {container_id} is not wholly detached from the CNI network {network:?}: {}",
        failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    )]
    NotDetached {
        /// The network.
        network: String,
        /// The container.
        container_id: String,
        /// The interface.
        ifname: String,
        /// What went wrong, in the order of events.
        failures: Vec<CniError>,
    },
    /// ADD failed, and then DEL too.
    #[error("{cause}; and what was done could not be undone: {undo}")]
    NotUndone {
        /// Why ADD failed.
        cause: Box<CniError>,
        /// Why DEL failed.
        undo: Box<CniError>,
    },
    /// The notes of what is attached cannot be read or written.
    #[error("cannot keep the CNI attachment in {}", path.display())]
    Cache {
        /// The file or directory.
        path: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
}

/// What went wrong with a run of a plugin.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PluginFailure {
    /// It could not be started.
    #[error("cannot be started")]
    Start(#[source] SpawnError),
    /// The pipes to it failed.
    #[error("cannot be talked to")]
    Talk(#[source] io::Error),
    /// It said that it failed.
    #[error("failed with code {code}: {msg}{}{}", Details(details), Stderr(stderr))]
    Said {
        /// The specification's error code, or from 100 on the plugin's own.
        code: u64,
        /// What the plugin says.
        msg: String,
        /// More of it; may be empty.
        details: String,
        /// The end of what it wrote to its standard error.
        stderr: String,
    },
    /// It gave no answer that the specification knows.
    #[error("ended with {exit} and no answer: {reason}{}", Stderr(stderr))]
    NoAnswer {
        /// How it ended.
        exit: String,
        /// What is wrong with what it wrote, with the beginning of that.
        reason: String,
        /// The end of what it wrote to its standard error.
        stderr: String,
    },
    /// It wrote without end.
    #[error("wrote more than {limit} bytes: it was killed")]
    TooMuch {
        /// What it may write.
        limit: usize,
    },
    /// It did not end.
    #[error("did not end within {} s: it was killed{}", after.as_secs_f32(), Stderr(stderr))]
    TimedOut {
        /// How long it had.
        after: Duration,
        /// The end of what it wrote to its standard error.
        stderr: String,
    },
}

struct Known<'a>(&'a [String]);

impl fmt::Display for Known<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("there is none at all"),
            names => write!(f, "there are {}", names.join(", ")),
        }
    }
}

struct Broken<'a>(&'a [CniError]);

impl fmt::Display for Broken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|error| write!(f, "; {error}"))
    }
}

struct Versions<'a>(&'a [Version]);

impl fmt::Display for Versions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(|version| version.as_str()).collect::<Vec<_>>().join(", "))
    }
}

struct Details<'a>(&'a str);

impl fmt::Display for Details<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " ({})", self.0) }
    }
}

struct Stderr<'a>(&'a str);

impl fmt::Display for Stderr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.trim() {
            "" => Ok(()),
            text => write!(f, "; it said: {text}"),
        }
    }
}
