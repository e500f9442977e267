//! The one thread: it waits for the VMM, for kicks and for sockets, and serves them one after the other.

use std::{
    io::{self, Read as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustix::{
    event::epoll::{self, CreateFlags, Event, EventData, EventFlags},
    io::Errno,
    time::Timespec,
};
use thiserror::Error;
use vhost::vhost_user::BackendReqHandler;

use crate::{
    device::Device,
    frontend::Frontend,
    muxer::{FIRST_TOKEN, Muxer},
};

const FRONTEND: u64 = 0;
const CLIENTS: u64 = 1;
/// The kicks of the rings, from here on.
const KICKS: u64 = 2;

/// So many events are taken at once.
const EVENTS: usize = 64;

/// The token of a ring's kick in the epoll set.
pub(crate) fn kick_token(ring: u32) -> u64 {
    KICKS + u64::from(ring)
}

/// A device that is about to serve one guest.
#[derive(Debug)]
pub struct VsockDevice {
    /// The guest's context id, 3 or more.
    pub guest_cid: u64,
    /// Where the VMM connects, with the vhost-user protocol.
    pub frontend: UnixListener,
    /// Where host programs connect, to say `CONNECT <port>` and be answered `OK <port>`.
    pub clients: UnixListener,
    /// Connections that the guest opens to the host's port `P` go to the socket `<base>_P`.
    pub base: PathBuf,
}

/// Why a device has ended.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VsockDeviceError {
    /// The host's kernel refused something.
    #[error("cannot {what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The VMM asked for what the device has not, or in a way that makes no sense.
    #[error("the VMM's request failed: {0}")]
    Frontend(#[source] vhost::vhost_user::Error),
    /// The words to a helper's program are not those that it expects.
    #[error("expected the guest's context id and the base of the host's sockets")]
    Words,
    /// A ring could not be made.
    #[error("cannot make a ring: {0}")]
    Ring(#[from] virtio_queue::Error),
}

fn cannot<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> VsockDeviceError {
    move |source| VsockDeviceError::Io { what, source: source.into() }
}

impl VsockDevice {
    /// Serves one VMM, on the calling thread, until it hangs up.
    ///
    /// # Errors
    /// [`VsockDeviceError`].
    pub fn run(self) -> Result<(), VsockDeviceError> {
        let (stream, _) = self.frontend.accept().map_err(cannot("let the VMM in"))?;
        drop(self.frontend);
        let epoll = Arc::new(epoll::create(CreateFlags::CLOEXEC).map_err(cannot("make a set of events"))?);
        self.clients.set_nonblocking(true).map_err(cannot("prepare the clients' socket"))?;
        let watch = |fd: std::os::fd::BorrowedFd<'_>, token| {
            epoll::add(&*epoll, fd, EventData::new_u64(token), EventFlags::IN)
                .map_err(cannot("watch a socket"))
        };
        watch(stream.as_fd(), FRONTEND)?;
        watch(self.clients.as_fd(), CLIENTS)?;
        let muxer = Muxer::new(self.guest_cid, self.base, Arc::clone(&epoll));
        let frontend = Frontend::new(Device::new(muxer)?, self.guest_cid, Arc::clone(&epoll));
        Loop::new(epoll, stream, frontend, self.clients).run()
    }
}

/// What a helper's program calls: serves on the sockets that are its standard input (the VMM's) and standard output
/// (host programs'). Its words are the guest's context id and the base of the host's sockets.
///
/// # Errors
/// [`VsockDeviceError`].
pub fn run_inherited(mut words: impl Iterator<Item = String>) -> Result<(), VsockDeviceError> {
    let guest_cid = words.next().and_then(|word| word.parse().ok()).ok_or(VsockDeviceError::Words)?;
    let base = words.next().map(PathBuf::from).ok_or(VsockDeviceError::Words)?;
    let take = |fd: io::Result<OwnedFd>| fd.map(UnixListener::from).map_err(cannot("take over a socket"));
    let frontend = take(io::stdin().as_fd().try_clone_to_owned())?;
    let clients = take(io::stdout().as_fd().try_clone_to_owned())?;
    VsockDevice { guest_cid, frontend, clients, base }.run()
}

struct Loop {
    epoll: Arc<OwnedFd>,
    /// Shared with the handler of requests, on the same thread.
    frontend: Arc<Mutex<Frontend>>,
    requests: BackendReqHandler<Mutex<Frontend>>,
    clients: UnixListener,
}

impl Loop {
    fn new(epoll: Arc<OwnedFd>, stream: UnixStream, frontend: Frontend, clients: UnixListener) -> Self {
        let frontend = Arc::new(Mutex::new(frontend));
        let requests = BackendReqHandler::from_stream(stream, Arc::clone(&frontend));
        Self { epoll, frontend, requests, clients }
    }

    fn frontend(&self) -> MutexGuard<'_, Frontend> {
        self.frontend.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(mut self) -> Result<(), VsockDeviceError> {
        let mut events = Vec::with_capacity(EVENTS);
        let mut more = false;
        loop {
            events.clear();
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            let patience = more.then_some(&now);
            match epoll::wait(&*self.epoll, rustix::buffer::spare_capacity(&mut events), patience) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(cannot("wait for events")(error)),
            }
            for event in &events {
                if !self.serve(event)? {
                    return Ok(());
                }
            }
            more = self.frontend().device.pump();
        }
    }

    /// Serves an event; `false` when the VMM has hung up.
    fn serve(&mut self, event: &Event) -> Result<bool, VsockDeviceError> {
        // A copy, for the structure is packed.
        let (data, flags) = (event.data, event.flags);
        match data.u64() {
            FRONTEND => return self.request(),
            CLIENTS => self.frontend().device.muxer.accept(&self.clients),
            token if token < FIRST_TOKEN => self.unkick(token),
            token => self.frontend().device.muxer.awake(token, flags),
        }
        Ok(true)
    }

    fn request(&mut self) -> Result<bool, VsockDeviceError> {
        use vhost::vhost_user::Error;
        match self.requests.handle_request() {
            Ok(()) => Ok(true),
            Err(Error::Disconnected | Error::SocketBroken(_) | Error::PartialMessage) => Ok(false),
            Err(error) => Err(VsockDeviceError::Frontend(error)),
        }
    }

    /// Takes a kick; what it is about is looked at after all events.
    fn unkick(&self, token: u64) {
        let mut frontend = self.frontend();
        let ring = usize::try_from(token - KICKS).ok().and_then(|ring| frontend.device.rings.get_mut(ring));
        if let Some(kick) = ring.and_then(|ring| ring.kick.as_mut()) {
            // Nothing to take is no harm.
            kick.read_exact(&mut [0; 8]).ok();
        }
    }
}
