//! What the host's processors can do, as far as a VMM must know.

use std::{fs, io, path::Path, time::Duration};

/// The hardware's help for virtual machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Virtualization {
    /// Intel VT-x, flag `vmx`.
    Vmx,
    /// AMD-V, flag `svm`.
    Svm,
}

/// What `/proc/cpuinfo` tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CpuFacts {
    /// Whether guests can run on the hardware; `None` on x86 means that KVM cannot run one, whatever `/dev/kvm` says.
    pub virtualization: Option<Virtualization>,
    /// Whether this host is itself a guest (the reference document's `RunningOnVMM`).
    pub hypervisor: bool,
    /// Processors on line.
    pub count: u32,
    /// The nominal rate of the time stamp counter in kHz, if the text tells it; [`measure_tsc_khz`] is more exact.
    pub tsc_khz: Option<u64>,
}

impl CpuFacts {
    /// Reads the text of a `cpuinfo`.
    #[must_use]
    pub fn parse(cpuinfo: &str) -> Self {
        let field = |key: &str| {
            cpuinfo.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                (name.trim_end() == key).then(|| value.trim())
            })
        };
        let flags = field("flags").unwrap_or_default();
        let has = |flag: &str| flags.split_ascii_whitespace().any(|word| word == flag);
        let virtualization = match (has("vmx"), has("svm")) {
            (true, _) => Some(Virtualization::Vmx),
            (false, true) => Some(Virtualization::Svm),
            (false, false) => None,
        };
        let hypervisor = has("hypervisor");
        // x86 and arm64 write "processor : N" for each; s390 writes "processor N: …".
        let count = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
        let nominal = field("model name").and_then(|model| {
            let ghz: f64 = model.rsplit_once("@ ")?.1.strip_suffix("GHz")?.parse().ok()?;
            khz(ghz * 1e6)
        });
        // In a guest the frequency shown is that of the counter; on hardware it is what the core runs at just now.
        let shown = || khz(field("cpu MHz")?.parse::<f64>().ok()? * 1e3).filter(|_| hypervisor);
        let tsc_khz = nominal.or_else(shown).filter(|_| has("constant_tsc"));
        Self { virtualization, hypervisor, count: u32::try_from(count).unwrap_or(u32::MAX), tsc_khz }
    }

    /// Reads the file at `path`, usually `/proc/cpuinfo`.
    ///
    /// # Errors
    /// As reading a file.
    pub fn read(path: &Path) -> io::Result<Self> {
        Ok(Self::parse(&fs::read_to_string(path)?))
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
fn khz(value: f64) -> Option<u64> {
    (value.is_finite() && (1e3..1e9).contains(&value)).then(|| value.round() as u64)
}

/// The rate of the time stamp counter in kHz, measured against the monotonic clock while the thread sleeps for
/// `window` (10 ms give about 5 digits); `None` where there is no such counter.
#[must_use]
pub fn measure_tsc_khz(window: Duration) -> Option<u64> {
    let (clock, begin) = (std::time::Instant::now(), tsc()?);
    std::thread::sleep(window);
    let (elapsed, end) = (clock.elapsed(), tsc()?);
    let ticks = u128::from(end.checked_sub(begin)?);
    u64::try_from(ticks * 1_000_000 / elapsed.as_nanos().max(1)).ok().filter(|&khz| khz > 0)
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "reading the counter is an instruction of its own")]
fn tsc() -> Option<u64> {
    // SAFETY: RDTSC reads a register of every x86-64 processor and touches no memory.
    Some(unsafe { std::arch::x86_64::_rdtsc() })
}

#[cfg(not(target_arch = "x86_64"))]
fn tsc() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests;
