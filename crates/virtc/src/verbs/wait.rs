//! `virtc wait`: waits until containers' commands end.

use futures::future::join_all;

use super::{all_well, open};
use crate::{
    cli::{Global, WaitArgs},
    error::CliError,
    exit::Exit,
    output,
    target::Target,
};

pub(super) async fn run(global: &Global, args: WaitArgs) -> Result<Exit, CliError> {
    let (_, runtime) = open(global)?;
    // All at once: a machine that ends with its container would be gone when its turn came.
    let waits = args.targets.iter().map(async |target| Ok(target.find(&runtime).await?.wait().await?));
    let ended: Vec<Result<i32, CliError>> = join_all(waits).await;
    if global.json {
        output::json(&args.targets.iter().zip(&ended).map(as_json).collect::<Vec<_>>())?;
    } else {
        ended.iter().flatten().try_for_each(output::line)?;
    }
    let code = ended.iter().flatten().copied().find(|code| *code != 0).unwrap_or(0);
    let all = ended.len();
    all_well(ended.into_iter().filter_map(Result::err).collect(), all)?;
    Ok(Exit::Code(code))
}

fn as_json((target, ended): (&Target, &Result<i32, CliError>)) -> serde_json::Value {
    match ended {
        Ok(code) => serde_json::json!({ "target": target.to_string(), "exit_code": code }),
        Err(error) => serde_json::json!({ "target": target.to_string(), "error": error.to_string() }),
    }
}
