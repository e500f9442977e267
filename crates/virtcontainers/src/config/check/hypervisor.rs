//! Checks of a virtual machine.

use virtcontainers_types::{HypervisorKind, KernelParam, MachineType, MiB, SharedFs, VcpuCount};

use super::{HostFacts, HypervisorConfig, Problem, Report, Wanted, asset};

/// The least memory with which a Linux kernel, its initrd and an agent come up.
const LEAST_MEMORY: MiB = MiB(64);
/// More slots than any machine type has room for: what it has room for is known when it is planned.
const MOST_SLOTS: u32 = 64;
/// Kernel parameters that the library sets itself.
const OWN_PARAMETERS: [&str; 2] = [
    virtcontainers_agent_protocol::kernel_parameters::TRANSPORT,
    virtcontainers_agent_protocol::kernel_parameters::ANNOUNCE,
];

pub(super) fn check(config: &HypervisorConfig, kind: HypervisorKind, host: &HostFacts, report: &mut Report) {
    check_processors(config, report);
    check_memory(config, host, report);
    check_params("kernel_params", &config.kernel_params, &OWN_PARAMETERS, report);
    check_params("hypervisor_params", &config.hypervisor_params, &[], report);
    asset::check(config, kind, report);
    check_programs(config, report);
    check_share(config, report);
    refuse_unbuilt_devices(config, report);
    refuse_unbuilt_memory(config, report);
    refuse_unbuilt_policy(config, report);
}

/// As many as QEMU gives to the machine (7.2, `-machine TYPE -smp N`): more would fail after all has been prepared.
const fn most_vcpus(machine: MachineType) -> u32 {
    match machine {
        MachineType::Pc => 255,
        MachineType::Q35 | MachineType::Microvm => 288,
        MachineType::Virt => 512,
        MachineType::Pseries => 1024,
        MachineType::S390CcwVirtio => 248,
    }
}

fn check_processors(config: &HypervisorConfig, report: &mut Report) {
    let Some(vcpus) = report.take("num_vcpus", VcpuCount::new(config.num_vcpus)) else { return };
    let most = most_vcpus(config.hypervisor_machine_type);
    for (field, asked) in [("num_vcpus", vcpus.get()), ("default_max_vcpus", config.default_max_vcpus)] {
        if asked > most {
            let expected = "the machine type has no room for so many: q35 and microvm have for 288, pc 255, virt 512, \
                            pseries 1024, s390-ccw-virtio 248";
            report.add(field, Problem::Invalid { found: asked.to_string(), expected });
        }
    }
    if config.default_max_vcpus != 0 && config.default_max_vcpus < vcpus.get() {
        report.add(
            "default_max_vcpus",
            Problem::Invalid {
                found: config.default_max_vcpus.to_string(),
                expected: "write at least num_vcpus, or 0 for as many",
            },
        );
    }
}

fn check_memory(config: &HypervisorConfig, host: &HostFacts, report: &mut Report) {
    let wanted = config.memory_size;
    if wanted < LEAST_MEMORY {
        report.add(
            "memory_size",
            Problem::Invalid { found: wanted.to_string(), expected: "a guest needs at least 64 MiB" },
        );
    }
    if wanted > host.memory {
        report.add("memory_size", Problem::TooMuchMemory { wanted, host: host.memory });
    }
}

fn check_params(field: &str, params: &[KernelParam], reserved: &[&str], report: &mut Report) {
    for (index, param) in params.iter().enumerate() {
        let field = format!("{field}[{index}]");
        let breaks = |c: char| c.is_whitespace() || c == '\0';
        if param.key.is_empty() || param.key.contains(breaks) || param.value.contains('\0') {
            let expected = "write a key without blanks, and no NUL";
            report.add(&field, Problem::Invalid { found: param.to_string(), expected });
        } else if !reserved.is_empty() && param.value.contains(char::is_whitespace) {
            let expected = "write one parameter an entry: its value has a blank";
            report.add(&field, Problem::Invalid { found: param.to_string(), expected });
        }
        if reserved.contains(&param.key.as_str()) {
            let expected = "the library sets this parameter itself: leave it out";
            report.add(&field, Problem::Invalid { found: param.to_string(), expected });
        }
    }
}

fn check_programs(config: &HypervisorConfig, report: &mut Report) {
    if let Some(program) = &config.hypervisor_path {
        report.path("hypervisor_path", program, Wanted::Program, "install the VMM, or leave the field out");
    }
    if let Some(daemon) = &config.virtio_fs_daemon {
        report.path("virtio_fs_daemon", daemon, Wanted::Program, "install virtiofsd, or leave the field out");
    }
    if let Some(source) = &config.entropy_source {
        report.path("entropy_source", source, Wanted::Anything, "use /dev/urandom");
    }
}

fn check_share(config: &HypervisorConfig, report: &mut Report) {
    const MODES: [&str; 4] = ["auto", "always", "metadata", "never"];
    if let Some(mode) = &config.virtio_fs_cache
        && !MODES.contains(&mode.as_str())
    {
        let expected = "write auto, always, metadata or never";
        report.add("virtio_fs_cache", Problem::Invalid { found: mode.clone(), expected });
    }
    if config.shared_fs == SharedFs::Virtio9p && !(4096..=1 << 20).contains(&config.msize_9p.0) {
        let expected = "write from 4096 to 1048576 bytes";
        report.add("msize_9p", Problem::Invalid { found: config.msize_9p.to_string(), expected });
    }
}

fn refuse_unbuilt_devices(config: &HypervisorConfig, report: &mut Report) {
    report.not_built("default_bridges", config.default_bridges != 0);
    report.not_built("block_device_driver", config.block_device_driver.is_some());
    report.not_built("block_device_cache_set", config.block_device_cache_set);
    report.not_built("block_device_cache_direct", config.block_device_cache_direct);
    report.not_built("block_device_cache_noflush", config.block_device_cache_noflush);
    report.not_built("enable_iothreads", config.enable_iothreads);
    report.not_built("iommu", config.iommu);
    report.not_built("iommu_platform", config.iommu_platform);
    report.not_built("hotplug_vfio_on_root_bus", config.hotplug_vfio_on_root_bus);
    if config.pcie_root_port > MOST_SLOTS {
        report.invalid(
            "pcie_root_port",
            config.pcie_root_port,
            "write at most 64, or 0 for the library's choice",
        );
    }
    report.not_built("enable_vhost_user_store", config.enable_vhost_user_store);
    report.not_built("vhost_user_store_path", config.vhost_user_store_path.is_some());
}

fn refuse_unbuilt_memory(config: &HypervisorConfig, report: &mut Report) {
    report.not_built("mem_slots", config.mem_slots != 0);
    report.not_built("mem_offset", config.mem_offset != MiB(0));
    report.not_built("memory_path", config.memory_path.is_some());
    report.not_built("devices_state_path", config.devices_state_path.is_some());
    report.not_built("file_backed_mem_root_dir", config.file_backed_mem_root_dir.is_some());
    report.not_built("huge_pages", config.huge_pages);
    report.not_built("virtio_mem", config.virtio_mem);
    report.not_built("realtime", config.realtime);
    report.not_built("mlock", config.mlock);
    report.not_built("boot_to_be_template", config.boot_to_be_template);
    report.not_built("boot_from_template", config.boot_from_template);
    report.not_built("vm_id", config.vm_id.is_some());
}

fn refuse_unbuilt_policy(config: &HypervisorConfig, report: &mut Report) {
    report.not_built("hypervisor_path_list", !config.hypervisor_path_list.is_empty());
    report.not_built("hypervisor_ctl_path_list", !config.hypervisor_ctl_path_list.is_empty());
    report.not_built("hypervisor_ctl_path", config.hypervisor_ctl_path.is_some());
    report.not_built("jailer_path", config.jailer_path.is_some());
    report.not_built("jailer_path_list", !config.jailer_path_list.is_empty());
    report.not_built("virtio_fs_daemon_list", !config.virtio_fs_daemon_list.is_empty());
    report.not_built("file_backed_mem_root_list", !config.file_backed_mem_root_list.is_empty());
    report.not_built("vhost_user_store_path_list", !config.vhost_user_store_path_list.is_empty());
    if let Some(path) = config.guest_hook_path.as_ref().filter(|path| !super::is_plain_absolute(path)) {
        report.invalid(
            "guest_hook_path",
            path.display(),
            "write an absolute path in the guest, without '..'",
        );
    }
    report.not_built("selinux_process_label", config.selinux_process_label.is_some());
    report.not_built("enable_annotations", !config.enable_annotations.is_empty());
}
