//! Namespaces that the containers of the sandbox share: IPC and UTS always, process ids where a request says so.
//!
//! They are made when the first container needs them. Those of IPC and UTS are kept by a mount in the agent's
//! directory; that of process ids by its first process, the [`keeper`].

pub mod keeper;

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use tokio::sync::Mutex;

use crate::{
    error::CallError,
    reaper::Reaper,
    sys::{self, namespace::Kind},
};
use keeper::Keeper;

/// The sandbox's namespaces, as far as they are made.
#[derive(Debug)]
pub struct Namespaces {
    directory: PathBuf,
    reaper: Arc<Reaper>,
    made: Mutex<Made>,
}

#[derive(Debug, Default)]
struct Made {
    kept: Vec<Kind>,
    keeper: Option<Keeper>,
}

impl Namespaces {
    /// None made yet; `directory` is the agent's own.
    #[must_use]
    pub fn new(directory: &Path, reaper: Arc<Reaper>) -> Self {
        Self { directory: directory.join("namespaces"), reaper, made: Mutex::default() }
    }

    /// The file of the shared namespace of `kind`.
    ///
    /// # Errors
    /// [`CallError::Io`].
    pub async fn shared(&self, kind: Kind) -> Result<PathBuf, CallError> {
        let path = self.directory.join(kind.name());
        let mut made = self.made.lock().await;
        if !made.kept.contains(&kind) {
            keep(kind, &self.directory, &path).map_err(CallError::io("keep a new namespace at", &path))?;
            made.kept.push(kind);
        }
        Ok(path)
    }

    /// The file of the shared namespace of process ids. When its first process has been killed, the namespace with all
    /// its processes has ended, and there is a new one.
    ///
    /// # Errors
    /// [`CallError::Io`].
    pub async fn process_ids(&self) -> Result<PathBuf, CallError> {
        let mut made = self.made.lock().await;
        let keeper = match made.keeper.take().filter(Keeper::lives) {
            Some(keeper) => keeper,
            None => Keeper::start(&self.reaper).await?,
        };
        let path = keeper.namespace();
        made.keeper = Some(keeper);
        Ok(path)
    }

    /// Gives them up; those that are in use stay until they are not.
    pub async fn clear(&self) {
        let made = std::mem::take(&mut *self.made.lock().await);
        for kind in made.kept {
            // What stays mounted ends with the guest.
            sys::mount::unmount(&self.directory.join(kind.name())).ok();
        }
    }
}

/// Makes a namespace on a thread that ends with that, and mounts its file at `path`.
fn keep(kind: Kind, directory: &Path, path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    fs::File::create(path)?;
    let path = path.to_owned();
    let made = thread::Builder::new().name("namespace".to_owned()).spawn(move || {
        sys::namespace::leave(kind)?;
        sys::mount::bind(Path::new(&format!("/proc/thread-self/ns/{}", kind.name())), &path, false)
    })?;
    made.join().map_err(|_panic| io::Error::other("the thread that makes the namespace panicked"))?
}
