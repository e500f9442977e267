//! The OCI process of a command.

use std::{collections::HashSet, path::Path};

use oci_spec::runtime::{
    Box as ConsoleSize, BoxBuilder, Capability, LinuxCapabilities, PosixRlimit, PosixRlimitBuilder,
    PosixRlimitType, Process, User,
};

use virtcontainers_agent_client::TerminalSize;

use super::user::{self, Identity};
use crate::config::{Cmd, ConfigError};

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What container engines leave to root in a container.
const CAPABILITIES: [Capability; 14] = [
    Capability::AuditWrite,
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Mknod,
    Capability::NetBindService,
    Capability::NetRaw,
    Capability::Setfcap,
    Capability::Setgid,
    Capability::Setpcap,
    Capability::Setuid,
    Capability::SysChroot,
];

/// The container's first process.
pub(super) fn first_process(rootfs: &Path, cmd: &Cmd) -> Result<Process, ConfigError> {
    build(rootfs, cmd, "cmd.")
}

/// A further process of a container whose root filesystem is at `rootfs` on the host.
///
/// # Errors
/// [`ConfigError`] for a user or group that the container's files do not know.
pub(crate) fn exec_process(rootfs: &Path, cmd: &Cmd) -> Result<Process, ConfigError> {
    build(rootfs, cmd, "")
}

fn build(rootfs: &Path, cmd: &Cmd, fields: &str) -> Result<Process, ConfigError> {
    let identity = user::resolve(rootfs, cmd, fields)?;
    let mut user = User::default();
    user.set_uid(identity.uid).set_gid(identity.gid).set_additional_gids(Some(identity.groups.clone()));
    let cwd = match cmd.work_dir.as_os_str().is_empty() {
        true => "/".into(),
        false => cmd.work_dir.clone(),
    };
    let capabilities = cmd.capabilities.clone().unwrap_or_else(|| default_capabilities(identity.uid));
    let mut process = Process::default();
    process
        .set_terminal(Some(cmd.interactive))
        .set_user(user)
        .set_args(Some(cmd.args.clone()))
        .set_env(Some(environment(cmd, &identity)))
        .set_cwd(cwd)
        .set_capabilities(Some(capabilities))
        .set_rlimits(Some(open_files()))
        .set_no_new_privileges(Some(cmd.no_new_privileges))
        .set_console_size(cmd.terminal_size.and_then(console_size));
    Ok(process)
}

fn console_size(size: TerminalSize) -> Option<ConsoleSize> {
    // Both fields are given, so it builds.
    BoxBuilder::default().height(u64::from(size.rows)).width(u64::from(size.columns)).build().ok()
}

fn environment(cmd: &Cmd, identity: &Identity) -> Vec<String> {
    let missing = |name: &str| !cmd.envs.iter().any(|env| env.var == name);
    let mut environment = Vec::with_capacity(cmd.envs.len() + 3);
    if missing("PATH") {
        environment.push(format!("PATH={DEFAULT_PATH}"));
    }
    if missing("HOME") {
        environment.push(format!("HOME={}", identity.home));
    }
    if cmd.interactive && missing("TERM") {
        environment.push("TERM=xterm".to_owned());
    }
    environment.extend(cmd.envs.iter().map(ToString::to_string));
    environment
}

/// Root gets the whole set; others only the bound up to which a program with file capabilities may rise.
fn default_capabilities(uid: u32) -> LinuxCapabilities {
    let all: HashSet<Capability> = CAPABILITIES.into();
    let held = if uid == 0 { all.clone() } else { HashSet::new() };
    let mut capabilities = LinuxCapabilities::default();
    capabilities
        .set_bounding(Some(all))
        .set_effective(Some(held.clone()))
        .set_permitted(Some(held))
        .set_inheritable(Some(HashSet::new()))
        .set_ambient(Some(HashSet::new()));
    capabilities
}

/// systemd's default: programs that cannot count beyond 1024 are safe, others may raise it.
fn open_files() -> Vec<PosixRlimit> {
    let limit =
        PosixRlimitBuilder::default().typ(PosixRlimitType::RlimitNofile).soft(1024u64).hard(524_288u64);
    // All fields are given, so it builds; without it the agent's own limit would hold.
    limit.build().into_iter().collect()
}
