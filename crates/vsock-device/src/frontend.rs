//! The VMM's requests: which memory the guest has, where its rings are, when they start and stop. Their meaning is that
//! of QEMU's vhost-user protocol.

use std::{
    fs::File,
    os::fd::{AsFd as _, OwnedFd},
    sync::Arc,
};

use rustix::event::epoll::{self, EventData, EventFlags};
use vhost::vhost_user::{
    Error, Result, VhostUserBackendReqHandlerMut,
    message::{
        VhostTransferStateDirection, VhostTransferStatePhase, VhostUserConfigFlags, VhostUserInflight,
        VhostUserLog, VhostUserMemoryRegion, VhostUserProtocolFeatures, VhostUserShMemConfig,
        VhostUserSharedMsg, VhostUserSingleMemoryRegion, VhostUserVirtioFeatures, VhostUserVringAddrFlags,
        VhostUserVringState,
    },
};
use virtio_queue::QueueT as _;
use vm_memory::{GuestAddress, GuestMemoryMmap, GuestRegionMmap};

use crate::{device::Device, ring::Ring};

/// `VIRTIO_F_VERSION_1` and `VIRTIO_RING_F_EVENT_IDX`.
const VERSION_1: u64 = 1 << 32;
const EVENT_IDX: u64 = 1 << 29;

/// Where a piece of the guest's memory is in the VMM's address space and in the guest's.
#[derive(Debug)]
struct Mapping {
    vmm: u64,
    guest: u64,
    size: u64,
}

#[derive(Debug)]
pub(crate) struct Frontend {
    pub(crate) device: Device,
    guest_cid: u64,
    epoll: Arc<OwnedFd>,
    mappings: Vec<Mapping>,
    features: u64,
}

impl Frontend {
    pub(crate) const fn new(device: Device, guest_cid: u64, epoll: Arc<OwnedFd>) -> Self {
        Self { device, guest_cid, epoll, mappings: Vec::new(), features: 0 }
    }

    const fn offered() -> u64 {
        VERSION_1 | EVENT_IDX | VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits()
    }

    fn ring(&mut self, index: u32) -> Result<&mut Ring> {
        self.device.rings.get_mut(index as usize).ok_or(Error::InvalidParam)
    }

    /// An address of the guest, by the VMM's for it.
    fn guest_address(&self, vmm: u64) -> Result<GuestAddress> {
        let holds = |mapping: &&Mapping| vmm >= mapping.vmm && vmm - mapping.vmm < mapping.size;
        let mapping = self.mappings.iter().find(holds).ok_or(Error::InvalidParam)?;
        Ok(GuestAddress(mapping.guest + (vmm - mapping.vmm)))
    }

    /// Watches a ring's new kick, or none.
    fn watch_kick(&mut self, index: u32, kick: Option<File>) -> Result<()> {
        let epoll = Arc::clone(&self.epoll);
        let ring = self.ring(index)?;
        if let Some(old) = ring.kick.take() {
            // The VMM has it as well, so to close it does not end the watch.
            epoll::delete(&*epoll, old.as_fd()).map_err(|error| Error::ReqHandlerError(error.into()))?;
        }
        if let Some(new) = kick {
            let token = EventData::new_u64(crate::event::kick_token(index));
            epoll::add(&*epoll, new.as_fd(), token, EventFlags::IN)
                .map_err(|error| Error::ReqHandlerError(error.into()))?;
            ring.kick = Some(new);
        }
        Ok(())
    }
}

fn invalid<E>(_error: E) -> Error {
    Error::InvalidParam
}

impl VhostUserBackendReqHandlerMut for Frontend {
    fn set_owner(&mut self) -> Result<()> {
        Ok(())
    }

    fn reset_owner(&mut self) -> Result<()> {
        Ok(())
    }

    fn reset_device(&mut self) -> Result<()> {
        for index in [crate::device::RX, crate::device::TX] {
            self.device.rings[index].stop();
            self.watch_kick(u32::try_from(index).unwrap_or(0), None)?;
        }
        Ok(())
    }

    fn get_features(&mut self) -> Result<u64> {
        Ok(Self::offered())
    }

    fn set_features(&mut self, features: u64) -> Result<()> {
        if features & !Self::offered() != 0 {
            return Err(Error::InvalidParam);
        }
        self.features = features;
        for ring in &mut self.device.rings {
            ring.queue.set_event_idx(features & EVENT_IDX != 0);
            // Without the protocol's features there is no request to enable a ring.
            ring.enabled |= features & VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits() == 0;
        }
        Ok(())
    }

    fn set_mem_table(&mut self, regions: &[VhostUserMemoryRegion], files: Vec<File>) -> Result<()> {
        let (mut mapped, mut mappings) = (Vec::new(), Vec::new());
        for (region, file) in regions.iter().zip(files) {
            let guest = GuestAddress(region.guest_phys_addr);
            let map = GuestRegionMmap::new(region.mmap_region(file)?, guest).ok_or(Error::InvalidParam)?;
            mapped.push(map);
            mappings.push(Mapping {
                vmm: region.user_addr,
                guest: region.guest_phys_addr,
                size: region.memory_size,
            });
        }
        self.device.memory = GuestMemoryMmap::from_regions(mapped).map_err(invalid)?;
        self.mappings = mappings;
        Ok(())
    }

    fn set_vring_num(&mut self, index: u32, num: u32) -> Result<()> {
        let size = u16::try_from(num).map_err(invalid)?;
        self.ring(index)?.queue.try_set_size(size).map_err(invalid)
    }

    fn set_vring_addr(
        &mut self,
        index: u32,
        _flags: VhostUserVringAddrFlags,
        descriptor: u64,
        used: u64,
        available: u64,
        _log: u64,
    ) -> Result<()> {
        let descriptor = self.guest_address(descriptor)?;
        let (used, available) = (self.guest_address(used)?, self.guest_address(available)?);
        let Self { device: Device { rings, memory, .. }, .. } = self;
        let ring = rings.get_mut(index as usize).ok_or(Error::InvalidParam)?;
        ring.queue.try_set_desc_table_address(descriptor).map_err(invalid)?;
        ring.queue.try_set_avail_ring_address(available).map_err(invalid)?;
        ring.queue.try_set_used_ring_address(used).map_err(invalid)?;
        // The VMM tells where the guest's side stands; ours is in the ring.
        let used = ring.queue.used_idx(&*memory, std::sync::atomic::Ordering::Relaxed).map_err(invalid)?;
        ring.queue.set_next_used(used.0);
        Ok(())
    }

    fn set_vring_base(&mut self, index: u32, base: u32) -> Result<()> {
        let next = u16::try_from(base).map_err(invalid)?;
        self.ring(index)?.queue.set_next_avail(next);
        Ok(())
    }

    fn get_vring_base(&mut self, index: u32) -> Result<VhostUserVringState> {
        let next = self.ring(index)?.stop();
        self.watch_kick(index, None)?;
        Ok(VhostUserVringState::new(index, u32::from(next)))
    }

    fn set_vring_kick(&mut self, index: u8, fd: Option<File>) -> Result<()> {
        // None would mean to poll the ring.
        let kick = fd.ok_or(Error::InvalidParam)?;
        self.watch_kick(u32::from(index), Some(kick))?;
        self.ring(u32::from(index))?.start();
        Ok(())
    }

    fn set_vring_call(&mut self, index: u8, fd: Option<File>) -> Result<()> {
        self.ring(u32::from(index))?.call = fd;
        Ok(())
    }

    fn set_vring_err(&mut self, _index: u8, _fd: Option<File>) -> Result<()> {
        Ok(())
    }

    fn get_protocol_features(&mut self) -> Result<VhostUserProtocolFeatures> {
        Ok(VhostUserProtocolFeatures::CONFIG | VhostUserProtocolFeatures::REPLY_ACK)
    }

    fn set_protocol_features(&mut self, _features: u64) -> Result<()> {
        Ok(())
    }

    fn get_queue_num(&mut self) -> Result<u64> {
        Ok(crate::device::RINGS as u64)
    }

    fn set_vring_enable(&mut self, index: u32, enable: bool) -> Result<()> {
        self.ring(index)?.enabled = enable;
        Ok(())
    }

    fn get_config(&mut self, offset: u32, size: u32, _flags: VhostUserConfigFlags) -> Result<Vec<u8>> {
        // `struct virtio_vsock_config`: the guest's context id.
        let config = self.guest_cid.to_le_bytes();
        let end = offset.checked_add(size).ok_or(Error::InvalidParam)?;
        config.get(offset as usize..end as usize).map(<[u8]>::to_vec).ok_or(Error::InvalidParam)
    }

    fn set_config(&mut self, _offset: u32, _buf: &[u8], _flags: VhostUserConfigFlags) -> Result<()> {
        Err(Error::InvalidOperation("the configuration is read-only"))
    }

    fn set_gpu_socket(&mut self, _backend: vhost::vhost_user::GpuBackend) -> Result<()> {
        Err(UNASKED)
    }

    fn get_shared_object(&mut self, _uuid: VhostUserSharedMsg) -> Result<File> {
        Err(UNASKED)
    }

    fn get_inflight_fd(&mut self, _inflight: &VhostUserInflight) -> Result<(VhostUserInflight, File)> {
        Err(UNASKED)
    }

    fn set_inflight_fd(&mut self, _inflight: &VhostUserInflight, _file: File) -> Result<()> {
        Err(UNASKED)
    }

    fn get_max_mem_slots(&mut self) -> Result<u64> {
        Err(UNASKED)
    }

    fn add_mem_region(&mut self, _region: &VhostUserSingleMemoryRegion, _fd: File) -> Result<()> {
        Err(UNASKED)
    }

    fn remove_mem_region(&mut self, _region: &VhostUserSingleMemoryRegion) -> Result<()> {
        Err(UNASKED)
    }

    fn set_device_state_fd(
        &mut self,
        _direction: VhostTransferStateDirection,
        _phase: VhostTransferStatePhase,
        _fd: File,
    ) -> Result<Option<File>> {
        Err(UNASKED)
    }

    fn check_device_state(&mut self) -> Result<()> {
        Err(UNASKED)
    }

    fn get_shmem_config(&mut self) -> Result<VhostUserShMemConfig> {
        Err(UNASKED)
    }

    fn set_log_base(&mut self, _log: &VhostUserLog, _file: File) -> Result<()> {
        Err(UNASKED)
    }
}

/// Requests of features that were not offered.
const UNASKED: Error = Error::InvalidOperation("the feature was not offered");
