//! Many execs: at once, and one after the other for hours if need be.

use std::time::Instant;

use futures::future::try_join_all;
use tokio::io::AsyncReadExt as _;
use virtcontainers::Cmd;

use crate::{Failure, calls, figures::show, memory, stage::Stage};

/// Each has an output and a code of its own; all must come back right.
pub(crate) async fn at_once(stage: &Stage, number: usize) -> Result<(), Failure> {
    let clock = Instant::now();
    try_join_all((0..number).map(|index| one(stage, index))).await?;
    println!(
        "  {number} execs at once, each with its own output and exit code: all right after {}",
        show(clock.elapsed())
    );
    Ok(())
}

async fn one(stage: &Stage, index: usize) -> Result<(), Failure> {
    let code = index % 100;
    let cmd = Cmd::new(["/bin/sh".to_owned(), "-c".to_owned(), format!("echo out-{index}; exit {code}")]);
    let process = stage.container.exec(cmd).await?;
    let mut output = String::new();
    process.stdout().read_to_string(&mut output).await?;
    let ended = process.wait().await?;
    if output == format!("out-{index}\n") && usize::try_from(ended)? == code {
        return Ok(());
    }
    Err(format!("exec {index} said {output:?} and ended with {ended}").into())
}

/// What is held before and after must be the same but for noise.
pub(crate) async fn soak(stage: &Stage, number: usize) -> Result<(), Failure> {
    let clock = Instant::now();
    // The first few fill caches and pools.
    for _ in 0..20 {
        calls::library_exec(stage).await?;
    }
    let (guest, host) = (memory::of_agent(stage).await?, memory::of_this_process()?);
    for _ in 0..number {
        calls::library_exec(stage).await?;
    }
    println!("  {number} execs one after the other, in {}", show(clock.elapsed()));
    memory::print_both(guest, memory::of_agent(stage).await?, host, memory::of_this_process()?);
    Ok(())
}
