//! The parts of a specification for which the messages have no field.

use oci_spec::runtime::{Linux, LinuxResources, Mount, Process, Spec};

/// Keeps the names of the fields that are present.
fn present<const N: usize>(fields: [(&'static str, bool); N]) -> impl Iterator<Item = &'static str> {
    fields.into_iter().filter_map(|(name, present)| present.then_some(name))
}

pub(super) fn of_spec(spec: &Spec) -> Vec<&'static str> {
    let mut fields: Vec<_> = present([
        ("domainname", spec.domainname().is_some()),
        ("solaris", spec.solaris().is_some()),
        ("windows", spec.windows().is_some()),
        ("vm", spec.vm().is_some()),
        ("zos", spec.zos().is_some()),
    ])
    .collect();
    let mounts = spec.mounts().as_deref().unwrap_or_default();
    let mapped = |mount: &Mount| mount.uid_mappings().is_some() || mount.gid_mappings().is_some();
    fields.extend(present([("mounts[].uidMappings/gidMappings", mounts.iter().any(mapped))]));
    fields.extend(spec.process().iter().flat_map(of_process));
    fields.extend(spec.linux().iter().flat_map(of_linux));
    fields
}

pub(super) fn of_process(process: &Process) -> Vec<&'static str> {
    present([
        ("process.commandLine", process.command_line().is_some()),
        ("process.user.umask", process.user().umask().is_some()),
        ("process.ioPriority", process.io_priority().is_some()),
        ("process.scheduler", process.scheduler().is_some()),
        ("process.execCPUAffinity", process.exec_cpu_affinity().is_some()),
    ])
    .collect()
}

fn of_linux(linux: &Linux) -> Vec<&'static str> {
    let mut fields: Vec<_> = present([
        ("linux.netDevices", linux.net_devices().is_some()),
        ("linux.memoryPolicy", linux.memory_policy().is_some()),
        ("linux.personality", linux.personality().is_some()),
        ("linux.timeOffsets", linux.time_offsets().is_some()),
    ])
    .collect();
    if let Some(rdt) = linux.intel_rdt() {
        // With only the L3 schema set, nothing else is left to lose.
        let mut carried = oci_spec::runtime::LinuxIntelRdt::default();
        carried.set_l3_cache_schema(rdt.l3_cache_schema().clone());
        fields.extend(present([("linux.intelRdt (besides l3CacheSchema)", *rdt != carried)]));
    }
    if let Some(seccomp) = linux.seccomp() {
        fields.extend(present([
            ("linux.seccomp.defaultErrnoRet", seccomp.default_errno_ret().is_some()),
            ("linux.seccomp.listenerPath", seccomp.listener_path().is_some()),
            ("linux.seccomp.listenerMetadata", seccomp.listener_metadata().is_some()),
        ]));
    }
    fields.extend(linux.resources().iter().flat_map(of_resources));
    fields
}

pub(super) fn of_resources(resources: &LinuxResources) -> Vec<&'static str> {
    let memory = resources.memory().unwrap_or_default();
    let cpu = resources.cpu().clone().unwrap_or_default();
    present([
        ("linux.resources.rdma", resources.rdma().as_ref().is_some_and(|rdma| !rdma.is_empty())),
        ("linux.resources.unified", resources.unified().as_ref().is_some_and(|unified| !unified.is_empty())),
        ("linux.resources.memory.useHierarchy", memory.use_hierarchy().is_some()),
        ("linux.resources.memory.checkBeforeUpdate", memory.check_before_update().is_some()),
        ("linux.resources.cpu.burst", cpu.burst().is_some()),
        ("linux.resources.cpu.idle", cpu.idle().is_some()),
    ])
    .collect()
}
