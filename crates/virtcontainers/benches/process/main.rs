//! What a process in a guest costs: `cargo bench -p virtcontainers --bench process [-- OPTIONS]`, or
//! `make bench BENCH=process`. As root.
//!
//! One sandbox with one container is booted, and everything is measured in it, in turn where two things are compared:
//!
//! - **calls**: a Check of the agent over a connection that stands; `true` executed, run and its exit code known, by the
//!   agent's calls alone and by the library; a second container created and started. Each on the clock and in the guest's
//!   processor time.
//! - **streams**: what a process in a container writes to its standard output, as the library reads it, beside what a
//!   program in the same guest writes to a vsock port of the host. Needs hybrid vsock.
//! - **memory**: of the agent, as the guest's kernel counts it, idle and with more and more containers.
//! - **crowd**: many execs at once, each with its own output and exit code; and, with `--soak`, many one after the other
//!   with the agent's and this process's memory, descriptors and zombies before and after.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod calls;
mod crowd;
#[path = "../figures/mod.rs"]
mod figures;
mod memory;
mod options;
mod stage;
mod streams;
mod vcpu;

use std::error::Error;

use options::Options;
use stage::Stage;

/// Why a benchmark came to nothing.
pub(crate) type Failure = Box<dyn Error>;

fn main() -> Result<(), Failure> {
    let options = Options::parse()?;
    if !rustix::process::geteuid().is_root() {
        return Err("run it as root: a sandbox binds mounts".into());
    }
    // A run that fails leaves it: while a sandbox lives, its mounts show the root filesystem there, and to remove the one
    // would remove the other.
    let dir = tempfile::Builder::new().prefix("vc-bench-").tempdir_in(&options.dir)?.keep();
    let root = dir.canonicalize()?;
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio.block_on(async {
        let stage = Stage::set(&options, &root).await?;
        let measured = measure(&stage, &options).await;
        stage.strike().await?;
        measured
    })?;
    Ok(std::fs::remove_dir_all(root)?)
}

async fn measure(stage: &Stage, options: &Options) -> Result<(), Failure> {
    println!("{}, {}, {}", options.machine, options.transport, options.shared_fs);
    calls::measure(stage, options.runs, options.raw_stream.is_some()).await?;
    if let Some(program) = &options.raw_stream {
        streams::measure(stage, program, options).await?;
    }
    memory::measure(stage).await?;
    crowd::at_once(stage, options.crowd).await?;
    if options.soak > 0 {
        crowd::soak(stage, options.soak).await?;
    }
    Ok(())
}

/// How a figure stands to its target.
pub(crate) const fn verdict(reached: bool) -> &'static str {
    if reached { "reached" } else { "missed" }
}
