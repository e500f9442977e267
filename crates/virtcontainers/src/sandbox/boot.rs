//! From a sandbox's configuration to a virtual machine: which stream to the agent, which share, which programs.

use std::{
    fs::OpenOptions,
    path::{Path, PathBuf},
    time::Duration,
};

use virtcontainers_agent_client::proxy::{self, ProxyChoice};
use virtcontainers_agent_protocol::{guest_paths, kernel_parameters, ports};
use virtcontainers_device::{Share as SharedTree, vhost_vsock, virtiofsd};
use virtcontainers_hypervisor::{
    Accelerator, AgentChannel, Boot, HostFacts, Hypervisor, InvalidSpec, LaunchPlan, Memory, Nic, NicBackend,
    RootImage, Share, VmError, VmSpec, choose_accelerator, qemu::Qemu,
};
use virtcontainers_sys::cpu::{self, CpuFacts};
use virtcontainers_types::{AgentKind, HypervisorKind, KernelParam, MachineType, MiB, SharedFs, Transport};

use crate::{
    config::{SandboxConfig, SandboxSpec},
    error::{Cause, Error},
    runtime::Runtime,
};

/// How many devices a sandbox with a network takes while it runs, unless it says so itself.
const HOTPLUG_SLOTS: u32 = 8;

/// What a sandbox needs on the host before its machine can be launched, all decided.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) stream: Stream,
    /// How the shared directory reaches the guest; none where there is no agent to mount it.
    pub(super) share: Option<Served>,
}

/// The stream to the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stream {
    /// There is no agent.
    None,
    /// The machine is a mock; whoever connects to its agent knows the way.
    Mock,
    /// The kernel's vsock.
    Vsock { cid: u32 },
    /// The vsock daemon.
    Hybrid { daemon: PathBuf },
    /// A virtio-serial port.
    Serial { proxy: ProxyChoice },
}

/// Who serves the shared directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Served {
    /// Nobody: the machine is a mock. The directory is there all the same.
    Nobody,
    /// The virtio-fs daemon.
    Virtiofsd { program: PathBuf },
    /// The VMM, over 9p.
    Vmm,
}

impl Stream {
    /// The transport, for the record.
    pub(super) const fn transport(&self) -> Option<Transport> {
        match self {
            Self::None | Self::Mock => None,
            Self::Vsock { .. } => Some(Transport::Vsock),
            Self::Hybrid { .. } => Some(Transport::HybridVsock),
            Self::Serial { .. } => Some(Transport::VirtioSerial),
        }
    }

    fn channel(&self) -> AgentChannel {
        match self {
            Self::None | Self::Mock => AgentChannel::None,
            Self::Vsock { cid } => AgentChannel::Vsock { cid: *cid },
            Self::Hybrid { .. } => {
                AgentChannel::VhostUserVsock { socket: vhost_vsock::VHOST_SOCKET.to_owned() }
            }
            Self::Serial { .. } => AgentChannel::VirtioSerial { socket: proxy::SERIAL_SOCKET.to_owned() },
        }
    }
}

/// Decides.
pub(super) fn layout(runtime: &Runtime, config: &SandboxConfig) -> Result<Layout, Error> {
    let mock = config.hypervisor_type == HypervisorKind::Mock;
    let (stream, share) = match (config.agent_type, mock) {
        (AgentKind::Noop, _) => (Stream::None, None),
        (AgentKind::Kata, true) => (Stream::Mock, Some(mock_share(runtime, config)?)),
        (AgentKind::Kata, false) => (choose_stream(runtime, config)?, Some(choose_share(runtime, config)?)),
    };
    Ok(Layout { stream, share })
}

/// A mock has no use for a daemon, unless one is named: for tests of what becomes of it.
fn mock_share(runtime: &Runtime, config: &SandboxConfig) -> Result<Served, Error> {
    match config.hypervisor_config.virtio_fs_daemon {
        Some(_) => choose_share(runtime, config),
        None => Ok(Served::Nobody),
    }
}

/// The first stream that this host can serve, unless one is asked for.
fn choose_stream(runtime: &Runtime, config: &SandboxConfig) -> Result<Stream, Error> {
    let asked = config.hypervisor_config.transport;
    let vsock_only = config.hypervisor_config.use_vsock || config.agent_config.use_vsock;
    match asked {
        Transport::Vsock => vsock(),
        Transport::HybridVsock => hybrid(runtime),
        Transport::VirtioSerial => serial(runtime, config),
        Transport::Auto => {
            let first = vsock().or_else(|_| hybrid(runtime));
            if vsock_only { first } else { first.or_else(|_| serial(runtime, config)) }
        }
    }
}

fn vsock() -> Result<Stream, Error> {
    if OpenOptions::new().read(true).write(true).open("/dev/vhost-vsock").is_err() {
        let remedy = "load the module vhost_vsock, or use the transport hybrid-vsock or virtio-serial";
        return Err(Cause::MissingProgram { program: "/dev/vhost-vsock", remedy }.into());
    }
    // Unique on the host by chance: one in 4 billion against each other guest, and the VMM refuses a cid in use.
    let mut bytes = [0; 4];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| Cause::Host { what: "choose a vsock context id", source: error.into() })?;
    let cid = u32::from_ne_bytes(bytes).clamp(vhost_vsock::GUEST_CID + 1, u32::MAX - 1);
    Ok(Stream::Vsock { cid })
}

fn hybrid(runtime: &Runtime) -> Result<Stream, Error> {
    let daemon = super::helper_program(runtime, None, "the program of the vsock device")?;
    Ok(Stream::Hybrid { daemon })
}

fn serial(runtime: &Runtime, config: &SandboxConfig) -> Result<Stream, Error> {
    let proxy = proxy::resolve(config.proxy_type, Transport::VirtioSerial, config.agent_type)?;
    if proxy == ProxyChoice::Process {
        proxy_program(runtime, config)?;
    }
    Ok(Stream::Serial { proxy })
}

/// The program of the proxy process.
pub(super) fn proxy_program(runtime: &Runtime, config: &SandboxConfig) -> Result<PathBuf, Error> {
    super::helper_program(runtime, config.proxy_config.path.as_deref(), "the proxy's program")
}

fn choose_share(runtime: &Runtime, config: &SandboxConfig) -> Result<Served, Error> {
    match config.hypervisor_config.shared_fs {
        SharedFs::Virtio9p => Ok(Served::Vmm),
        SharedFs::VirtioFs => {
            let configured = config.hypervisor_config.virtio_fs_daemon.as_deref();
            let program = virtiofsd::PROGRAM.find(configured, runtime.helper_program())?;
            Ok(Served::Virtiofsd { program })
        }
    }
}

/// The machine, whole. `announce` is the host port on which the guest announces itself.
pub(super) fn vm_spec(
    runtime: &Runtime,
    spec: &SandboxSpec,
    layout: &Layout,
    announce: Option<u32>,
    nics: &[Nic],
) -> Result<VmSpec, Error> {
    let config = spec.config();
    let hypervisor = &config.hypervisor_config;
    let mapped_by_daemons = matches!(layout.stream, Stream::Hybrid { .. })
        || matches!(layout.share, Some(Served::Virtiofsd { .. }))
        || nics.iter().any(|nic| matches!(nic.backend, NicBackend::VhostUser { .. }));
    let root = match (&hypervisor.image_path, &hypervisor.initrd_path) {
        (Some(image), _) => RootImage::Image(image.clone()),
        (None, initrd) => RootImage::Initrd(initrd.clone().unwrap_or_default()),
    };
    let program = match &hypervisor.hypervisor_path {
        Some(program) => program.clone(),
        None => Qemu::default_program(hypervisor.hypervisor_machine_type).into(),
    };
    Ok(VmSpec {
        id: spec.id().clone(),
        dir: runtime.sandbox_dir(spec.id()),
        program,
        machine: hypervisor.hypervisor_machine_type,
        machine_options: hypervisor.machine_accelerators.clone(),
        accelerator: accelerator(config)?,
        tsc_khz: tsc_khz(config),
        cpu_features: hypervisor.cpu_features.clone(),
        vcpus: spec.vcpus(),
        max_vcpus: spec.max_vcpus(),
        memory: Memory {
            size: hypervisor.memory_size,
            shared: mapped_by_daemons,
            prealloc: hypervisor.mem_prealloc,
            path: None,
        },
        boot: Boot {
            kernel: hypervisor.kernel_path.clone(),
            root,
            firmware: hypervisor.firmware_path.clone(),
            params: kernel_params(config, &layout.stream, announce),
        },
        channel: layout.stream.channel(),
        shares: shares(runtime, spec, layout),
        nics: nics.to_vec(),
        hotplug_slots: hotplug_slots(config),
        entropy: Some(hypervisor.entropy_source.clone().unwrap_or_else(|| "/dev/urandom".into())),
        seccomp: hypervisor.seccomp,
        debug: hypervisor.debug,
        extra_params: hypervisor.hypervisor_params.clone(),
    })
}

/// How many devices can be plugged into the machine while it runs. Each costs the guest time at boot, so a sandbox
/// without a network, which has no use for them, has none unless they are asked for.
fn hotplug_slots(config: &SandboxConfig) -> u32 {
    match config.hypervisor_config.pcie_root_port {
        0 if config.network_config.has_namespace() => HOTPLUG_SLOTS,
        asked => asked,
    }
}

/// The launch of a machine. Slots that were not asked for make room for interfaces that were.
pub(super) fn plan(
    hypervisor: &dyn Hypervisor,
    mut spec: VmSpec,
    config: &SandboxConfig,
) -> Result<LaunchPlan, VmError> {
    match hypervisor.plan(&spec) {
        Err(VmError::Invalid(InvalidSpec::TooManyNics { most, .. }))
            if config.hypervisor_config.pcie_root_port == 0 && most >= spec.nics.len() =>
        {
            spec.hotplug_slots = u32::try_from(most - spec.nics.len()).unwrap_or(0);
            hypervisor.plan(&spec)
        }
        planned => planned,
    }
}

/// The rate of the host's time stamp counter: as the kernel tells it, or measured where a machine cannot do without.
fn tsc_khz(config: &SandboxConfig) -> Option<u64> {
    /// Long enough for a measurement that is right to a tenth of a percent.
    const WINDOW: Duration = Duration::from_millis(10);
    if config.hypervisor_type == HypervisorKind::Mock {
        return None;
    }
    let told = CpuFacts::read(Path::new("/proc/cpuinfo")).ok().and_then(|facts| facts.tsc_khz);
    let needed = config.hypervisor_config.hypervisor_machine_type == MachineType::Microvm;
    told.or_else(|| needed.then(|| cpu::measure_tsc_khz(WINDOW)).flatten())
}

/// What runs the guest. The mock is asked for nothing, so the host is not either.
fn accelerator(config: &SandboxConfig) -> Result<Accelerator, Error> {
    if config.hypervisor_type == HypervisorKind::Mock {
        return Ok(Accelerator::Tcg);
    }
    let facts = HostFacts::probe(config.hypervisor_config.hypervisor_machine_type)
        .map_err(|source| Cause::Host { what: "read /proc/cpuinfo", source })?;
    let decision = choose_accelerator(config.hypervisor_config.accelerator, &facts).map_err(Cause::from)?;
    if let Some(reason) = decision.reason {
        match decision.accelerator {
            // Under a name of its own, so that a program can say this once and not at each boot.
            Accelerator::Tcg => tracing::warn!(
                target: "virtcontainers::accelerator",
                %reason,
                "the guest runs without KVM, many times slower"
            ),
            Accelerator::Kvm => {
                tracing::warn!(%reason, "KVM is used as demanded, but may never run the guest")
            }
        }
    }
    Ok(decision.accelerator)
}

fn kernel_params(config: &SandboxConfig, stream: &Stream, announce: Option<u32>) -> Vec<KernelParam> {
    let mut params = Vec::new();
    match stream {
        Stream::None | Stream::Mock => {}
        Stream::Vsock { .. } | Stream::Hybrid { .. } => {
            params.push(KernelParam::new(kernel_parameters::TRANSPORT, "vsock"));
        }
        Stream::Serial { .. } => params.push(KernelParam::new(kernel_parameters::TRANSPORT, "serial")),
    }
    if let Some(port) = announce {
        params.push(KernelParam::new(kernel_parameters::ANNOUNCE, port.to_string()));
    }
    if config.agent_config.debug {
        params.push(KernelParam::new(kernel_parameters::DEBUG, ""));
        // The kata-agent's own name for it.
        params.push(KernelParam::new("agent.log", "debug"));
    }
    if config.agent_config.debug_console {
        params.push(KernelParam::new(kernel_parameters::DEBUG_CONSOLE, ""));
        // The kata-agent's own names for it.
        params.push(KernelParam::new(kernel_parameters::KATA_DEBUG_CONSOLE, ""));
        let port = ports::DEBUG_CONSOLE.to_string();
        params.push(KernelParam::new(kernel_parameters::KATA_DEBUG_CONSOLE_PORT, port));
    }
    if config.agent_config.container_pipe_size > 0 {
        let size = config.agent_config.container_pipe_size.to_string();
        params.push(KernelParam::new(kernel_parameters::KATA_CONTAINER_PIPE_SIZE, size));
    }
    params.extend(config.hypervisor_config.kernel_params.iter().cloned());
    params
}

fn shares(runtime: &Runtime, spec: &SandboxSpec, layout: &Layout) -> Vec<Share> {
    let tag = guest_paths::SHARE_TAG.to_owned();
    match layout.share {
        None | Some(Served::Nobody) => Vec::new(),
        Some(Served::Virtiofsd { .. }) => {
            let cache: MiB = spec.config().hypervisor_config.virtio_fs_cache_size;
            vec![Share::VirtioFs { tag, socket: virtiofsd::SOCKET.to_owned(), cache }]
        }
        Some(Served::Vmm) => {
            vec![Share::NineP { tag, path: SharedTree::new(&runtime.sandbox_dir(spec.id())).exported() }]
        }
    }
}

#[cfg(test)]
mod tests;
