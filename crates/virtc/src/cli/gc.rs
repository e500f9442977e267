//! `virtc gc`.

use clap::Args;

/// What `virtc gc` takes.
#[derive(Debug, Args)]
pub(crate) struct GcArgs {
    /// Only say what would be removed
    #[arg(long, short = 'n')]
    pub(crate) dry_run: bool,
    /// End what lives under a damaged record, too
    #[arg(long, short)]
    pub(crate) force: bool,
}
