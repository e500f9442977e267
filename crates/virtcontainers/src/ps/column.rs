//! The columns of a listing, under their names and heads of ps(1).

use virtcontainers_agent_client::GuestProcess;

use super::{Setting, time};

/// One column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Pid,
    Ppid,
    GuestPid,
    Uid,
    User,
    Gid,
    State,
    Tty,
    StartTime,
    Elapsed,
    CpuTime,
    CpuShare,
    CpuWhole,
    MemoryShare,
    Rss,
    Vsz,
    Threads,
    Comm,
    Args,
}

impl Column {
    /// What `-f` shows.
    pub(super) const FULL: [Self; 8] = [
        Self::User,
        Self::Pid,
        Self::Ppid,
        Self::CpuWhole,
        Self::StartTime,
        Self::Tty,
        Self::CpuTime,
        Self::Args,
    ];
    /// What `u` shows.
    pub(super) const USER: [Self; 11] = [
        Self::User,
        Self::Pid,
        Self::CpuShare,
        Self::MemoryShare,
        Self::Vsz,
        Self::Rss,
        Self::Tty,
        Self::State,
        Self::StartTime,
        Self::CpuTime,
        Self::Args,
    ];
    /// What no word shows.
    pub(super) const SHORT: [Self; 4] = [Self::Pid, Self::Tty, Self::CpuTime, Self::Comm];

    /// The column that ps(1) knows by this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "pid" => Self::Pid,
            "ppid" => Self::Ppid,
            "gpid" => Self::GuestPid,
            "uid" | "euid" => Self::Uid,
            "user" | "euser" | "uname" => Self::User,
            "gid" | "egid" => Self::Gid,
            "s" | "state" | "stat" => Self::State,
            "tty" | "tt" | "tname" => Self::Tty,
            "stime" | "start" | "start_time" => Self::StartTime,
            "etime" => Self::Elapsed,
            "time" | "cputime" => Self::CpuTime,
            "pcpu" | "%cpu" => Self::CpuShare,
            "c" => Self::CpuWhole,
            "pmem" | "%mem" => Self::MemoryShare,
            "rss" | "rssize" => Self::Rss,
            "vsz" | "vsize" => Self::Vsz,
            "nlwp" | "thcount" => Self::Threads,
            "comm" | "ucmd" => Self::Comm,
            "args" | "cmd" | "command" => Self::Args,
            _ => return None,
        })
    }

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Pid => "PID",
            Self::Ppid => "PPID",
            Self::GuestPid => "GPID",
            Self::Uid => "UID",
            Self::User => "USER",
            Self::Gid => "GID",
            Self::State => "S",
            Self::Tty => "TTY",
            Self::StartTime => "STIME",
            Self::Elapsed => "ELAPSED",
            Self::CpuTime => "TIME",
            Self::CpuShare => "%CPU",
            Self::CpuWhole => "C",
            Self::MemoryShare => "%MEM",
            Self::Rss => "RSS",
            Self::Vsz => "VSZ",
            Self::Threads => "NLWP",
            Self::Comm | Self::Args => "COMMAND",
        }
    }

    /// Whether it is set to the right.
    pub(super) const fn is_number(self) -> bool {
        match self {
            Self::User | Self::State | Self::Tty | Self::Comm | Self::Args => false,
            Self::Pid
            | Self::Ppid
            | Self::GuestPid
            | Self::Uid
            | Self::Gid
            | Self::StartTime
            | Self::Elapsed
            | Self::CpuTime
            | Self::CpuShare
            | Self::CpuWhole
            | Self::MemoryShare
            | Self::Rss
            | Self::Vsz
            | Self::Threads => true,
        }
    }

    pub(super) fn show(self, process: &GuestProcess, setting: &Setting) -> String {
        let elapsed = setting.now.0.saturating_sub(process.start_time_ms);
        // In tenths of a percent.
        let share = |part: u64, whole: u64| part.saturating_mul(1000) / whole.max(1);
        let tenths = |share: u64| format!("{}.{}", share / 10, share % 10);
        let or_name =
            |text: &str| if text.is_empty() { format!("[{}]", process.comm) } else { text.to_owned() };
        match self {
            // As the container's own processes know them, where that is told.
            Self::Pid if process.container_pid != 0 => process.container_pid.to_string(),
            Self::Pid | Self::GuestPid => process.pid.to_string(),
            Self::Ppid if process.container_pid != 0 => process.container_ppid.to_string(),
            Self::Ppid => process.ppid.to_string(),
            Self::Uid => process.uid.to_string(),
            Self::User => setting.users.get(&process.uid).cloned().unwrap_or_else(|| process.uid.to_string()),
            Self::Gid => process.gid.to_string(),
            Self::State => process.state.letter().to_string(),
            Self::Tty if process.tty.is_empty() => "?".to_owned(),
            Self::Tty => process.tty.clone(),
            Self::StartTime => time::started(process.start_time_ms, setting.now.0),
            Self::Elapsed => time::elapsed(elapsed / 1000),
            Self::CpuTime => time::cpu(process.cpu_ms / 1000),
            Self::CpuShare => tenths(share(process.cpu_ms, elapsed)),
            Self::CpuWhole => (share(process.cpu_ms, elapsed) / 10).to_string(),
            Self::MemoryShare => tenths(share(process.rss_bytes, setting.memory)),
            Self::Rss => (process.rss_bytes >> 10).to_string(),
            Self::Vsz => (process.vsize_bytes >> 10).to_string(),
            Self::Threads => process.threads.to_string(),
            Self::Comm => process.comm.clone(),
            Self::Args => or_name(&process.args.join(" ")),
        }
    }
}
