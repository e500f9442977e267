//! `virtc cp`: files between host and container, both ways, through a tar that runs in the container.
//!
//! The names follow docker: a directory goes into one that exists and else takes its name, `DIR/.` means what is in a
//! directory, symbolic links are copied as such.

mod error;
mod from_container;
mod pack;
mod place;
mod to_container;
mod tool;
mod unpack;

use serde::Serialize;
use virtcontainers::Runtime;

pub(crate) use error::CopyError;
pub(crate) use place::Place;

use super::open;
use crate::{
    cli::{CpArgs, Global},
    error::CliError,
    exit::Exit,
    output,
};

/// What has been copied.
#[derive(Debug, Default, Serialize)]
struct Copied {
    entries: u64,
    bytes: u64,
    left_out: u64,
}

pub(super) async fn run(global: &Global, args: CpArgs) -> Result<Exit, CliError> {
    let (_, runtime) = open(global)?;
    let copied = copy(&runtime, &args).await?;
    if global.json
        && let Some(copied) = copied
    {
        output::json(&copied)?;
    }
    Ok(Exit::Done)
}

/// Copies; what was copied, unless a standard stream was one end of it.
async fn copy(runtime: &Runtime, args: &CpArgs) -> Result<Option<Copied>, CliError> {
    match (&args.from, &args.to) {
        (Place::Container(target, path), Place::Host(to)) => {
            from_container::to_host(&target.find(runtime).await?, path, to, args).await.map(Some)
        }
        (Place::Container(target, path), Place::Stream) => {
            from_container::to_stream(&target.find(runtime).await?, path, args).await.map(|()| None)
        }
        (Place::Host(from), Place::Container(target, path)) => {
            to_container::from_host(&target.find(runtime).await?, from, path, args).await.map(Some)
        }
        (Place::Stream, Place::Container(target, path)) => {
            to_container::from_stream(&target.find(runtime).await?, path, args).await.map(|()| None)
        }
        (Place::Container(..), Place::Container(..)) => Err(CliError::Usage(
            "from container to container go through a pipe: virtc cp A:PATH - | virtc cp - B:PATH".to_owned(),
        )),
        (Place::Host(_) | Place::Stream, Place::Host(_) | Place::Stream) => Err(CliError::Usage(
            "neither SRC nor DST is in a container: write one as SANDBOX[/CONTAINER]:PATH".to_owned(),
        )),
    }
}

/// Says what was left out.
fn warn<'a>(warnings: impl IntoIterator<Item = &'a String>, left_out: u64) {
    let mut said = 0;
    for warning in warnings {
        output::remark(warning);
        said += 1;
    }
    if left_out > said {
        output::remark(&format!("{} more were left out", left_out - said));
    }
}
