//! The processes of a container, from `/proc` (proc_pid_stat(5), proc_pid_status(5)).

use std::{
    collections::HashMap,
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use virtcontainers_agent_protocol::{
    api::virtcontainers::{ListProcessesResponse, Process},
    limits,
};

use super::Container;
use crate::error::CallError;

/// Processes in one answer.
const MAX_PROCESSES: usize = 4096;

/// Bytes of an answer: it has to fit one message.
const MAX_BYTES: usize = limits::MESSAGE - limits::MESSAGE_DATA;

/// Bytes of a command line in an answer.
const MAX_ARGUMENTS: u64 = 512;

/// Bytes of a file that are looked at.
const MAX_FILE: u64 = 16 * 1024;

/// Clock ticks of `/proc` in a second (`USER_HZ`).
const TICKS: u64 = 100;

const PROC: &str = "/proc";

/// The processes of `container`, in the order of their pids. One that ends meanwhile is left out.
///
/// # Errors
/// [`CallError::Io`] when the group cannot be read.
pub fn of(container: &Container) -> Result<ListProcessesResponse, CallError> {
    let group = container.cgroup();
    let mut pids = group.pids().map_err(CallError::io("list the processes of", group.directory()))?;
    pids.sort_unstable();
    pids.dedup();
    let mut response = ListProcessesResponse::new();
    let (boot, mut room) = (boot_time_ms(), MAX_BYTES);
    for pid in &pids {
        let Some(process) = describe(Path::new(PROC), *pid, boot) else { continue };
        let size = size(&process);
        if response.processes.len() == MAX_PROCESSES || size > room {
            response.truncated = true;
            break;
        }
        room -= size;
        response.processes.push(process);
    }
    let seen: HashMap<u32, u32> =
        response.processes.iter().map(|process| (process.pid, process.container_pid)).collect();
    for process in &mut response.processes {
        process.container_ppid = seen.get(&process.ppid).copied().unwrap_or(0);
    }
    Ok(response)
}

/// At most what the message for a process takes, in bytes.
fn size(process: &Process) -> usize {
    let numbers = 128;
    let args: usize = process.args.iter().map(|argument| argument.len() + 4).sum();
    numbers + process.comm.len() + process.state.len() + process.tty.len() + args
}

/// When the guest started, in milliseconds since the epoch, by its clock of now.
fn boot_time_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let up = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let up =
        u64::try_from(up.tv_sec).unwrap_or(0) * 1000 + u64::try_from(up.tv_nsec).unwrap_or(0) / 1_000_000;
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX).saturating_sub(up)
}

/// What `/proc` says of process `pid`; nothing once it is gone.
#[must_use]
pub fn describe(proc: &Path, pid: u32, boot_ms: u64) -> Option<Process> {
    let directory = proc.join(pid.to_string());
    let stat = read(&directory.join("stat"))?;
    let status = read(&directory.join("status"))?;
    let mut process = Process::new();
    process.pid = pid;
    // The name may hold anything, closing parentheses too.
    let (head, rest) = stat.rsplit_once(')')?;
    process.comm = head.split_once('(')?.1.chars().take(64).collect();
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // The first of them is field 3 of the file.
    let number =
        |field: usize| fields.get(field - 3).and_then(|value| value.parse::<u64>().ok()).unwrap_or(0);
    process.state = fields.first().map(|state| (*state).to_owned()).unwrap_or_default();
    process.ppid = u32::try_from(number(4)).unwrap_or(0);
    process.tty = terminal(number(7));
    process.cpu_ms = (number(14) + number(15)) * 1000 / TICKS;
    process.threads = u32::try_from(number(20)).unwrap_or(u32::MAX);
    process.start_time_ms = boot_ms.saturating_add(number(22) * 1000 / TICKS);
    process.vsize_bytes = number(23);
    let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("");
    let id = |name: &str, column: usize| {
        line(name).split_whitespace().nth(column).and_then(|id| id.parse().ok()).unwrap_or(0)
    };
    let resident: u64 = id("VmRSS:", 0).into();
    process.rss_bytes = resident * 1024;
    process.uid = id("Uid:", 1);
    process.gid = id("Gid:", 1);
    process.container_pid =
        line("NSpid:").split_whitespace().last().and_then(|id| id.parse().ok()).unwrap_or(pid);
    process.args = arguments(&directory.join("cmdline"));
    Some(process)
}

fn read(path: &PathBuf) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MAX_FILE).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn arguments(path: &Path) -> Vec<String> {
    let mut bytes = Vec::new();
    let Ok(file) = File::open(path) else { return Vec::new() };
    if file.take(MAX_ARGUMENTS).read_to_end(&mut bytes).is_err() {
        return Vec::new();
    }
    if bytes.last() == Some(&0) {
        bytes.pop();
    }
    if bytes.is_empty() {
        return Vec::new();
    }
    bytes.split(|byte| *byte == 0).map(|argument| String::from_utf8_lossy(argument).into_owned()).collect()
}

/// The name of a terminal by its device number, as `/proc` packs it.
fn terminal(device: u64) -> String {
    let (major, minor) = ((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xfff00));
    match major {
        0 => String::new(),
        136..=143 => format!("pts/{}", (major - 136) * 256 + minor),
        5 if minor == 1 => "console".to_owned(),
        4 if minor < 64 => format!("tty{minor}"),
        4 => format!("ttyS{}", minor - 64),
        _ => fs::read_link(format!("/sys/dev/char/{major}:{minor}"))
            .ok()
            .and_then(|link| Some(link.file_name()?.to_string_lossy().into_owned()))
            .unwrap_or_else(|| format!("{major}:{minor}")),
    }
}
