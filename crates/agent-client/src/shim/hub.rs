//! Those who are attached, as the output sees them: each with a bounded queue of its own, so that none waits for another.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;

/// How far a client may be behind, in bytes, before it is dropped.
pub(super) const MAX_BEHIND: usize = 1 << 20;

/// All clients.
#[derive(Debug, Default)]
pub(super) struct Hub {
    seats: Mutex<Vec<Seat>>,
}

/// Where a client's frames are put.
#[derive(Debug)]
struct Seat {
    queue: UnboundedSender<Bytes>,
    behind: Arc<AtomicUsize>,
    dropped: CancellationToken,
}

/// Where a client takes its frames from. Its end is the end of all.
#[derive(Debug)]
pub(super) struct Tap {
    queue: UnboundedReceiver<Bytes>,
    behind: Arc<AtomicUsize>,
    pub(super) dropped: CancellationToken,
}

impl Tap {
    /// The next frame. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        self.queue.recv().await
    }

    /// A frame has been sent.
    pub(super) fn sent(&self, frame: &Bytes) {
        self.behind.fetch_sub(frame.len(), Ordering::Relaxed);
    }
}

impl Hub {
    /// A new client: it gets what is pushed from now on.
    pub(super) fn join(&self) -> Tap {
        let (sender, queue) = unbounded_channel();
        let (behind, dropped) = (Arc::<AtomicUsize>::default(), CancellationToken::new());
        self.lock().push(Seat { queue: sender, behind: Arc::clone(&behind), dropped: dropped.clone() });
        Tap { queue, behind, dropped }
    }

    /// Whether anybody listens.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Gives a frame to all. Those who are too far behind are dropped, those who have left are forgotten.
    pub(super) fn push(&self, frame: &Bytes) {
        self.lock().retain(|seat| {
            if seat.behind.load(Ordering::Relaxed) + frame.len() > MAX_BEHIND {
                seat.dropped.cancel();
                return false;
            }
            seat.behind.fetch_add(frame.len(), Ordering::Relaxed);
            seat.queue.send(frame.clone()).is_ok()
        });
    }

    /// Gives a last frame to all; after it they are at their end.
    pub(super) fn finish(&self, last: Option<&Bytes>) {
        if let Some(last) = last {
            self.push(last);
        }
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Seat>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
