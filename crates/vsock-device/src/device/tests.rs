//! The device on rings that a hostile guest has made.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    io::Write as _,
    os::unix::net::{UnixListener, UnixStream},
    sync::Arc,
};

use rustix::event::{EventfdFlags, epoll, eventfd};
use vm_memory::{Bytes as _, GuestAddress};

use super::*;
use crate::packet::{Op, STREAM};

const DESCRIPTORS: u64 = 0x1000;
const AVAILABLE: u64 = 0x2000;
const USED: u64 = 0x3000;
const BUFFER: u64 = 0x8000;
const SIZE: u16 = 4;
/// `VIRTQ_DESC_F_WRITE`.
const WRITE: u16 = 2;

/// A device that listens in a directory, with one of its rings running.
fn device(dir: &tempfile::TempDir, running: usize) -> (Device, UnixListener) {
    let base = dir.path().join("vsock");
    let listener = UnixListener::bind(&base).unwrap();
    listener.set_nonblocking(true).unwrap();
    let epoll = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC).unwrap());
    let mut device = Device::new(Muxer::new(3, base, epoll)).unwrap();
    device.memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x1_0000)]).unwrap();
    let ring = &mut device.rings[running];
    ring.queue.try_set_size(SIZE).unwrap();
    ring.queue.try_set_desc_table_address(GuestAddress(DESCRIPTORS)).unwrap();
    ring.queue.try_set_avail_ring_address(GuestAddress(AVAILABLE)).unwrap();
    ring.queue.try_set_used_ring_address(GuestAddress(USED)).unwrap();
    ring.call = Some(eventfd(0, EventfdFlags::NONBLOCK).unwrap().into());
    ring.enabled = true;
    ring.start();
    (device, listener)
}

/// The guest says how many chains it has made available in all.
fn available(device: &Device, count: u16) {
    device.memory.write_obj(count, GuestAddress(AVAILABLE + 2)).unwrap();
}

#[test]
fn a_ring_that_claims_more_than_it_holds_rests() {
    let dir = tempfile::tempdir().unwrap();
    let (mut device, _listener) = device(&dir, TX);
    available(&device, SIZE + 1);
    assert!(!device.pump(), "it would go around for ever");
    assert!(!device.rings[TX].runs());
    // Until it is started anew.
    available(&device, 0);
    device.rings[TX].start();
    assert!(!device.pump());
    assert!(device.rings[TX].runs());
}

#[test]
fn a_buffer_with_room_for_a_header_only_rests_the_ring() {
    let dir = tempfile::tempdir().unwrap();
    let (mut device, listener) = device(&dir, RX);
    let mut client = UnixStream::connect(dir.path().join("vsock")).unwrap();
    client.write_all(b"CONNECT 7\nwords").unwrap();
    device.muxer.accept(&listener);
    let request = device.muxer.next(4096, &mut Vec::new()).unwrap();
    let answer = Header { op: Op::RESPONSE, kind: STREAM, allocated: 100, ..request.refusal() };
    device.muxer.take(&answer, &[]);
    device.memory.write_obj(BUFFER, GuestAddress(DESCRIPTORS)).unwrap();
    device.memory.write_obj(u32::try_from(HEADER).unwrap(), GuestAddress(DESCRIPTORS + 8)).unwrap();
    device.memory.write_obj(WRITE, GuestAddress(DESCRIPTORS + 12)).unwrap();
    available(&device, 1);
    assert!(!device.pump());
    assert!(!device.rings[RX].runs());
}
