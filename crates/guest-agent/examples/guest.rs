//! Drives the calls about a guest as a whole in a virtual machine, and says what became of each.
//!
//! `guest hybrid:SOCKET` (or `vsock:CID`). It sets the guest's clock, and brings online what was plugged in before.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    reason = "an example talks, and ends at the first surprise"
)]

use std::{path::Path, time::SystemTime};

use virtcontainers_agent_protocol::{
    api::{AgentServiceClient, agent::*},
    guest_paths, ports,
    transport::{self, AgentAddress},
};

fn context() -> ttrpc::context::Context {
    ttrpc::context::with_timeout(60_000_000_000)
}

fn address(text: &str) -> AgentAddress {
    match text.split_once(':') {
        Some(("hybrid", path)) => {
            let path = Path::new(path);
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            AgentAddress::HybridVsock { dir: path.parent().unwrap().into(), name, port: ports::AGENT }
        }
        Some(("vsock", cid)) => AgentAddress::Vsock { cid: cid.parse().unwrap(), port: ports::AGENT },
        _ => panic!("usage: guest hybrid:SOCKET|vsock:CID"),
    }
}

fn tell<T>(call: &str, result: ttrpc::Result<T>) -> Option<T> {
    match &result {
        Ok(_) => println!("{call:24} ok"),
        Err(error) => println!("{call:24} {error}"),
    }
    result.ok()
}

async fn copies(client: &AgentServiceClient) {
    let path = format!("{}/copied/file", guest_paths::BASE);
    let data = vec![b'x'; 1 << 20];
    for piece in 0..4_i64 {
        let copy = CopyFileRequest {
            path: path.clone(),
            file_size: 4 << 20,
            file_mode: 0o100_640,
            dir_mode: 0o750,
            offset: piece << 20,
            data: data.clone(),
            ..Default::default()
        };
        tell("CopyFile", client.copy_file(context(), &copy).await);
    }
    for (name, mode, data) in [("directory", 0o040_755, ""), ("link", 0o120_777, "file")] {
        let path = format!("{}/copied/{name}", guest_paths::BASE);
        let data = data.as_bytes().to_vec();
        let copy = CopyFileRequest { path, file_mode: mode, data, ..Default::default() };
        tell("CopyFile", client.copy_file(context(), &copy).await);
    }
    let volume = VolumeStatsRequest { volume_guest_path: guest_paths::BASE.into(), ..Default::default() };
    if let Some(stats) = tell("GetVolumeStats", client.get_volume_stats(context(), &volume).await) {
        println!("    {:?}", stats.usage.iter().map(|u| (u.total, u.used, u.available)).collect::<Vec<_>>());
    }
}

async fn changes(client: &AgentServiceClient) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seconds = i64::try_from(now.as_secs()).unwrap();
    let time = SetGuestDateTimeRequest { Sec: seconds, ..Default::default() };
    tell("SetGuestDateTime", client.set_guest_date_time(context(), &time).await);
    let seed = ReseedRandomDevRequest { data: vec![7; 512], ..Default::default() };
    tell("ReseedRandomDev", client.reseed_random_dev(context(), &seed).await);
    let cpus = std::env::var("CPUS").map_or(0, |cpus| cpus.parse().unwrap());
    let online = OnlineCPUMemRequest { wait: true, nb_cpus: cpus, ..Default::default() };
    tell("OnlineCPUMem", client.online_cpu_mem(context(), &online).await);
    let probe = MemHotplugByProbeRequest { memHotplugProbeAddr: vec![1 << 40], ..Default::default() };
    tell("MemHotplugByProbe", client.mem_hotplug_by_probe(context(), &probe).await);
    if let Ok(slot) = std::env::var("SWAP_SLOT") {
        let swap = AddSwapRequest { PCIPath: vec![slot.parse().unwrap()], ..Default::default() };
        tell("AddSwap", client.add_swap(context(), &swap).await);
    }
    let swap = AddSwapPathRequest { path: "/dev/nothing".into(), ..Default::default() };
    tell("AddSwapPath", client.add_swap_path(context(), &swap).await);
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let to = address(&std::env::args().nth(1).unwrap_or_default());
    let client = AgentServiceClient::new(transport::client(transport::connect(&to).await.unwrap()));
    let module = |name: &str| KernelModule { name: name.into(), ..Default::default() };
    for name in ["fuse", "no_such_module"] {
        let sandbox = CreateSandboxRequest { kernel_modules: vec![module(name)], ..Default::default() };
        tell(&format!("CreateSandbox ({name})"), client.create_sandbox(context(), &sandbox).await);
    }
    let details = GuestDetailsRequest { mem_block_size: true, mem_hotplug_probe: true, ..Default::default() };
    if let Some(details) = tell("GetGuestDetails", client.get_guest_details(context(), &details).await) {
        println!("    {details}");
    }
    changes(&client).await;
    copies(&client).await;
    if let Some(metrics) = tell("GetMetrics", client.get_metrics(context(), &GetMetricsRequest::new()).await)
    {
        let wanted =
            ["total_rss ", "mem_total", "swap_total", "calls_total", "cpu_time{cpu=\"1\",item=\"idle\""];
        for line in metrics.metrics.lines().filter(|line| wanted.iter().any(|word| line.contains(word))) {
            println!("    {line}");
        }
    }
    for kind in ["agent_log", "kernel_log"] {
        let data = GetDiagnosticDataRequest { log_type: kind.into(), ..Default::default() };
        if let Some(answer) = tell("GetDiagnosticData", client.get_diagnostic_data(context(), &data).await) {
            println!("    {kind}: {} bytes, ends with {:?}", answer.data.len(), answer.data.lines().last());
        }
    }
    if std::env::var_os("KEEP").is_none() {
        tell("DestroySandbox", client.destroy_sandbox(context(), &DestroySandboxRequest::new()).await);
    }
}
