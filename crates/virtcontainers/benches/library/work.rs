//! The work that is measured.

use std::{
    error::Error,
    ops::Range,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use virtcontainers::{
    AgentKind, ContainerConfig, DeleteMode, Durability, HypervisorKind, Runtime, SandboxConfig, StopMode,
    agent::mock::MockAgent, hypervisor::mock::MockHypervisor,
};

use crate::figures::Sample;

/// How many containers are created on one sandbox.
const CONTAINERS: usize = 100;

/// Where and how records are kept.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) name: &'static str,
    pub(crate) dir: PathBuf,
    pub(crate) durability: Durability,
    /// With an agent, and hence with a shared tree.
    pub(crate) mounts: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) create: Sample,
    pub(crate) start: Sample,
    pub(crate) status: Sample,
    pub(crate) stop: Sample,
    pub(crate) delete: Sample,
    /// One for each container created, in the order of creation.
    pub(crate) containers: Vec<Duration>,
}

impl Figures {
    /// What the creation of some of the containers took.
    pub(crate) fn containers(&self, which: Range<usize>) -> Duration {
        self.containers.get(which).unwrap_or_default().iter().sum()
    }
}

/// The number of sandboxes, and how long it took to list them.
pub(crate) type Lists = Vec<(usize, Sample)>;

struct Bench {
    runtime: Runtime,
    rootfs: PathBuf,
    agent: AgentKind,
    /// Removed with all that is in it.
    _dir: tempfile::TempDir,
}

impl Bench {
    fn new(place: &Place) -> Result<Self, Box<dyn Error>> {
        let dir = tempfile::tempdir_in(&place.dir)?;
        let rootfs = dir.path().join("rootfs");
        std::fs::create_dir(&rootfs)?;
        let builder = Runtime::builder()
            .root(dir.path().join("root"))
            .durability(place.durability)
            .hypervisor(Arc::new(MockHypervisor::default()));
        let (builder, agent) = if place.mounts {
            (builder.connector(Arc::new(MockAgent::new())), AgentKind::Kata)
        } else {
            (builder, AgentKind::Noop)
        };
        Ok(Self { runtime: builder.build()?, rootfs, agent, _dir: dir })
    }

    fn container(&self, id: impl Into<String>) -> ContainerConfig {
        ContainerConfig::new(id, &self.rootfs, ["/bin/true"])
    }

    fn sandbox(&self, id: impl Into<String>, containers: Vec<ContainerConfig>) -> SandboxConfig {
        SandboxConfig {
            id: id.into(),
            hypervisor_type: HypervisorKind::Mock,
            agent_type: self.agent,
            containers,
            ..SandboxConfig::default()
        }
    }
}

/// The life of one sandbox, again and again, then many containers on one.
pub(crate) async fn verbs(place: &Place, runs: usize) -> Result<Figures, Box<dyn Error>> {
    let bench = Bench::new(place)?;
    let mut figures = Figures::default();
    for run in 0..runs {
        let config = bench.sandbox(format!("life-{run}"), vec![bench.container("only")]);
        let clock = Instant::now();
        let sandbox = bench.runtime.create_sandbox(config).await?;
        figures.create.add(clock.elapsed());
        let clock = Instant::now();
        sandbox.start().await?;
        figures.start.add(clock.elapsed());
        let clock = Instant::now();
        sandbox.status().await?;
        figures.status.add(clock.elapsed());
        let clock = Instant::now();
        sandbox.stop(StopMode::Force).await?;
        figures.stop.add(clock.elapsed());
        let clock = Instant::now();
        sandbox.delete(DeleteMode::IfStopped).await?;
        figures.delete.add(clock.elapsed());
    }
    let sandbox = bench.runtime.run_sandbox(bench.sandbox("many", Vec::new())).await?;
    for number in 0..CONTAINERS {
        let config = bench.container(format!("container-{number}"));
        let clock = Instant::now();
        sandbox.create_container(config).await?;
        figures.containers.push(clock.elapsed());
    }
    sandbox.delete(DeleteMode::Force).await?;
    Ok(figures)
}

/// Lists of 1, 100 and 1000 running sandboxes with one container each.
pub(crate) async fn lists(place: &Place, runs: usize) -> Result<Lists, Box<dyn Error>> {
    let bench = Bench::new(place)?;
    let mut lists = Lists::new();
    let mut there = 0;
    for count in [1, 100, 1000] {
        for number in there..count {
            let config = bench.sandbox(format!("listed-{number}"), vec![bench.container("only")]);
            bench.runtime.run_sandbox(config).await?;
        }
        there = count;
        let mut sample = Sample::default();
        for _ in 0..runs {
            let clock = Instant::now();
            let listed = bench.runtime.list_sandboxes().await?;
            sample.add(clock.elapsed());
            if listed.len() != count || listed.iter().any(|(_, status)| status.is_err()) {
                return Err(format!(
                    "a list of {count} sandboxes has {}, or one without status",
                    listed.len()
                )
                .into());
            }
        }
        lists.push((count, sample));
    }
    Ok(lists)
}
