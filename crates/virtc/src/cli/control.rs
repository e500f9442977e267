//! Having an effect on what runs: `virtc kill`, `pause`, `resume`, `update`.

use clap::Args;
use virtcontainers::Signal;

use crate::target::Target;

/// `virtc kill`.
#[derive(Debug, Args)]
pub(crate) struct KillArgs {
    /// The containers
    #[arg(required = true, value_name = "SANDBOX[/CONTAINER]")]
    pub(crate) targets: Vec<Target>,
    /// The signal, by name or number
    #[arg(long, short, default_value = "KILL")]
    pub(crate) signal: Signal,
    /// Signal every process of the container
    #[arg(long, short)]
    pub(crate) all: bool,
}

/// `virtc pause` and `resume`.
#[derive(Debug, Args)]
pub(crate) struct PauseArgs {
    /// A sandbox: its whole machine. SANDBOX/CONTAINER: the processes of one container
    #[arg(required = true, value_name = "SANDBOX[/CONTAINER]")]
    pub(crate) targets: Vec<Target>,
}

/// `virtc update`.
#[derive(Debug, Args)]
#[command(after_help = "\
Limits hold within the guest; what is not named stays as it is.
Examples:
  virtc update --memory 256M --pids-limit 100 web
  virtc update --cpus 0.5 web/worker")]
pub(crate) struct UpdateArgs {
    /// The containers
    #[arg(required = true, value_name = "SANDBOX[/CONTAINER]")]
    pub(crate) targets: Vec<Target>,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
}

/// Limits of a container.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct LimitArgs {
    /// Memory, with a unit: 512M, 2G; -1 for no limit
    #[arg(long, short = 'm', value_name = "SIZE", value_parser = size, allow_hyphen_values = true)]
    pub(crate) memory: Option<i64>,
    /// Memory that the container keeps when memory is short
    #[arg(long, value_name = "SIZE", value_parser = size, allow_hyphen_values = true)]
    pub(crate) memory_reservation: Option<i64>,
    /// Memory and swap together; -1 for no limit
    #[arg(long, value_name = "SIZE", value_parser = size, allow_hyphen_values = true)]
    pub(crate) memory_swap: Option<i64>,
    /// Processors' worth of time, for example 1.5
    #[arg(long, value_name = "N", value_parser = cpus, conflicts_with_all = ["cpu_quota", "cpu_period"])]
    pub(crate) cpus: Option<f64>,
    /// Weight among containers that compete for processors, 2 to 262144
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(2..=262_144))]
    pub(crate) cpu_shares: Option<u64>,
    /// Microseconds of processor time in each period; -1 for no limit
    #[arg(long, value_name = "MICROSECONDS", allow_hyphen_values = true)]
    pub(crate) cpu_quota: Option<i64>,
    /// Length of a period in microseconds, 1000 to 1000000
    #[arg(long, value_name = "MICROSECONDS", value_parser = clap::value_parser!(u64).range(1_000..=1_000_000))]
    pub(crate) cpu_period: Option<u64>,
    /// Processors of the guest that it may use, for example 0-1,3
    #[arg(long, value_name = "LIST")]
    pub(crate) cpuset_cpus: Option<String>,
    /// Memory nodes of the guest that it may use
    #[arg(long, value_name = "LIST")]
    pub(crate) cpuset_mems: Option<String>,
    /// How many processes and threads it may have; -1 for no limit
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) pids_limit: Option<i64>,
    /// Weight among containers that compete for block devices, 10 to 1000
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(10..=1000))]
    pub(crate) blkio_weight: Option<u16>,
}

/// Bytes, with an optional binary unit; -1 for no limit.
fn size(text: &str) -> Result<i64, String> {
    let wrong =
        || format!("{text:?} is no size: write bytes, or a number with a unit: 512M, 2G; -1 for no limit");
    if text == "-1" {
        return Ok(-1);
    }
    let lower = text.to_ascii_lowercase();
    let trimmed = lower.strip_suffix("ib").or_else(|| lower.strip_suffix('b')).unwrap_or(&lower);
    let (digits, shift) = match trimmed.bytes().last() {
        Some(b'k') => (&trimmed[..trimmed.len() - 1], 10),
        Some(b'm') => (&trimmed[..trimmed.len() - 1], 20),
        Some(b'g') => (&trimmed[..trimmed.len() - 1], 30),
        Some(b't') => (&trimmed[..trimmed.len() - 1], 40),
        Some(_) | None => (trimmed, 0),
    };
    let number: i64 = digits.parse().ok().filter(|number| *number > 0).ok_or_else(wrong)?;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

fn cpus(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if (0.01..=1024.0).contains(&number) => Ok(number),
        Ok(_) => Err("write a number from 0.01 to 1024".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
