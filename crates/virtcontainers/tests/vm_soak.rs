//! Create, exec, stop, delete, over and over, with random kills: nothing leaks and nothing grows. Ten rounds by default;
//! `VC_SOAK_ROUNDS`, `VC_SOAK_SECONDS` and `VC_SOAK_SEED` say otherwise (`scripts/soak`).

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test tells by panicking, and says how much it did"
)]

mod guest;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use guest::{Stage, helper, output};
use virtcontainers::{
    Cmd, Container, ContainerId, DeleteMode, GcOptions, MiB, Runtime, Sandbox, SandboxState, StopMode,
    Transport,
};
use virtcontainers_sys::process::ProcessRef;
use virtcontainers_testkit::kill;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap())
}

/// What this process uses.
#[derive(Debug, Clone, Copy)]
struct Use {
    descriptors: usize,
    resident: u64,
}

impl Use {
    fn now() -> Self {
        let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().count();
        Self { descriptors, resident: ProcessRef::myself().unwrap().resident_bytes().unwrap() }
    }
}

/// Who is killed in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    Nobody,
    Vmm,
    Virtiofsd,
    Vsock,
}

async fn round(stage: &Stage, victim: Victim, after: Duration) {
    let runtime = Runtime::builder().root(stage.root.path()).helper_program(helper()).build().unwrap();
    let mut config = stage.config("soak");
    config.hypervisor_config.transport = Transport::HybridVsock;
    config.hypervisor_config.memory_size = MiB(256);
    config.containers = vec![stage.shell("c", "sleep 1000")];
    let sandbox = runtime.run_sandbox(config).await.unwrap_or_else(|error| panic!("{}", error.report()));
    let container = sandbox.container(&ContainerId::new("c").unwrap());
    let said = output(&container.exec(Cmd::new(["echo", "on and on"])).await.unwrap()).await;
    assert_eq!(said, ("on and on\n".to_owned(), 0));
    if victim == Victim::Nobody {
        sandbox.stop(StopMode::Graceful).await.unwrap();
    } else {
        strike(&runtime, &sandbox, &container, victim, after).await;
    }
    sandbox.delete(DeleteMode::IfStopped).await.unwrap();
}

/// Kills a process of the sandbox while something runs in it.
async fn strike(
    runtime: &Runtime,
    sandbox: &Sandbox,
    container: &Container,
    victim: Victim,
    after: Duration,
) {
    let status = sandbox.status().await.unwrap();
    let of = |role: &str| status.processes.iter().find(|helper| helper.role == role).unwrap().pid;
    let pid = match victim {
        Victim::Nobody => return,
        Victim::Vmm => status.vmm_pid.unwrap(),
        Victim::Virtiofsd => of("virtiofsd"),
        Victim::Vsock => of("vhost-vsock"),
    };
    let busy = async {
        // It fails sooner or later, for want of a guest.
        if let Ok(process) = container.exec(Cmd::new(["sh", "-c", "while :; do ls /bin; done"])).await {
            process.wait().await.ok();
        }
    };
    let deed = async {
        tokio::time::sleep(after).await;
        kill(pid).await;
    };
    let both = async { tokio::join!(busy, deed) };
    tokio::time::timeout(Duration::from_secs(60), both).await.unwrap();
    let status = sandbox.status().await.unwrap();
    assert_eq!(status.state, SandboxState::Stopped, "{victim:?}");
    assert!(status.reason.is_some(), "{victim:?}");
    if after.as_millis().is_multiple_of(2) {
        sandbox.stop(StopMode::Graceful).await.unwrap();
    } else {
        let report = runtime.gc(GcOptions::default()).await.unwrap();
        assert!(!report.items.is_empty(), "{victim:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_soak() {
    let stage = Stage::new().await;
    let rounds = number("VC_SOAK_ROUNDS", 10);
    let limit = Duration::from_secs(number("VC_SOAK_SECONDS", 150));
    let mut seed = number("VC_SOAK_SEED", 1);
    println!("seed {seed}, up to {rounds} rounds within {limit:?}");
    let begin = Instant::now();
    let (mut done, mut victims, mut first) = (0, BTreeMap::new(), None);
    while done < rounds && begin.elapsed() < limit {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let victim = match (seed >> 33) % 6 {
            0 => Victim::Vmm,
            1 => Victim::Virtiofsd,
            2 => Victim::Vsock,
            _ => Victim::Nobody,
        };
        round(&stage, victim, Duration::from_millis((seed >> 40) % 300)).await;
        done += 1;
        *victims.entry(victim).or_insert(0) += 1;
        assert_eq!(stage.root.leaks(), [], "after round {done}, {victim:?}");
        // What is made once, by the first rounds, is no growth.
        if done == 2 {
            first = Some(Use::now());
        }
    }
    let last = Use::now();
    println!("{done} rounds in {:?}, {victims:?}; {first:?}, then {last:?}", begin.elapsed());
    let first = first.unwrap_or(last);
    assert!(last.descriptors <= first.descriptors + 2, "{first:?}, then {last:?}");
    assert!(last.resident < first.resident + (16 << 20), "{first:?}, then {last:?}");
}
