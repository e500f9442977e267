//! Messages into specifications. Zero values become "not set".

use std::collections::HashMap;
use std::path::PathBuf;

use oci_spec::runtime as oci;

use super::ConversionError;
use crate::api::oci as message;

type Result<T> = std::result::Result<T, ConversionError>;

pub(super) fn spec(message: &message::Spec) -> Result<oci::Spec> {
    let mut spec = oci::Spec::default();
    spec.set_version(message.Version.clone());
    spec.set_process(message.Process.as_ref().map(process).transpose()?);
    spec.set_root(message.Root.as_ref().map(root));
    spec.set_hostname(text(&message.Hostname));
    spec.set_mounts(some(message.Mounts.iter().map(mount).collect()));
    spec.set_hooks(message.Hooks.as_ref().map(hooks));
    spec.set_annotations(map(&message.Annotations));
    spec.set_linux(message.Linux.as_ref().map(linux).transpose()?);
    Ok(spec)
}

pub(super) fn process(message: &message::Process) -> Result<oci::Process> {
    let mut user = oci::User::default();
    user.set_uid(message.User.UID);
    user.set_gid(message.User.GID);
    user.set_additional_gids(some(message.User.AdditionalGids.clone()));
    user.set_username(text(&message.User.Username));

    let size = message.ConsoleSize.as_ref();
    let size = size.map(|size| {
        oci::BoxBuilder::default()
            .height(size.Height)
            .width(size.Width)
            .build()
            .map_err(ConversionError::from)
    });
    let oom_score = fit::<_, i32>("process.oomScoreAdj", message.OOMScoreAdj)?;

    let mut process = oci::Process::default();
    process.set_terminal(set(message.Terminal));
    process.set_console_size(size.transpose()?);
    process.set_user(user);
    process.set_args(some(message.Args.clone()));
    process.set_env(some(message.Env.clone()));
    process.set_cwd(PathBuf::from(&message.Cwd));
    process.set_capabilities(message.Capabilities.as_ref().map(capabilities).transpose()?);
    process.set_rlimits(some(message.Rlimits.iter().map(rlimit).collect::<Result<_>>()?));
    process.set_no_new_privileges(set(message.NoNewPrivileges));
    process.set_apparmor_profile(text(&message.ApparmorProfile));
    process.set_oom_score_adj(set(oom_score));
    process.set_selinux_label(text(&message.SelinuxLabel));
    Ok(process)
}

fn capabilities(message: &message::LinuxCapabilities) -> Result<oci::LinuxCapabilities> {
    let parse = |names: &Vec<String>| -> Result<Option<oci::Capabilities>> {
        let one = |name: &String| {
            let bare = name.strip_prefix("CAP_").unwrap_or(name);
            parse_name("process.capabilities", name, bare.parse::<oci::Capability>())
        };
        names.iter().map(one).collect::<Result<_>>().map(Some)
    };
    let mut capabilities = oci::LinuxCapabilities::default();
    capabilities.set_bounding(parse(&message.Bounding)?);
    capabilities.set_effective(parse(&message.Effective)?);
    capabilities.set_inheritable(parse(&message.Inheritable)?);
    capabilities.set_permitted(parse(&message.Permitted)?);
    capabilities.set_ambient(parse(&message.Ambient)?);
    Ok(capabilities)
}

fn rlimit(message: &message::POSIXRlimit) -> Result<oci::PosixRlimit> {
    let typ: oci::PosixRlimitType =
        parse_name("process.rlimits[].type", &message.Type, message.Type.parse())?;
    Ok(oci::PosixRlimitBuilder::default().typ(typ).hard(message.Hard).soft(message.Soft).build()?)
}

fn root(message: &message::Root) -> oci::Root {
    let mut root = oci::Root::default();
    root.set_path(PathBuf::from(&message.Path));
    root.set_readonly(set(message.Readonly));
    root
}

fn mount(message: &message::Mount) -> oci::Mount {
    let mut mount = oci::Mount::default();
    mount.set_destination(PathBuf::from(&message.destination));
    mount.set_source(path(&message.source));
    mount.set_typ(text(&message.type_));
    mount.set_options(some(message.options.clone()));
    mount
}

fn hooks(message: &message::Hooks) -> oci::Hooks {
    let all = |hooks: &[message::Hook]| some(hooks.iter().map(hook).collect());
    let mut hooks = oci::Hooks::default();
    #[allow(deprecated, reason = "the messages carry prestart hooks, and specifications still have them")]
    hooks.set_prestart(all(&message.Prestart));
    hooks.set_poststart(all(&message.Poststart));
    hooks.set_poststop(all(&message.Poststop));
    hooks.set_create_runtime(all(&message.CreateRuntime));
    hooks.set_create_container(all(&message.CreateContainer));
    hooks.set_start_container(all(&message.StartContainer));
    hooks
}

fn hook(message: &message::Hook) -> oci::Hook {
    let mut hook = oci::Hook::default();
    hook.set_path(PathBuf::from(&message.Path));
    hook.set_args(some(message.Args.clone()));
    hook.set_env(some(message.Env.clone()));
    hook.set_timeout(set(message.Timeout));
    hook
}

fn linux(message: &message::Linux) -> Result<oci::Linux> {
    let mut linux = oci::Linux::default();
    linux.set_uid_mappings(some(message.UIDMappings.iter().map(id_mapping).collect::<Result<_>>()?));
    linux.set_gid_mappings(some(message.GIDMappings.iter().map(id_mapping).collect::<Result<_>>()?));
    linux.set_sysctl(map(&message.Sysctl));
    linux.set_resources(message.Resources.as_ref().map(resources).transpose()?);
    linux.set_cgroups_path(path(&message.CgroupsPath));
    linux.set_namespaces(some(message.Namespaces.iter().map(namespace).collect::<Result<_>>()?));
    linux.set_devices(some(message.Devices.iter().map(device).collect::<Result<_>>()?));
    linux.set_seccomp(message.Seccomp.as_ref().map(seccomp).transpose()?);
    linux.set_rootfs_propagation(text(&message.RootfsPropagation));
    linux.set_masked_paths(some(message.MaskedPaths.clone()));
    linux.set_readonly_paths(some(message.ReadonlyPaths.clone()));
    linux.set_mount_label(text(&message.MountLabel));
    linux.set_intel_rdt(message.IntelRdt.as_ref().map(|rdt| {
        let mut intel_rdt = oci::LinuxIntelRdt::default();
        intel_rdt.set_l3_cache_schema(text(&rdt.L3CacheSchema));
        intel_rdt
    }));
    Ok(linux)
}

fn id_mapping(message: &message::LinuxIDMapping) -> Result<oci::LinuxIdMapping> {
    Ok(oci::LinuxIdMappingBuilder::default()
        .host_id(message.HostID)
        .container_id(message.ContainerID)
        .size(message.Size)
        .build()?)
}

fn namespace(message: &message::LinuxNamespace) -> Result<oci::LinuxNamespace> {
    let typ = oci::LinuxNamespaceType::try_from(message.Type.as_str());
    let mut namespace = oci::LinuxNamespace::default();
    namespace.set_typ(parse_name("linux.namespaces[].type", &message.Type, typ)?);
    namespace.set_path(path(&message.Path));
    Ok(namespace)
}

fn device(message: &message::LinuxDevice) -> Result<oci::LinuxDevice> {
    let mut device = oci::LinuxDevice::default();
    device.set_path(PathBuf::from(&message.Path));
    device.set_typ(parse_name("linux.devices[].type", &message.Type, message.Type.parse())?);
    device.set_major(message.Major);
    device.set_minor(message.Minor);
    device.set_file_mode(set(message.FileMode));
    device.set_uid(set(message.UID));
    device.set_gid(set(message.GID));
    Ok(device)
}

pub(super) fn resources(message: &message::LinuxResources) -> Result<oci::LinuxResources> {
    let hugepage_limit = |message: &message::LinuxHugepageLimit| -> Result<_> {
        let mut limit = oci::LinuxHugepageLimit::default();
        limit.set_page_size(message.Pagesize.clone());
        limit.set_limit(fit("linux.resources.hugepageLimits[].limit", message.Limit)?);
        Ok(limit)
    };
    let pids = message.Pids.as_ref().map(|pids| {
        let mut limit = oci::LinuxPids::default();
        limit.set_limit(pids.Limit);
        limit
    });
    let mut resources = oci::LinuxResources::default();
    resources.set_devices(some(message.Devices.iter().map(device_rule).collect::<Result<_>>()?));
    resources.set_memory(message.Memory.as_ref().map(memory));
    resources.set_cpu(message.CPU.as_ref().map(cpu));
    resources.set_pids(pids);
    resources.set_block_io(message.BlockIO.as_ref().map(block_io).transpose()?);
    resources
        .set_hugepage_limits(some(message.HugepageLimits.iter().map(hugepage_limit).collect::<Result<_>>()?));
    resources.set_network(message.Network.as_ref().map(network));
    Ok(resources)
}

fn device_rule(message: &message::LinuxDeviceCgroup) -> Result<oci::LinuxDeviceCgroup> {
    let typ = text(&message.Type);
    let typ = typ.map(|typ| parse_name("linux.resources.devices[].type", &typ, typ.parse())).transpose()?;
    let mut rule = oci::LinuxDeviceCgroup::default();
    rule.set_allow(message.Allow);
    rule.set_typ(typ);
    rule.set_major(set(message.Major));
    rule.set_minor(set(message.Minor));
    rule.set_access(text(&message.Access));
    Ok(rule)
}

fn memory(message: &message::LinuxMemory) -> oci::LinuxMemory {
    let mut memory = oci::LinuxMemory::default();
    memory.set_limit(set(message.Limit));
    memory.set_reservation(set(message.Reservation));
    memory.set_swap(set(message.Swap));
    #[allow(deprecated, reason = "the messages carry the limit of kernel memory")]
    memory.set_kernel(set(message.Kernel));
    memory.set_kernel_tcp(set(message.KernelTCP));
    memory.set_swappiness(set(message.Swappiness));
    memory.set_disable_oom_killer(set(message.DisableOOMKiller));
    memory
}

fn cpu(message: &message::LinuxCPU) -> oci::LinuxCpu {
    let mut cpu = oci::LinuxCpu::default();
    cpu.set_shares(set(message.Shares));
    cpu.set_quota(set(message.Quota));
    cpu.set_period(set(message.Period));
    cpu.set_realtime_runtime(set(message.RealtimeRuntime));
    cpu.set_realtime_period(set(message.RealtimePeriod));
    cpu.set_cpus(text(&message.Cpus));
    cpu.set_mems(text(&message.Mems));
    cpu
}

fn block_io(message: &message::LinuxBlockIO) -> Result<oci::LinuxBlockIo> {
    let throttle = |devices: &[message::LinuxThrottleDevice]| -> Result<_> {
        let entry = |device: &message::LinuxThrottleDevice| {
            oci::LinuxThrottleDeviceBuilder::default()
                .major(device.Major)
                .minor(device.Minor)
                .rate(device.Rate)
                .build()
                .map_err(ConversionError::from)
        };
        Ok(some(devices.iter().map(entry).collect::<Result<_>>()?))
    };
    let weight = |value: u32| fit::<_, u16>("linux.resources.blockIO weight", value).map(set);
    let weighted = |device: &message::LinuxWeightDevice| -> Result<_> {
        let mut builder = oci::LinuxWeightDeviceBuilder::default().major(device.Major).minor(device.Minor);
        if let Some(weight) = weight(device.Weight)? {
            builder = builder.weight(weight);
        }
        if let Some(weight) = weight(device.LeafWeight)? {
            builder = builder.leaf_weight(weight);
        }
        Ok(builder.build()?)
    };
    let mut io = oci::LinuxBlockIo::default();
    io.set_weight(weight(message.Weight)?);
    io.set_leaf_weight(weight(message.LeafWeight)?);
    io.set_weight_device(some(message.WeightDevice.iter().map(weighted).collect::<Result<_>>()?));
    io.set_throttle_read_bps_device(throttle(&message.ThrottleReadBpsDevice)?);
    io.set_throttle_write_bps_device(throttle(&message.ThrottleWriteBpsDevice)?);
    io.set_throttle_read_iops_device(throttle(&message.ThrottleReadIOPSDevice)?);
    io.set_throttle_write_iops_device(throttle(&message.ThrottleWriteIOPSDevice)?);
    Ok(io)
}

fn network(message: &message::LinuxNetwork) -> oci::LinuxNetwork {
    let priority = |message: &message::LinuxInterfacePriority| {
        let mut priority = oci::LinuxInterfacePriority::default();
        priority.set_name(message.Name.clone());
        priority.set_priority(message.Priority);
        priority
    };
    let mut network = oci::LinuxNetwork::default();
    network.set_class_id(set(message.ClassID));
    network.set_priorities(some(message.Priorities.iter().map(priority).collect()));
    network
}

fn seccomp(message: &message::LinuxSeccomp) -> Result<oci::LinuxSeccomp> {
    let arch = |name: &String| parse_name("linux.seccomp.architectures", name, name.parse::<oci::Arch>());
    let flag = |name: &String| parse_name("linux.seccomp.flags", name, name.parse());
    let mut seccomp = oci::LinuxSeccomp::default();
    seccomp.set_default_action(action("linux.seccomp.defaultAction", &message.DefaultAction)?);
    seccomp.set_architectures(some(message.Architectures.iter().map(arch).collect::<Result<_>>()?));
    seccomp.set_flags(some(message.Flags.iter().map(flag).collect::<Result<_>>()?));
    seccomp.set_syscalls(some(message.Syscalls.iter().map(syscall).collect::<Result<_>>()?));
    Ok(seccomp)
}

fn action(field: &'static str, name: &str) -> Result<oci::LinuxSeccompAction> {
    parse_name(field, name, name.parse())
}

fn syscall(message: &message::LinuxSyscall) -> Result<oci::LinuxSyscall> {
    let arg = |message: &message::LinuxSeccompArg| -> Result<_> {
        let op: oci::LinuxSeccompOperator =
            parse_name("linux.seccomp.syscalls[].args[].op", &message.Op, message.Op.parse())?;
        let index: usize = fit("linux.seccomp.syscalls[].args[].index", message.Index)?;
        let mut builder = oci::LinuxSeccompArgBuilder::default().index(index).value(message.Value).op(op);
        if let Some(value) = set(message.ValueTwo) {
            builder = builder.value_two(value);
        }
        Ok(builder.build()?)
    };
    let errno = message.ErrnoRet.as_ref().map(|errno| match errno {
        message::linux_syscall::ErrnoRet::Errnoret(errno) => *errno,
    });
    let mut syscall = oci::LinuxSyscall::default();
    syscall.set_names(message.Names.clone());
    syscall.set_action(action("linux.seccomp.syscalls[].action", &message.Action)?);
    syscall.set_errno_ret(errno);
    syscall.set_args(some(message.Args.iter().map(arg).collect::<Result<_>>()?));
    Ok(syscall)
}

/// `None` for the zero value.
fn set<T: Default + PartialEq>(value: T) -> Option<T> {
    (value != T::default()).then_some(value)
}

/// `None` for an empty list.
fn some<T>(values: Vec<T>) -> Option<Vec<T>> {
    (!values.is_empty()).then_some(values)
}

fn text(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}

fn path(value: &str) -> Option<PathBuf> {
    text(value).map(PathBuf::from)
}

fn map(values: &HashMap<String, String>) -> Option<HashMap<String, String>> {
    (!values.is_empty()).then(|| values.clone())
}

fn fit<N: Copy + Into<i128>, M: TryFrom<N>>(field: &'static str, value: N) -> Result<M> {
    M::try_from(value).ok().ok_or(ConversionError::OutOfRange { field, value: value.into() })
}

/// Gives a parser's error the field and the value; the value is the sender's, so only its beginning is kept.
fn parse_name<T, E>(field: &'static str, name: &str, parsed: std::result::Result<T, E>) -> Result<T>
where
    E: std::error::Error + Send + Sync + 'static,
{
    parsed.map_err(|source| ConversionError::Unknown {
        field,
        value: name.chars().take(64).collect(),
        source: source.into(),
    })
}
