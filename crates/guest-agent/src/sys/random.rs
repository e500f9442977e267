//! Feeding the kernel's random number generator (random(4)).

use std::{ffi::c_void, fs::File, io};

use rustix::ioctl::{Ioctl, IoctlOutput, NoArg, Opcode};

const RNDADDENTROPY: Opcode = 0x4008_5203;
const RNDRESEEDCRNG: Opcode = 0x5207;

/// The most that one call takes, in bytes.
pub const MAX_SEED: usize = 4096;

/// `struct rand_pool_info` with its buffer.
#[repr(C)]
struct PoolInfo {
    entropy_bits: i32,
    buffer_bytes: i32,
    buffer: [u8; MAX_SEED],
}

struct AddEntropy(PoolInfo);

// SAFETY: the request code goes with a pointer to a `struct rand_pool_info`, which `PoolInfo` is laid out as; the kernel
// only reads it, and of the buffer only `buffer_bytes`.
unsafe impl Ioctl for AddEntropy {
    type Output = ();
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        RNDADDENTROPY
    }

    fn as_ptr(&mut self) -> *mut c_void {
        (&raw mut self.0).cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> rustix::io::Result<()> {
        Ok(())
    }
}

/// Mixes `seed` in, counts every bit of it as unpredictable, and has the generator take a new key at once.
///
/// # Errors
/// `InvalidInput` for more than [`MAX_SEED`] bytes; as the ioctls, without `CAP_SYS_ADMIN`.
pub fn reseed(seed: &[u8]) -> io::Result<()> {
    let mut buffer = [0; MAX_SEED];
    let into = buffer.get_mut(..seed.len()).ok_or(io::ErrorKind::InvalidInput)?;
    into.copy_from_slice(seed);
    let bytes = i32::try_from(seed.len()).map_err(io::Error::other)?;
    let device = File::options().write(true).open("/dev/urandom")?;
    let info = PoolInfo { entropy_bits: bytes * 8, buffer_bytes: bytes, buffer };
    // SAFETY: `device` is the random device, on which this request is defined.
    unsafe { rustix::ioctl::ioctl(&device, AddEntropy(info)) }?;
    // SAFETY: the same, and this request has no argument.
    unsafe { rustix::ioctl::ioctl(&device, NoArg::<RNDRESEEDCRNG>::new()) }?;
    Ok(())
}
