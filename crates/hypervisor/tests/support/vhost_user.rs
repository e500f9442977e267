//! The least that is a vhost-user network process (QEMU's docs/interop/vhost-user): it takes every message, answers those
//! that want an answer, and moves no packet.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    sync::mpsc::{Receiver, channel},
};

const GET_FEATURES: u32 = 1;
const GET_VRING_BASE: u32 = 11;
const GET_PROTOCOL_FEATURES: u32 = 15;
/// Version 1, and that this is an answer.
const ANSWER: u32 = 1 | 1 << 2;
/// A modern virtio device, and the protocol's own features: without these QEMU takes it to map no memory.
const FEATURES: u64 = 1 << 32 | 1 << 30;

/// Serves one VMM at this socket, on a thread of its own; tells when the VMM has hung up.
pub(crate) fn serve(socket: &Path) -> Receiver<()> {
    let listener = UnixListener::bind(socket).expect("the directory is writable");
    let (end, ended) = channel();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("the VMM comes");
        converse(stream).expect("it speaks vhost-user");
        end.send(()).ok();
    });
    ended
}

fn converse(mut stream: UnixStream) -> std::io::Result<()> {
    let mut header = [0; 12];
    // The descriptors that come with some messages are closed by the kernel, for nobody takes them.
    while stream.read(&mut header[..1])? == 1 {
        stream.read_exact(&mut header[1..])?;
        let field = |place: usize| {
            let bytes = &header[place * 4..][..4];
            u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
        };
        let mut payload = vec![0; field(2).min(4096) as usize];
        stream.read_exact(&mut payload)?;
        let answer: Vec<u8> = match field(0) {
            GET_FEATURES => FEATURES.to_ne_bytes().to_vec(),
            GET_PROTOCOL_FEATURES => vec![0; 8],
            // The ring's number, as it was asked; the index is not looked at any more.
            GET_VRING_BASE => payload,
            _ => continue,
        };
        let size = u32::try_from(answer.len()).expect("a small answer");
        stream.write_all(&[field(0), ANSWER, size].map(u32::to_ne_bytes).concat())?;
        stream.write_all(&answer)?;
    }
    Ok(())
}
