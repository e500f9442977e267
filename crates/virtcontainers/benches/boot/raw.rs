//! Side (a): the processes of a sandbox started by hand, without the library.
//!
//! The clock starts before the first socket is bound. It covers all that [`Machine::boot`] does and the agent's Check.
//! It stops there; ending the processes and removing their files is not covered.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use crate::{
    Failure,
    by_hand::{Machine, Recipe, Wires},
};

/// Boots once; how long it took.
pub(crate) async fn boot(recipe: &Recipe, dir: &Path) -> Result<Duration, Failure> {
    for dir in [dir.to_owned(), dir.join("shared")] {
        fs::create_dir(dir)?;
    }
    let clock = Instant::now();
    let machine = Machine::boot(recipe, dir, Wires::default()).await?;
    let answer = machine.agent.check().await;
    let took = clock.elapsed();
    machine.end().await?;
    fs::remove_dir_all(dir)?;
    answer?;
    Ok(took)
}
