//! `virtc exec`: a further process in a running container.

use virtcontainers::{Cmd, Container};

use super::open;
use crate::{
    cli::{ExecArgs, Global},
    defaults,
    error::CliError,
    exit::Exit,
    output,
    streams::{self, Attach, Ended, Joined},
};

pub(super) async fn run(global: &Global, args: ExecArgs) -> Result<Exit, CliError> {
    let how = if args.detach { None } else { Some(Attach::new(&args.process, &args.keys.detach_keys)?) };
    let (_, runtime) = open(global)?;
    let container = args.target.find(&runtime).await?;
    let cmd = defaults::command(&args.process);
    match how {
        Some(how) => {
            let process = container.exec(cmd).await?;
            let ended = streams::attach(Joined::own(&process), &how).await?;
            if ended == Ended::Detached {
                process.hand_over().await?;
                // The cursor is where the command left it.
                output::line(format_args!("\n{}", process.id()))?;
            }
            Ok(ended.into())
        }
        None => detach(global, &container, cmd).await,
    }
}

async fn detach(global: &Global, container: &Container, cmd: Cmd) -> Result<Exit, CliError> {
    let cmd = Cmd { detach: true, stdin: false, ..defaults::detached(cmd) };
    let process = container.exec(cmd).await?;
    if global.json {
        output::json(&serde_json::json!({
            "sandbox": container.sandbox().id(),
            "container": container.id(),
            "exec": process.id(),
            "pid": process.pid(),
        }))?;
    } else {
        output::line(process.id())?;
    }
    Ok(Exit::Done)
}
