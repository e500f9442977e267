//! Bytes from a container to the host: with the library, and with the same machine and a tap joined by hand.
//!
//! Each run has a machine of its own. All machines have the same command line but for the place of their files, the agents
//! are told the same, and the container's process is executed by the agent's calls alone. What differs is who started them
//! and joined the tap to the veth.

use std::{fs, path::Path, sync::Arc, time::Duration};

use virtcontainers::{
    DeleteMode, NetInterworkingModel, SandboxConfig,
    agent::{AgentConnector as _, KataConnector},
};
use virtcontainers_agent_protocol::{ports, transport::AgentAddress};

use crate::{
    Failure,
    by_hand::Machine,
    figures::{Sample, Table, ratio},
    iperf,
    stage::Stage,
    told::Told,
    verdict,
    wire::{ByHand, Wire},
};

/// What a model of the library is to reach of the same by hand.
const SHARE: f64 = 0.95;
/// The kernel's network back end.
const VHOST_NET: &str = "/dev/vhost-net";

/// One way from the container to the host.
#[derive(Debug, Clone, Copy)]
enum Side {
    ByHand(ByHand),
    Library(NetInterworkingModel),
}

/// In turn. Each model of the library right after what it is compared with, for the machine's load changes with time.
const SIDES: [(&str, Side, Option<usize>); 5] = [
    ("by hand, tap and bridge", Side::ByHand(ByHand::Bridge), None),
    ("by hand, tap and tc filters", Side::ByHand(ByHand::TcFilter), None),
    ("library, tc filter", Side::Library(NetInterworkingModel::TcFilter), Some(1)),
    ("by hand, macvtap", Side::ByHand(ByHand::Macvtap), None),
    ("library, macvtap", Side::Library(NetInterworkingModel::Macvtap), Some(3)),
];

pub(crate) async fn measure(stage: &Stage) -> Result<(), Failure> {
    if Path::new(VHOST_NET).exists() {
        with(stage, true).await?;
    } else {
        println!("\nthroughput with vhost: not run, this host has no {VHOST_NET}");
    }
    with(stage, false).await
}

async fn with(stage: &Stage, vhost: bool) -> Result<(), Failure> {
    let told = {
        let wire = Wire::new();
        Told::of(config(stage, "told", &wire, vhost), &stage.root(), &stage.options.helper).await?
    };
    let mut took: [Sample; SIDES.len()] = Default::default();
    for round in 0..stage.options.rounds {
        for ((_, side, _), took) in SIDES.iter().zip(&mut took) {
            took.add(match side {
                Side::ByHand(by) => by_hand(stage, &told, *by, round).await?,
                Side::Library(model) => library(stage, &told, *model, vhost).await?,
            });
        }
    }
    print(stage, &took, vhost);
    Ok(())
}

fn config(stage: &Stage, id: &str, wire: &Wire, vhost: bool) -> SandboxConfig {
    let mut config = stage.config(id, wire);
    config.hypervisor_config.disable_vhost_net = !vhost;
    config
}

async fn by_hand(stage: &Stage, told: &Told, by: ByHand, round: usize) -> Result<Duration, Failure> {
    let dir = stage.dir.join(format!("{by:?}-{round}"));
    Stage::share_rootfs(&dir)?;
    let wire = Wire::new();
    let wires = wire.join(by, &told.recipe).await?;
    let machine = Machine::boot(&told.recipe, &dir, wires).await?;
    let client = told.tell(Arc::clone(&machine.agent)).await?;
    let took = iperf::gigabit(&client, &wire.host, stage.options.seconds).await?;
    machine.end().await?;
    fs::remove_dir_all(dir)?;
    Ok(took)
}

async fn library(
    stage: &Stage,
    told: &Told,
    model: NetInterworkingModel,
    vhost: bool,
) -> Result<Duration, Failure> {
    const ID: &str = "ours";
    let wire = Wire::new();
    let mut config = config(stage, ID, &wire, vhost);
    config.network_config.interworking_model = model;
    let sandbox = stage.runtime()?.run_sandbox(config).await.map_err(|error| error.report().to_string())?;
    let dir = stage.root().join("sandboxes").join(ID);
    let address = AgentAddress::HybridVsock { dir, name: "vsock.sock".into(), port: ports::AGENT };
    let client = told.client(KataConnector::default().connect(&address).await?)?;
    let took = iperf::gigabit(&client, &wire.host, stage.options.seconds).await?;
    sandbox.delete(DeleteMode::Force).await?;
    Ok(took)
}

fn print(stage: &Stage, took: &[Sample; SIDES.len()], vhost: bool) {
    let (rounds, seconds) = (stage.options.rounds, stage.options.seconds);
    let vhost = if vhost { "on" } else { "off" };
    println!("\niperf3 from container to host, vhost {vhost}, {rounds} runs of {seconds} s in turn, Mbit/s");
    let mut table = Table::new(["", "median", "min", "max", "of bridge"]);
    let [bridge, ..] = took;
    for ((name, ..), took) in SIDES.iter().zip(took) {
        let rates = [took.median(), took.max(), took.min()];
        let cells = rates.map(|gigabit| format!("{:.0}", 1000.0 / gigabit.as_secs_f64()));
        let of_bridge = format!("{:.3}", ratio(bridge.median(), took.median()));
        table.line([(*name).to_owned()].into_iter().chain(cells).chain([of_bridge]));
    }
    table.print();
    for ((name, _, of), own) in SIDES.iter().zip(took) {
        let Some(((other, ..), of)) = of.and_then(|of| SIDES.get(of).zip(took.get(of))) else { continue };
        let reached = ratio(of.median(), own.median());
        println!(
            "  {name}: {:.1} % of {other}, target {:.0} %: {}",
            reached * 100.0,
            SHARE * 100.0,
            verdict(reached >= SHARE)
        );
    }
}
