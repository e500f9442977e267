//! The device: rings and connections, and what passes between them.

use std::io::{Read as _, Write as _};

use vm_memory::GuestMemoryMmap;

use crate::{
    muxer::Muxer,
    packet::{HEADER, Header},
    ring::{Chain, Ring},
};

/// The ring on which the guest receives.
pub(crate) const RX: usize = 0;
/// The ring on which the guest sends.
pub(crate) const TX: usize = 1;
/// Rings of the device: the third, for events, is the VMM's own business.
pub(crate) const RINGS: usize = 2;

/// The longest packet from a guest, in bytes of data. Linux sends at most 64 KiB.
const LONGEST: u32 = 1 << 20;
/// So often it goes around before other events have their turn.
const ROUNDS: usize = 16;
/// So many packets are moved in one direction before the other has its turn.
const BATCH: usize = 256;

#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) rings: [Ring; RINGS],
    pub(crate) memory: GuestMemoryMmap,
    pub(crate) muxer: Muxer,
    /// Reused from packet to packet.
    payload: Vec<u8>,
}

impl Device {
    pub(crate) fn new(muxer: Muxer) -> Result<Self, virtio_queue::Error> {
        let rings = [Ring::new()?, Ring::new()?];
        Ok(Self { rings, memory: GuestMemoryMmap::new(), muxer, payload: Vec::new() })
    }

    /// Moves packets until there is nothing to move. `true` when there is more, and others should have their turn.
    pub(crate) fn pump(&mut self) -> bool {
        for _ in 0..ROUNDS {
            let sent = self.rings[TX].runs() && self.drain();
            let received = self.rings[RX].runs() && self.supply();
            if !sent && !received {
                return false;
            }
        }
        true
    }

    /// Takes what the guest has sent; whether there was anything.
    fn drain(&mut self) -> bool {
        let ring = &mut self.rings[TX];
        ring.listen(&self.memory, false);
        let mut moved = 0;
        while moved < BATCH {
            let Some(chain) = ring.pop(&self.memory) else { break };
            let head = chain.head_index();
            match read(&self.memory, chain, &mut self.payload) {
                Ok(header) => self.muxer.take(&header, &self.payload),
                Err(error) => ring.give_up(&error),
            }
            ring.used(&self.memory, head, 0);
            moved += 1;
        }
        ring.call_guest(&self.memory);
        let more = ring.listen(&self.memory, true);
        moved > 0 || more
    }

    /// Gives the guest what there is for it; whether there was anything and a place to put it.
    fn supply(&mut self) -> bool {
        let ring = &mut self.rings[RX];
        ring.listen(&self.memory, false);
        let (mut moved, mut starved) = (0, false);
        while moved < BATCH && self.muxer.has_news() {
            let Some(chain) = ring.pop(&self.memory) else {
                starved = true;
                break;
            };
            let head = chain.head_index();
            match write(&self.memory, chain, &mut self.muxer, &mut self.payload) {
                Ok(Some(length)) => ring.used(&self.memory, head, length),
                Ok(None) => {
                    ring.unpop();
                    break;
                }
                Err(error) => {
                    ring.give_up(&error);
                    break;
                }
            }
            moved += 1;
        }
        ring.call_guest(&self.memory);
        // Only who waits for a place wants to know of new ones.
        let more = starved && ring.listen(&self.memory, true);
        moved > 0 || more
    }
}

/// Reads a packet of the guest.
fn read(memory: &GuestMemoryMmap, chain: Chain<'_>, payload: &mut Vec<u8>) -> Result<Header, std::io::Error> {
    let mut reader = chain.reader(memory).map_err(std::io::Error::other)?;
    let mut bytes = [0; HEADER];
    reader.read_exact(&mut bytes)?;
    let header = Header::parse(&bytes);
    if header.length > LONGEST || header.length as usize > reader.available_bytes() {
        return Err(std::io::Error::other(format!("a packet claims to have {} bytes", header.length)));
    }
    payload.resize(header.length as usize, 0);
    reader.read_exact(payload)?;
    Ok(header)
}

/// Writes the next packet for the guest; its length, or `None` when there is none after all.
fn write(
    memory: &GuestMemoryMmap,
    chain: Chain<'_>,
    muxer: &mut Muxer,
    payload: &mut Vec<u8>,
) -> Result<Option<u32>, std::io::Error> {
    let mut writer = chain.writer(memory).map_err(std::io::Error::other)?;
    let Some(room) = writer.available_bytes().checked_sub(HEADER).filter(|&room| room > 0) else {
        return Err(std::io::Error::other("a buffer has no room for data after a packet's header"));
    };
    let Some(header) = muxer.next(room, payload) else { return Ok(None) };
    writer.write_all(&header.encode())?;
    writer.write_all(payload)?;
    Ok(Some(u32::try_from(HEADER + payload.len()).unwrap_or(u32::MAX)))
}

#[cfg(test)]
mod tests;
