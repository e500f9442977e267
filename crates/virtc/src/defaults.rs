//! From the command line and the host's settings to the library's configuration.

use std::path::{Path, PathBuf};

use virtcontainers::{
    Cmd, CniConfig, ContainerConfig, HypervisorConfig, KataAgentConfig, KernelParam, Mount, NetworkConfig,
    RootFs, Runtime, SandboxConfig, Seconds, ShimKind,
};
use virtcontainers_guest_image::{GuestImage, default_locations};

use crate::{
    cli::{CgroupArgs, ContainerArgs, Global, MachineArgs, Net, NetArgs, ProcessArgs},
    config::{HostConfig, NetworkSettings},
    error::CliError,
    terminal,
};

/// A runtime on the chosen root directory. The library finds `vc-helper` beside this program, or takes this program for
/// its helpers.
pub(crate) fn runtime(global: &Global, host: &HostConfig) -> Result<Runtime, CliError> {
    let mut builder = Runtime::builder();
    if let Some(root) = global.root.as_ref().or(host.root.as_ref()) {
        builder = builder.root(root);
    }
    Ok(builder.build()?)
}

/// A name for a sandbox that was given none.
pub(crate) fn random_name() -> Result<String, CliError> {
    let mut bytes = [0_u8; 6];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).map_err(|errno| {
        CliError::Io { what: "cannot draw a random name".to_owned(), source: errno.into() }
    })?;
    Ok(bytes.iter().fold("vc-".to_owned(), |name, byte| format!("{name}{byte:02x}")))
}

/// The sandbox that the command line describes, without containers.
pub(crate) fn sandbox(
    name: String,
    args: &MachineArgs,
    net: &NetArgs,
    host: HostConfig,
) -> Result<SandboxConfig, CliError> {
    let HostConfig { guest, hypervisor, agent, network: of_host, .. } = host;
    let (mut hypervisor, mut agent) = (hypervisor, agent);
    apply(args, &mut hypervisor, &mut agent);
    find_guest(args.guest.as_deref(), guest.as_deref(), &mut hypervisor)?;
    let mut network_config = NetworkConfig::default();
    network(net, of_host, &mut network_config)?;
    Ok(SandboxConfig {
        id: name,
        hypervisor_config: hypervisor,
        agent_config: agent,
        network_config,
        ..SandboxConfig::default()
    })
}

/// Puts the network that the command line names over a configuration. Where it has a CNI network, what it does not say of
/// that comes from the host's settings.
pub(crate) fn network(
    args: &NetArgs,
    host: NetworkSettings,
    config: &mut NetworkConfig,
) -> Result<(), CliError> {
    match &args.net {
        None => {}
        Some(Net::None) => *config = NetworkConfig::default(),
        Some(Net::Cni(network)) => {
            config.cni = Some(CniConfig { network: network.clone(), ..CniConfig::default() });
        }
        Some(Net::Netns(path)) => {
            *config = NetworkConfig { netns_path: Some(path.clone()), ..NetworkConfig::default() };
        }
    }
    if let Some(cni) = &mut config.cni {
        cni.port_mappings.extend(args.publish.iter().cloned());
        cni.conf_dir.get_or_insert(host.conf_dir);
        if cni.plugin_dirs.is_empty() {
            cni.plugin_dirs = host.plugin_dirs;
        }
    } else if let Some(port) = args.publish.first() {
        return Err(CliError::NothingToPublishOn { port: port.clone() });
    }
    if let Some(model) = args.net_model {
        config.interworking_model = model;
    }
    config.netmon.enable |= args.netmon;
    Ok(())
}

/// Puts the host's control groups that the command line names over a configuration.
pub(crate) fn cgroups(args: &CgroupArgs, config: &mut SandboxConfig) {
    if args.cgroup_parent.is_some() {
        config.cgroups.clone_from(&args.cgroup_parent);
    }
    config.sandbox_cgroup_only |= args.sandbox_cgroup_only;
    config.memory_overhead = args.memory_overhead.unwrap_or(config.memory_overhead);
}

/// Puts what the command line says over a configuration.
pub(crate) fn apply(args: &MachineArgs, hypervisor: &mut HypervisorConfig, agent: &mut KataAgentConfig) {
    fn set<T: Clone>(place: &mut T, value: Option<&T>) {
        if let Some(value) = value {
            place.clone_from(value);
        }
    }
    set(&mut hypervisor.memory_size, args.memory.as_ref());
    set(&mut hypervisor.num_vcpus, args.cpus.as_ref());
    set(&mut hypervisor.hypervisor_machine_type, args.machine.as_ref());
    set(&mut hypervisor.accelerator, args.accel.as_ref());
    set(&mut hypervisor.transport, args.transport.as_ref());
    set(&mut hypervisor.shared_fs, args.shared_fs.as_ref());
    if let Some(kernel) = &args.kernel {
        hypervisor.kernel_path.clone_from(kernel);
        hypervisor.initrd_path.clone_from(&args.initrd);
        hypervisor.image_path = None;
    }
    if args.hypervisor.is_some() {
        hypervisor.hypervisor_path.clone_from(&args.hypervisor);
    }
    hypervisor.kernel_params.extend(args.kernel_params.iter().flat_map(|text| KernelParam::parse_all(text)));
    hypervisor.debug |= args.debug;
    agent.debug |= args.debug;
    agent.debug_console |= args.debug_console;
    if let Some(seconds) = args.boot_timeout {
        agent.boot_timeout = Seconds(seconds);
    }
}

/// Fills in kernel and initrd from the guest image that the command line names, or, where nothing says what to boot,
/// from the one of this host.
pub(crate) fn find_guest(
    named: Option<&Path>,
    of_host: Option<&Path>,
    hypervisor: &mut HypervisorConfig,
) -> Result<(), CliError> {
    let given = !hypervisor.kernel_path.as_os_str().is_empty()
        || hypervisor.initrd_path.is_some()
        || hypervisor.image_path.is_some();
    if named.is_none() && given {
        return Ok(());
    }
    let image = guest_image(named, of_host)?;
    hypervisor.kernel_path = image.kernel();
    hypervisor.initrd_path = Some(image.initrd());
    hypervisor.image_path = None;
    Ok(())
}

/// The guest image in the named directory, else the one that the environment or the host's settings name, else the
/// first in the places where it is looked for.
pub(crate) fn guest_image(named: Option<&Path>, of_host: Option<&Path>) -> Result<GuestImage, CliError> {
    let of_environment = std::env::var_os("VIRTC_GUEST_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    if let Some(dir) = named.or(of_environment.as_deref()).or(of_host) {
        let dir = std::path::absolute(dir)
            .map_err(|source| CliError::Io { what: format!("cannot use {}", dir.display()), source })?;
        return Ok(GuestImage::open(dir)?);
    }
    let looked = guest_locations();
    match looked.iter().find(|dir| dir.join("manifest.json").exists()) {
        Some(dir) => Ok(GuestImage::open(dir)?),
        None => Err(CliError::NoGuestImage { looked }),
    }
}

/// The usual places of a guest image, after the one of a checkout that this program was built in.
fn guest_locations() -> Vec<PathBuf> {
    let mut places: Vec<_> = beside_the_build("guest").into_iter().collect();
    places.extend(default_locations());
    places
}

/// `build/<name>` of the checkout whose `target` directory holds this program.
pub(crate) fn beside_the_build(name: &str) -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    let target = program.ancestors().skip(1).take(4).find(|dir| dir.ends_with("target"))?;
    Some(target.parent()?.join("build").join(name))
}

/// The container that the command line describes.
pub(crate) fn container(
    name: String,
    args: &ContainerArgs,
    process: &ProcessArgs,
    host_rootfs: Option<&Path>,
) -> Result<ContainerConfig, CliError> {
    let rootfs = args.rootfs.as_deref().or(host_rootfs).ok_or_else(|| {
        CliError::Usage(
            "no root filesystem: name a directory with --rootfs, for example one made by \
             `mmdebstrap --variant=minbase bookworm ./debian`"
                .to_owned(),
        )
    })?;
    let mounts = args.volumes.iter().map(|text| volume(text)).collect::<Result<_, _>>()?;
    Ok(ContainerConfig {
        id: name,
        root_fs: RootFs::directory(rootfs),
        readonly_rootfs: args.read_only,
        cmd: command(process),
        mounts,
        ..ContainerConfig::default()
    })
}

/// The command that the command line describes.
pub(crate) fn command(args: &ProcessArgs) -> Cmd {
    Cmd {
        args: args.command.clone(),
        envs: args.env.clone(),
        user: args.user.clone().unwrap_or_default(),
        work_dir: args.workdir.clone().unwrap_or_default(),
        interactive: args.tty,
        stdin: args.interactive,
        terminal_size: if args.tty { terminal::size() } else { None },
        ..Cmd::default()
    }
}

/// A command that nobody attends to: a process of its own keeps its output and learns its end.
pub(crate) fn detached(cmd: Cmd) -> Cmd {
    Cmd { shim: Some(ShimKind::Kata), ..cmd }
}

/// Reads `SRC:DST[:ro]`.
fn volume(text: &str) -> Result<Mount, CliError> {
    let wrong = || CliError::Usage(format!("{text:?} is no volume: write SRC:DST or SRC:DST:ro"));
    let words: Vec<_> = text.split(':').collect();
    let (source, destination, read_only) = match words.as_slice() {
        [source, destination] | [source, destination, "rw"] => (*source, *destination, false),
        [source, destination, "ro"] => (*source, *destination, true),
        _ => return Err(wrong()),
    };
    if source.is_empty() || destination.is_empty() {
        return Err(wrong());
    }
    let source = std::path::absolute(source)
        .map_err(|source| CliError::Io { what: format!("cannot find the volume {text:?}"), source })?;
    Ok(Mount { source, destination: destination.into(), read_only, ..Mount::default() })
}
