//! What an agent tells.
//!
//! All of it comes from a guest and is hostile: an implementation of [`Agent`](crate::Agent) bounds every count and
//! every text before it hands one of these over.

use serde::{Deserialize, Serialize};

/// What an agent says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentInfo {
    /// The agent's version.
    pub agent_version: String,
    /// The protocol's version.
    pub protocol_version: String,
    /// Whether it is PID 1 of the guest.
    pub init_daemon: bool,
    /// Whether it can apply seccomp filters.
    pub supports_seccomp: bool,
}

/// What a guest is capable of (GuestDetailsResponse).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestDetails {
    /// The unit in which memory can be plugged in, in bytes; 0 where the guest's kernel cannot.
    pub mem_block_size: u64,
    /// Whether the kernel has to be told where memory was plugged in
    /// (see [`Agent::mem_hotplug_by_probe`](crate::Agent::mem_hotplug_by_probe)).
    pub mem_hotplug_probe: bool,
    /// The agent's version.
    pub agent_version: String,
    /// Whether the agent is PID 1 of the guest.
    pub init_daemon: bool,
    /// Whether the agent can apply seccomp filters.
    pub supports_seccomp: bool,
    /// The sorts of devices that the agent can make available.
    pub device_handlers: Vec<String>,
    /// The storage drivers that the agent has.
    pub storage_handlers: Vec<String>,
    /// What else the agent says that it can do.
    pub extra_features: Vec<String>,
}

/// A process of a container as the guest's kernel shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestProcess {
    /// Its number in the guest.
    pub pid: u32,
    /// Its number in its own pid namespace.
    pub container_pid: u32,
    /// Its parent's number in the guest.
    pub ppid: u32,
    /// Its parent's number in its own pid namespace; 0 for a parent outside of it.
    pub container_ppid: u32,
    /// Its effective user.
    pub uid: u32,
    /// Its effective group.
    pub gid: u32,
    /// What it does at the moment.
    pub state: ProcessState,
    /// Its terminal, for example `pts/0`; empty for none.
    pub tty: String,
    /// When it started, in milliseconds since the Unix epoch by the guest's clock.
    pub start_time_ms: u64,
    /// Processor time that it has used, in milliseconds.
    pub cpu_ms: u64,
    /// Memory that it occupies, in bytes.
    pub rss_bytes: u64,
    /// Memory that it could address, in bytes.
    pub vsize_bytes: u64,
    /// How many threads it has.
    pub threads: u32,
    /// Its command's name, as the kernel shortens it.
    pub comm: String,
    /// Its command line, shortened if it is long; empty for a process that has none left.
    pub args: Vec<String>,
}

/// What a process does at the moment (the states of proc(5)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProcessState {
    /// Runs, or could.
    Running,
    /// Waits for something.
    #[default]
    Sleeping,
    /// Waits for a device and takes no signal.
    Blocked,
    /// Was stopped by a signal.
    Stopped,
    /// Was stopped by a debugger.
    Traced,
    /// Has ended, and its parent does not know yet.
    Zombie,
    /// Is about to vanish.
    Dead,
    /// A thread of the kernel with nothing to do.
    Idle,
}

impl ProcessState {
    /// The letter that proc(5) and ps(1) show.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::Running => 'R',
            Self::Sleeping => 'S',
            Self::Blocked => 'D',
            Self::Stopped => 'T',
            Self::Traced => 't',
            Self::Zombie => 'Z',
            Self::Dead => 'X',
            Self::Idle => 'I',
        }
    }

    /// The state of a letter; `None` for a letter that is none.
    #[must_use]
    pub const fn from_letter(letter: char) -> Option<Self> {
        Some(match letter {
            'R' => Self::Running,
            'S' => Self::Sleeping,
            'D' => Self::Blocked,
            'T' => Self::Stopped,
            't' => Self::Traced,
            'Z' => Self::Zombie,
            'X' => Self::Dead,
            'I' => Self::Idle,
            _ => return None,
        })
    }
}

/// How full a volume is (VolumeStatsResponse).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeStats {
    /// Its bytes, where the guest tells.
    pub bytes: Option<VolumeUsage>,
    /// Its inodes, where the guest tells.
    pub inodes: Option<VolumeUsage>,
    /// What is wrong with it; `None` if the guest sees nothing wrong.
    pub abnormal: Option<String>,
}

/// How much there is of one thing. A filesystem may reserve some: `used` and `available` need not sum up to `total`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeUsage {
    /// In all.
    pub total: u64,
    /// Taken.
    pub used: u64,
    /// To be had.
    pub available: u64,
}
