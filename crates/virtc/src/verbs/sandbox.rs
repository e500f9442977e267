//! `virtc sandbox …`.

use virtcontainers::{DeleteMode, Runtime, SandboxConfig, SandboxId, SandboxStatus, ShimKind, StopMode};

use super::{each, interruptible, open};
use crate::{
    cli::{CreateArgs, Global, SandboxVerb},
    config::{self, HostConfig},
    defaults,
    error::{CliError, Left},
    exit::Exit,
    output,
    progress::Spinner,
};

/// How long the agent has to answer when one looks at a sandbox.
const PROBE: std::time::Duration = std::time::Duration::from_secs(3);

pub(super) async fn run(global: &Global, verb: SandboxVerb) -> Result<Exit, CliError> {
    let (host, runtime) = open(global)?;
    match verb {
        SandboxVerb::Create(args) => create(global, &runtime, args, host, false).await,
        SandboxVerb::Run(args) => create(global, &runtime, args, host, true).await,
        SandboxVerb::Start { sandbox } => {
            interruptible(&runtime, Left::Done, runtime.start_sandbox(&sandbox)).await?;
            done(global, &runtime, &sandbox).await
        }
        SandboxVerb::Stop(args) => {
            let mode = if args.force { StopMode::Force } else { StopMode::Graceful };
            each(&args.sandboxes, async |id| Ok(runtime.stop_sandbox(id, mode).await.map(drop)?)).await
        }
        SandboxVerb::Pause { sandbox } => {
            runtime.pause_sandbox(&sandbox).await?;
            done(global, &runtime, &sandbox).await
        }
        SandboxVerb::Resume { sandbox } => {
            runtime.resume_sandbox(&sandbox).await?;
            done(global, &runtime, &sandbox).await
        }
        SandboxVerb::Delete(args) => {
            let mode = if args.force { DeleteMode::Force } else { DeleteMode::IfStopped };
            each(&args.sandboxes, async |id| Ok(runtime.delete_sandbox(id, mode).await?)).await
        }
        SandboxVerb::Status { sandbox } => {
            let mut status = runtime.sandbox_status(&sandbox).await?;
            if status.reason.is_none() {
                status.reason = runtime.fetch_sandbox(&sandbox).await?.probe(PROBE).await?;
            }
            show(global, &status)
        }
        SandboxVerb::List(args) => list(global, &runtime, args.quiet).await,
    }
}

async fn create(
    global: &Global,
    runtime: &Runtime,
    args: CreateArgs,
    host: HostConfig,
    start: bool,
) -> Result<Exit, CliError> {
    let mut config = describe(args, host)?;
    if config.shim_type == ShimKind::default() {
        // This process does not stay with them.
        config.shim_type = ShimKind::Kata;
    }
    let spinner = Spinner::new(format!("booting {}", config.id));
    let sandbox = interruptible(runtime, Left::Undone, async {
        if start { runtime.run_sandbox(config).await } else { runtime.create_sandbox(config).await }
    })
    .await?;
    drop(spinner);
    done(global, runtime, sandbox.id()).await
}

/// The sandbox that the file describes, or the host's settings; what the command line says goes over both.
fn describe(args: CreateArgs, host: HostConfig) -> Result<SandboxConfig, CliError> {
    let name = args.name.map(String::from);
    let Some(file) = &args.file else {
        let name = name.map_or_else(defaults::random_name, Ok)?;
        let mut config = defaults::sandbox(name, &args.machine, &args.net, host)?;
        defaults::cgroups(&args.cgroup, &mut config);
        return Ok(config);
    };
    let mut config: SandboxConfig = config::read(file)?;
    match name {
        Some(name) => config.id = name,
        None if config.id.is_empty() => config.id = defaults::random_name()?,
        None => {}
    }
    defaults::apply(&args.machine, &mut config.hypervisor_config, &mut config.agent_config);
    defaults::network(&args.net, host.network, &mut config.network_config)?;
    defaults::cgroups(&args.cgroup, &mut config);
    defaults::find_guest(
        args.machine.guest.as_deref(),
        host.guest.as_deref(),
        &mut config.hypervisor_config,
    )?;
    Ok(config)
}

/// Prints the sandbox's name, or its whole status as JSON.
async fn done(global: &Global, runtime: &Runtime, id: &SandboxId) -> Result<Exit, CliError> {
    if global.json {
        output::json(&runtime.sandbox_status(id).await?)?;
    } else {
        output::line(id)?;
    }
    Ok(Exit::Done)
}

fn show(global: &Global, status: &SandboxStatus) -> Result<Exit, CliError> {
    if global.json {
        output::json(status)?;
        return Ok(Exit::Done);
    }
    output::fact("sandbox", status.id.to_string())?;
    output::fact("state", status.state.to_string())?;
    if let Some(reason) = &status.reason {
        output::fact("reason", reason)?;
    }
    let machine = &status.hypervisor_config;
    output::fact("hypervisor", format!("{} {}", status.hypervisor, machine.hypervisor_machine_type))?;
    output::fact("memory", machine.memory_size.to_string())?;
    output::fact("vCPUs", machine.num_vcpus.to_string())?;
    output::fact("shared fs", machine.shared_fs.to_string())?;
    if let Some(transport) = status.transport {
        output::fact("transport", transport.to_string())?;
    }
    if let Some(pid) = status.vmm_pid {
        output::fact("VMM pid", pid.to_string())?;
    }
    for lacking in &status.lacking_cgroups {
        output::fact("no cgroup", lacking)?;
    }
    for group in &status.cgroups {
        output::fact("cgroup", group.display().to_string())?;
    }
    for helper in &status.processes {
        output::fact(&helper.role, format!("pid {}", helper.pid))?;
    }
    output::fact("created", output::ago(status.created))?;
    for container in &status.containers {
        output::fact(
            "container",
            format!("{} {} {}", container.id, container.state, container.args.join(" ")),
        )?;
    }
    for broken in &status.broken_containers {
        output::fact("unreadable", format!("{}: {}", broken.name, broken.reason))?;
    }
    Ok(Exit::Done)
}

async fn list(global: &Global, runtime: &Runtime, quiet: bool) -> Result<Exit, CliError> {
    let sandboxes = runtime.list_sandboxes().await?;
    if global.json {
        let values: Vec<_> = sandboxes
            .iter()
            .map(|(name, status)| match status {
                Ok(status) => serde_json::json!(status),
                Err(error) => serde_json::json!({ "id": name, "error": error.to_string() }),
            })
            .collect();
        output::json(&values)?;
    } else if quiet {
        sandboxes.iter().try_for_each(|(name, _)| output::line(name))?;
    } else {
        let rows: Vec<_> = sandboxes.iter().map(|(name, status)| row(name, status.as_ref().ok())).collect();
        output::table(["SANDBOX", "STATE", "HYPERVISOR", "MEMORY", "VCPUS", "CONTAINERS", "CREATED"], &rows)?;
        // One that cannot be read is in the table all the same; why it cannot would not fit.
        sandboxes
            .into_iter()
            .filter_map(|(_, status)| status.err())
            .for_each(|error| output::complain(&error.into()));
    }
    Ok(Exit::Done)
}

fn row(name: &str, status: Option<&SandboxStatus>) -> [String; 7] {
    match status {
        Some(status) => [
            name.to_owned(),
            status.state.to_string(),
            status.hypervisor.to_string(),
            status.hypervisor_config.memory_size.to_string(),
            status.hypervisor_config.num_vcpus.to_string(),
            status.containers.len().to_string(),
            output::ago(status.created),
        ],
        None => {
            let unknown = || "-".to_owned();
            [name.to_owned(), "unreadable".to_owned(), unknown(), unknown(), unknown(), unknown(), unknown()]
        }
    }
}
