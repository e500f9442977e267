//! The agent's life, as PID 1 and outside of a virtual machine.

use std::{error::Error, io, path::PathBuf, sync::Arc, time::Duration};

use tokio::runtime::{Builder, Runtime};

use crate::{
    agent::{Agent, Settings},
    init::{self, modules::Modules, power, signals},
    log,
    reaper::Reaper,
    serve::{self, Endpoint},
    service, sys,
};

/// Threads for what may wait for a file server.
const BLOCKING_THREADS: usize = 4;

/// How long the answer to the call that ends the agent may take to leave the machine.
const LAST_ANSWER: Duration = Duration::from_millis(100);

/// The agent's own directory in a guest.
const DIRECTORY: &str = "/run/vc";

/// Runs the guest until its end. Whatever happens, the machine is powered off and not left to a kernel panic.
pub fn as_init() -> ! {
    let life = std::panic::catch_unwind(|| -> Result<(), Box<dyn Error>> {
        let guest = init::set_up()?;
        log::start(&guest.cmdline);
        let pipe_size = guest.cmdline.container_pipe_size();
        let settings = Settings { directory: DIRECTORY.into(), pivot: true, is_init: true, pipe_size };
        live(settings, &Endpoint::Guest(guest.cmdline), Some(guest.modules))
    });
    match life {
        Ok(Ok(())) => {}
        Ok(Err(error)) => power::say(&format!("the guest ends: {error}")),
        Err(_panic) => power::say("the guest ends: the agent panicked, see above"),
    }
    power::off()
}

/// Runs an agent that is not PID 1, serving on `socket`, until its sandbox is destroyed.
///
/// # Errors
/// Without root's rights; or when it cannot serve.
pub fn outside(socket: PathBuf, directory: PathBuf) -> Result<(), Box<dyn Error>> {
    sys::namespace::isolate_mounts()?;
    rustix::process::set_child_subreaper(Some(rustix::process::Pid::INIT))?;
    let settings = Settings { directory, pivot: true, is_init: false, pipe_size: None };
    live(settings, &Endpoint::Unix(socket), None)
}

fn live(settings: Settings, endpoint: &Endpoint, modules: Option<Modules>) -> Result<(), Box<dyn Error>> {
    // Fewer do for a start.
    sys::limits::hold_many_descriptors().ok();
    sys::memory::keep_for_streams();
    let runtime = runtime()?;
    let outcome = runtime.block_on(async {
        let mut ending = signals::Ending::listen()?;
        let (reaper, _collecting) = Reaper::start()?;
        let modules = modules.map(Arc::new);
        let agent = Agent::new(settings, reaper, modules.clone());
        let ended = async {
            agent.ended().await;
            tokio::time::sleep(LAST_ANSWER).await;
        };
        let signalled = async {
            let signal = ending.heard().await;
            tracing::info!(signal, "ending the sandbox");
            service::end_sandbox(&agent).await;
        };
        tokio::select! {
            served = serve::serve(&agent, endpoint, modules.as_deref()) => Ok(served?),
            () = ended => Ok(()),
            () = signalled => Ok(()),
        }
    });
    runtime.shutdown_background();
    outcome
}

/// One thread: the agent waits most of the time, and its memory is the guest's.
fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_keep_alive(Duration::from_secs(1))
        .build()
}
