//! What can go wrong when a guest image is built or opened: which file, why, and what to do next.

use std::{
    io,
    path::{Path, PathBuf},
};

use thiserror::Error;

use crate::modinfo::MAX_MODULE;

/// Why a guest image could not be built.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A file or directory could not be read or written.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// A Debian package was asked for on a system without apt.
    #[error(
        "cannot run {command}: a Debian kernel package needs apt; on other distributions give a kernel and its \
         modules directory instead (virtc guest build --kernel FILE --modules DIR)"
    )]
    AptMissing {
        /// The program that could not be started.
        command: &'static str,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// apt ended with an error.
    #[error("`{command}` failed ({status}): {stderr}; try `apt-get update` first")]
    AptFailed {
        /// The whole command.
        command: String,
        /// Its exit status.
        status: std::process::ExitStatus,
        /// The end of what it said.
        stderr: String,
    },
    /// apt knows no such package.
    #[error("apt knows no package {name}: run `apt-get update`, or name another kernel package")]
    UnknownPackage {
        /// The package that was looked for.
        name: String,
    },
    /// A package name that apt could take for something else.
    #[error("{name:?} is not a package name (lower case letters, digits, `+`, `-` and `.`)")]
    InvalidPackageName {
        /// The name as given.
        name: String,
    },
    /// A downloaded package is not what apt's index promised.
    #[error("{} does not have the SHA-256 that apt's index promises ({expected}): run `apt-get update` and try again", path.display())]
    Download {
        /// The downloaded file.
        path: PathBuf,
        /// The digest in the index.
        expected: String,
    },
    /// A `.deb` file is damaged, or holds no kernel.
    #[error("cannot use the package {}", path.display())]
    Deb {
        /// The package.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: DebError,
    },
    /// The kernel file is nothing a VMM can boot directly.
    #[error("cannot use the kernel {}", path.display())]
    Kernel {
        /// The kernel.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: KernelError,
    },
    /// The kernel lacks what no module can add.
    #[error(
        "kernel {release} is built without {}: use a kernel that has them, for example Debian's package linux-image-amd64",
        options.join(", ")
    )]
    KernelOptions {
        /// Kernel release.
        release: String,
        /// The options that must be `y`.
        options: Vec<&'static str>,
    },
    /// The kernel lacks drivers without which no sandbox can run.
    #[error(
        "kernel {release} cannot run sandboxes: {}; use a kernel that has these drivers, for example Debian's package \
         linux-image-amd64",
        lacks.join("; ")
    )]
    MissingDrivers {
        /// Kernel release.
        release: String,
        /// One sentence per missing ability.
        lacks: Vec<String>,
    },
    /// A kernel module cannot be used.
    #[error("cannot use the kernel module {}", path.display())]
    Module {
        /// The module.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: ModuleError,
    },
    /// Modules that need each other can never be loaded.
    #[error("kernel modules depend on each other in a circle: {}", cycle.join(" -> "))]
    ModuleCycle {
        /// The circle, its first module repeated at the end.
        cycle: Vec<String>,
    },
    /// The agent cannot be PID 1 of the guest.
    #[error("cannot use the agent {}: `make agent` builds one that fits", path.display())]
    Agent {
        /// The agent.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: ProgramError,
    },
    /// The shell cannot be in the guest.
    #[error("cannot use the shell {}: give a static one, such as /bin/busybox of Debian's package busybox-static", path.display())]
    Shell {
        /// The shell.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: ProgramError,
    },
    /// The output directory holds something else.
    #[error("{} is not a guest image (it has no manifest.json) and not empty: choose another output directory", path.display())]
    OutputOccupied {
        /// The directory.
        path: PathBuf,
    },
    /// The image was built but does not open.
    #[error("the image just built does not open")]
    Open(#[from] OpenError),
}

impl BuildError {
    /// For `map_err`: what was tried on which path.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// What is wrong with a `.deb` file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DebError {
    /// It does not begin like an `ar` archive of format 2.0.
    #[error("it is not a Debian package (no `!<arch>` header)")]
    NotADeb,
    /// A member that every package has is absent.
    #[error("it has no member {0}: the download may be cut short")]
    NoMember(&'static str),
    /// The archive is damaged.
    #[error("it is damaged or cut short")]
    Damaged(#[source] io::Error),
    /// A file inside is larger than any kernel or module.
    #[error("its file {name} is larger than {limit} bytes")]
    TooLarge {
        /// Path in the package.
        name: String,
        /// The limit, in bytes.
        limit: u64,
    },
    /// No kernel in it.
    #[error("it holds no boot/vmlinuz-*: name the package of a kernel image, such as linux-image-amd64")]
    NoKernel,
    /// A file that cannot be kept.
    #[error(transparent)]
    Module(#[from] ModuleError),
}

/// What is wrong with a kernel file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KernelError {
    /// Neither a bzImage nor an ELF file.
    #[error("it is neither a bzImage nor an ELF vmlinux")]
    Unrecognized,
    /// A bzImage of a boot protocol before 2.08.
    #[error(
        "its boot protocol {major}.{minor:02} does not say where the kernel is (2.08 or later does): use a kernel of 2008 or later"
    )]
    OldProtocol {
        /// Major version.
        major: u8,
        /// Minor version.
        minor: u8,
    },
    /// The header points outside the file.
    #[error("it is cut short: its header names {needed} bytes and the file has {actual}")]
    Truncated {
        /// Bytes the header speaks of.
        needed: u64,
        /// Bytes in the file.
        actual: u64,
    },
    /// The payload is compressed in a way that is not supported.
    #[error("its payload begins with {magic:02x?}: known are gzip, xz, lzma, lz4, zstd and none")]
    UnknownCompression {
        /// First bytes of the payload.
        magic: Vec<u8>,
    },
    /// The payload does not unpack.
    #[error("its {codec} payload does not unpack")]
    Payload {
        /// Compression.
        codec: &'static str,
        /// The decoder's answer.
        #[source]
        source: io::Error,
    },
    /// The file or its unpacked payload is too large.
    #[error("it is larger than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// The ELF is damaged.
    #[error("its ELF is damaged: {0}")]
    Elf(String),
    /// Not a kernel for x86-64.
    #[error("it is built for ELF machine {machine}, not for x86-64 (62)")]
    Machine {
        /// `e_machine`.
        machine: u16,
    },
    /// No PVH entry point.
    #[error(
        "it has no PVH entry point (ELF note XEN_ELFNOTE_PHYS32_ENTRY): use a kernel built with CONFIG_PVH=y"
    )]
    NoPvh,
    /// Its release cannot be told.
    #[error("it does not say its release (no \"Linux version\" banner)")]
    NoRelease,
}

/// What is wrong with a kernel module.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ModuleError {
    /// It does not unpack.
    #[error("it does not unpack")]
    Unpack(#[source] io::Error),
    /// It is larger than any module.
    #[error("it is larger than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// It is not an ELF file with a `.modinfo` section.
    #[error("it is not a kernel module: {0}")]
    NotAModule(String),
    /// It names a dependency that is no module name.
    #[error("it names {0:?}, which is not a module name")]
    InvalidName(String),
    /// It was built for another kernel.
    #[error(
        "it was built for kernel {built_for}, not for {release}: give the modules directory of the same kernel"
    )]
    OtherKernel {
        /// First word of its `vermagic`.
        built_for: String,
        /// The kernel's release.
        release: String,
    },
}

impl ModuleError {
    /// Why a module did not unpack within its bound.
    pub(crate) fn unpacking(source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::FileTooLarge {
            Self::TooLarge { limit: MAX_MODULE }
        } else {
            Self::Unpack(source)
        }
    }
}

/// What is wrong with a program for the initrd: the agent, or the shell.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// It is larger than any such program.
    #[error("it is larger than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// Not an executable ELF.
    #[error("it is not an executable ELF file: {0}")]
    NotExecutable(String),
    /// Built for another machine than the kernel.
    #[error("it is built for ELF machine {machine}, not for x86-64 (62)")]
    Machine {
        /// `e_machine`.
        machine: u16,
    },
    /// It asks for a dynamic loader, which the initrd does not have.
    #[error("it is dynamically linked, and the initrd has no loader")]
    Dynamic,
}

/// Why a directory does not open as a guest image.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// None of the places that were searched holds one.
    #[error(
        "no guest image in {}: make one with `virtc guest build`, or set VIRTC_GUEST_DIR",
        searched.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
    )]
    NotFound {
        /// The places, in the order of the search.
        searched: Vec<PathBuf>,
    },
    /// A file of the image cannot be read.
    #[error("cannot read {}: make the guest image anew with `virtc guest build`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The manifest is not one.
    #[error("{} is not a manifest: make the guest image anew with `virtc guest build`", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// Where it stops making sense.
        #[source]
        source: serde_json::Error,
    },
    /// The manifest is of another time.
    #[error("{} has schema {found}, this version reads {expected}: make the guest image anew with `virtc guest build`", path.display())]
    Schema {
        /// The manifest.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// The schema that this version reads.
        expected: u32,
    },
    /// A file has not the size in the manifest.
    #[error("{} has {actual} bytes, its manifest says {expected}: make the guest image anew with `virtc guest build`", path.display())]
    Size {
        /// The file.
        path: PathBuf,
        /// Bytes in the manifest.
        expected: u64,
        /// Bytes on disk.
        actual: u64,
    },
    /// A file has not the digest in the manifest.
    #[error("{} does not have the SHA-512 of its manifest: make the guest image anew with `virtc guest build`", path.display())]
    Digest {
        /// The file.
        path: PathBuf,
    },
}
