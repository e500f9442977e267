//! Turning swap space on (swapon(2)).

use std::{ffi::CString, io, os::unix::ffi::OsStrExt as _, path::Path};

/// Has the kernel swap to the device or file `path`, which must be formatted for that (mkswap(8)).
///
/// # Errors
/// As swapon(2): `EINVAL` when it is not formatted, `EBUSY` when it is in use.
pub fn on(path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the path is a string that ends with NUL and lives through the call.
    if unsafe { libc::swapon(path.as_ptr(), 0) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
