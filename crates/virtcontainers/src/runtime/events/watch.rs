//! The directories of records under inotify(7).

use std::{
    collections::HashMap,
    ffi::CStr,
    io,
    mem::MaybeUninit,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags},
    io::Errno,
};
use tokio::io::{Interest, unix::AsyncFd};
use virtcontainers_types::SandboxId;

use crate::error::{Cause, Error};

/// Names that come and go, and files that were written: a record grows by a line or is replaced, and the note of a
/// process's end comes by a rename.
const NAMES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::ONLYDIR);
/// How many times the kernel's queue is read before the events in it are looked at.
const READS: usize = 16;

/// Something to look at.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    Of(SandboxId),
    /// The kernel's queue was full.
    Lost,
}

/// A directory that is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// All sandboxes'.
    Root,
    /// A sandbox's.
    Sandbox(SandboxId),
    /// The one below it, with a directory for each container that has shims.
    Containers(SandboxId),
    /// One of these, with the notes of processes' ends.
    Container(SandboxId),
}

/// An inotify queue over the directories of records.
#[derive(Debug)]
pub(super) struct Watch {
    root: PathBuf,
    queue: AsyncFd<OwnedFd>,
    places: HashMap<i32, Place>,
}

impl Watch {
    /// Watches the directory of sandboxes; what is in it must be asked for.
    pub(super) fn new(root: PathBuf) -> Result<Self, Error> {
        let failed = |source: io::Error| Cause::Host { what: "watch records with inotify", source };
        let queue = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
            .map_err(|error| failed(error.into()))?;
        let queue = virtcontainers_sys::watch(queue, Interest::READABLE).map_err(failed)?;
        let mut watch = Self { root, queue, places: HashMap::new() };
        let path = watch.root.clone();
        watch.add(&path, Place::Root)?;
        Ok(watch)
    }

    /// The sandboxes that are there.
    pub(super) fn sandboxes(&self) -> Result<Vec<SandboxId>, Error> {
        Ok(names(&self.root)?.iter().filter_map(|name| SandboxId::new(name.as_str()).ok()).collect())
    }

    /// Watches a sandbox and its containers. One that is not there is no error.
    pub(super) fn sandbox(&mut self, id: &SandboxId) -> Result<(), Error> {
        let path = self.root.join(id.as_str());
        let containers = path.join("containers");
        if !self.add(&path, Place::Sandbox(id.clone()))?
            || !self.add(&containers, Place::Containers(id.clone()))?
        {
            return Ok(());
        }
        for name in names(&containers)? {
            self.add(&containers.join(name), Place::Container(id.clone()))?;
        }
        Ok(())
    }

    /// Watches a directory, again if need be. `false`: it is not there.
    fn add(&mut self, path: &Path, place: Place) -> Result<bool, Error> {
        match inotify::add_watch(&self.queue, path, NAMES) {
            Ok(descriptor) => {
                self.places.insert(descriptor, place);
                Ok(true)
            }
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
            Err(Errno::NOSPC) => Err(Cause::NoWatches.into()),
            Err(error) => {
                Err(Cause::Path { what: "watch", path: path.to_owned(), source: error.into() }.into())
            }
        }
    }

    /// Waits for changes. Cancel safe.
    pub(super) async fn changes(&mut self) -> Result<Vec<Change>, Error> {
        let failed = |source: io::Error| Cause::Host { what: "read changes of records from inotify", source };
        loop {
            let mut ready = self.queue.readable().await.map_err(failed)?;
            let mut changes = Vec::new();
            let emptied = read(self.queue.get_ref(), &mut self.places, &mut changes).map_err(failed)?;
            if emptied {
                ready.clear_ready();
            }
            if !changes.is_empty() {
                return Ok(changes);
            }
        }
    }
}

/// Takes what is in the queue. `true`: all of it.
fn read(queue: &OwnedFd, places: &mut HashMap<i32, Place>, changes: &mut Vec<Change>) -> io::Result<bool> {
    let mut buffer = [MaybeUninit::<u8>::uninit(); 8192];
    let mut reader = Reader::new(queue, &mut buffer);
    let mut reads = 0;
    loop {
        if reader.is_buffer_empty() {
            reads += 1;
            if reads > READS {
                return Ok(false);
            }
        }
        let event = match reader.next() {
            Ok(event) => event,
            Err(Errno::WOULDBLOCK) => return Ok(true),
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
            changes.clear();
            changes.push(Change::Lost);
        } else if event.events().contains(ReadFlags::IGNORED) {
            places.remove(&event.wd());
        } else if let Some(id) = places.get(&event.wd()).and_then(|place| place.concerns(event.file_name()))
            && !changes.iter().any(|change| matches!(change, Change::Of(known) if *known == id))
        {
            changes.push(Change::Of(id));
        }
    }
}

impl Place {
    /// The sandbox that is to be looked at when a name in this directory has come or gone.
    fn concerns(&self, name: Option<&CStr>) -> Option<SandboxId> {
        let name = name?.to_str().ok()?;
        match self {
            // Names with a dot are on their way in or out.
            Self::Root => SandboxId::new(name).ok(),
            Self::Sandbox(id) => (name.ends_with(".json") || name == "containers").then(|| id.clone()),
            Self::Containers(id) => Some(id.clone()),
            Self::Container(id) => name.ends_with(".exit").then(|| id.clone()),
        }
    }
}

/// The names in a directory; none when it is not there.
fn names(path: &Path) -> Result<Vec<String>, Error> {
    let failed = |source| Error::from(Cause::Path { what: "list", path: path.to_owned(), source });
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let name = |entry: io::Result<std::fs::DirEntry>| match entry {
        Ok(entry) => Ok(entry.file_name().to_string_lossy().into_owned()),
        Err(error) => Err(failed(error)),
    };
    entries.map(name).collect()
}
