//! What a monitor says, with the VMM as the attacker: whoever takes over a machine gets an answer or an error, and soon.
#![no_main]

use std::{
    io::Write as _, os::unix::net::UnixListener, path::PathBuf, sync::OnceLock, thread, time::Duration,
};

use libfuzzer_sys::fuzz_target;
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{SignalKind, signal},
};
use virtcontainers_hypervisor::{AgentChannel, Hypervisor as _, VmRecord, qemu::Qemu};
use virtcontainers_sys::process::ProcessRef;
use virtcontainers_types::HypervisorKind;

/// A conversation whose other side has hung up ends by itself, and soon.
const PATIENCE: Duration = Duration::from_secs(20);

struct Stage {
    listener: UnixListener,
    record: VmRecord,
}

fn stage() -> &'static Stage {
    static STAGE: OnceLock<Stage> = OnceLock::new();
    STAGE.get_or_init(|| {
        let dir = PathBuf::from(format!("/dev/shm/vc-fuzz-qmp-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory");
        let listener = UnixListener::bind(dir.join("control.sock")).expect("a socket");
        let process = Some(ProcessRef::myself().expect("this process"));
        let channel = AgentChannel::None;
        Stage {
            listener,
            record: VmRecord { hypervisor: HypervisorKind::Qemu, process, dir, channel, plug_slots: None },
        }
    })
}

thread_local! {
    static RUNTIME: Runtime = {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        // A fuzzer's main program is not Rust's, which would ignore this signal.
        runtime.block_on(async { signal(SignalKind::pipe()) }).expect("a handler");
        runtime
    };
}

fuzz_target!(|bytes: &[u8]| {
    let Stage { listener, record } = stage();
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut monitor, _) = listener.accept().expect("it is connected to");
            // Who was asked has hung up, perhaps.
            monitor.write_all(bytes).ok();
        });
        let ask = async {
            let vm = Qemu::new().reattach(record).await.expect("the process lives");
            drop(vm.state().await);
        };
        RUNTIME.with(|runtime| {
            runtime
                .block_on(async { tokio::time::timeout(PATIENCE, ask).await.expect("an answer, and soon") });
        });
    });
});
