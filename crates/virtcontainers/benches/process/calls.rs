//! Round trips: a Check, an exec, a second container.

use std::time::{Duration, Instant};

use virtcontainers::{Cmd, DeleteMode, ExecId, agent::ProcessSpec, oci_runtime::ProcessBuilder};

use crate::{
    Failure,
    figures::{Sample, Table, show},
    stage::{RAW_STREAM, Stage},
    vcpu::Vcpus,
    verdict,
};

const CHECK: Duration = Duration::from_millis(10);
const EXEC: Duration = Duration::from_millis(60);
const SECOND: Duration = Duration::from_millis(260);

/// One kind of call: how long it took, and what of the guest's processors.
#[derive(Default)]
struct Calls {
    took: Sample,
    guest: Sample,
}

impl Calls {
    async fn add(
        &mut self,
        vcpus: &Vcpus,
        call: impl Future<Output = Result<Duration, Failure>>,
    ) -> Result<(), Failure> {
        let before = vcpus.used()?;
        self.took.add(call.await?);
        self.guest.add(vcpus.used()?.saturating_sub(before));
        Ok(())
    }
}

/// `is_static`: the stage has a statically linked program beside those of its root.
pub(crate) async fn measure(stage: &Stage, runs: usize, is_static: bool) -> Result<(), Failure> {
    let vcpus = Vcpus::of(stage).await?;
    let (mut check, mut alone, mut exec) = (Calls::default(), Calls::default(), Calls::default());
    let (mut bare, mut second) = (Calls::default(), Calls::default());
    // What is cold belongs to the first of each, which the medians leave out anyway.
    for run in 0..runs {
        check.add(&vcpus, agent_check(stage)).await?;
        alone.add(&vcpus, agent_exec(stage, run)).await?;
        exec.add(&vcpus, library_exec(stage)).await?;
        if is_static {
            bare.add(&vcpus, exec_of(stage, Cmd::new([RAW_STREAM, "-", "0"]))).await?;
        }
    }
    for run in 0..runs {
        second.add(&vcpus, second_container(stage, &format!("second-{run}"))).await?;
    }
    println!("  calls, {} of each", check.took.len());
    let mut table = Table::new(["", "median", "min", "max", "target", "", "vCPU, median", "min"]);
    let mut line = |name: &str, calls: &Calls, target: Option<Duration>| {
        let (took, guest) = (&calls.took, &calls.guest);
        let (limit, reached) =
            target.map_or((String::new(), ""), |target| (show(target), verdict(took.median() <= target)));
        let [median, min, max] = [took.median(), took.min(), took.max()].map(show);
        let [used, least] = [guest.median(), guest.min()].map(show);
        table.line([name.to_owned(), median, min, max, limit, reached.to_owned(), used, least]);
    };
    line("Check of the agent", &check, Some(CHECK));
    line("exec true, agent's calls alone", &alone, None);
    line("exec true, library", &exec, Some(EXEC));
    if is_static {
        line("exec of a static program, library", &bare, None);
    }
    line("second container, create and start", &second, Some(SECOND));
    table.print();
    Ok(())
}

async fn agent_check(stage: &Stage) -> Result<Duration, Failure> {
    let clock = Instant::now();
    stage.agent.check().await?;
    Ok(clock.elapsed())
}

async fn agent_exec(stage: &Stage, run: usize) -> Result<Duration, Failure> {
    let id = ExecId::new(format!("bench-{run}"))?;
    let process = ProcessBuilder::default()
        .args(vec!["/bin/true".to_owned()])
        .env(vec!["PATH=/usr/bin:/bin".to_owned()])
        .cwd("/")
        .build()?;
    let container = stage.container.id();
    let clock = Instant::now();
    stage.agent.exec_process(container, &id, ProcessSpec { process, stdin: false }).await?;
    let code = stage.agent.wait_process(container, &id).await?;
    let took = clock.elapsed();
    if code == 0 { Ok(took) } else { Err(format!("true ended with {code}").into()) }
}

pub(crate) async fn library_exec(stage: &Stage) -> Result<Duration, Failure> {
    exec_of(stage, Cmd::new(["/bin/true"])).await
}

async fn exec_of(stage: &Stage, cmd: Cmd) -> Result<Duration, Failure> {
    let clock = Instant::now();
    let code = stage.container.exec(cmd).await?.wait().await?;
    let took = clock.elapsed();
    if code == 0 { Ok(took) } else { Err(format!("the command ended with {code}").into()) }
}

async fn second_container(stage: &Stage, id: &str) -> Result<Duration, Failure> {
    let config = stage.further(id);
    let clock = Instant::now();
    let container = stage.sandbox().create_container(config).await?;
    container.start().await?;
    let took = clock.elapsed();
    container.delete(DeleteMode::Force).await?;
    Ok(took)
}
