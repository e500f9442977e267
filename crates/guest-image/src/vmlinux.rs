//! From whatever a distribution ships as its kernel to an uncompressed ELF that a VMM boots through PVH.

use memchr::memmem;

use crate::{
    bzimage::BzImage,
    decompress::{Codec, read_bounded},
    elf,
    error::KernelError,
};

/// Bytes that an unpacked kernel may have. Distribution kernels have 30 to 80 MiB, debug ones several hundred.
pub(crate) const MAX_KERNEL: u64 = 1 << 30;

/// An uncompressed, bootable kernel.
#[derive(Debug)]
pub(crate) struct Vmlinux {
    /// The ELF file.
    pub(crate) elf: Vec<u8>,
    /// What `uname -r` says in it.
    pub(crate) release: String,
}

impl Vmlinux {
    /// Unpacks a bzImage, or takes a vmlinux as it is (packed or not), and checks that it boots through PVH.
    pub(crate) fn from_image(image: Vec<u8>) -> Result<Self, KernelError> {
        let (elf, named) = match BzImage::parse(&image) {
            Some(bzimage) => {
                let bzimage = bzimage?;
                (unpack(bzimage.payload)?, bzimage.release.map(str::to_owned))
            }
            None if image.starts_with(b"\x7fELF") => (image, None),
            None if Codec::detect(&image).is_some() => (unpack(&image)?, None),
            None => return Err(KernelError::Unrecognized),
        };
        let facts = elf::program(&elf).map_err(|source| KernelError::Elf(source.to_string()))?;
        if facts.machine != elf::X86_64 {
            return Err(KernelError::Machine { machine: facts.machine });
        }
        if !facts.pvh {
            return Err(KernelError::NoPvh);
        }
        let release = named.or_else(|| banner(&elf)).filter(|release| is_release(release));
        Ok(Self { release: release.ok_or(KernelError::NoRelease)?, elf })
    }
}

fn unpack(payload: &[u8]) -> Result<Vec<u8>, KernelError> {
    let elf = if payload.starts_with(b"\x7fELF") {
        payload.to_vec()
    } else {
        let unknown = || KernelError::UnknownCompression { magic: payload.iter().take(6).copied().collect() };
        let codec = Codec::detect(payload).ok_or_else(unknown)?;
        let unpacked = codec.reader(payload).and_then(|reader| read_bounded(reader, MAX_KERNEL));
        unpacked.map_err(|source| {
            if source.kind() == std::io::ErrorKind::FileTooLarge {
                KernelError::TooLarge { limit: MAX_KERNEL }
            } else {
                KernelError::Payload { codec: codec.name(), source }
            }
        })?
    };
    if !elf.starts_with(b"\x7fELF") {
        return Err(KernelError::Elf("its payload does not begin with the ELF magic".to_owned()));
    }
    Ok(elf)
}

/// The release in the banner `Linux version <release> (…`, which every kernel holds.
fn banner(elf: &[u8]) -> Option<String> {
    const BANNER: &[u8] = b"Linux version ";
    memmem::find_iter(elf, BANNER).find_map(|at| {
        let text = &elf[at + BANNER.len()..];
        let word = text.iter().take(128).position(|&byte| byte == b' ')?;
        let release = std::str::from_utf8(&text[..word]).ok()?;
        is_release(release).then(|| release.to_owned())
    })
}

/// Whether `text` can be a kernel release, and so a directory name: `6.1.0-56-amd64`.
fn is_release(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|first: char| first.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+' | '~'))
}

#[cfg(test)]
mod tests;
