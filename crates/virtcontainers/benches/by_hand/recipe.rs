//! How to start by hand what the library started: the command lines of its processes, and what they inherit.

use std::{
    ffi::OsString,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::Path,
};

use super::Process;
use crate::Failure;

/// A program with its arguments, and the listening sockets that it inherits: name and descriptor.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    pub(crate) program: OsString,
    pub(crate) args: Vec<OsString>,
    pub(crate) sockets: Vec<(String, i32)>,
}

/// The processes of a sandbox.
#[derive(Debug)]
pub(crate) struct Recipe {
    /// The directory that the command lines speak of.
    dir: OsString,
    pub(crate) vmm: Start,
    pub(crate) virtiofsd: Option<Start>,
    pub(crate) vsock_daemon: Option<Start>,
    pub(crate) proxy: Option<Start>,
    /// The numbers under which the VMM inherits its network: for each interface its tap, and vhost's if there is one.
    pub(crate) network: Vec<i32>,
}

impl Recipe {
    /// How to start these processes, of a sandbox in this directory.
    pub(crate) fn of(dir: &Path, processes: &[Process]) -> Result<Self, Failure> {
        let (mut vmm, mut virtiofsd, mut vsock_daemon, mut proxy) = (None, None, None, None);
        let mut network = Vec::new();
        // The raw side has no container for a shim to stand for.
        for process in started(processes).filter(|process| process.role != "shim") {
            let name = process.argv.first().map(|program| program.to_string_lossy().into_owned());
            let name = name.as_deref().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
            let (place, sockets) = match name {
                _ if process.is_vmm() => {
                    network = vmm_network(process)?;
                    (&mut vmm, vmm_sockets(process)?)
                }
                "vc-virtiofsd" | "virtiofsd" => (&mut virtiofsd, vec![("virtiofs.sock".to_owned(), 3)]),
                _ if process.role == "vhost-vsock" => (
                    &mut vsock_daemon,
                    vec![("vhost-vsock.sock".to_owned(), 0), ("vsock.sock".to_owned(), 1)],
                ),
                _ if process.role == "proxy" => (&mut proxy, vec![("proxy.sock".to_owned(), 0)]),
                other => {
                    return Err(format!(
                        "the sandbox has a process {other} ({}) that is unknown",
                        process.role
                    )
                    .into());
                }
            };
            *place = Some(start(process, sockets)?);
        }
        let vmm = vmm.ok_or("the sandbox has no VMM")?;
        Ok(Self { dir: dir.as_os_str().to_owned(), vmm, virtiofsd, vsock_daemon, proxy, network })
    }

    /// The arguments for a sandbox's directory elsewhere.
    pub(crate) fn args(&self, start: &Start, dir: &Path) -> Vec<OsString> {
        start.args.iter().map(|word| replace(word, &self.dir, dir)).collect()
    }

    /// Whether the guest opens a port rather than connect to the host.
    pub(crate) fn is_serial(&self) -> bool {
        self.proxy.is_some()
    }
}

/// The processes that are not a child of another one: those that were started.
fn started(processes: &[Process]) -> impl Iterator<Item = &Process> {
    let pids: Vec<_> = processes.iter().map(|process| process.pid).collect();
    processes.iter().filter(move |process| !pids.contains(&process.parent))
}

fn start(process: &Process, sockets: Vec<(String, i32)>) -> Result<Start, Failure> {
    let (program, args) = process.argv.split_first().ok_or("a process without a command line")?;
    Ok(Start { program: program.clone(), args: args.to_vec(), sockets })
}

/// The sockets that the VMM inherits: `-chardev socket,id=NAME,fd=N,…`.
fn vmm_sockets(process: &Process) -> Result<Vec<(String, i32)>, Failure> {
    let mut sockets = Vec::new();
    for word in process.argv.iter().filter_map(|word| word.to_str()?.strip_prefix("socket,")) {
        let value = |key: &str| word.split(',').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
        if let (Some(id), Some(fd)) = (value("id"), value("fd")) {
            let name = if id == "agent" { "serial" } else { id };
            sockets.push((format!("{name}.sock"), fd.parse()?));
        }
    }
    Ok(sockets)
}

/// What the VMM inherits of its network: `-netdev tap,id=NAME,fd=N,vhost=on,vhostfd=M`, in this order.
fn vmm_network(process: &Process) -> Result<Vec<i32>, Failure> {
    let netdevs = process.argv.iter().filter_map(|word| word.to_str()?.strip_prefix("tap,"));
    let words = netdevs.flat_map(|netdev| netdev.split(','));
    let numbers = words.filter_map(|pair| pair.strip_prefix("fd=").or_else(|| pair.strip_prefix("vhostfd=")));
    Ok(numbers.map(str::parse).collect::<Result<_, _>>()?)
}

fn replace(word: &OsString, from: &OsString, to: &Path) -> OsString {
    let (text, from) = (word.as_bytes(), from.as_bytes());
    let Some(at) = text.windows(from.len()).position(|window| window == from) else { return word.clone() };
    let rest = text.get(at + from.len()..).unwrap_or_default();
    OsString::from_vec([text.get(..at).unwrap_or_default(), to.as_os_str().as_bytes(), rest].concat())
}
