//! The virtual machine of a sandbox.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use virtcontainers_types::{AcceleratorChoice, Bytes, KernelParam, MachineType, MiB, SharedFs, Transport};

use super::is_default;

/// A virtual machine (the reference document's `HypervisorConfig`). Fields marked *not built* are refused when set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HypervisorConfig {
    /// vCPUs at boot.
    pub num_vcpus: u32,
    /// The most vCPUs that may be plugged; zero for no more than at boot.
    #[serde(skip_serializing_if = "is_default")]
    pub default_max_vcpus: u32,
    /// Memory at boot.
    pub memory_size: MiB,
    /// PCI bridges for hot-plugging. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub default_bridges: u32,
    /// Message size of 9p shares.
    pub msize_9p: Bytes,
    /// Slots for plugging memory. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub mem_slots: u32,
    /// Address space kept for an NVDIMM. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub mem_offset: MiB,
    /// DAX window of the virtio-fs share. Zero for none.
    #[serde(skip_serializing_if = "is_default")]
    pub virtio_fs_cache_size: MiB,
    /// Kernel parameters after the library's own.
    #[serde(skip_serializing_if = "is_default")]
    pub kernel_params: Vec<KernelParam>,
    /// VMM parameters after the library's own.
    #[serde(skip_serializing_if = "is_default")]
    pub hypervisor_params: Vec<KernelParam>,
    /// The guest's kernel.
    pub kernel_path: PathBuf,
    /// The guest's root as a disk image; this or `initrd_path`.
    #[serde(skip_serializing_if = "is_default")]
    pub image_path: Option<PathBuf>,
    /// The guest's root as an initrd; this or `image_path`.
    #[serde(skip_serializing_if = "is_default")]
    pub initrd_path: Option<PathBuf>,
    /// Firmware in place of the VMM's own.
    #[serde(skip_serializing_if = "is_default")]
    pub firmware_path: Option<PathBuf>,
    /// SHA-512 that the files above must have.
    #[serde(skip_serializing_if = "is_default")]
    pub asset_hashes: AssetHashes,
    /// Machine options, as QEMU's `-machine` takes them.
    #[serde(skip_serializing_if = "is_default")]
    pub machine_accelerators: Option<String>,
    /// CPU features, as QEMU's `-cpu` takes them.
    #[serde(skip_serializing_if = "is_default")]
    pub cpu_features: Option<String>,
    /// The VMM's program; the one of this name in `PATH` when not given.
    #[serde(skip_serializing_if = "is_default")]
    pub hypervisor_path: Option<PathBuf>,
    /// VMM programs that annotations may name. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub hypervisor_path_list: Vec<String>,
    /// VMM control programs that annotations may name. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub hypervisor_ctl_path_list: Vec<String>,
    /// The VMM's control program. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub hypervisor_ctl_path: Option<PathBuf>,
    /// The VMM's jailer. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub jailer_path: Option<PathBuf>,
    /// Jailers that annotations may name. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub jailer_path_list: Vec<String>,
    /// Driver of block devices. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub block_device_driver: Option<BlockDeviceDriver>,
    /// The machine type.
    pub hypervisor_machine_type: MachineType,
    /// What runs the guest's instructions. (Beyond the reference document.)
    pub accelerator: AcceleratorChoice,
    /// The stream between host and agent. (The reference document has `use_vsock` only.)
    pub transport: Transport,
    /// Memory file of a template. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub memory_path: Option<PathBuf>,
    /// Device state file of a template. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub devices_state_path: Option<PathBuf>,
    /// Host source of entropy; `/dev/urandom` when not given.
    #[serde(skip_serializing_if = "is_default")]
    pub entropy_source: Option<PathBuf>,
    /// How the guest sees its containers' files.
    pub shared_fs: SharedFs,
    /// The virtio-fs daemon's program. When not given, `vc-virtiofsd`, or else `virtiofsd`: beside the helpers' program or
    /// this process's, on `PATH`, in the usual places.
    #[serde(skip_serializing_if = "is_default")]
    pub virtio_fs_daemon: Option<PathBuf>,
    /// Daemons that annotations may name. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub virtio_fs_daemon_list: Vec<String>,
    /// Cache mode of virtio-fs: `auto`, `always`, `metadata` or `never`; `auto` when not given.
    #[serde(skip_serializing_if = "is_default")]
    pub virtio_fs_cache: Option<String>,
    /// Further arguments of the virtio-fs daemon.
    #[serde(skip_serializing_if = "is_default")]
    pub virtio_fs_extra_args: Vec<String>,
    /// Directory of a file that backs the memory. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub file_backed_mem_root_dir: Option<PathBuf>,
    /// Such directories that annotations may name. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub file_backed_mem_root_list: Vec<String>,
    /// Set cache options on block devices. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub block_device_cache_set: bool,
    /// Bypass the host's page cache. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub block_device_cache_direct: bool,
    /// Ignore flushes. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub block_device_cache_noflush: bool,
    /// Never use a block device as a root filesystem. The library does not, so both values mean the same.
    #[serde(skip_serializing_if = "is_default")]
    pub disable_block_device_use: bool,
    /// I/O in threads of its own. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub enable_iothreads: bool,
    /// More output from VMM and kernel.
    #[serde(skip_serializing_if = "is_default")]
    pub debug: bool,
    /// Allocate all memory before the guest runs.
    #[serde(skip_serializing_if = "is_default")]
    pub mem_prealloc: bool,
    /// Memory from huge pages. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub huge_pages: bool,
    /// virtio-mem. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub virtio_mem: bool,
    /// A virtual IOMMU. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub iommu: bool,
    /// Devices behind the virtual IOMMU. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub iommu_platform: bool,
    /// Real-time settings. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub realtime: bool,
    /// Lock the memory. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub mlock: bool,
    /// Leave out what is done for running on top of another VMM. Nothing is, so both values mean the same.
    #[serde(skip_serializing_if = "is_default")]
    pub disable_nesting_checks: bool,
    /// The stream must be a vsock, the kernel's or a hybrid one. `false` demands nothing; see `transport`.
    #[serde(skip_serializing_if = "is_default")]
    pub use_vsock: bool,
    /// The disk image as a block device in place of an NVDIMM. It always is, so both values mean the same.
    #[serde(skip_serializing_if = "is_default")]
    pub disable_image_nvdimm: bool,
    /// Plug VFIO devices on the root bus. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub hotplug_vfio_on_root_bus: bool,
    /// How many devices can be plugged in while the machine runs: PCI Express root ports on q35, slots of the root bus on
    /// pc. When zero, 8 for a sandbox with a network, and none for one without.
    #[serde(skip_serializing_if = "is_default")]
    pub pcie_root_port: u32,
    /// Become a template. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub boot_to_be_template: bool,
    /// Start from a template. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub boot_from_template: bool,
    /// Have the VMM move the packets of interfaces even where the host's kernel could (`/dev/vhost-net`).
    #[serde(skip_serializing_if = "is_default")]
    pub disable_vhost_net: bool,
    /// vhost-user block devices. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub enable_vhost_user_store: bool,
    /// Directory of vhost-user devices. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub vhost_user_store_path: Option<PathBuf>,
    /// Such directories that annotations may name. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub vhost_user_store_path_list: Vec<String>,
    /// A directory of the guest with OCI hooks, in folders named after their kinds, for the agent to run.
    #[serde(skip_serializing_if = "is_default")]
    pub guest_hook_path: Option<PathBuf>,
    /// The factory's machine to use. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub vm_id: Option<String>,
    /// SELinux label of the VMM. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub selinux_process_label: Option<String>,
    /// Annotations that may change this configuration. Not built.
    #[serde(skip_serializing_if = "is_default")]
    pub enable_annotations: Vec<String>,
    /// Confine the VMM's system calls. (Beyond the reference document.)
    pub seccomp: bool,
}

/// Expected SHA-512 of files, in hexadecimal; a file without one is not hashed (the reference's asset hash
/// annotations).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AssetHashes {
    /// Of `kernel_path`.
    #[serde(skip_serializing_if = "is_default")]
    pub kernel: Option<String>,
    /// Of `image_path`.
    #[serde(skip_serializing_if = "is_default")]
    pub image: Option<String>,
    /// Of `initrd_path`.
    #[serde(skip_serializing_if = "is_default")]
    pub initrd: Option<String>,
    /// Of `firmware_path`.
    #[serde(skip_serializing_if = "is_default")]
    pub firmware: Option<String>,
    /// Of `hypervisor_path`.
    #[serde(skip_serializing_if = "is_default")]
    pub hypervisor: Option<String>,
}

/// How a block device reaches the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BlockDeviceDriver {
    /// virtio-scsi.
    VirtioScsi,
    /// virtio-blk.
    VirtioBlk,
    /// virtio-blk over MMIO.
    VirtioMmio,
    /// NVDIMM.
    Nvdimm,
}

impl Default for HypervisorConfig {
    fn default() -> Self {
        Self {
            num_vcpus: 1,
            default_max_vcpus: 0,
            memory_size: MiB(1024),
            default_bridges: 0,
            msize_9p: Bytes(131_072),
            mem_slots: 0,
            mem_offset: MiB(0),
            virtio_fs_cache_size: MiB(0),
            kernel_params: Vec::new(),
            hypervisor_params: Vec::new(),
            kernel_path: PathBuf::new(),
            image_path: None,
            initrd_path: None,
            firmware_path: None,
            asset_hashes: AssetHashes::default(),
            machine_accelerators: None,
            cpu_features: None,
            hypervisor_path: None,
            hypervisor_path_list: Vec::new(),
            hypervisor_ctl_path_list: Vec::new(),
            hypervisor_ctl_path: None,
            jailer_path: None,
            jailer_path_list: Vec::new(),
            block_device_driver: None,
            hypervisor_machine_type: MachineType::default(),
            accelerator: AcceleratorChoice::default(),
            transport: Transport::default(),
            memory_path: None,
            devices_state_path: None,
            entropy_source: None,
            shared_fs: SharedFs::default(),
            virtio_fs_daemon: None,
            virtio_fs_daemon_list: Vec::new(),
            virtio_fs_cache: None,
            virtio_fs_extra_args: Vec::new(),
            file_backed_mem_root_dir: None,
            file_backed_mem_root_list: Vec::new(),
            block_device_cache_set: false,
            block_device_cache_direct: false,
            block_device_cache_noflush: false,
            disable_block_device_use: false,
            enable_iothreads: false,
            debug: false,
            mem_prealloc: false,
            huge_pages: false,
            virtio_mem: false,
            iommu: false,
            iommu_platform: false,
            realtime: false,
            mlock: false,
            disable_nesting_checks: false,
            use_vsock: false,
            disable_image_nvdimm: false,
            hotplug_vfio_on_root_bus: false,
            pcie_root_port: 0,
            boot_to_be_template: false,
            boot_from_template: false,
            disable_vhost_net: false,
            enable_vhost_user_store: false,
            vhost_user_store_path: None,
            vhost_user_store_path_list: Vec::new(),
            guest_hook_path: None,
            vm_id: None,
            selinux_process_label: None,
            enable_annotations: Vec::new(),
            seccomp: true,
        }
    }
}
