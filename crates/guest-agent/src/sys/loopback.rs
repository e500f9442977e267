//! Bringing the loopback interface up (`SIOCSIFFLAGS` of netdevice(7)).

use std::{ffi::c_void, io};

use rustix::{
    ioctl::{Ioctl, IoctlOutput, Opcode},
    net::{AddressFamily, SocketFlags, SocketType},
};

const SIOCSIFFLAGS: Opcode = 0x8914;
const IFF_UP: i16 = 0x1;
const IFF_RUNNING: i16 = 0x40;

/// `struct ifreq` as far as its flags; the kernel copies its whole size of 40 bytes.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; 16],
    flags: i16,
    rest: [u8; 22],
}

struct SetFlags(InterfaceRequest);

// SAFETY: the request code goes with a pointer to a `struct ifreq`, of which `InterfaceRequest` has size and layout;
// the kernel only reads it.
unsafe impl Ioctl for SetFlags {
    type Output = ();
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        SIOCSIFFLAGS
    }

    fn as_ptr(&mut self) -> *mut c_void {
        (&raw mut self.0).cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> rustix::io::Result<()> {
        Ok(())
    }
}

/// Sets `lo` up; the kernel then gives it 127.0.0.1 and ::1 by itself.
///
/// # Errors
/// When the kernel refuses, as it does without `CAP_NET_ADMIN`.
pub fn up() -> io::Result<()> {
    let socket =
        rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    let mut name = [0; 16];
    name[..2].copy_from_slice(b"lo");
    let request = InterfaceRequest { name, flags: IFF_UP | IFF_RUNNING, rest: [0; 22] };
    // SAFETY: `socket` is a socket, on which this request is defined.
    unsafe { rustix::ioctl::ioctl(&socket, SetFlags(request)) }?;
    Ok(())
}
