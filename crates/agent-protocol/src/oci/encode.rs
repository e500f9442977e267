//! Specifications into messages. What is "not set" becomes a zero value.

use std::path::Path;

use oci_spec::runtime as oci;
use protobuf::MessageField;

use super::ConversionError;
use crate::api::oci as message;

type Result<T> = std::result::Result<T, ConversionError>;

pub(super) fn spec(spec: &oci::Spec) -> Result<message::Spec> {
    Ok(message::Spec {
        Version: spec.version().clone(),
        Process: field(spec.process().as_ref(), process)?,
        Root: field(spec.root().as_ref(), root)?,
        Hostname: text(spec.hostname()),
        Mounts: each(spec.mounts(), mount)?,
        Hooks: field(spec.hooks().as_ref(), hooks)?,
        Annotations: spec.annotations().clone().unwrap_or_default(),
        Linux: field(spec.linux().as_ref(), linux)?,
        ..Default::default()
    })
}

pub(super) fn process(process: &oci::Process) -> Result<message::Process> {
    let user = process.user();
    Ok(message::Process {
        Terminal: process.terminal().unwrap_or_default(),
        ConsoleSize: field(process.console_size().as_ref(), |size| {
            Ok(message::Box {
                Height: fit("process.consoleSize.height", size.height())?,
                Width: fit("process.consoleSize.width", size.width())?,
                ..Default::default()
            })
        })?,
        User: MessageField::some(message::User {
            UID: user.uid(),
            GID: user.gid(),
            AdditionalGids: user.additional_gids().clone().unwrap_or_default(),
            Username: text(user.username()),
            ..Default::default()
        }),
        Args: list(process.args()),
        Env: list(process.env()),
        Cwd: path("process.cwd", process.cwd())?,
        Capabilities: process.capabilities().as_ref().map(capabilities).into(),
        Rlimits: process.rlimits().iter().flatten().map(rlimit).collect(),
        NoNewPrivileges: process.no_new_privileges().unwrap_or_default(),
        ApparmorProfile: text(process.apparmor_profile()),
        OOMScoreAdj: process.oom_score_adj().unwrap_or_default().into(),
        SelinuxLabel: text(process.selinux_label()),
        ..Default::default()
    })
}

fn capabilities(capabilities: &oci::LinuxCapabilities) -> message::LinuxCapabilities {
    let names = |set: &Option<oci::Capabilities>| {
        let mut names: Vec<_> = set.iter().flatten().map(|capability| format!("CAP_{capability}")).collect();
        names.sort();
        names
    };
    message::LinuxCapabilities {
        Bounding: names(capabilities.bounding()),
        Effective: names(capabilities.effective()),
        Inheritable: names(capabilities.inheritable()),
        Permitted: names(capabilities.permitted()),
        Ambient: names(capabilities.ambient()),
        ..Default::default()
    }
}

fn rlimit(limit: &oci::PosixRlimit) -> message::POSIXRlimit {
    message::POSIXRlimit {
        Type: limit.typ().to_string(),
        Hard: limit.hard(),
        Soft: limit.soft(),
        ..Default::default()
    }
}

fn root(root: &oci::Root) -> Result<message::Root> {
    Ok(message::Root {
        Path: path("root.path", root.path())?,
        Readonly: root.readonly().unwrap_or_default(),
        ..Default::default()
    })
}

fn mount(mount: &oci::Mount) -> Result<message::Mount> {
    Ok(message::Mount {
        destination: path("mounts[].destination", mount.destination())?,
        source: optional_path("mounts[].source", mount.source().as_deref())?,
        type_: text(mount.typ()),
        options: list(mount.options()),
        ..Default::default()
    })
}

fn hooks(hooks: &oci::Hooks) -> Result<message::Hooks> {
    #[allow(deprecated, reason = "the messages carry prestart hooks, and specifications still have them")]
    let prestart = hooks.prestart();
    Ok(message::Hooks {
        Prestart: each(prestart, hook)?,
        Poststart: each(hooks.poststart(), hook)?,
        Poststop: each(hooks.poststop(), hook)?,
        CreateRuntime: each(hooks.create_runtime(), hook)?,
        CreateContainer: each(hooks.create_container(), hook)?,
        StartContainer: each(hooks.start_container(), hook)?,
        ..Default::default()
    })
}

fn hook(hook: &oci::Hook) -> Result<message::Hook> {
    Ok(message::Hook {
        Path: path("hooks[].path", hook.path())?,
        Args: list(hook.args()),
        Env: list(hook.env()),
        Timeout: hook.timeout().unwrap_or_default(),
        ..Default::default()
    })
}

fn linux(linux: &oci::Linux) -> Result<message::Linux> {
    Ok(message::Linux {
        UIDMappings: linux.uid_mappings().iter().flatten().map(id_mapping).collect(),
        GIDMappings: linux.gid_mappings().iter().flatten().map(id_mapping).collect(),
        Sysctl: linux.sysctl().clone().unwrap_or_default(),
        Resources: field(linux.resources().as_ref(), resources)?,
        CgroupsPath: optional_path("linux.cgroupsPath", linux.cgroups_path().as_deref())?,
        Namespaces: each(linux.namespaces(), namespace)?,
        Devices: each(linux.devices(), device)?,
        Seccomp: linux.seccomp().as_ref().map(seccomp).into(),
        RootfsPropagation: text(linux.rootfs_propagation()),
        MaskedPaths: list(linux.masked_paths()),
        ReadonlyPaths: list(linux.readonly_paths()),
        MountLabel: text(linux.mount_label()),
        IntelRdt: linux.intel_rdt().as_ref().map(intel_rdt).into(),
        ..Default::default()
    })
}

fn intel_rdt(rdt: &oci::LinuxIntelRdt) -> message::LinuxIntelRdt {
    message::LinuxIntelRdt { L3CacheSchema: text(rdt.l3_cache_schema()), ..Default::default() }
}

fn id_mapping(mapping: &oci::LinuxIdMapping) -> message::LinuxIDMapping {
    message::LinuxIDMapping {
        HostID: mapping.host_id(),
        ContainerID: mapping.container_id(),
        Size: mapping.size(),
        ..Default::default()
    }
}

fn namespace(namespace: &oci::LinuxNamespace) -> Result<message::LinuxNamespace> {
    // The names of `config.json`, not those under /proc/<pid>/ns that Display gives.
    let name = match namespace.typ() {
        oci::LinuxNamespaceType::Mount => "mount",
        oci::LinuxNamespaceType::Cgroup => "cgroup",
        oci::LinuxNamespaceType::Uts => "uts",
        oci::LinuxNamespaceType::Ipc => "ipc",
        oci::LinuxNamespaceType::User => "user",
        oci::LinuxNamespaceType::Pid => "pid",
        oci::LinuxNamespaceType::Network => "network",
        oci::LinuxNamespaceType::Time => "time",
    };
    Ok(message::LinuxNamespace {
        Type: name.to_owned(),
        Path: optional_path("linux.namespaces[].path", namespace.path().as_deref())?,
        ..Default::default()
    })
}

fn device(device: &oci::LinuxDevice) -> Result<message::LinuxDevice> {
    Ok(message::LinuxDevice {
        Path: path("linux.devices[].path", device.path())?,
        Type: device.typ().as_str().to_owned(),
        Major: device.major(),
        Minor: device.minor(),
        FileMode: device.file_mode().unwrap_or_default(),
        UID: device.uid().unwrap_or_default(),
        GID: device.gid().unwrap_or_default(),
        ..Default::default()
    })
}

pub(super) fn resources(resources: &oci::LinuxResources) -> Result<message::LinuxResources> {
    Ok(message::LinuxResources {
        Devices: resources.devices().iter().flatten().map(device_rule).collect(),
        Memory: resources.memory().as_ref().map(memory).into(),
        CPU: resources.cpu().as_ref().map(cpu).into(),
        Pids: resources
            .pids()
            .map(|pids| message::LinuxPids { Limit: pids.limit(), ..Default::default() })
            .into(),
        BlockIO: resources.block_io().as_ref().map(block_io).into(),
        HugepageLimits: each(resources.hugepage_limits(), |limit| {
            Ok(message::LinuxHugepageLimit {
                Pagesize: limit.page_size().clone(),
                Limit: fit("linux.resources.hugepageLimits[].limit", limit.limit())?,
                ..Default::default()
            })
        })?,
        Network: resources.network().as_ref().map(network).into(),
        ..Default::default()
    })
}

fn device_rule(rule: &oci::LinuxDeviceCgroup) -> message::LinuxDeviceCgroup {
    message::LinuxDeviceCgroup {
        Allow: rule.allow(),
        Type: rule.typ().map(|typ| typ.as_str().to_owned()).unwrap_or_default(),
        Major: rule.major().unwrap_or_default(),
        Minor: rule.minor().unwrap_or_default(),
        Access: text(rule.access()),
        ..Default::default()
    }
}

fn memory(memory: &oci::LinuxMemory) -> message::LinuxMemory {
    #[allow(deprecated, reason = "the messages carry the limit of kernel memory")]
    let kernel = memory.kernel();
    message::LinuxMemory {
        Limit: memory.limit().unwrap_or_default(),
        Reservation: memory.reservation().unwrap_or_default(),
        Swap: memory.swap().unwrap_or_default(),
        Kernel: kernel.unwrap_or_default(),
        KernelTCP: memory.kernel_tcp().unwrap_or_default(),
        Swappiness: memory.swappiness().unwrap_or_default(),
        DisableOOMKiller: memory.disable_oom_killer().unwrap_or_default(),
        ..Default::default()
    }
}

fn cpu(cpu: &oci::LinuxCpu) -> message::LinuxCPU {
    message::LinuxCPU {
        Shares: cpu.shares().unwrap_or_default(),
        Quota: cpu.quota().unwrap_or_default(),
        Period: cpu.period().unwrap_or_default(),
        RealtimeRuntime: cpu.realtime_runtime().unwrap_or_default(),
        RealtimePeriod: cpu.realtime_period().unwrap_or_default(),
        Cpus: text(cpu.cpus()),
        Mems: text(cpu.mems()),
        ..Default::default()
    }
}

fn block_io(io: &oci::LinuxBlockIo) -> message::LinuxBlockIO {
    let throttle = |devices: &Option<Vec<oci::LinuxThrottleDevice>>| {
        let entry = |device: &oci::LinuxThrottleDevice| message::LinuxThrottleDevice {
            Major: device.major(),
            Minor: device.minor(),
            Rate: device.rate(),
            ..Default::default()
        };
        devices.iter().flatten().map(entry).collect()
    };
    let weight = |device: &oci::LinuxWeightDevice| message::LinuxWeightDevice {
        Major: device.major(),
        Minor: device.minor(),
        Weight: device.weight().unwrap_or_default().into(),
        LeafWeight: device.leaf_weight().unwrap_or_default().into(),
        ..Default::default()
    };
    message::LinuxBlockIO {
        Weight: io.weight().unwrap_or_default().into(),
        LeafWeight: io.leaf_weight().unwrap_or_default().into(),
        WeightDevice: io.weight_device().iter().flatten().map(weight).collect(),
        ThrottleReadBpsDevice: throttle(io.throttle_read_bps_device()),
        ThrottleWriteBpsDevice: throttle(io.throttle_write_bps_device()),
        ThrottleReadIOPSDevice: throttle(io.throttle_read_iops_device()),
        ThrottleWriteIOPSDevice: throttle(io.throttle_write_iops_device()),
        ..Default::default()
    }
}

fn network(network: &oci::LinuxNetwork) -> message::LinuxNetwork {
    let priority = |priority: &oci::LinuxInterfacePriority| message::LinuxInterfacePriority {
        Name: priority.name().clone(),
        Priority: priority.priority(),
        ..Default::default()
    };
    message::LinuxNetwork {
        ClassID: network.class_id().unwrap_or_default(),
        Priorities: network.priorities().iter().flatten().map(priority).collect(),
        ..Default::default()
    }
}

fn seccomp(seccomp: &oci::LinuxSeccomp) -> message::LinuxSeccomp {
    message::LinuxSeccomp {
        DefaultAction: seccomp.default_action().to_string(),
        Architectures: seccomp.architectures().iter().flatten().map(ToString::to_string).collect(),
        Flags: seccomp.flags().iter().flatten().map(ToString::to_string).collect(),
        Syscalls: seccomp.syscalls().iter().flatten().map(syscall).collect(),
        ..Default::default()
    }
}

fn syscall(syscall: &oci::LinuxSyscall) -> message::LinuxSyscall {
    let arg = |arg: &oci::LinuxSeccompArg| message::LinuxSeccompArg {
        Index: arg.index() as u64,
        Value: arg.value(),
        ValueTwo: arg.value_two().unwrap_or_default(),
        Op: arg.op().to_string(),
        ..Default::default()
    };
    message::LinuxSyscall {
        Names: syscall.names().clone(),
        Action: syscall.action().to_string(),
        ErrnoRet: syscall.errno_ret().map(message::linux_syscall::ErrnoRet::Errnoret),
        Args: syscall.args().iter().flatten().map(arg).collect(),
        ..Default::default()
    }
}

fn field<T, M>(value: Option<&T>, convert: impl Fn(&T) -> Result<M>) -> Result<MessageField<M>> {
    value.map(convert).transpose().map(MessageField::from_option)
}

fn each<T, M>(values: &Option<Vec<T>>, convert: impl Fn(&T) -> Result<M>) -> Result<Vec<M>> {
    values.iter().flatten().map(convert).collect()
}

fn text(value: &Option<String>) -> String {
    value.clone().unwrap_or_default()
}

fn list(values: &Option<Vec<String>>) -> Vec<String> {
    values.clone().unwrap_or_default()
}

fn path(field: &'static str, value: &Path) -> Result<String> {
    match value.to_str() {
        Some(text) => Ok(text.to_owned()),
        None => Err(ConversionError::NotUtf8 { field, value: value.to_owned() }),
    }
}

fn optional_path(field: &'static str, value: Option<&Path>) -> Result<String> {
    value.map_or_else(|| Ok(String::new()), |value| path(field, value))
}

fn fit<N: Copy + Into<i128>, M: TryFrom<N>>(field: &'static str, value: N) -> Result<M> {
    M::try_from(value).ok().ok_or(ConversionError::OutOfRange { field, value: value.into() })
}
