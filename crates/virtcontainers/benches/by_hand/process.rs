//! The processes of a sandbox, found by the mark that the library leaves in their environment.

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::ffi::OsStrExt as _,
    path::Path,
};

use crate::Failure;

/// How the library marks the processes of a sandbox in their environment.
const MARK: &str = "VIRTCONTAINERS_MARK=";

#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) role: String,
    pub(crate) pid: u32,
    pub(crate) parent: u32,
    /// The program and its arguments.
    pub(crate) argv: Vec<OsString>,
}

impl Process {
    pub(crate) fn is_vmm(&self) -> bool {
        self.argv.first().is_some_and(|program| program.to_string_lossy().contains("qemu-system"))
    }
}

/// Every process of the sandbox, in the order of their start.
pub(crate) fn marked(root: &Path, sandbox: &str) -> Result<Vec<Process>, Failure> {
    let mut mark = OsString::from(MARK);
    mark.push(root);
    mark.push(format!(":{sandbox}:"));
    let mut processes = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // Processes come and go, and kernel threads have no environment.
        let Ok(environment) = fs::read(entry.path().join("environ")) else { continue };
        let role = environment.split(|&byte| byte == 0).find_map(|word| word.strip_prefix(mark.as_bytes()));
        let Some(role) = role else { continue };
        let argv = fs::read(entry.path().join("cmdline"))?;
        let argv = argv.strip_suffix(b"\0").unwrap_or(&argv).split(|&byte| byte == 0);
        processes.push(Process {
            role: String::from_utf8_lossy(role).into_owned(),
            pid,
            parent: field(pid, "status", "PPid:")?.try_into()?,
            argv: argv.map(|word| OsStr::from_bytes(word).to_owned()).collect(),
        });
    }
    processes.sort_by_key(|process| process.pid);
    Ok(processes)
}

/// A number in a file of `/proc/<pid>`.
pub(crate) fn field(pid: u32, file: &str, name: &str) -> Result<u64, Failure> {
    let path = format!("/proc/{pid}/{file}");
    let text = fs::read_to_string(&path)?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .ok_or_else(|| format!("no {name} in {path}"))?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
