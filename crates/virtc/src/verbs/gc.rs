//! `virtc gc`: what dead processes left behind.

use virtcontainers::{GcItem, GcOptions, GcOutcome};

use super::{interruptible, open};
use crate::{
    cli::{GcArgs, Global},
    error::{CliError, Left},
    exit::Exit,
    output,
};

pub(super) async fn run(global: &Global, args: &GcArgs) -> Result<Exit, CliError> {
    let (_, runtime) = open(global)?;
    let options = if args.dry_run { GcOptions::dry_run() } else { GcOptions::default() };
    let options = if args.force { options.force() } else { options };
    let report = interruptible(&runtime, Left::Done, runtime.gc(options)).await?;
    let failed = |item: &&GcItem| matches!(item.outcome, GcOutcome::Failed { .. });
    let (failed, all) = (report.items.iter().filter(failed).count(), report.items.len());
    if global.json {
        output::json(&report)?;
    } else if !report.items.is_empty() {
        let rows: Vec<_> = report.items.iter().map(|item| row(item, args.dry_run)).collect();
        output::table(["SANDBOX", "WHAT", "OUTCOME"], &rows)?;
    }
    if failed == 0 { Ok(Exit::Done) } else { Err(CliError::Several { failed, all }) }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "a later version of the library may know more")]
fn row(item: &GcItem, dry_run: bool) -> [String; 3] {
    let outcome = match &item.outcome {
        GcOutcome::Removed if dry_run => "would be removed".to_owned(),
        GcOutcome::Removed => "removed".to_owned(),
        GcOutcome::SetAside { why, to: Some(to) } => format!("set aside in {}: {why}", to.display()),
        GcOutcome::SetAside { why, to: None } => format!("would be set aside: {why}"),
        GcOutcome::Left { why } => format!("left: {why}"),
        GcOutcome::Failed { why } => format!("failed: {why}"),
        // Of a later version of the library.
        _ => "unknown".to_owned(),
    };
    [item.sandbox.clone(), item.what.clone(), outcome]
}
