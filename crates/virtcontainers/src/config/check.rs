//! The validation of configurations: collects every violation, changes nothing, starts nothing.

mod asset;
mod container;
mod hypervisor;
mod network;
mod resources;
mod sandbox;

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Component, Path},
};

use oci_spec::runtime::LinuxResources;
use virtcontainers_agent_client::TerminalSize;
use virtcontainers_types::MiB;

use crate::privileges::Privileges;

use super::{
    Cmd, ConfigError, ContainerConfig, ContainerPlan, HypervisorConfig, Problem, SandboxConfig, SandboxSpec,
    Violation,
};

/// What validation must know of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostFacts {
    /// The host's memory.
    pub memory: MiB,
    /// What this process may do.
    pub privileges: Privileges,
}

impl HostFacts {
    /// Asks the kernel.
    ///
    /// # Errors
    /// When it does not say how much memory there is.
    pub fn read() -> io::Result<Self> {
        Ok(Self { memory: virtcontainers_sys::memory::total()?, privileges: Privileges::look() })
    }
}

impl SandboxConfig {
    /// Checks the whole configuration. Assets are hashed only when their hash is given.
    ///
    /// # Errors
    /// [`ConfigError`] with every violation.
    pub fn validate(self, host: &HostFacts) -> Result<SandboxSpec, ConfigError> {
        let mut report = Report::default();
        let id = sandbox::check(&self, host, &mut report);
        let containers = container::check_all(&self.containers, &mut report);
        SandboxSpec::assemble(self, id, containers, report.violations)
    }
}

impl ContainerConfig {
    /// Checks the configuration of one container.
    ///
    /// # Errors
    /// [`ConfigError`] with every violation.
    pub fn validate(self) -> Result<ContainerPlan, ConfigError> {
        let mut report = Report::default();
        let id = container::check(&self, &mut report);
        ContainerPlan::assemble(self, id, report.violations)
    }
}

impl Cmd {
    /// Checks the command of a further process.
    ///
    /// # Errors
    /// [`ConfigError`] with every violation.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut report = Report::default();
        container::check_args(self, &mut report);
        container::check_cmd(self, &mut report);
        ConfigError::unless_empty(report.violations)
    }
}

/// Checks the limits of an update: it must ask for something, and only for what can change while a container runs.
///
/// # Errors
/// [`ConfigError`] with every violation.
pub(crate) fn check_update(asked: &LinuxResources) -> Result<(), ConfigError> {
    let mut report = Report::default();
    report.within("resources", |report| {
        resources::check(asked, report);
        if asked.devices().as_ref().is_some_and(|devices| !devices.is_empty()) {
            report
                .add("devices", Problem::Missing("the devices of a container are chosen when it is created"));
        }
    });
    let mut nothing = LinuxResources::default();
    nothing.set_devices(asked.devices().clone());
    if *asked == nothing {
        report.add("resources", Problem::Missing("name at least one limit to change"));
    }
    ConfigError::unless_empty(report.violations)
}

/// Checks annotations that are added to a sandbox or container.
///
/// # Errors
/// [`ConfigError`] with every violation.
pub(crate) fn check_annotations(annotations: &BTreeMap<String, String>) -> Result<(), ConfigError> {
    let mut report = Report::default();
    sandbox::check_annotations(annotations, &mut report);
    ConfigError::unless_empty(report.violations)
}

/// Checks the size of a terminal.
///
/// # Errors
/// [`ConfigError`] when no terminal can have it.
pub(crate) fn check_terminal_size(size: TerminalSize) -> Result<(), ConfigError> {
    let mut report = Report::default();
    container::check_terminal_size(size, &mut report);
    ConfigError::unless_empty(report.violations)
}

/// Collects violations, each under the path of its field.
#[derive(Debug, Default)]
pub(super) struct Report {
    prefix: String,
    violations: Vec<Violation>,
}

impl Report {
    /// Runs checks whose fields lie below `field`.
    fn within<T>(&mut self, field: &str, checks: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.prefix.len();
        self.prefix.push_str(field);
        self.prefix.push('.');
        let result = checks(self);
        self.prefix.truncate(length);
        result
    }

    fn add(&mut self, field: &str, problem: Problem) {
        self.violations.push(Violation { field: format!("{}{field}", self.prefix), problem });
    }

    /// A value that cannot be.
    fn invalid(&mut self, field: &str, found: impl fmt::Display, expected: &'static str) {
        self.add(field, Problem::Invalid { found: found.to_string(), expected });
    }

    /// A field that must keep its default because its feature is not built.
    fn not_built(&mut self, field: &str, is_set: bool) {
        if is_set {
            self.add(field, Problem::NotBuilt);
        }
    }

    /// Keeps a value, or adds why there is none.
    fn take<T, E: Into<Problem>>(&mut self, field: &str, value: Result<T, E>) -> Option<T> {
        value.map_err(|problem| self.add(field, problem.into())).ok()
    }

    /// An absolute path to an existing file of the wanted kind. Returns whether it is one.
    fn path(&mut self, field: &str, path: &Path, wanted: Wanted, remedy: &'static str) -> bool {
        match examine(path, wanted, remedy) {
            Ok(()) => true,
            Err(problem) => {
                self.add(field, problem);
                false
            }
        }
    }
}

/// The kind of file that a path must lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    File,
    Directory,
    Program,
    Anything,
}

fn examine(path: &Path, wanted: Wanted, remedy: &'static str) -> Result<(), Problem> {
    use std::os::unix::fs::PermissionsExt as _;
    if !path.is_absolute() {
        return Err(Problem::RelativePath(path.to_owned()));
    }
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Err(Problem::NotFound { path: path.to_owned(), remedy });
        }
        Err(error) => return Err(Problem::Unreadable { path: path.to_owned(), why: error.to_string() }),
    };
    let wrong = |wanted| Err(Problem::WrongFileType { path: path.to_owned(), wanted });
    match wanted {
        Wanted::File if !metadata.is_file() => wrong("a regular file"),
        Wanted::Directory if !metadata.is_dir() => wrong("a directory"),
        Wanted::Program if !metadata.is_file() || metadata.permissions().mode() & 0o111 == 0 => {
            wrong("a program that may be executed")
        }
        Wanted::File | Wanted::Directory | Wanted::Program | Wanted::Anything => Ok(()),
    }
}

/// Whether a path in a guest is absolute and without `..`.
fn is_plain_absolute(path: &Path) -> bool {
    path.is_absolute() && path.components().all(|part| !matches!(part, Component::ParentDir))
}
