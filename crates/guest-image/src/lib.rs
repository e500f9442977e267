//! Builds what the virtual machine boots: an uncompressed kernel and a small initrd with the guest agent as PID 1.
//!
//! [`Builder`] turns a [`KernelSource`] (a Debian kernel package, a `.deb` file, or paths of any distribution) and a
//! statically linked agent into a directory of three files, published in one atomic step:
//!
//! - `vmlinux`: the kernel as an uncompressed ELF with a PVH entry point, so that no VMM spends boot time unpacking it;
//! - `initrd.img`: an uncompressed `newc` cpio with the agent as `/init` and just the modules needed ([`initrd`]);
//! - `manifest.json`: versions, abilities and digests ([`Manifest`]).
//!
//! [`GuestImage`] opens such a directory. Invariants: the same inputs give the same bytes; whatever is read from a
//! package, a kernel or a module is treated as hostile (sizes, counts and names are bounded); nothing outside the
//! output and cache directories is written. All calls block.

mod builder;
mod bzimage;
mod catalog;
mod cpio;
mod deb;
mod debian;
mod decompress;
mod elf;
mod error;
#[cfg(test)]
mod fixture;
mod image;
pub mod initrd;
mod kconfig;
mod manifest;
mod modinfo;
mod modules;
mod output;
mod progress;
mod source;
mod vmlinux;

pub use builder::{Builder, default_cache};
pub use error::{BuildError, DebError, KernelError, ModuleError, OpenError, ProgramError};
pub use image::{GuestImage, default_locations};
pub use manifest::{Ability, FileRecord, Kernel, Manifest, ModuleRecord, Package, SCHEMA};
pub use modules::Role;
pub use progress::{Progress, Stage};
pub use source::KernelSource;
