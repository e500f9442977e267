//! `virtc doctor`: what this host can do, what is missing, and the command that mends it.

use std::path::Path;

use serde::Serialize;
use virtcontainers::{
    AcceleratorChoice, MachineType, Privileges,
    cgroup::{CgroupHost, CgroupVersion},
};
use virtcontainers_device::{Program, virtiofsd};
use virtcontainers_hypervisor::{HostFacts, choose_accelerator};
use virtcontainers_sys::program;

use crate::{cli::Global, config::HostConfig, defaults, error::CliError, exit::Exit, output};

/// How a finding bears on running sandboxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    /// All is well.
    Ok,
    /// Sandboxes run without it, but slower or with fewer choices.
    Warn,
    /// Sandboxes cannot run.
    Missing,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    verdict: Verdict,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Finding {
    fn ok(what: &'static str, found: impl Into<String>) -> Self {
        Self { what, verdict: Verdict::Ok, found: found.into(), remedy: None }
    }

    fn lacking(
        what: &'static str,
        verdict: Verdict,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { what, verdict, found: found.into(), remedy: Some(remedy.into()) }
    }
}

pub(super) fn run(global: &Global) -> Result<Exit, CliError> {
    let host = HostConfig::load(global.config.as_deref())?;
    let findings = [
        privileges(),
        cgroups(),
        accelerator(),
        qemu(&host),
        guest_image(&host),
        daemon(
            "virtio-fs",
            virtiofsd::PROGRAM,
            host.hypervisor.virtio_fs_daemon.as_deref(),
            "or choose --shared-fs virtio-9p",
        ),
        kernel_vsock(),
        tap_devices(),
        cni_plugins(&host),
        memory(),
    ];
    if global.json {
        output::json(&findings)?;
    } else {
        print(&findings)?;
    }
    let missing = findings.iter().any(|finding| finding.verdict == Verdict::Missing);
    Ok(if missing { Exit::Code(1) } else { Exit::Done })
}

fn print(findings: &[Finding]) -> Result<(), CliError> {
    for finding in findings {
        let sign = match finding.verdict {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Missing => "missing",
        };
        output::line(format_args!("{sign:8} {:14} {}", finding.what, finding.found))?;
        if let Some(remedy) = &finding.remedy {
            output::line(format_args!("{:23} -> {remedy}", ""))?;
        }
    }
    Ok(())
}

fn privileges() -> Finding {
    let what = "privileges";
    let privileges = Privileges::look();
    let who = match (privileges.root, privileges.user_namespace) {
        (true, false) => "root",
        (true, true) => "root of a user namespace",
        (false, _) => "not root",
    };
    let refused = privileges.refused();
    if refused.is_empty() {
        return Finding::ok(what, who);
    }
    let (names, reasons): (Vec<_>, Vec<_>) = refused
        .iter()
        .map(|refusal| (refusal.ability.to_string(), format!("{}: {}", refusal.ability, refusal.why)))
        .unzip();
    let found = format!("{who}: no {}", names.join(", no "));
    Finding::lacking(what, Verdict::Missing, found, reasons.join("; "))
}

fn cgroups() -> Finding {
    let what = "control groups";
    let host = CgroupHost::look();
    let version = match host.version {
        Some(CgroupVersion::V1) if host.unified => "version 1, and 2 to end all at once",
        Some(CgroupVersion::V1) => "version 1",
        Some(CgroupVersion::V2) => "version 2",
        None => "none",
    };
    let systemd = if host.systemd { "; systemd" } else { "" };
    let found = format!("{version} ({}){systemd}", host.controllers.join(", "));
    let Some(refused) = host.refused else { return Finding::ok(what, found) };
    let remedy = format!(
        "{refused}; sandboxes run without, and without limits on the host. To have them: be root, or have a group \
         delegated and name it with --cgroup-parent"
    );
    Finding::lacking(what, Verdict::Warn, found, remedy)
}

fn accelerator() -> Finding {
    let what = "accelerator";
    let facts = match HostFacts::probe(MachineType::default()) {
        Ok(facts) => facts,
        Err(error) => return Finding::lacking(what, Verdict::Missing, error.to_string(), "mount /proc"),
    };
    match choose_accelerator(AcceleratorChoice::Auto, &facts) {
        Ok(decision) => match decision.reason {
            None => Finding::ok(what, decision.accelerator.as_str()),
            Some(reason) => {
                let found = format!(
                    "{} (works everywhere, several times slower than kvm)",
                    decision.accelerator.as_str()
                );
                Finding::lacking(what, Verdict::Warn, found, reason.to_string())
            }
        },
        Err(error) => Finding::lacking(what, Verdict::Missing, "none", error.to_string()),
    }
}

fn qemu(host: &HostConfig) -> Finding {
    let what = "hypervisor";
    let name = host.hypervisor.hypervisor_path.clone().unwrap_or_else(|| "qemu-system-x86_64".into());
    let Some(path) = program::find(&name) else {
        let remedy = "apt-get install qemu-system-x86";
        return Finding::lacking(what, Verdict::Missing, format!("no {}", name.display()), remedy);
    };
    match std::process::Command::new(&path).arg("--version").output() {
        Ok(answer) if answer.status.success() => {
            let text = String::from_utf8_lossy(&answer.stdout).into_owned();
            Finding::ok(what, format!("{} ({})", text.lines().next().unwrap_or_default(), path.display()))
        }
        Ok(answer) => Finding::lacking(
            what,
            Verdict::Missing,
            format!("{} ends with {}", path.display(), answer.status),
            "reinstall it: apt-get install --reinstall qemu-system-x86",
        ),
        Err(error) => Finding::lacking(
            what,
            Verdict::Missing,
            format!("{}: {error}", path.display()),
            "make it executable, or name another one in the host's settings",
        ),
    }
}

fn guest_image(host: &HostConfig) -> Finding {
    let what = "guest image";
    match defaults::guest_image(None, host.guest.as_deref()) {
        Ok(image) => Finding::ok(
            what,
            format!("kernel {} ({})", image.manifest().kernel.release, image.dir().display()),
        ),
        Err(error) => Finding::lacking(what, Verdict::Missing, error.to_string(), "virtc guest build"),
    }
}

fn daemon(what: &'static str, program: Program, configured: Option<&Path>, otherwise: &str) -> Finding {
    match program.find(configured, None) {
        Ok(path) if configured.is_none() && path.file_name().is_none_or(|name| name != program.name) => {
            let remedy = format!(
                "put {} beside virtc or on PATH: with it a guest reads a file once, until the file changes",
                program.name
            );
            Finding::lacking(what, Verdict::Warn, path.display().to_string(), remedy)
        }
        Ok(path) => Finding::ok(what, path.display().to_string()),
        Err(error) => Finding::lacking(
            what,
            Verdict::Warn,
            format!("no {}", program.name),
            format!("{error}; {otherwise}"),
        ),
    }
}

fn kernel_vsock() -> Finding {
    let what = "kernel vsock";
    let device = "/dev/vhost-vsock";
    match std::fs::OpenOptions::new().read(true).write(true).open(device) {
        Ok(_) => Finding::ok(what, device),
        Err(error) => Finding::lacking(
            what,
            Verdict::Warn,
            format!("{device}: {error}"),
            "modprobe vhost_vsock, where the kernel has it; hybrid vsock or virtio-serial serve as well",
        ),
    }
}

fn tap_devices() -> Finding {
    let (what, device) = ("tap devices", "/dev/net/tun");
    match std::fs::OpenOptions::new().read(true).write(true).open(device) {
        Ok(_) => Finding::ok(what, device),
        Err(error) => Finding::lacking(
            what,
            Verdict::Warn,
            format!("{device}: {error}"),
            "modprobe tun; sandboxes without a network run without it",
        ),
    }
}

fn cni_plugins(host: &HostConfig) -> Finding {
    let what = "CNI plugins";
    let dirs = &host.network.plugin_dirs;
    match dirs.iter().find(|dir| dir.join("bridge").is_file()) {
        Some(dir) => Finding::ok(what, dir.display().to_string()),
        None => {
            let looked: Vec<_> = dirs.iter().map(|dir| dir.display().to_string()).collect();
            let remedy = "apt-get install containernetworking-plugins iptables; --net cni:NAME needs them";
            Finding::lacking(what, Verdict::Warn, format!("none in {}", looked.join(", ")), remedy)
        }
    }
}

fn memory() -> Finding {
    let what = "memory";
    match virtcontainers_sys::memory::total() {
        Ok(total) => Finding::ok(what, total.to_string()),
        Err(error) => Finding::lacking(what, Verdict::Warn, error.to_string(), "mount /proc"),
    }
}
