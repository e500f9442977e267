//! A client of the Container Network Interface, versions 0.3.0 to 1.1.0 of its
//! [specification](https://www.cni.dev/docs/spec/): it runs other people's plugins around a sandbox.
//!
//! Invariants: an attachment is noted in the cache directory before its first plugin runs, and forgotten when all
//! plugins have undone their part, so any later process can undo it; a failed ADD has called DEL; no plugin runs longer
//! than [`Cni::timeout`], and none outlives the call that runs it; no name from a file is used as a path unchecked.

mod add;
mod attachment;
mod cache;
mod conf;
mod error;
mod invoke;
mod port;
mod result;
mod version;

use std::{path::PathBuf, time::Duration};

use serde_json::Value;

pub use self::{
    attachment::Attachment,
    conf::{NetworkList, Plugin},
    error::{CniError, PluginFailure},
    port::{InvalidPort, PortMapping, Protocol},
    result::{CniDns, CniInterface, CniIp, CniResult, CniRoute},
    version::Version,
};
use self::{
    cache::{Cache, Entry},
    invoke::Command,
};

/// How long one plugin may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Where networks are described, where their plugins are, and where it is noted what was attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cni {
    /// Directory of the descriptions: `*.conflist`, `*.conf` and `*.json`.
    pub conf_dir: PathBuf,
    /// Directories of the plugins, the first match counts.
    pub plugin_dirs: Vec<PathBuf>,
    /// Directory of the notes about what is attached. It must survive this process, and may be lost with the host's boot.
    pub cache_dir: PathBuf,
    /// How long one plugin may take before it and what it started are killed.
    pub timeout: Duration,
    /// The network namespace that is the host to the plugins: where they put bridges and published ports. None: that of
    /// this process.
    pub host_netns: Option<PathBuf>,
}

impl Cni {
    /// A client that gives each plugin 30 seconds, in the network namespace of this process.
    #[must_use]
    pub fn new(conf_dir: PathBuf, plugin_dirs: Vec<PathBuf>, cache_dir: PathBuf) -> Self {
        Self { conf_dir, plugin_dirs, cache_dir, timeout: TIMEOUT, host_netns: None }
    }

    /// The networks that are described, in the order of their files' names; of several with one name the first counts.
    /// What cannot be read comes beside them.
    ///
    /// # Errors
    /// When the directory cannot be listed. One that does not exist describes no networks.
    pub fn networks(&self) -> Result<(Vec<NetworkList>, Vec<CniError>), CniError> {
        conf::load(&self.conf_dir)
    }

    /// The network of this name.
    ///
    /// # Errors
    /// [`CniError::NoNetwork`], which names those that there are and the files that cannot be read.
    pub fn network(&self, name: &str) -> Result<NetworkList, CniError> {
        let (mut known, broken) = self.networks()?;
        if let Some(place) = known.iter().position(|network| network.name == name) {
            return Ok(known.swap_remove(place));
        }
        let known = known.into_iter().map(|network| network.name).collect();
        Err(CniError::NoNetwork { name: name.to_owned(), dir: self.conf_dir.clone(), known, broken })
    }

    /// Attaches the container to the network: ADD by every plugin in turn, each told of the result of the one before.
    ///
    /// When it fails, DEL has been called. To drop the future kills the plugin that runs; [`Cni::del`] then undoes what
    /// was done.
    ///
    /// # Errors
    /// [`CniError`], of which [`CniError::NotUndone`] says that something is left over.
    pub async fn add(&self, network: &NetworkList, attachment: &Attachment) -> Result<CniResult, CniError> {
        attachment.check()?;
        network.serves(attachment)?;
        let cache = Cache::make(&self.cache_dir)?;
        if cache.load(&network.name, attachment)?.is_some() {
            return Err(CniError::AlreadyAttached {
                network: network.name.clone(),
                container_id: attachment.container_id.clone(),
                ifname: attachment.ifname.clone(),
            });
        }
        let version = self.negotiate(network).await?;
        let mut entry =
            Entry { network: network.clone(), version, attachment: attachment.clone(), result: None };
        cache.save(&entry)?;
        let cause = match self.add_chain(&entry).await {
            Ok((raw, result)) => {
                entry.result = Some(raw);
                match cache.save(&entry) {
                    Ok(()) => return Ok(result),
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        match self.undo(&cache, &entry).await {
            Ok(()) => Err(cause),
            Err(undo) => Err(CniError::NotUndone { cause: Box::new(cause), undo: Box::new(undo) }),
        }
    }

    /// Asks every plugin whether the attachment is as it left it. Passes where the network's description disables this,
    /// or is of a version before 0.4.0.
    ///
    /// # Errors
    /// [`CniError::NotAttached`] without an earlier [`Cni::add`]; the first plugin's complaint.
    pub async fn check(&self, network: &str, attachment: &Attachment) -> Result<(), CniError> {
        attachment.check()?;
        conf::check_name(network, || self.conf_dir.clone())?;
        let absent = || CniError::NotAttached {
            network: network.to_owned(),
            container_id: attachment.container_id.clone(),
            ifname: attachment.ifname.clone(),
        };
        let cache = Cache::open(&self.cache_dir)?.ok_or_else(absent)?;
        let entry = cache.load(network, attachment)?.ok_or_else(absent)?;
        let Some(result) = &entry.result else { return Err(absent()) };
        if entry.network.disable_check || entry.version < Version::V0_4_0 {
            return Ok(());
        }
        for plugin in &entry.network.plugins {
            self.invoke(Command::Check, &entry, plugin, Some(result)).await?;
        }
        Ok(())
    }

    /// Detaches: DEL by every plugin, the last one first, going on past errors. The network's description and the
    /// attachment's parameters are those that ADD was called with, whatever has become of the file. Idempotent: what was
    /// never attached, or is detached already, is none of the plugins' business.
    ///
    /// # Errors
    /// [`CniError::NotDetached`] with every plugin's complaint; it may be tried again.
    pub async fn del(&self, network: &str, attachment: &Attachment) -> Result<(), CniError> {
        attachment.check()?;
        conf::check_name(network, || self.conf_dir.clone())?;
        let Some(cache) = Cache::open(&self.cache_dir)? else { return Ok(()) };
        match cache.load(network, attachment)? {
            Some(entry) => self.undo(&cache, &entry).await,
            None => Ok(()),
        }
    }

    async fn undo(&self, cache: &Cache, entry: &Entry) -> Result<(), CniError> {
        let mut failures = Vec::new();
        for plugin in entry.network.plugins.iter().rev() {
            if let Err(error) = self.invoke(Command::Del, entry, plugin, entry.result.as_ref()).await {
                failures.push(error);
            }
        }
        if failures.is_empty() {
            return cache.forget(entry);
        }
        let network = entry.network.name.clone();
        Err(CniError::NotDetached {
            network,
            container_id: entry.attachment.container_id.clone(),
            ifname: entry.attachment.ifname.clone(),
            failures,
        })
    }
}

/// A JSON object as plugins exchange them.
type Object = serde_json::Map<String, Value>;
