//! iperf3 in a container, against iperf3 in a namespace.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use virtcontainers::{
    ContainerId, ExecId,
    agent::{Agent, ProcessSpec},
    oci_runtime::Process,
};
use virtcontainers_testkit::TestNetNs;

use crate::{Failure, wire::HOST};

pub(crate) const PROGRAM: &str = "/usr/bin/iperf3";
/// Sent before the clock starts: the emulator translates the guest's code, and TCP finds its window.
const WARM_UP: u32 = 1;
/// How much longer than it sends a run may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Makes a root filesystem of the host's iperf3 and the libraries that it is linked with.
pub(crate) fn make_rootfs(root: &Path) -> Result<(), Failure> {
    for dir in ["proc", "sys", "dev", "tmp", "etc"] {
        fs::create_dir_all(root.join(dir))?;
    }
    let linked = Command::new("ldd").arg(PROGRAM).output()?;
    if !linked.status.success() {
        return Err(format!("no {PROGRAM}: `apt-get install iperf3`").into());
    }
    let linked = String::from_utf8(linked.stdout)?;
    for file in linked.split_whitespace().filter(|word| word.starts_with('/')).chain([PROGRAM]) {
        let copy = root.join(file.trim_start_matches('/'));
        fs::create_dir_all(copy.parent().ok_or("a library without a directory")?)?;
        fs::copy(file, copy)?;
    }
    Ok(())
}

/// A container that runs, and its agent.
pub(crate) struct Client {
    pub(crate) agent: Arc<dyn Agent>,
    pub(crate) container: ContainerId,
    /// The container's first process, which is the pattern for others.
    pub(crate) process: Process,
}

/// Sends from the container to the host for some seconds; how long one Gbit took, as the receiver counts it.
pub(crate) async fn gigabit(client: &Client, host: &TestNetNs, seconds: u32) -> Result<Duration, Failure> {
    let mut server = host.command(PROGRAM);
    server.args(["--server", "--one-off", "--forceflush"]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut server = tokio::process::Command::from(server).kill_on_drop(true).spawn()?;
    let said = server.stdout.take().ok_or("a pipe was asked for")?;
    let mut said = BufReader::new(said).lines();
    loop {
        match said.next_line().await? {
            Some(line) if line.contains("listening") => break,
            Some(_) => {}
            None => return Err("iperf3 does not listen in the host's namespace".into()),
        }
    }
    let args = [
        PROGRAM.to_owned(),
        "--json".to_owned(),
        format!("--client={HOST}"),
        format!("--time={seconds}"),
        format!("--omit={WARM_UP}"),
    ];
    let patience = PATIENCE + Duration::from_secs(seconds.into());
    let report = tokio::time::timeout(patience, client.run(&args)).await;
    let late = |elapsed| format!("iperf3 does not end in the guest: {elapsed}");
    let report: Value = serde_json::from_slice(&report.map_err(late)??)?;
    if let Some(error) = report["error"].as_str() {
        return Err(format!("iperf3 in the container: {error}").into());
    }
    let bits = report["end"]["sum_received"]["bits_per_second"].as_f64().filter(|&bits| bits > 0.0);
    let bits = bits.ok_or_else(|| format!("iperf3 in the container reports {report}"))?;
    Ok(Duration::from_secs_f64(1e9 / bits))
}

impl Client {
    /// Runs a program in the container; what it says.
    async fn run(&self, args: &[String]) -> Result<Vec<u8>, Failure> {
        let exec = ExecId::new("client")?;
        let mut process = self.process.clone();
        process.set_args(Some(args.to_vec()));
        // Its send buffer is a file there: in memory.
        process.set_env(Some(vec!["TMPDIR=/dev/shm".to_owned()]));
        self.agent.exec_process(&self.container, &exec, ProcessSpec { process, stdin: false }).await?;
        let mut said = Vec::new();
        loop {
            match self.agent.read_stdout(&self.container, &exec, 64 << 10).await?.as_slice() {
                [] => break,
                more => said.extend_from_slice(more),
            }
        }
        self.agent.wait_process(&self.container, &exec).await?;
        Ok(said)
    }
}
