//! Progress of a build, for those who draw bars.

use std::{
    fmt,
    io::{self, Read},
};

/// A long step of a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// Downloading the kernel package; counts bytes of the package.
    Download,
    /// Taking kernel and modules out of the package; counts compressed bytes.
    UnpackPackage,
    /// Unpacking the kernel; counts bytes of the kernel file.
    UnpackKernel,
    /// Collecting modules and agent into the initrd; counts bytes of the initrd.
    PackInitrd,
    /// Writing and hashing the image; counts bytes written.
    Write,
}

impl Stage {
    /// What is being done, in a few words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Download => "download kernel package",
            Self::UnpackPackage => "unpack kernel package",
            Self::UnpackKernel => "unpack kernel",
            Self::PackInitrd => "pack initrd",
            Self::Write => "write image",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Watches a build. Called on the building thread: answer quickly.
pub trait Progress: Send {
    /// A stage begins, and the one before it has ended. `total` is its length in bytes where known.
    fn begin(&mut self, stage: Stage, total: Option<u64>);
    /// `bytes` more of the present stage are done. A stage that is repeated may pass its total.
    fn advance(&mut self, bytes: u64);
}

/// Nobody watches.
impl Progress for () {
    fn begin(&mut self, _stage: Stage, _total: Option<u64>) {}
    fn advance(&mut self, _bytes: u64) {}
}

/// A reader that reports what passes through it.
pub(crate) struct Counted<'a, R> {
    pub(crate) reader: R,
    pub(crate) progress: &'a mut dyn Progress,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.progress.advance(count as u64);
        Ok(count)
    }
}
