//! `virtc kill`: signals containers' commands.

use virtcontainers::KillScope;

use super::{each, open};
use crate::{
    cli::{Global, KillArgs},
    error::CliError,
    exit::Exit,
};

pub(super) async fn run(global: &Global, args: KillArgs) -> Result<Exit, CliError> {
    let (_, runtime) = open(global)?;
    let scope = if args.all { KillScope::All } else { KillScope::Init };
    each(&args.targets, async |target| Ok(target.find(&runtime).await?.kill(args.signal, scope).await?)).await
}
