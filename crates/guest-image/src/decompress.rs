//! The compressions of kernels, modules and packages, told apart by their first bytes.
//!
//! Every expansion has a limit, so that a small hostile file cannot fill the memory.

use std::io::{self, BufRead, Read};

use liblzma::stream::Stream;

/// Enough for `zstd --ultra -22` without a known size, which is how kernels are built.
const MAX_ZSTD_WINDOW: u64 = 128 << 20;
/// Memory that an `.lzma` or `.xz` stream may ask for (`xz -9` needs 65 MiB).
const MAX_LZMA_MEMORY: u64 = 256 << 20;
/// Size of an unpacked block in lz4's legacy frame.
const LZ4_LEGACY_BLOCK: usize = 8 << 20;

/// How data is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    Gzip,
    Xz,
    Lzma,
    Zstd,
    /// lz4's legacy frame (`lz4 -l`), the only one in kernels.
    Lz4,
}

impl Codec {
    /// Recognizes a compression by its magic number.
    pub(crate) fn detect(head: &[u8]) -> Option<Self> {
        match head {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            [0x5d, 0, 0, ..] => Some(Self::Lzma),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            [0x02, 0x21, 0x4c, 0x18, ..] => Some(Self::Lz4),
            _ => None,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Lzma => "lzma",
            Self::Zstd => "zstd",
            Self::Lz4 => "lz4",
        }
    }

    /// A reader of the unpacked data; it ends with the first stream, whatever follows.
    pub(crate) fn reader<'a>(self, packed: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::Gzip => Box::new(flate2::bufread::GzDecoder::new(packed)),
            Self::Xz => {
                let stream = Stream::new_stream_decoder(MAX_LZMA_MEMORY, 0)?;
                Box::new(liblzma::bufread::XzDecoder::new_stream(packed, stream))
            }
            Self::Lzma => {
                let stream = Stream::new_lzma_decoder(MAX_LZMA_MEMORY)?;
                Box::new(liblzma::bufread::XzDecoder::new_stream(packed, stream))
            }
            Self::Zstd => Box::new(
                ruzstd::decoding::StreamingDecoder::new_with_max_window_size(packed, MAX_ZSTD_WINDOW)
                    .map_err(io::Error::other)?,
            ),
            Self::Lz4 => Box::new(Lz4Legacy { packed, block: Vec::new(), at: 0, started: false }),
        })
    }
}

/// Unpacks `packed` if it is packed at all.
///
/// # Errors
/// The decoder's, or [`io::ErrorKind::FileTooLarge`] if more than `limit` bytes come out.
pub(crate) fn expand(packed: Vec<u8>, limit: u64) -> io::Result<Vec<u8>> {
    match Codec::detect(&packed) {
        Some(codec) => read_bounded(codec.reader(packed.as_slice())?, limit),
        None if packed.len() as u64 > limit => Err(io::ErrorKind::FileTooLarge.into()),
        None => Ok(packed),
    }
}

/// Reads all, at most `limit` bytes.
///
/// # Errors
/// The reader's, or [`io::ErrorKind::FileTooLarge`].
pub(crate) fn read_bounded(reader: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

/// lz4's legacy frame: a magic number, then blocks of (packed size, data), each of 8 MiB unpacked but the last.
/// The kernel's build appends the unpacked size, which looks like a block without data.
struct Lz4Legacy<R> {
    packed: R,
    block: Vec<u8>,
    at: usize,
    started: bool,
}

impl<R: BufRead> Lz4Legacy<R> {
    /// Unpacks the next block; false at the end of the data.
    fn next_block(&mut self) -> io::Result<bool> {
        if !self.started {
            self.packed.read_exact(&mut [0; 4])?;
            self.started = true;
        }
        let mut size = [0; 4];
        if self.packed.fill_buf()?.is_empty() {
            return Ok(false);
        }
        self.packed.read_exact(&mut size)?;
        if self.packed.fill_buf()?.is_empty() {
            return Ok(false);
        }
        let size = u64::from(u32::from_le_bytes(size));
        if size > 2 * LZ4_LEGACY_BLOCK as u64 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "an lz4 block is larger than the format allows",
            ));
        }
        let mut data = Vec::new();
        (&mut self.packed).take(size).read_to_end(&mut data)?;
        if (data.len() as u64) < size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.block.resize(LZ4_LEGACY_BLOCK, 0);
        let count = lz4_flex::block::decompress_into(&data, &mut self.block)
            .map_err(|source| io::Error::new(io::ErrorKind::InvalidData, source))?;
        self.block.truncate(count);
        self.at = 0;
        Ok(count > 0)
    }
}

impl<R: BufRead> Read for Lz4Legacy<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.block.len() && !self.next_block()? {
            self.block.clear();
            self.at = 0;
            return Ok(0);
        }
        let count = buffer.len().min(self.block.len() - self.at);
        buffer[..count].copy_from_slice(&self.block[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}
