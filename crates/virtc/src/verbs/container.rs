//! `virtc container …`.

use virtcontainers::{Container, ContainerStatus, DeleteMode, Runtime, SandboxId, SandboxStatus, StopMode};

use super::{attach, exec, interruptible, kill, logs, open, update, wait};
use crate::{
    cli::{ContainerArgs, ContainerVerb, Global, ProcessArgs},
    defaults,
    error::{CliError, Left},
    exit::Exit,
    output,
    target::Target,
};

pub(super) async fn run(global: &Global, verb: ContainerVerb) -> Result<Exit, CliError> {
    match verb {
        ContainerVerb::Create { target, container, process } => {
            create(global, &target, &container, &process).await
        }
        ContainerVerb::Start { target, attach } => start(global, &target, attach).await,
        ContainerVerb::Enter(args) => exec::run(global, args).await,
        ContainerVerb::Attach(args) => attach::run(global, args).await,
        ContainerVerb::Logs(args) => logs::run(global, args).await,
        ContainerVerb::Kill(args) => kill::run(global, args).await,
        ContainerVerb::Wait(args) => wait::run(global, args).await,
        ContainerVerb::Update(args) => update::run(global, args).await,
        ContainerVerb::Stop { target, force } => {
            let container = find(global, &target).await?;
            container.stop(if force { StopMode::Force } else { StopMode::Graceful }).await?;
            done(global, &container).await
        }
        ContainerVerb::Pause { target } => {
            let container = find(global, &target).await?;
            container.pause().await?;
            done(global, &container).await
        }
        ContainerVerb::Resume { target } => {
            let container = find(global, &target).await?;
            container.resume().await?;
            done(global, &container).await
        }
        ContainerVerb::Delete { target, force } => {
            let container = find(global, &target).await?;
            container.delete(if force { DeleteMode::Force } else { DeleteMode::IfStopped }).await?;
            output::line(name(&container))?;
            Ok(Exit::Done)
        }
        ContainerVerb::Status { target } => show(global, &find(global, &target).await?).await,
        ContainerVerb::List { sandbox, quiet } => list(global, sandbox.as_ref(), quiet).await,
    }
}

async fn find(global: &Global, target: &Target) -> Result<Container, CliError> {
    let (_, runtime) = open(global)?;
    target.find(&runtime).await
}

async fn create(
    global: &Global,
    target: &Target,
    container: &ContainerArgs,
    process: &ProcessArgs,
) -> Result<Exit, CliError> {
    let (host, runtime) = open(global)?;
    let mut config = defaults::container(target.new_container(), container, process, host.rootfs.as_deref())?;
    config.cmd = defaults::detached(config.cmd);
    let making = runtime.create_container(&target.sandbox, config);
    let made = interruptible(&runtime, Left::Undone, making).await?;
    done(global, &made).await
}

async fn start(global: &Global, target: &Target, attach: bool) -> Result<Exit, CliError> {
    let (_, runtime) = open(global)?;
    let container = target.find(&runtime).await?;
    interruptible(&runtime, Left::Done, container.start()).await?;
    if attach { logs::follow(global, &container).await } else { done(global, &container).await }
}

fn name(container: &Container) -> String {
    format!("{}/{}", container.sandbox().id(), container.id())
}

async fn done(global: &Global, container: &Container) -> Result<Exit, CliError> {
    if global.json {
        output::json(&container.status().await?)?;
    } else {
        output::line(name(container))?;
    }
    Ok(Exit::Done)
}

async fn show(global: &Global, container: &Container) -> Result<Exit, CliError> {
    let status = container.status().await?;
    if global.json {
        output::json(&status)?;
        return Ok(Exit::Done);
    }
    output::fact("container", name(container))?;
    output::fact("state", status.state.to_string())?;
    if let Some(code) = status.exit_code {
        output::fact("exit code", code.to_string())?;
    }
    output::fact("command", status.args.join(" "))?;
    output::fact("rootfs", status.rootfs.display().to_string())?;
    output::fact("created", output::ago(status.created))?;
    if let Some(started) = status.started {
        output::fact("started", output::ago(started))?;
    }
    Ok(Exit::Done)
}

async fn list(global: &Global, only: Option<&SandboxId>, quiet: bool) -> Result<Exit, CliError> {
    let (_, runtime) = open(global)?;
    let found = match only {
        Some(id) => containers_of(runtime.sandbox_status(id).await?),
        None => all(&runtime).await?,
    };
    if global.json {
        let values: Vec<_> = found
            .iter()
            .map(|(sandbox, status)| serde_json::json!({ "sandbox": sandbox, "container": status }))
            .collect();
        output::json(&values)?;
    } else if quiet {
        found
            .iter()
            .try_for_each(|(sandbox, status)| output::line(format_args!("{sandbox}/{}", status.id)))?;
    } else {
        let rows: Vec<_> = found
            .iter()
            .map(|(sandbox, status)| {
                let code = status.exit_code.map_or_else(|| "-".to_owned(), |code| code.to_string());
                [
                    format!("{sandbox}/{}", status.id),
                    status.state.to_string(),
                    code,
                    output::ago(status.created),
                    status.args.join(" "),
                ]
            })
            .collect();
        output::table(["CONTAINER", "STATE", "EXIT CODE", "CREATED", "COMMAND"], &rows)?;
    }
    Ok(Exit::Done)
}

/// The containers of a sandbox; one that cannot be read is reported on standard error.
fn containers_of(status: SandboxStatus) -> Vec<(String, ContainerStatus)> {
    for broken in status.broken_containers {
        output::complain(&CliError::BrokenContainer { name: broken.name, reason: broken.reason });
    }
    status.containers.into_iter().map(|container| (status.id.to_string(), container)).collect()
}

/// The containers of every sandbox; one that cannot be read is reported on standard error.
async fn all(runtime: &Runtime) -> Result<Vec<(String, ContainerStatus)>, CliError> {
    let mut found = Vec::new();
    for (_, status) in runtime.list_sandboxes().await? {
        match status {
            Ok(status) => found.extend(containers_of(status)),
            Err(error) => output::complain(&error.into()),
        }
    }
    Ok(found)
}
