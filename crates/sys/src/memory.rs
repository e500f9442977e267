//! The host's memory.

use std::io;

use virtcontainers_types::MiB;

/// All memory that the kernel manages, rounded down to MiB (`sysinfo(2)`).
///
/// # Errors
/// Never on Linux; the signature leaves room for hosts that limit the answer.
pub fn total() -> io::Result<MiB> {
    let info = rustix::system::sysinfo();
    let bytes = u64::from(info.mem_unit) * info.totalram;
    u32::try_from(bytes >> 20).map(MiB).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}
