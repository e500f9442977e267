//! `virtc attach`: joins the command of a container that runs.

use super::open;
use crate::{
    cli::{AttachArgs, Global},
    error::CliError,
    exit::Exit,
    streams::{self, Attach, Joined},
    terminal,
};

pub(super) async fn run(global: &Global, args: AttachArgs) -> Result<Exit, CliError> {
    let (_, runtime) = open(global)?;
    let container = args.target.find(&runtime).await?;
    let tty = container.status().await?.terminal;
    if tty && !args.no_stdin && !terminal::is_on_stdin() {
        return Err(CliError::Usage(
            "the command has a terminal, and standard input is none: add --no-stdin to look on".to_owned(),
        ));
    }
    let attachment = container.attach().await?;
    let how = Attach { stdin: !args.no_stdin, tty, signals: args.sig_proxy, keys: args.keys.detach_keys };
    Ok(streams::attach(Joined::shared(attachment, container), &how).await?.into())
}
