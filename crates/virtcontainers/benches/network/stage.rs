//! Where everything happens: a directory with the sandboxes' state and a root filesystem, removed at the end.

use std::path::{Path, PathBuf};

use virtcontainers::{ContainerConfig, DeleteMode, NetworkConfig, Runtime, SandboxConfig, SandboxId};

use crate::{
    Failure,
    iperf::{self, PROGRAM},
    options::Options,
    wire::Wire,
};

/// The container of each sandbox.
const CONTAINER: &str = "c";
/// The root filesystem, in the directory.
const ROOTFS: &str = "rootfs";

pub(crate) struct Stage {
    pub(crate) options: Options,
    pub(crate) dir: PathBuf,
}

impl Stage {
    pub(crate) fn set(options: Options) -> Result<Self, Failure> {
        let dir = tempfile::Builder::new().prefix("vc-bench-").tempdir_in(&options.dir)?;
        iperf::make_rootfs(&dir.path().join(ROOTFS))?;
        Ok(Self { options, dir: dir.keep().canonicalize()? })
    }

    /// The root directory of the library.
    pub(crate) fn root(&self) -> PathBuf {
        self.dir.join("root")
    }

    pub(crate) fn runtime(&self) -> Result<Runtime, Failure> {
        Ok(Runtime::builder().root(self.root()).helper_program(&self.options.helper).build()?)
    }

    /// A sandbox on this wire, with one container that does nothing.
    pub(crate) fn config(&self, id: &str, wire: &Wire) -> SandboxConfig {
        let mut config = SandboxConfig { id: id.into(), ..SandboxConfig::default() };
        let machine = &mut config.hypervisor_config;
        machine.kernel_path = self.options.guest.join("vmlinux");
        machine.initrd_path = Some(self.options.guest.join("initrd.img"));
        machine.hypervisor_machine_type = self.options.machine;
        config.network_config =
            NetworkConfig { netns_path: Some(wire.ns.path().to_owned()), ..NetworkConfig::default() };
        config.containers =
            vec![ContainerConfig::new(CONTAINER, self.dir.join(ROOTFS), [PROGRAM, "--server"])];
        config
    }

    /// Puts the container's files where a machine that was started by hand in `dir` shares them.
    pub(crate) fn share_rootfs(dir: &Path) -> Result<(), Failure> {
        iperf::make_rootfs(&dir.join("shared").join(CONTAINER).join("rootfs"))
    }

    /// Deletes what sandboxes there are, and the directory; this one is kept when a sandbox is left, whose mounts are in it.
    pub(crate) async fn strike(self) -> Result<(), Failure> {
        let runtime = self.runtime()?;
        for (id, _) in runtime.list_sandboxes().await? {
            runtime.delete_sandbox(&SandboxId::new(&id)?, DeleteMode::Force).await?;
        }
        Ok(std::fs::remove_dir_all(self.dir)?)
    }
}
