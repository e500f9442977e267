//! `virtc console`: a shell in the guest itself.

use std::io;

use super::open;
use crate::{
    cli::{ConsoleArgs, Global},
    detach::DetachWatch,
    error::CliError,
    exit::Exit,
    signals::Heard,
    streams::{copy, copy_until},
    terminal::{self, RawMode},
};

pub(super) async fn run(global: &Global, args: ConsoleArgs) -> Result<Exit, CliError> {
    let (_, runtime) = open(global)?;
    let sandbox = runtime.fetch_sandbox(&args.sandbox).await?;
    let shell = sandbox.console_shell().await?;
    let (mut from_guest, mut to_guest) = tokio::io::split(shell);
    // Without a terminal a script's lines go in and what the shell says comes out.
    let raw = if terminal::is_on_stdin() { Some(RawMode::enter()?) } else { None };
    let show = async { copy(&mut from_guest, &mut tokio::io::stdout()).await };
    let typed = async {
        let watch = DetachWatch::new(&args.keys.detach_keys);
        let left = match raw {
            Some(_) => copy_until(&mut tokio::io::stdin(), &mut to_guest, watch).await?,
            None => copy(&mut tokio::io::stdin(), &mut to_guest).await.map(|()| false)?,
        };
        // The shell's end of input is an end of its line (ctrl-d): its terminal has no other.
        if !left {
            tokio::io::AsyncWriteExt::write_all(&mut to_guest, b"\x04").await?;
            std::future::pending::<()>().await;
        }
        io::Result::Ok(())
    };
    let mut heard = Heard::ending()?;
    let ended = tokio::select! {
        ended = show => ended,
        left = typed => left,
        _ = heard.next() => Ok(()),
    };
    drop(raw);
    ended.map_err(|source| CliError::Io {
        what: format!("the console of sandbox {} broke", args.sandbox),
        source,
    })?;
    Ok(Exit::Done)
}
