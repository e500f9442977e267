//! Reading logs that others write: from the beginning, from a moment or the last lines, and on while they grow and turn.

use std::{
    collections::VecDeque,
    fmt,
    fs::File,
    io::{self, Read as _},
    os::{fd::OwnedFd, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use async_trait::async_trait;
use rustix::{
    fs::{
        Mode, OFlags,
        inotify::{self, CreateFlags, WatchFlags},
    },
    io::Errno,
};
use tokio::io::{Interest, unix::AsyncFd};
use virtcontainers_agent_client::{
    guest_text,
    shim::{LogLine, parse},
};
use virtcontainers_hypervisor::plain_line;
use virtcontainers_sys::log::OLD_SUFFIX;
use virtcontainers_types::ExecId;

use crate::{
    error::{Cause, Error},
    time::Timestamp,
};

/// One read, in bytes.
const PIECE: usize = 32 << 10;
/// The longest line that is put together, in bytes: longer ones come in pieces.
const MAX_LINE: usize = 64 << 10;

/// Which of a sandbox's own logs is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LogSource {
    /// The agent's own.
    Agent,
    /// The guest's console.
    Console,
    /// What the virtual machine monitor complains of.
    Vmm,
}

/// What of a log is wanted. By default all of it, up to now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Of a container's log: which process; its first one by default.
    pub exec: Option<ExecId>,
    /// Goes on with what is written from now on, to the end of who writes it.
    pub follow: bool,
    /// Only what was written at this time or later. Lines without a time are all wanted.
    pub since: Option<Timestamp>,
    /// Only so many of the last lines.
    pub tail: Option<usize>,
}

/// When whoever writes a log is at its end.
#[async_trait]
pub(crate) trait End: Send + Sync {
    /// Resolves when nothing more will be written. Asked anew after each change in the directory.
    async fn come(&self) -> Result<(), Error>;
}

/// How lines are read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Text {
    /// In the CRI's format.
    Cri,
    /// As a guest's console or a VMM writes them, without what could steer a terminal.
    Plain,
    /// As the agent writes them, each an object of JSON.
    Json,
}

/// The lines of a log, one after the other.
pub struct Logs {
    dir: PathBuf,
    name: String,
    text: Text,
    since: Option<SystemTime>,
    file: Option<File>,
    /// The beginning of a line.
    begun: Vec<u8>,
    ready: VecDeque<LogLine>,
    follow: Option<Follow>,
}

/// What is needed to go on with what is written.
struct Follow {
    events: AsyncFd<OwnedFd>,
    end: Box<dyn End>,
    ended: bool,
}

impl Logs {
    pub(crate) fn open(
        dir: PathBuf,
        name: String,
        text: Text,
        end: Box<dyn End>,
        options: &LogOptions,
    ) -> Result<Self, Error> {
        // Watched before it is read, so that nothing is missed between the two.
        let follow = match options.follow {
            true => Some(Follow { events: watch(&dir)?, end, ended: false }),
            false => None,
        };
        let since = options.since.map(SystemTime::from);
        let mut logs =
            Self { dir, name, text, since, file: None, begun: Vec::new(), ready: VecDeque::new(), follow };
        logs.begin().map_err(|source| logs.failed(source))?;
        if let Some(count) = options.tail {
            logs.skip_to_last(count)?;
        }
        Ok(logs)
    }

    /// The next line; `None` at the end: of what there is, or with `follow` of who wrote it. Cancel safe.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn next(&mut self) -> Result<Option<LogLine>, Error> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Ok(Some(line));
            }
            if self.read_on()? {
                continue;
            }
            let over = match &mut self.follow {
                None => true,
                Some(follow) if follow.ended => true,
                Some(follow) => {
                    follow.wait().await?;
                    false
                }
            };
            if over {
                self.finish_line();
                return Ok(self.ready.pop_front());
            }
        }
    }

    /// Opens the first file: the old one, where there is one.
    fn begin(&mut self) -> io::Result<()> {
        let current = self.open_named(&self.name)?;
        let old = self.open_named(&format!("{}{OLD_SUFFIX}", self.name))?;
        // A turn between the two made the first the old one.
        let same = |a: &File, b: &File| Ok::<_, io::Error>(a.metadata()?.ino() == b.metadata()?.ino());
        self.file = match (current, old) {
            (Some(current), Some(old)) if same(&current, &old)? => Some(current),
            (_, Some(old)) => Some(old),
            (current, None) => current,
        };
        Ok(())
    }

    fn open_named(&self, name: &str) -> io::Result<Option<File>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match rustix::fs::openat(rustix::fs::CWD, self.dir.join(name), flags, Mode::empty()) {
            Ok(file) => Ok(Some(File::from(file))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Keeps only the last lines of what there is.
    fn skip_to_last(&mut self, count: usize) -> Result<(), Error> {
        let mut last = VecDeque::new();
        let mut whole = 0;
        loop {
            let more = self.read_on()?;
            for line in self.ready.drain(..) {
                whole += usize::from(!line.partial);
                last.push_back(line);
            }
            while whole > count {
                match last.pop_front() {
                    Some(line) => whole -= usize::from(!line.partial),
                    None => break,
                }
            }
            if !more {
                break;
            }
        }
        self.ready = last;
        Ok(())
    }

    /// Reads another piece, of this file or of the next. `false`: there is nothing more for now.
    fn read_on(&mut self) -> Result<bool, Error> {
        let mut piece = vec![0; PIECE];
        loop {
            let length = match &mut self.file {
                Some(file) => file.read(&mut piece).map_err(|source| self.failed(source))?,
                None => 0,
            };
            if length > 0 {
                self.take(&piece[..length]);
                return Ok(true);
            }
            if !self.turn().map_err(|source| self.failed(source))? {
                return Ok(false);
            }
        }
    }

    /// Goes on to the next file, if there is one. A file that was turned grows no more, and was read to its end.
    fn turn(&mut self) -> io::Result<bool> {
        let Some(current) = self.open_named(&self.name)? else { return Ok(false) };
        let next = match &self.file {
            Some(file) => current.metadata()?.ino() != file.metadata()?.ino(),
            None => true,
        };
        if next {
            // Between its last read and the turn it may have grown.
            if let Some(file) = &mut self.file {
                let mut rest = Vec::new();
                file.read_to_end(&mut rest)?;
                self.take(&rest);
            }
            self.file = Some(current);
        }
        Ok(next)
    }

    /// Makes lines of a piece.
    fn take(&mut self, piece: &[u8]) {
        for part in piece.split_inclusive(|&byte| byte == b'\n') {
            match part.strip_suffix(b"\n") {
                Some(end) => {
                    self.begun.extend_from_slice(end);
                    self.finish_line();
                }
                None => self.begun.extend_from_slice(part),
            }
            if self.begun.len() > MAX_LINE {
                self.finish_line();
            }
        }
    }

    fn finish_line(&mut self) {
        if self.begun.is_empty() {
            return;
        }
        let line = std::mem::take(&mut self.begun);
        let line = match self.text {
            Text::Cri => parse(&line),
            Text::Plain => plain(plain_line(&String::from_utf8_lossy(&line))),
            Text::Json => plain(guest_text(&String::from_utf8_lossy(&line))),
        };
        if line.text.is_empty() && line.time.is_none() {
            return; // nothing was left of it
        }
        let wanted = match (line.time, self.since) {
            (Some(time), Some(since)) => time >= since,
            (None, _) | (_, None) => true,
        };
        if wanted {
            self.ready.push_back(line);
        }
    }

    fn failed(&self, source: io::Error) -> Error {
        Cause::Path { what: "read the log", path: self.dir.join(&self.name), source }.into()
    }
}

fn plain(text: String) -> LogLine {
    LogLine { time: None, stream: None, partial: false, text: text.into_bytes() }
}

impl Follow {
    /// Waits until there may be something new, or the end.
    async fn wait(&mut self) -> Result<(), Error> {
        let failed = |source| Cause::Host { what: "watch a log", source };
        tokio::select! {
            biased;
            ended = self.end.come() => {
                ended?;
                // What was written until then is still to be read.
                self.ended = true;
            }
            ready = self.events.readable() => {
                let mut ready = ready.map_err(failed)?;
                drain(self.events.get_ref()).map_err(failed)?;
                ready.clear_ready();
            }
        }
        Ok(())
    }
}

/// Watches a directory for what is written and turned in it.
fn watch(dir: &Path) -> Result<AsyncFd<OwnedFd>, Error> {
    let open = || {
        let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let flags = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVE | WatchFlags::ONLYDIR;
        inotify::add_watch(&events, dir, flags)?;
        virtcontainers_sys::watch(events, Interest::READABLE)
    };
    open().map_err(|source| Cause::Path { what: "watch", path: dir.to_owned(), source }.into())
}

/// Takes what events there are: which ones does not matter, since the files are looked at after each.
fn drain(events: &OwnedFd) -> io::Result<()> {
    let mut buffer = [0u8; 4096];
    loop {
        match rustix::io::read(events, &mut buffer) {
            Ok(0) | Err(Errno::WOULDBLOCK) => return Ok(()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dir, name, .. } = self;
        f.debug_struct("Logs").field("dir", dir).field("name", name).finish_non_exhaustive()
    }
}
