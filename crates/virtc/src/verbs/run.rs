//! `virtc run`: a sandbox, a container in it, its streams and its exit code, in one go.

use virtcontainers::{Container, DeleteMode, Runtime, Sandbox, StopMode};
use virtcontainers_sys::spawn::Spawn;

use super::{interruptible, open};
use crate::{
    cli::{Global, RunArgs},
    config::HostConfig,
    defaults,
    error::{CliError, Left},
    exit::Exit,
    output,
    progress::Spinner,
    streams::{self, Attach, Ended, Joined},
};

pub(super) async fn run(global: &Global, args: RunArgs) -> Result<Exit, CliError> {
    let how = if args.detach { None } else { Some(Attach::new(&args.process, &args.keys.detach_keys)?) };
    let (host, runtime) = open(global)?;
    let sandbox = interruptible(&runtime, Left::Undone, create(&runtime, &args, host)).await?;
    let Some(how) = how else {
        return detached(global, &runtime, &sandbox, args.rm).await;
    };
    let outcome = attached(&runtime, &sandbox, &how).await;
    if matches!(outcome, Ok(Ended::Detached)) {
        return left(global, &runtime, &sandbox, args.rm).await;
    }
    let undo = matches!(outcome, Err(CliError::Interrupted { .. }));
    let ended = if args.rm || undo {
        sandbox.delete(DeleteMode::Force).await
    } else {
        sandbox.stop(StopMode::Force).await
    };
    // The command's own outcome comes first; an untidy end is reported when nothing else went wrong.
    let outcome = outcome?;
    ended?;
    Ok(outcome.into())
}

async fn create(runtime: &Runtime, args: &RunArgs, host: HostConfig) -> Result<Sandbox, CliError> {
    let name = args.name.clone().map(String::from).map_or_else(defaults::random_name, Ok)?;
    let mut container =
        defaults::container(name.clone(), &args.container, &args.process, host.rootfs.as_deref())?;
    if args.detach {
        container.cmd = defaults::detached(container.cmd);
    }
    let mut config = defaults::sandbox(name, &args.machine, &args.net, host)?;
    defaults::cgroups(&args.cgroup, &mut config);
    config.containers.push(container);
    let _spinner = Spinner::new(format!("booting {}", config.id));
    Ok(runtime.create_sandbox(config).await?)
}

/// The container that the sandbox was made for.
async fn container(sandbox: &Sandbox) -> Result<Container, CliError> {
    let containers = sandbox.containers().await?;
    let lost = || CliError::Usage(format!("sandbox {} has lost its container", sandbox.id()));
    containers.first().map(|id| sandbox.container(id)).ok_or_else(lost)
}

async fn attached(runtime: &Runtime, sandbox: &Sandbox, how: &Attach) -> Result<Ended, CliError> {
    let process = interruptible(runtime, Left::Undone, async {
        let process = container(sandbox).await?.process().await?;
        sandbox.start().await?;
        Ok::<_, CliError>(process)
    })
    .await?;
    streams::attach(Joined::own(&process), how).await
}

async fn detached(global: &Global, runtime: &Runtime, sandbox: &Sandbox, rm: bool) -> Result<Exit, CliError> {
    if let Err(error) = interruptible(runtime, Left::Undone, sandbox.start()).await {
        // Nobody has its name yet.
        sandbox.delete(DeleteMode::Force).await?;
        return Err(error);
    }
    tell(global, runtime, sandbox, rm).await
}

/// The user has left: a shim stands for the command from now on.
async fn left(global: &Global, runtime: &Runtime, sandbox: &Sandbox, rm: bool) -> Result<Exit, CliError> {
    container(sandbox).await?.process().await?.hand_over().await?;
    // The cursor is where the command left it.
    output::line("")?;
    tell(global, runtime, sandbox, rm).await
}

/// Says what goes on.
async fn tell(global: &Global, runtime: &Runtime, sandbox: &Sandbox, rm: bool) -> Result<Exit, CliError> {
    if rm {
        reap_in_background(global, runtime, sandbox)?;
    }
    if global.json {
        output::json(&sandbox.status().await?)?;
    } else {
        output::line(sandbox.id())?;
    }
    Ok(Exit::Done)
}

/// A process of its own that waits for the command and deletes the sandbox.
fn reap_in_background(global: &Global, runtime: &Runtime, sandbox: &Sandbox) -> Result<(), CliError> {
    let broken = |source| CliError::Io {
        what: "cannot start the process that will delete the sandbox".to_owned(),
        source,
    };
    let mut args = vec!["--root".to_owned(), runtime.root().display().to_string()];
    if let Some(config) = &global.config {
        args.extend([
            "--config".to_owned(),
            std::path::absolute(config).map_err(broken)?.display().to_string(),
        ]);
    }
    args.extend(["reap".to_owned(), sandbox.id().to_string()]);
    let this = std::env::current_exe().map_err(broken)?;
    Spawn::new(this).args(args).spawn().map_err(|error| broken(std::io::Error::other(error)))?;
    Ok(())
}
