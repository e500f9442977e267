//! `virtc pause` and `resume`: of a whole sandbox, or of one container.

use super::{each, open};
use crate::{
    cli::{Global, PauseArgs},
    error::CliError,
    exit::Exit,
};

pub(super) async fn pause(global: &Global, args: PauseArgs) -> Result<Exit, CliError> {
    let (_, runtime) = open(global)?;
    each(&args.targets, async |target| {
        match target.container() {
            None => drop(runtime.pause_sandbox(&target.sandbox).await?),
            Some(container) => drop(runtime.pause_container(&target.sandbox, container).await?),
        }
        Ok(())
    })
    .await
}

pub(super) async fn resume(global: &Global, args: PauseArgs) -> Result<Exit, CliError> {
    let (_, runtime) = open(global)?;
    each(&args.targets, async |target| {
        match target.container() {
            None => drop(runtime.resume_sandbox(&target.sandbox).await?),
            Some(container) => drop(runtime.resume_container(&target.sandbox, container).await?),
        }
        Ok(())
    })
    .await
}
