//! Sizes and counts with their unit in the type.

use std::{fmt, num::NonZeroU32};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a number is not a valid size or count.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidUnit {
    /// A virtual machine needs at least one vCPU.
    #[error("0 vCPUs: a virtual machine needs at least 1")]
    NoVcpu,
    /// The text is no size.
    #[error("{0:?} is not a size: write a number and one of K, M, G (binary), for example 512M")]
    Size(String),
}

/// Memory in mebibytes (2^20 bytes), the unit of the reference document's `MemorySize`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MiB(pub u32);

impl MiB {
    /// The size in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        (self.0 as u64) << 20
    }

    /// Reads `512M`, `2G`, `1048576K` or a bare number of MiB. Sizes that are not whole MiB round up.
    ///
    /// # Errors
    /// [`InvalidUnit::Size`] for anything else, and for sizes over 4 PiB.
    pub fn parse(text: &str) -> Result<Self, InvalidUnit> {
        let wrong = || InvalidUnit::Size(text.to_owned());
        let trimmed = text.trim().trim_end_matches("iB").trim_end_matches(['b', 'B']);
        let digits = trimmed.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let number: u64 = digits.parse().ok().ok_or_else(wrong)?;
        let mib = match trimmed[digits.len()..].to_ascii_lowercase().as_str() {
            "" | "m" => Some(number),
            "k" => Some(number.div_ceil(1024)),
            "g" => number.checked_mul(1024),
            "t" => number.checked_mul(1024 * 1024),
            _ => None,
        };
        mib.and_then(|mib| u32::try_from(mib).ok()).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for MiB {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MiB", self.0)
    }
}

/// A size in bytes, where the reference document counts bytes (`ShmSize`, `Msize9p`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} B", self.0)
    }
}

/// A number of virtual CPUs, never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct VcpuCount(NonZeroU32);

impl VcpuCount {
    /// One vCPU.
    pub const ONE: Self = Self(NonZeroU32::MIN);

    /// Checks the count.
    ///
    /// # Errors
    /// [`InvalidUnit::NoVcpu`] for zero.
    pub fn new(count: u32) -> Result<Self, InvalidUnit> {
        NonZeroU32::new(count).map(Self).ok_or(InvalidUnit::NoVcpu)
    }

    /// The count as a number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl Default for VcpuCount {
    fn default() -> Self {
        Self::ONE
    }
}

impl TryFrom<u32> for VcpuCount {
    type Error = InvalidUnit;
    fn try_from(count: u32) -> Result<Self, InvalidUnit> {
        Self::new(count)
    }
}

impl From<VcpuCount> for u32 {
    fn from(count: VcpuCount) -> u32 {
        count.get()
    }
}

impl fmt::Display for VcpuCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
