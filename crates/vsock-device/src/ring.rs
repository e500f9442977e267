//! A virtqueue with its two eventfds.
//!
//! A ring is stopped, or it runs: it has addresses, a kick and a call, and is enabled. Nothing is taken from or put into
//! one that is stopped, whatever the sockets have: a machine that is paused stops its rings and starts them again.

use std::{fs::File, io::Write as _};

use virtio_queue::{DescriptorChain, Queue, QueueOwnedT as _, QueueT as _};
use vm_memory::GuestMemoryMmap;

/// The most descriptors of a ring.
pub(crate) const MAX_SIZE: u16 = 1024;

/// A chain of descriptors in the guest's memory.
pub(crate) type Chain<'a> = DescriptorChain<&'a GuestMemoryMmap>;

#[derive(Debug)]
pub(crate) struct Ring {
    pub(crate) queue: Queue,
    pub(crate) kick: Option<File>,
    pub(crate) call: Option<File>,
    pub(crate) enabled: bool,
    /// The guest is to be called at the next occasion, whatever it has asked for: it may have missed a call.
    owed: bool,
    /// The guest has broken it; it rests until it is started anew.
    broken: bool,
}

impl Ring {
    pub(crate) fn new() -> Result<Self, virtio_queue::Error> {
        let queue = Queue::new(MAX_SIZE)?;
        Ok(Self { queue, kick: None, call: None, enabled: false, owed: false, broken: false })
    }

    /// Whether it runs.
    pub(crate) fn runs(&self) -> bool {
        self.enabled && self.queue.ready() && self.call.is_some() && !self.broken
    }

    /// Starts it.
    pub(crate) fn start(&mut self) {
        self.queue.set_ready(true);
        (self.owed, self.broken) = (true, false);
    }

    /// Stops it, and gives back the place of the next descriptor that the guest makes available.
    pub(crate) fn stop(&mut self) -> u16 {
        self.queue.set_ready(false);
        self.call = None;
        self.queue.next_avail()
    }

    /// The next chain that the guest has made available.
    pub(crate) fn pop<'a>(&mut self, memory: &'a GuestMemoryMmap) -> Option<Chain<'a>> {
        let error = match self.queue.iter(memory) {
            Ok(mut chains) => return chains.next(),
            Err(error) => error,
        };
        // Left as it is, it would seem to have something for ever.
        self.give_up(&error);
        None
    }

    /// Puts the chain back that was popped last, and not used.
    pub(crate) fn unpop(&mut self) {
        self.queue.set_next_avail(self.queue.next_avail().wrapping_sub(1));
    }

    /// Gives a chain back to the guest, with `length` bytes written to it.
    pub(crate) fn used(&mut self, memory: &GuestMemoryMmap, head: u16, length: u32) {
        if let Err(error) = self.queue.add_used(memory, head, length) {
            self.give_up(&error);
        }
    }

    /// Asks the guest to kick no more, or again: `true` when it has made something available meanwhile.
    pub(crate) fn listen(&mut self, memory: &GuestMemoryMmap, listen: bool) -> bool {
        let asked = if listen {
            self.queue.enable_notification(memory)
        } else {
            self.queue.disable_notification(memory).map(|()| false)
        };
        asked.unwrap_or_else(|error| {
            self.give_up(&error);
            false
        })
    }

    /// Tells the guest what was used, if it wants to be told.
    pub(crate) fn call_guest(&mut self, memory: &GuestMemoryMmap) {
        let wanted = self.queue.needs_notification(memory).unwrap_or(true);
        if let Some(call) = self.call.as_mut().filter(|_| wanted || self.owed) {
            // An eventfd whose count is full has called already.
            call.write_all(&1_u64.to_ne_bytes()).ok();
            self.owed = false;
        }
    }

    /// What the guest has put into the ring makes no sense.
    pub(crate) fn give_up(&mut self, error: &dyn std::fmt::Display) {
        tracing::warn!(%error, "the guest's ring is broken");
        self.broken = true;
    }
}
