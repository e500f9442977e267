//! What a monitor says, with the VMM as the attacker: whoever takes over a machine gets an answer or an error, and soon.
//!
//! The input is what the monitor says, a line at a time, each with a moment for the other side to hear it and to ask.
//! Then it hangs up.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use tokio::{
    io::AsyncWriteExt as _,
    net::UnixStream,
    runtime::{Builder, Runtime},
    signal::unix::{SignalKind, signal},
};
use virtcontainers_hypervisor::qemu;

/// A conversation whose other side has hung up ends by itself, and soon.
const PATIENCE: Duration = Duration::from_secs(20);

thread_local! {
    static RUNTIME: Runtime = {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        // A fuzzer's main program is not Rust's, which would ignore this signal.
        drop(runtime.block_on(async { signal(SignalKind::pipe()) }).expect("a handler"));
        runtime
    };
}

/// So many turns of the runtime are time enough to hear a line and to send the next request.
const TURNS: usize = 4;

async fn monitor(said: &[u8], mut stream: UnixStream) {
    for line in said.split_inclusive(|&byte| byte == b'\n') {
        if stream.write_all(line).await.is_err() {
            // Who was asked has hung up.
            return;
        }
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
    }
}

fuzz_target!(|said: &[u8]| {
    RUNTIME.with(|runtime| {
        let talk = async {
            let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
            let asked = async { drop(qemu::is_running(ours).await) };
            tokio::join!(asked, monitor(said, theirs));
        };
        runtime.block_on(async { tokio::time::timeout(PATIENCE, talk).await.expect("an answer, and soon") });
    });
});
