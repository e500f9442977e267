//! The payload of an x86 bzImage.
//!
//! The layout is the kernel's x86 boot protocol: a setup header at 0x1f1 of the first sector, `setup_sects` sectors of
//! real-mode code after it, then protected-mode code that holds the packed ELF at `payload_offset`.

use crate::error::KernelError;

const SETUP_SECTS: usize = 0x1f1;
const MAGIC: usize = 0x202;
const VERSION: usize = 0x206;
const KERNEL_VERSION: usize = 0x20e;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;
const SECTOR: u64 = 512;

/// A bzImage whose header has been read.
#[derive(Debug)]
pub(crate) struct BzImage<'a> {
    /// The packed kernel.
    pub(crate) payload: &'a [u8],
    /// The kernel's release, if the header names one.
    pub(crate) release: Option<&'a str>,
}

impl<'a> BzImage<'a> {
    /// Reads the setup header; `None` if `image` is no bzImage.
    pub(crate) fn parse(image: &'a [u8]) -> Option<Result<Self, KernelError>> {
        if image.get(MAGIC..MAGIC + 4)? != b"HdrS" {
            return None;
        }
        Some(Self::read(image))
    }

    fn read(image: &'a [u8]) -> Result<Self, KernelError> {
        let cut_short = |needed| KernelError::Truncated { needed, actual: image.len() as u64 };
        let version = u16_at(image, VERSION).ok_or_else(|| cut_short(VERSION as u64 + 2))?;
        if version < 0x0208 {
            let [major, minor] = version.to_be_bytes();
            return Err(KernelError::OldProtocol { major, minor });
        }
        let header = || cut_short(PAYLOAD_LENGTH as u64 + 4);
        let offset = u32_at(image, PAYLOAD_OFFSET).ok_or_else(header)?;
        let length = u32_at(image, PAYLOAD_LENGTH).ok_or_else(header)?;
        let sectors = match image.get(SETUP_SECTS) {
            // The protocol's compatibility rule: 0 means 4.
            Some(0) | None => 4,
            Some(&count) => u64::from(count),
        };
        let start = (sectors + 1) * SECTOR + u64::from(offset);
        let end = start + u64::from(length);
        let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
        let payload = range.and_then(|(start, end)| image.get(start..end)).ok_or_else(|| cut_short(end))?;
        Ok(Self { payload, release: release(image) })
    }
}

/// The first word of the text that `kernel_version` points to.
fn release(image: &[u8]) -> Option<&str> {
    let pointer = u16_at(image, KERNEL_VERSION).filter(|&pointer| pointer != 0)?;
    let text = image.get(usize::from(pointer) + SECTOR as usize..)?;
    let word = text.iter().take(128).position(|byte| byte.is_ascii_whitespace() || *byte == 0)?;
    std::str::from_utf8(&text[..word]).ok()
}

fn u16_at(image: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(image.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(image: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(image.get(at..at + 4)?.try_into().ok()?))
}
