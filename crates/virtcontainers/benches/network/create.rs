//! What one veth adds to a create on the host's side.
//!
//! Machine and agent are mocks: what is left is the library with its records, and of the network the namespace, the scan,
//! the tap and the filters. To a delete belongs that the tap is closed, which its machine does when it ends. Sandboxes with and without a network are created in turn.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use virtcontainers::{
    AgentKind, DeleteMode, HypervisorKind, NetInterworkingModel, NetworkConfig, Runtime, SandboxConfig,
    agent::mock::MockAgent,
};

use crate::{
    Failure,
    figures::{Sample, Table, show},
    stage::Stage,
    verdict,
    vmm::HoldingVmm,
    wire::Wire,
};

/// What one veth may add.
const ADDED: Duration = Duration::from_millis(15);
/// Where `/run` usually is.
const TMPFS: &str = "/dev/shm";

/// The networks that are compared.
const SIDES: [(&str, Option<NetInterworkingModel>); 3] = [
    ("without a network", None),
    ("one veth, tc filter", Some(NetInterworkingModel::TcFilter)),
    ("one veth, macvtap", Some(NetInterworkingModel::Macvtap)),
];

pub(crate) async fn measure(stage: &Stage) -> Result<(), Failure> {
    let tmpfs = tempfile::tempdir_in(TMPFS)?;
    for (name, root) in [("disk, fsync", stage.root()), ("tmpfs", tmpfs.path().canonicalize()?)] {
        at(stage, name, &root).await?;
    }
    Ok(())
}

async fn at(stage: &Stage, name: &str, root: &Path) -> Result<(), Failure> {
    let wire = Wire::new();
    let mut created: [Sample; SIDES.len()] = Default::default();
    let mut deleted: [Sample; SIDES.len()] = Default::default();
    for round in 0..stage.options.creates {
        for (((_, model), created), deleted) in SIDES.iter().zip(&mut created).zip(&mut deleted) {
            let (create, delete) = once(root, round, model.map(|model| joined(&wire, model))).await?;
            created.add(create);
            deleted.add(delete);
        }
    }
    let rounds = stage.options.creates;
    println!("\none sandbox on the host's side (mock machine, mock agent), {name}, {rounds} in turn");
    let mut table = Table::new(["", "create", "min", "max", "added", "delete", "added"]);
    let [bare, ..] = &created;
    let [bare_delete, ..] = &deleted;
    for (((name, _), created), deleted) in SIDES.iter().zip(&created).zip(&deleted) {
        let added = created.median().saturating_sub(bare.median());
        let later = deleted.median().saturating_sub(bare_delete.median());
        let cells =
            [created.median(), created.min(), created.max(), added, deleted.median(), later].map(show);
        table.line([(*name).to_owned()].into_iter().chain(cells));
    }
    table.print();
    let [_, default, _] = &created;
    let added = default.median().saturating_sub(bare.median());
    println!("  one veth adds {}, target {}: {}", show(added), show(ADDED), verdict(added <= ADDED));
    Ok(())
}

fn joined(wire: &Wire, interworking_model: NetInterworkingModel) -> NetworkConfig {
    NetworkConfig {
        netns_path: Some(wire.ns.path().to_owned()),
        interworking_model,
        ..NetworkConfig::default()
    }
}

/// A sandbox that comes and goes; how long its create took, and its delete.
async fn once(
    root: &Path,
    round: usize,
    network: Option<NetworkConfig>,
) -> Result<(Duration, Duration), Failure> {
    let vmm = Arc::new(HoldingVmm::default());
    let runtime = Runtime::builder()
        .root(root)
        .hypervisor(Arc::clone(&vmm) as _)
        .connector(Arc::new(MockAgent::new()))
        .build()?;
    let taps = usize::from(network.is_some());
    let config = SandboxConfig {
        id: format!("create-{round}"),
        hypervisor_type: HypervisorKind::Mock,
        agent_type: AgentKind::Kata,
        network_config: network.unwrap_or_default(),
        ..SandboxConfig::default()
    };
    let clock = Instant::now();
    let sandbox = runtime.create_sandbox(config).await.map_err(|error| error.report().to_string())?;
    let created = clock.elapsed();
    let clock = Instant::now();
    let held = vmm.end();
    sandbox.delete(DeleteMode::Force).await?;
    let deleted = clock.elapsed();
    if held != taps {
        return Err(format!("the machine held {held} taps, not {taps}").into());
    }
    Ok((created, deleted))
}
