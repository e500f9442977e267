//! A sandbox that idles: its processes, with their command lines and their memory.

use std::{
    ops::Add,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use virtcontainers::config::HypervisorConfig;

use crate::{
    Failure, Options, Shape,
    by_hand::{Process, marked, process::field},
    whole,
};

/// The sandbox's name.
const NAME: &str = "bench-idle";

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
        Ok(Self { virtc, root: root.to_owned(), dir, hypervisor_config, processes: marked(root, NAME)? })
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
}

impl Memory {
    pub(crate) fn of(process: &Process) -> Result<Self, Failure> {
        Ok(Self {
            resident: field(process.pid, "status", "VmRSS:")?,
            shared: field(process.pid, "status", "RssShmem:")?,
            proportional: field(process.pid, "smaps_rollup", "Pss:")?,
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
