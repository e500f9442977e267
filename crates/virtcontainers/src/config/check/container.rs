//! Checks of containers.

use std::{collections::BTreeSet, path::Path};

use oci_spec::runtime::Spec;
use virtcontainers_agent_client::TerminalSize;
use virtcontainers_types::{ContainerId, ShimKind};

use super::{ContainerConfig, Problem, Report, Wanted, is_plain_absolute, resources};
use crate::config::{Cmd, Mount, RootFs};

const MAKE_ROOT: &str = "make the root filesystem first, or correct the path";

/// Checks all containers of a sandbox; the ids of the good ones, in order.
pub(super) fn check_all(containers: &[ContainerConfig], report: &mut Report) -> Vec<Option<ContainerId>> {
    let mut seen = BTreeSet::new();
    let checked = containers.iter().enumerate().map(|(index, container)| {
        report.within(&format!("containers[{index}]"), |report| {
            let id = check(container, report);
            if let Some(id) = &id
                && !seen.insert(id.clone())
            {
                report.add("id", Problem::Duplicate(id.to_string()));
            }
            id
        })
    });
    checked.collect()
}

/// Checks one container.
pub(super) fn check(config: &ContainerConfig, report: &mut Report) -> Option<ContainerId> {
    let id = report.take("id", ContainerId::new(config.id.as_str()));
    match &config.custom_spec {
        None => {
            report.within("root_fs", |report| check_root(&config.root_fs, report));
            report.within("cmd", |report| {
                check_args(&config.cmd, report);
                check_cmd(&config.cmd, report);
            });
        }
        Some(spec) => {
            report.within("custom_spec", |report| check_spec(spec, &config.root_fs, report));
            // The spec has a process of its own; what else the command says would be lost.
            let Cmd { stdin, detach, shim, .. } = config.cmd;
            let silent = Cmd { stdin, detach, shim, ..Cmd::default() };
            if config.cmd != silent {
                let remedy = "write the command into the spec; only `stdin`, `detach` and `shim` can be given beside it";
                report.add("cmd", Problem::Conflict { other: "custom_spec", remedy });
            }
            if config.resources.is_some() {
                let remedy = "write the limits into the spec's linux.resources";
                report.add("resources", Problem::Conflict { other: "custom_spec", remedy });
            }
        }
    }
    if let Some(resources) = &config.resources {
        report.within("resources", |report| resources::check(resources, report));
    }
    if config.annotations.contains_key("") {
        report.add("annotations", Problem::Missing("give every annotation a key"));
    }
    for (index, mount) in config.mounts.iter().enumerate() {
        report.within(&format!("mounts[{index}]"), |report| check_mount(mount, report));
    }
    report.not_built("device_infos", !config.device_infos.is_empty());
    id
}

fn check_root(root: &RootFs, report: &mut Report) {
    report.not_built("source", root.source.is_some());
    report.not_built("fs_type", root.fs_type.is_some());
    report.not_built("options", !root.options.is_empty());
    report.not_built("mounted", !root.mounted);
    if root.target.as_os_str().is_empty() {
        report.add("target", Problem::Missing("name the directory of the root filesystem"));
    } else {
        report.path("target", &root.target, Wanted::Directory, MAKE_ROOT);
    }
}

pub(super) fn check_args(cmd: &Cmd, report: &mut Report) {
    if cmd.args.first().is_none_or(String::is_empty) {
        report.add("args", Problem::Missing("name the program to run"));
    }
}

/// Checks a command, of a container or of a further process.
pub(crate) fn check_cmd(cmd: &Cmd, report: &mut Report) {
    let nul = |text: &str| text.contains('\0');
    let no_nul = "a NUL cannot be passed to a process";
    for (index, arg) in cmd.args.iter().enumerate().filter(|(_, arg)| nul(arg)) {
        report.add(&format!("args[{index}]"), Problem::Invalid { found: arg.clone(), expected: no_nul });
    }
    for (index, env) in cmd.envs.iter().enumerate() {
        if env.var.is_empty() || env.var.contains(['=', '\0']) || nul(&env.value) {
            let expected = "write a name that is not empty and has no '=', and no NUL";
            report.add(&format!("envs[{index}]"), Problem::Invalid { found: env.to_string(), expected });
        }
    }
    if !cmd.work_dir.as_os_str().is_empty() && !is_plain_absolute(&cmd.work_dir) {
        let found = cmd.work_dir.display().to_string();
        let expected = "write an absolute path without '..'";
        report.add("work_dir", Problem::Invalid { found, expected });
    }
    let (user, group) = cmd.user.split_once(':').unwrap_or((&cmd.user, ""));
    check_name("user", user, report);
    check_name("user", group, report);
    check_name("primary_group", &cmd.primary_group, report);
    if !group.is_empty() && !cmd.primary_group.is_empty() {
        let remedy = "name the group in one of the two";
        report.add("primary_group", Problem::Conflict { other: "the group in user", remedy });
    }
    for group in &cmd.supplementary_groups {
        if group.is_empty() {
            report.add("supplementary_groups", Problem::Missing("name the group, or leave the entry out"));
        }
        check_name("supplementary_groups", group, report);
    }
    report.not_built("console", cmd.console.is_some());
    if let Some(size) = cmd.terminal_size {
        if !cmd.interactive {
            let remedy = "ask for a terminal with `interactive`, or leave the size out";
            report.add("terminal_size", Problem::Conflict { other: "a process without a terminal", remedy });
        }
        check_terminal_size(size, report);
    }
    if cmd.detach && cmd.stdin && cmd.shim != Some(ShimKind::Kata) {
        let remedy =
            "nobody writes to a detached process without a shim of its own: leave one of the two out";
        report.add("stdin", Problem::Conflict { other: "detach", remedy });
    }
}

/// The kernel keeps a terminal's size in 16 bits a side.
pub(super) fn check_terminal_size(size: TerminalSize, report: &mut Report) {
    if size.rows.max(size.columns) > u16::MAX.into() {
        let found = format!("{}x{}", size.rows, size.columns);
        report.invalid("terminal_size", found, "write at most 65535 rows and columns");
    }
}

/// A user's or group's name, or nothing. Whether the container knows it is seen when the container is created.
fn check_name(field: &str, name: &str, report: &mut Report) {
    if name.contains([':', '\0', '\n', '/']) || name.len() > 256 {
        let expected = "write a number, or a name of the container's /etc/passwd or /etc/group";
        report.add(field, Problem::Invalid { found: name.to_owned(), expected });
    }
}

fn check_mount(mount: &Mount, report: &mut Report) {
    if !is_plain_absolute(&mount.destination) || mount.destination == Path::new("/") {
        let found = mount.destination.display().to_string();
        let expected = "write an absolute path in the container, without '..', other than '/'";
        report.add("destination", Problem::Invalid { found, expected });
    }
    if mount.is_bind() {
        report.path("source", &mount.source, Wanted::Anything, "make it first, or correct the path");
    } else if mount.fs_type.contains(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.') {
        let expected = "write bind, tmpfs or another filesystem type of the guest's kernel";
        report.add("fs_type", Problem::Invalid { found: mount.fs_type.clone(), expected });
    }
    for option in mount.options.iter().filter(|option| option.contains(['\0', ','])) {
        let expected = "write one option an entry";
        report.add("options", Problem::Invalid { found: option.clone(), expected });
    }
    report.not_built("host_path", mount.host_path.is_some());
    report.not_built("block_device_id", mount.block_device_id.is_some());
}

fn check_spec(spec: &Spec, root: &RootFs, report: &mut Report) {
    let args = spec.process().as_ref().and_then(|process| process.args().as_ref());
    if args.and_then(|args| args.first()).is_none_or(String::is_empty) {
        report.add("process.args", Problem::Missing("name the program to run"));
    }
    match spec.root() {
        _ if !root.target.as_os_str().is_empty() => {
            report.path("root.path", &root.target, Wanted::Directory, MAKE_ROOT);
        }
        Some(found) => {
            report.path("root.path", found.path(), Wanted::Directory, MAKE_ROOT);
        }
        None => report.add("root", Problem::Missing("name the directory of the root filesystem")),
    }
    report.not_built("hooks", spec.hooks().is_some());
    for (index, mount) in spec.mounts().iter().flatten().enumerate() {
        if !is_plain_absolute(mount.destination()) {
            let found = mount.destination().display().to_string();
            let expected = "write an absolute path in the container, without '..'";
            report.add(&format!("mounts[{index}].destination"), Problem::Invalid { found, expected });
        }
    }
}
