//! `virtc container …`.

use virtcontainers::{
    Container, ContainerStatus, DeleteMode, KillScope, Runtime, SandboxId, SandboxStatus, StopMode,
};

use super::{interruptible, open};
use crate::{
    cli::{ContainerVerb, Global, ProcessArgs},
    defaults,
    error::{CliError, Left},
    exit::Exit,
    output,
    streams::{self, Attach},
};

pub(super) async fn run(global: &Global, verb: ContainerVerb) -> Result<Exit, CliError> {
    let (host, runtime) = open(global)?;
    match verb {
        ContainerVerb::Create { target, container, process } => {
            let config =
                defaults::container(target.new_container(), &container, &process, host.rootfs.as_deref())?;
            let made =
                interruptible(&runtime, Left::Undone, runtime.create_container(&target.sandbox, config))
                    .await?;
            done(global, &made).await
        }
        ContainerVerb::Start { target, attach } => {
            let container = target.find(&runtime).await?;
            let process = if attach { Some(container.process().await?) } else { None };
            interruptible(&runtime, Left::Done, container.start()).await?;
            match process {
                Some(process) => Ok(Exit::Code(streams::attach(&process, Attach::OUTPUT).await?)),
                None => done(global, &container).await,
            }
        }
        ContainerVerb::Enter { target, process } => {
            let how = Attach::new(&process)?;
            enter(&target.find(&runtime).await?, &process, how).await
        }
        ContainerVerb::Stop { target, force } => {
            let container = target.find(&runtime).await?;
            container.stop(if force { StopMode::Force } else { StopMode::Graceful }).await?;
            done(global, &container).await
        }
        ContainerVerb::Kill { target, signal, all } => {
            let scope = if all { KillScope::All } else { KillScope::Init };
            target.find(&runtime).await?.kill(signal, scope).await?;
            Ok(Exit::Done)
        }
        ContainerVerb::Pause { target } => {
            let container = target.find(&runtime).await?;
            container.pause().await?;
            done(global, &container).await
        }
        ContainerVerb::Resume { target } => {
            let container = target.find(&runtime).await?;
            container.resume().await?;
            done(global, &container).await
        }
        ContainerVerb::Wait { target } => Ok(Exit::Code(target.find(&runtime).await?.wait().await?)),
        ContainerVerb::Delete { target, force } => {
            let container = target.find(&runtime).await?;
            container.delete(if force { DeleteMode::Force } else { DeleteMode::IfStopped }).await?;
            output::line(name(&container))?;
            Ok(Exit::Done)
        }
        ContainerVerb::Status { target } => show(global, &target.find(&runtime).await?).await,
        ContainerVerb::List { sandbox, quiet } => list(global, &runtime, sandbox.as_ref(), quiet).await,
    }
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

async fn enter(container: &Container, args: &ProcessArgs, how: Attach) -> Result<Exit, CliError> {
    let process = container.exec(defaults::command(args)).await?;
    Ok(Exit::Code(streams::attach(&process, how).await?))
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

async fn list(
    global: &Global,
    runtime: &Runtime,
    only: Option<&SandboxId>,
    quiet: bool,
) -> Result<Exit, CliError> {
    let found = match only {
        Some(id) => containers_of(runtime.sandbox_status(id).await?),
        None => all(runtime).await?,
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
