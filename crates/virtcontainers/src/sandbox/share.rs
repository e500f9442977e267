//! The shared directory and the daemons of one sandbox, in terms of the library's configuration.

use std::path::Path;

use super::{
    Shared,
    boot::Served,
    resource::{Resource, Role},
};
use crate::{
    config::{ContainerPlan, HypervisorConfig},
    error::Error,
    oci::SharedVolume,
};
use virtcontainers_agent_client::Storage;
use virtcontainers_agent_protocol::guest_paths;
use virtcontainers_device::{
    Access, Daemon, Share, vhost_vsock,
    virtiofsd::{self, CacheMode, VirtiofsdConfig},
};
use virtcontainers_sys::process::{Mark, ProcessRef};

/// The process that serves a sandbox's files to its guest: the virtio-fs daemon, or else the VMM.
pub(crate) fn server_of(held: &[Resource]) -> Option<ProcessRef> {
    let daemon = held.iter().filter_map(Resource::daemon).find(|(role, _)| *role == Role::Virtiofsd);
    daemon.map(|(_, process)| process).or_else(|| held.iter().find_map(Resource::vmm))
}

/// Puts a container's root filesystem and volumes where the guest sees them, and nobody else.
pub(crate) fn share_container(
    dir: &Path,
    server: Option<ProcessRef>,
    plan: &ContainerPlan,
    read_only: bool,
    volumes: &[SharedVolume],
) -> Result<(), Error> {
    let access = |read_only| if read_only { Access::ReadOnly } else { Access::ReadWrite };
    let share = Share::new(dir).served_by(server);
    share.add_rootfs(plan.id(), plan.rootfs(), access(read_only))?;
    for (number, volume) in volumes.iter().enumerate() {
        share.add_volume(plan.id(), number, &volume.source, access(volume.read_only))?;
    }
    Ok(())
}

/// Starts the virtio-fs daemon.
pub(super) fn start_virtiofsd(
    shared: &Shared,
    config: &HypervisorConfig,
    program: &Path,
    mark: &Mark,
) -> Result<Daemon, Error> {
    let cache = match config.virtio_fs_cache.as_deref() {
        Some("never") => CacheMode::Never,
        Some("always") => CacheMode::Always,
        Some("metadata") => CacheMode::Metadata,
        Some(_) | None => CacheMode::Auto,
    };
    let daemon = VirtiofsdConfig {
        program: Some(program.to_owned()),
        cache,
        extra_args: config.virtio_fs_extra_args.clone(),
        cgroups: mark.cgroups().to_vec(),
        ..VirtiofsdConfig::default()
    };
    let runtime = shared.runtime();
    let dir = runtime.sandbox_dir(shared.id());
    Ok(virtiofsd::launch(runtime.root(), shared.id(), &dir, &daemon)?)
}

/// Starts the vsock daemon.
pub(super) fn start_vsock_daemon(shared: &Shared, program: &Path, mark: &Mark) -> Result<Daemon, Error> {
    let runtime = shared.runtime();
    let dir = runtime.sandbox_dir(shared.id());
    Ok(vhost_vsock::start(runtime.root(), shared.id(), &dir, program, mark.cgroups().to_vec())?)
}

/// What the agent has to mount before it can see any container.
pub(super) fn storages(served: Option<&Served>, config: &HypervisorConfig) -> Vec<Storage> {
    let storage = |driver: &str, fstype: &str, options: Vec<String>| Storage {
        driver: driver.to_owned(),
        driver_options: Vec::new(),
        source: guest_paths::SHARE_TAG.to_owned(),
        fstype: fstype.to_owned(),
        options,
        mount_point: guest_paths::SHARED_CONTAINERS.to_owned(),
    };
    match served {
        None => Vec::new(),
        Some(Served::Nobody | Served::Virtiofsd { .. }) => {
            let dax = (config.virtio_fs_cache_size.0 > 0).then(|| "dax".to_owned());
            vec![storage("virtio-fs", "virtiofs", dax.into_iter().collect())]
        }
        Some(Served::Vmm) => {
            let options = ["trans=virtio", "version=9p2000.L", "cache=mmap"].map(str::to_owned);
            let msize = format!("msize={}", config.msize_9p.0);
            // The kata-agent has no driver of that name; this one mounts whatever type it is given.
            vec![storage("virtio-fs", "9p", options.into_iter().chain([msize]).collect())]
        }
    }
}
