//! Round trips: a Check, an exec, a second container.

use std::time::{Duration, Instant};

use virtcontainers::{Cmd, DeleteMode, ExecId, agent::ProcessSpec, oci_runtime::ProcessBuilder};

use crate::{
    Failure,
    figures::{Sample, Table, show},
    stage::{RAW_STREAM, Stage},
    verdict,
};

const CHECK: Duration = Duration::from_millis(10);
const EXEC: Duration = Duration::from_millis(60);
const SECOND: Duration = Duration::from_millis(260);

/// `is_static`: the stage has a statically linked program beside those of its root.
pub(crate) async fn measure(stage: &Stage, runs: usize, is_static: bool) -> Result<(), Failure> {
    let (mut check, mut alone, mut exec) = (Sample::default(), Sample::default(), Sample::default());
    let mut bare = Sample::default();
    // What is cold belongs to the first of each, which the medians leave out anyway.
    for run in 0..runs {
        check.add(agent_check(stage).await?);
        alone.add(agent_exec(stage, run).await?);
        exec.add(library_exec(stage).await?);
        if is_static {
            bare.add(exec_of(stage, Cmd::new([RAW_STREAM, "-", "0"])).await?);
        }
    }
    let mut second = Sample::default();
    for run in 0..runs {
        second.add(second_container(stage, &format!("second-{run}")).await?);
    }
    println!("  calls, {} of each", check.len());
    let mut table = Table::new(["", "median", "min", "max", "target", ""]);
    let mut line = |name: &str, sample: &Sample, target: Option<Duration>| {
        let (limit, reached) =
            target.map_or((String::new(), ""), |target| (show(target), verdict(sample.median() <= target)));
        let [median, min, max] = [sample.median(), sample.min(), sample.max()].map(show);
        table.line([name.to_owned(), median, min, max, limit, reached.to_owned()]);
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
