//! One run of one plugin (sections 2 and 3 of the specification): what it is told, and what its answer means.

use std::{
    path::{Path, PathBuf},
    process::ExitStatus,
};

use serde_json::{Value, json};
use virtcontainers_sys::{
    netns,
    spawn::{Spawn, describe_exit},
};

use super::{Attachment, Cni, CniError, NetworkList, Object, Plugin, PluginFailure, Version, cache::Entry};
use crate::program::{self, Failure};

/// The most that a plugin may answer, in bytes.
const ANSWER_LIMIT: usize = 1 << 20;
/// How much of a wrong answer goes into an error, in characters.
const QUOTE: usize = 200;

/// What a plugin is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    Add,
    Check,
    Del,
    Version,
}

impl Command {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Check => "CHECK",
            Self::Del => "DEL",
            Self::Version => "VERSION",
        }
    }
}

/// What a plugin that succeeded has said.
#[derive(Debug)]
pub(super) struct Said {
    network: String,
    plugin: PathBuf,
    command: Command,
    status: ExitStatus,
    stdout: Vec<u8>,
    stderr: String,
}

impl Said {
    /// Its answer.
    pub(super) fn object(&self) -> Result<Object, CniError> {
        if self.stdout.trim_ascii().is_empty() {
            return Err(self.no_answer("it wrote nothing"));
        }
        serde_json::from_slice(&self.stdout).map_err(|error| self.nonsense(&error))
    }

    /// An answer that cannot be read.
    pub(super) fn nonsense(&self, error: &serde_json::Error) -> CniError {
        self.no_answer(&format!("{error} in {:?}", quote(&self.stdout)))
    }

    /// An answer that makes no sense.
    pub(super) fn no_answer(&self, reason: &str) -> CniError {
        self.failed(PluginFailure::NoAnswer {
            exit: describe_exit(self.status),
            reason: reason.to_owned(),
            stderr: self.stderr.clone(),
        })
    }

    fn failed(&self, failure: PluginFailure) -> CniError {
        CniError::Plugin {
            network: self.network.clone(),
            plugin: self.plugin.clone(),
            command: self.command.as_str(),
            failure: Box::new(failure),
        }
    }

    /// Whether it succeeded: its exit code says so, and what it wrote is no error.
    fn succeeded(self) -> Result<Self, CniError> {
        let object = serde_json::from_slice::<Object>(&self.stdout).ok();
        let code = object.as_ref().and_then(|object| object.get("code")).and_then(Value::as_u64);
        let (object, code) = match (object, code) {
            (Some(object), Some(code)) if code != 0 || !self.status.success() => (object, code),
            _ if self.status.success() => return Ok(self),
            _ if self.stdout.trim_ascii().is_empty() => {
                return Err(self.no_answer("it wrote nothing"));
            }
            _ => {
                let reason = format!("{:?} is no error of the specification", quote(&self.stdout));
                return Err(self.no_answer(&reason));
            }
        };
        let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        Err(self.failed(PluginFailure::Said {
            code,
            msg: text("msg"),
            details: text("details"),
            stderr: self.stderr.clone(),
        }))
    }
}

impl Cni {
    /// Runs a plugin for an attachment.
    pub(super) async fn invoke(
        &self,
        command: Command,
        entry: &Entry,
        plugin: &Plugin,
        before: Option<&Object>,
    ) -> Result<Said, CniError> {
        let path = self.locate(&entry.network, plugin)?;
        let attachment = &entry.attachment;
        let mut spawn = Spawn::new(&path)
            .env("CNI_CONTAINERID", &attachment.container_id)
            .env("CNI_IFNAME", &attachment.ifname)
            .env("CNI_ARGS", attachment.args());
        // Of a namespace that is gone, plugins are told nothing, and undo what is elsewhere.
        if command != Command::Del || netns::open(&attachment.netns).is_ok() {
            spawn = spawn.env("CNI_NETNS", &attachment.netns);
        }
        let conf = request(&entry.network, plugin, entry.version, attachment, before);
        self.run(command, &entry.network, path, spawn, &conf).await
    }

    /// Asks a plugin what it speaks.
    pub(super) async fn ask_version(
        &self,
        network: &NetworkList,
        plugin: &Path,
        version: Version,
    ) -> Result<Said, CniError> {
        let conf = Object::from_iter([("cniVersion".to_owned(), json!(version))]);
        // Some plugins look at these before they look at what is asked.
        let spawn = Spawn::new(plugin)
            .env("CNI_CONTAINERID", "dummy")
            .env("CNI_IFNAME", "dummy")
            .env("CNI_NETNS", "dummy");
        self.run(Command::Version, network, plugin.to_owned(), spawn, &conf).await
    }

    /// The plugin's program: the first file of its name.
    pub(super) fn locate(&self, network: &NetworkList, plugin: &Plugin) -> Result<PathBuf, CniError> {
        let places = self.plugin_dirs.iter().map(|dir| dir.join(&plugin.kind));
        places.into_iter().find(|path| path.is_file()).ok_or_else(|| CniError::NoPlugin {
            network: network.name.clone(),
            plugin: plugin.kind.clone(),
            searched: self.plugin_dirs.clone(),
        })
    }

    async fn run(
        &self,
        command: Command,
        network: &NetworkList,
        plugin: PathBuf,
        spawn: Spawn,
        conf: &Object,
    ) -> Result<Said, CniError> {
        let mut spawn = spawn.env("CNI_COMMAND", command.as_str());
        if let Ok(dirs) = std::env::join_paths(&self.plugin_dirs) {
            spawn = spawn.env("CNI_PATH", dirs);
        }
        if let Some(path) = &self.host_netns {
            let ns =
                netns::open(path).map_err(|source| CniError::HostNetns { path: path.clone(), source })?;
            spawn = spawn.netns(ns);
        }
        let input = Value::Object(conf.clone()).to_string();
        tracing::debug!(plugin = %plugin.display(), network = network.name, command = command.as_str(), "CNI plugin");
        match program::run(spawn, input.as_bytes(), self.timeout, ANSWER_LIMIT).await {
            Ok(ended) => {
                let program::Ended { status, stdout, stderr } = ended;
                Said { network: network.name.clone(), plugin, command, status, stdout, stderr }.succeeded()
            }
            Err(failure) => Err(CniError::Plugin {
                network: network.name.clone(),
                plugin,
                command: command.as_str(),
                failure: Box::new(self.failure(failure)),
            }),
        }
    }

    fn failure(&self, failure: Failure) -> PluginFailure {
        match failure {
            Failure::Start(source) => PluginFailure::Start(source),
            Failure::Talk(source) => PluginFailure::Talk(source),
            Failure::TimedOut { stderr } => PluginFailure::TimedOut { after: self.timeout, stderr },
            Failure::TooMuch => PluginFailure::TooMuch { limit: ANSWER_LIMIT },
        }
    }
}

/// What a plugin is told: its part of the description, and what this attachment adds.
fn request(
    network: &NetworkList,
    plugin: &Plugin,
    version: Version,
    attachment: &Attachment,
    before: Option<&Object>,
) -> Object {
    let mut conf = plugin.conf.clone();
    conf.remove("capabilities");
    conf.insert("cniVersion".to_owned(), json!(version));
    conf.insert("name".to_owned(), json!(network.name));
    let wishes = attachment.wishes().into_iter().filter(|(name, _, _)| plugin.capabilities.contains(*name));
    let wishes: Object = wishes.map(|(name, value, _)| (name.to_owned(), value)).collect();
    if !wishes.is_empty() {
        conf.insert("runtimeConfig".to_owned(), Value::Object(wishes));
    }
    if let Some(before) = before {
        conf.insert("prevResult".to_owned(), Value::Object(before.clone()));
    }
    conf
}

fn quote(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(QUOTE).collect()
}
