//! `virtc inspect`: all that is known of sandboxes or containers.

use super::open;
use crate::{
    cli::{Global, InspectArgs},
    error::CliError,
    exit::Exit,
    output,
};

pub(super) async fn run(global: &Global, args: InspectArgs) -> Result<Exit, CliError> {
    let (_, runtime) = open(global)?;
    let mut found = Vec::new();
    for target in &args.targets {
        found.push(match target.container() {
            None => serde_json::json!(runtime.sandbox_status(&target.sandbox).await?),
            Some(container) => serde_json::json!(runtime.container_status(&target.sandbox, container).await?),
        });
    }
    // One alone as it is, several as a list.
    match found.as_slice() {
        [only] => output::json(only)?,
        all => output::json(&all)?,
    }
    Ok(Exit::Done)
}
