//! Streams: standard output through agent and library, beside bytes on a bare vsock connection of the same guest.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    net::UnixListener,
};
use virtcontainers::Cmd;

use crate::{
    Failure,
    figures::{Sample, Table, ratio},
    memory,
    options::Options,
    stage::{RAW_STREAM, Stage},
    vcpu::Vcpus,
    verdict,
};

/// The vsock port of the host that is filled.
const PORT: u32 = 7000;
/// What the library's stream may fall behind the bare one.
const SHARE: f64 = 0.40;
/// How often each side is run.
const RUNS: usize = 5;
/// The longest that one run may take.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) async fn measure(stage: &Stage, program: &Path, options: &Options) -> Result<(), Failure> {
    let bytes = options.stream << 20;
    let listener = UnixListener::bind(stage.dir.join(format!("vsock.sock_{PORT}")))
        .map_err(|error| format!("cannot listen for {}: {error}", program.display()))?;
    let vcpus = Vcpus::of(stage).await?;
    let (mut raw, mut output) = (Sample::default(), Sample::default());
    let (mut raw_vcpu, mut output_vcpu) = (Sample::default(), Sample::default());
    let calls = reads(stage).await?;
    for _ in 0..RUNS {
        let start = vcpus.used()?;
        raw.add(tokio::time::timeout(PATIENCE, bare(stage, &listener, bytes)).await??);
        let turn = vcpus.used()?;
        output.add(tokio::time::timeout(PATIENCE, through_the_library(stage, bytes)).await??);
        raw_vcpu.add(turn.saturating_sub(start));
        output_vcpu.add(vcpus.used()?.saturating_sub(turn));
    }
    println!("  streams of {} MiB from guest to host, {RUNS} of each in turn", options.stream);
    let rate =
        |sample: &Sample| format!("{:.1} MiB/s", options.stream as f64 / sample.median().as_secs_f64());
    // With the start and the end of the program.
    let used =
        |sample: &Sample| format!("{:.2} ms", sample.median().as_secs_f64() * 1e3 / options.stream as f64);
    let mut table = Table::new(["", "median", "vCPU per MiB"]);
    table.line(["bare vsock".to_owned(), rate(&raw), used(&raw_vcpu)]);
    table.line(["standard output, library".to_owned(), rate(&output), used(&output_vcpu)]);
    table.print();
    let calls = (reads(stage).await? - calls).max(1);
    println!("  {} KiB of standard output for each call of the agent", (bytes >> 10) * RUNS as u64 / calls);
    let reached = ratio(raw.median(), output.median());
    println!(
        "  {:.0} % of bare vsock, target {:.0} %: {}",
        reached * 100.0,
        SHARE * 100.0,
        verdict(reached >= SHARE)
    );
    Ok(())
}

/// How often the agent was asked for output.
async fn reads(stage: &Stage) -> Result<u64, Failure> {
    memory::metric(stage, "kata_agent_calls_total{call=\"ReadStdout\",result=\"ok\"}").await
}

/// From the first byte to the last.
async fn bare(stage: &Stage, listener: &UnixListener, bytes: u64) -> Result<Duration, Failure> {
    let cmd = Cmd::new([RAW_STREAM.to_owned(), PORT.to_string(), bytes.to_string()]);
    let process = stage.container.exec(cmd).await?;
    let (stream, _) = listener.accept().await?;
    let took = drain(stream, bytes).await?;
    match process.wait().await? {
        0 => Ok(took),
        code => Err(format!("{RAW_STREAM} ended with {code}").into()),
    }
}

async fn through_the_library(stage: &Stage, bytes: u64) -> Result<Duration, Failure> {
    let cmd = Cmd::new([RAW_STREAM.to_owned(), "-".to_owned(), bytes.to_string()]);
    let process = stage.container.exec(cmd).await?;
    let took = drain(process.stdout(), bytes).await?;
    match process.wait().await? {
        0 => Ok(took),
        code => Err(format!("{RAW_STREAM} ended with {code}").into()),
    }
}

async fn drain(mut stream: impl AsyncRead + Unpin, bytes: u64) -> Result<Duration, Failure> {
    let mut buffer = vec![0; 1 << 20];
    let mut seen = stream.read(&mut buffer).await? as u64;
    let clock = Instant::now();
    while seen < bytes {
        match stream.read(&mut buffer).await? as u64 {
            0 => return Err(format!("{seen} of {bytes} bytes came").into()),
            more => seen += more,
        }
    }
    Ok(clock.elapsed())
}
