//! A sandbox that idles: its processes, with their command lines and their memory.

use std::{
    ffi::{OsStr, OsString},
    fs,
    ops::Add,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use virtcontainers::config::HypervisorConfig;

use crate::{Failure, Options, Shape, whole};

/// The sandbox's name.
const NAME: &str = "bench-idle";
/// How the library marks the processes of a sandbox in their environment.
const MARK: &str = "VIRTCONTAINERS_MARK=";

/// A sandbox in which a container sleeps.
#[derive(Debug)]
pub(crate) struct Idle {
    virtc: PathBuf,
    root: PathBuf,
    /// The sandbox's directory.
    pub(crate) dir: PathBuf,
    pub(crate) hypervisor_config: HypervisorConfig,
    /// In the order of their start.
    pub(crate) processes: Vec<Process>,
}

#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) role: String,
    pid: u32,
    parent: u32,
    /// The program and its arguments.
    pub(crate) argv: Vec<OsString>,
}

/// Memory of a process, in KiB.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Memory {
    /// All that is resident (`VmRSS`).
    pub(crate) resident: u64,
    /// Shared memory among it (`RssShmem`): the guest's memory, which vhost-user daemons map.
    pub(crate) shared: u64,
    /// Its share of what is resident: a page that n processes map counts one nth (`Pss`).
    pub(crate) proportional: u64,
}

impl Idle {
    pub(crate) fn start(options: &Options, shape: Shape, root: &Path) -> Result<Self, Failure> {
        let mut command = whole::virtc(options, root);
        command.args(["run", "--detach", "--name", NAME, "--rootfs"]).arg(&options.rootfs);
        command.arg("--guest").arg(&options.guest).args(shape.arguments()).args(["--", "sleep", "100000"]);
        whole::succeed(&mut command)?;
        let status = whole::succeed(whole::virtc(options, root).args(["--json", "sandbox", "status", NAME]))?;
        let mut status: Value = serde_json::from_slice(&status)?;
        let hypervisor_config = serde_json::from_value(status["hypervisor_config"].take())?;
        let (virtc, dir) = (options.virtc.clone(), root.join("sandboxes").join(NAME));
        Ok(Self { virtc, root: root.to_owned(), dir, hypervisor_config, processes: marked(root)? })
    }

    pub(crate) fn delete(self) -> Result<(), Failure> {
        whole::succeed(
            Command::new(&self.virtc)
                .arg("--root")
                .arg(&self.root)
                .args(["sandbox", "delete", "--force", NAME]),
        )?;
        Ok(())
    }

    /// The processes that are not a child of another one, with the role that they were started for.
    pub(crate) fn started(&self) -> impl Iterator<Item = &Process> {
        let pids: Vec<_> = self.processes.iter().map(|process| process.pid).collect();
        self.processes.iter().filter(move |process| !pids.contains(&process.parent))
    }
}

/// Every process of the sandbox, in the order of their start.
fn marked(root: &Path) -> Result<Vec<Process>, Failure> {
    let mut mark = OsString::from(MARK);
    mark.push(root);
    mark.push(format!(":{NAME}:"));
    let mut processes = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // Processes come and go, and kernel threads have no environment.
        let Ok(environment) = fs::read(entry.path().join("environ")) else { continue };
        let role = environment.split(|&byte| byte == 0).find_map(|word| word.strip_prefix(mark.as_bytes()));
        let Some(role) = role else { continue };
        let argv = fs::read(entry.path().join("cmdline"))?;
        let argv = argv.strip_suffix(b"\0").unwrap_or(&argv).split(|&byte| byte == 0);
        processes.push(Process {
            role: String::from_utf8_lossy(role).into_owned(),
            pid,
            parent: field(pid, "status", "PPid:")?.try_into()?,
            argv: argv.map(|word| OsStr::from_bytes(word).to_owned()).collect(),
        });
    }
    processes.sort_by_key(|process| process.pid);
    Ok(processes)
}

/// A number in a file of `/proc/<pid>`.
fn field(pid: u32, file: &str, name: &str) -> Result<u64, Failure> {
    let path = format!("/proc/{pid}/{file}");
    let text = fs::read_to_string(&path)?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .ok_or_else(|| format!("no {name} in {path}"))?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

impl Process {
    pub(crate) fn is_vmm(&self) -> bool {
        self.argv.first().is_some_and(|program| program.to_string_lossy().contains("qemu-system"))
    }

    pub(crate) fn memory(&self) -> Result<Memory, Failure> {
        Ok(Memory {
            resident: field(self.pid, "status", "VmRSS:")?,
            shared: field(self.pid, "status", "RssShmem:")?,
            proportional: field(self.pid, "smaps_rollup", "Pss:")?,
        })
    }
}

impl Add for Memory {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            resident: self.resident + other.resident,
            shared: self.shared + other.shared,
            proportional: self.proportional + other.proportional,
        }
    }
}
