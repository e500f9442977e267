//! Where the output goes: into the log, and to those who are attached.

use std::{
    io,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use virtcontainers_sys::log::BoundedLog;

use super::{ShimError, ShimOptions, frame::Event, hub::Hub, line::Lines, log_name};
use crate::io::OutputStream;

/// How much is made lines of at a time, in bytes: a line of nothing becomes one of forty bytes.
const PIECE: usize = 8 << 10;

/// Records both outputs of a process.
#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) hub: Hub,
    log: Mutex<Log>,
    chunks: AtomicU64,
}

#[derive(Debug)]
struct Log {
    file: BoundedLog,
    stdout: Lines,
    stderr: Lines,
    /// Lines on their way to the file.
    ready: Vec<u8>,
    /// What could not be written, since the last success.
    lost: u64,
}

impl Recorder {
    pub(super) fn new(options: &ShimOptions) -> Result<Self, ShimError> {
        let name = log_name(&options.exec);
        let file = BoundedLog::open(&options.dir, &name, options.log_limit).map_err(|source| {
            ShimError::Path { what: "open the log", path: options.dir.join(name), source }
        })?;
        let (stdout, stderr) = (Lines::new(OutputStream::Stdout), Lines::new(OutputStream::Stderr));
        let log = Mutex::new(Log { file, stdout, stderr, ready: Vec::new(), lost: 0 });
        Ok(Self { hub: Hub::default(), log, chunks: AtomicU64::new(0) })
    }

    /// Records what one read has brought: at most a chunk.
    pub(super) fn push(&self, stream: OutputStream, data: &[u8]) {
        self.chunks.fetch_add(1, Ordering::Relaxed);
        let mut log = self.lock();
        let now = SystemTime::now();
        for piece in data.chunks(PIECE) {
            let Log { stdout, stderr, ready, .. } = &mut *log;
            lines(stdout, stderr, stream).push(piece, now, ready);
            log.write();
        }
        drop(log);
        if !self.hub.is_empty() {
            self.hub.push(&Event::output(stream, data));
        }
    }

    /// Whether a line has begun whose end is still to come.
    pub(super) fn has_begun(&self, stream: OutputStream) -> bool {
        let mut log = self.lock();
        let Log { stdout, stderr, .. } = &mut *log;
        lines(stdout, stderr, stream).has_begun()
    }

    /// Writes the beginning of a line whose end lets itself be waited for.
    pub(super) fn flush(&self, stream: OutputStream) {
        let mut log = self.lock();
        let Log { stdout, stderr, ready, .. } = &mut *log;
        lines(stdout, stderr, stream).flush(SystemTime::now(), ready);
        log.write();
    }

    /// How much has come in, to tell whether more does.
    pub(super) fn chunks(&self) -> u64 {
        self.chunks.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lines<'a>(stdout: &'a mut Lines, stderr: &'a mut Lines, stream: OutputStream) -> &'a mut Lines {
    match stream {
        OutputStream::Stdout => stdout,
        OutputStream::Stderr => stderr,
    }
}

impl Log {
    /// What the disk does not take is lost, and told once: the process is worth more than its log.
    fn write(&mut self) {
        if self.ready.is_empty() {
            return;
        }
        let length = self.ready.len() as u64;
        match self.file.append(&self.ready) {
            Ok(()) if self.lost > 0 => {
                tracing::warn!(bytes = self.lost, "the log can be written again; so much of it is lost");
                self.lost = 0;
            }
            Ok(()) => {}
            Err(error) => {
                if self.lost == 0 {
                    tracing::error!(error = &error as &dyn std::error::Error, "cannot write the log");
                }
                self.lost += length;
            }
        }
        self.ready.clear();
        self.ready.shrink_to(PIECE);
    }
}

/// An error of the disk is none of the process.
pub(super) fn told(what: &str, result: io::Result<()>) {
    if let Err(error) = result {
        tracing::error!(error = &error as &dyn std::error::Error, "cannot {what}");
    }
}
