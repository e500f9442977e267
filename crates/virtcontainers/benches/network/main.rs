//! What the network of a sandbox costs: `cargo bench -p virtcontainers --bench network [-- OPTIONS]`, or
//! `make bench BENCH=network`. As root.
//!
//! - **throughput**: iperf3 from a container to a namespace that plays the host, through a veth. In turn, each with a
//!   machine of its own: the machine's processes started by hand with the command lines of a sandbox of the library, and a
//!   tap joined to the veth with ip and tc by a bridge, by filters, and by a macvtap; and the library's own sandbox with
//!   each of its models. See [`throughput`].
//! - **plug**: from the call of `Sandbox::add_interface` until the guest's agent has answered that the addresses are
//!   configured. See [`plug`].
//! - **create**: what one veth adds to the host's side of a create: the machine and the agent are mocks, the namespace, the
//!   tap and the filters are real. See [`create`].
//!
//! All links are in namespaces that this makes. They, the sandboxes and the processes are removed at the end, after a
//! failure and after an interrupt too.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "../by_hand/mod.rs"]
mod by_hand;
mod create;
#[path = "../figures/mod.rs"]
mod figures;
mod iperf;
mod options;
mod plug;
mod stage;
mod throughput;
mod told;
mod vmm;
mod wire;

use std::{error::Error, panic::AssertUnwindSafe};

use futures::FutureExt as _;
use tokio::signal::unix::{SignalKind, signal};

use options::{Options, Part};
use stage::Stage;

/// Why a benchmark came to nothing.
pub(crate) type Failure = Box<dyn Error>;

fn main() -> Result<(), Failure> {
    let options = Options::parse()?;
    if !rustix::process::geteuid().is_root() {
        return Err("run it as root: it makes network namespaces, and a sandbox binds mounts".into());
    }
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio.block_on(async {
        let stage = Stage::set(options)?;
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let measured = tokio::select! {
            measured = AssertUnwindSafe(measure(&stage)).catch_unwind() => measured,
            _ = interrupt.recv() => Ok(Err("interrupted".into())),
            _ = terminate.recv() => Ok(Err("told to end".into())),
        };
        // The namespaces and the machines that were started by hand have gone with the future.
        let struck = stage.strike().await;
        match measured {
            Ok(measured) => measured.and(struck),
            Err(_panic) => Err("a command that fills the namespaces failed, see above".into()),
        }
    })
}

async fn measure(stage: &Stage) -> Result<(), Failure> {
    for part in &stage.options.parts {
        match part {
            Part::Throughput => throughput::measure(stage).await?,
            Part::Plug => plug::measure(stage).await?,
            Part::Create => create::measure(stage).await?,
        }
    }
    Ok(())
}

/// How a figure stands to its target.
pub(crate) const fn verdict(reached: bool) -> &'static str {
    if reached { "reached" } else { "missed" }
}
