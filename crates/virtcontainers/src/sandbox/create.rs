//! Create: everything from a configuration to a guest whose agent has its containers. All or nothing.

mod birth;
mod build;
mod network;

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures::FutureExt as _;
use tokio::sync::oneshot;
use virtcontainers_store::{Cause as Ended, Transaction, Unwound, transact};

use self::birth::Birth;
use super::{DeleteMode, Release, Sandbox, SandboxPhase, SandboxRecord, network::NetworkState, start};
use crate::{
    config::{SandboxConfig, SandboxSpec},
    drive::to_the_end,
    error::{Cause, Error},
    runtime::Runtime,
    time::Timestamp,
};

/// Creates a sandbox.
pub(crate) async fn create(runtime: &Runtime, config: SandboxConfig) -> Result<Sandbox, Error> {
    let spec = validate(runtime, config).await?;
    let id = spec.id().clone();
    let record = record_of(runtime, &spec);
    let birth = Birth::claim(runtime, record)?;
    let sandbox = runtime.handle(&id);
    let release = Arc::new(Release::new(runtime, &id, spec.config().hypervisor_type));
    let transaction =
        Transaction::new(birth, Arc::clone(&release) as _, Vec::new()).with_faults(runtime.faults());
    let shared = Arc::clone(sandbox.shared());
    let created = transact(transaction, move |transaction| {
        Box::pin(async move { build::build(transaction, &shared, &spec, &release).await })
    })
    .await;
    match created {
        Ok(((), _birth, _held)) => Ok(sandbox),
        Err(unwound) => Err(error_of("create sandbox", unwound)),
    }
}

/// Creates a sandbox and starts it: one verb, of which all or nothing remains, also when its caller leaves.
pub(crate) async fn run(runtime: &Runtime, config: SandboxConfig) -> Result<Sandbox, Error> {
    // Dropped together with this future.
    let (_caller, caller_gone) = oneshot::channel();
    let verb = run_for(caller_gone, runtime.clone(), config);
    to_the_end(runtime, "run sandbox", verb).await
}

async fn run_for(
    mut caller_gone: oneshot::Receiver<()>,
    runtime: Runtime,
    config: SandboxConfig,
) -> Result<Sandbox, Error> {
    let abandoned = || Error::from(Cause::Interrupted("nobody waited for run sandbox".to_owned()));
    let sandbox = tokio::select! {
        biased;
        created = create(&runtime, config) => created?,
        // A create that is dropped undoes itself.
        _ = &mut caller_gone => return Err(abandoned()),
    };
    let started = tokio::select! {
        biased;
        _ = &mut caller_gone => Err(abandoned()),
        started = AssertUnwindSafe(start::start(Arc::clone(sandbox.shared()))).catch_unwind() => {
            // What was created must not stay because of a bug in what follows.
            started.unwrap_or_else(|_panic| Err(Cause::Interrupted("start sandbox panicked".to_owned()).into()))
        }
    };
    match started {
        Ok(()) => Ok(sandbox),
        Err(error) => {
            let console = sandbox.console();
            let leftover = sandbox.delete(DeleteMode::Force).await.err();
            Err(error.with_console(console).with_undo(leftover.map(|error| error.to_string())))
        }
    }
}

/// Validates; on a thread for it when files are to be hashed, for that takes its time.
async fn validate(runtime: &Runtime, config: SandboxConfig) -> Result<SandboxSpec, Error> {
    runtime.hypervisor(config.hypervisor_type)?;
    let host = *runtime.host();
    if config.hypervisor_config.asset_hashes == crate::config::AssetHashes::default() {
        return Ok(config.validate(&host)?);
    }
    let validated = tokio::task::spawn_blocking(move || config.validate(&host)).await;
    match validated {
        Ok(spec) => Ok(spec?),
        Err(error) => Err(Cause::Interrupted(format!("hashing the assets: {error}")).into()),
    }
}

fn record_of(runtime: &Runtime, spec: &SandboxSpec) -> SandboxRecord {
    SandboxRecord {
        id: spec.id().clone(),
        created: Timestamp::now(),
        hostname: spec.hostname().to_owned(),
        config: spec.config().clone(),
        transport: None,
        phase: SandboxPhase::Creating { by: runtime.process() },
        network: NetworkState::default(),
        resources: Vec::new(),
    }
}

/// What an undone transaction says to the caller.
pub(crate) fn error_of(verb: &'static str, unwound: Unwound<Error>) -> Error {
    let error = match unwound.cause {
        Ended::Failed(error) => error,
        Ended::Panicked(message) => Cause::Interrupted(format!("{verb} panicked: {message}")).into(),
        Ended::Abandoned => Cause::Interrupted(format!("nobody waited for {verb}")).into(),
        Ended::Interrupted => Cause::Interrupted("the async runtime shut down".to_owned()).into(),
        _ => Cause::Interrupted(verb.to_owned()).into(),
    };
    error.with_undo(unwound.undo_errors.iter().map(|error| crate::error::chain(error)))
}
