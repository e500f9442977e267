//! Hooks of the OCI runtime specification (`prestart`, `createRuntime`, …, `poststop`), run inside a network namespace.
//!
//! Container engines of the CNM kind fill a sandbox's namespace by a prestart hook: it gets the container's state as
//! JSON on stdin, and works in the network namespace that it is started in. Here that is the sandbox's.

use std::{io, os::fd::AsFd as _, path::PathBuf, process::ExitStatus, time::Duration};

use oci_spec::runtime::Hook;
use thiserror::Error;
use virtcontainers_sys::spawn::{Spawn, SpawnError, describe_exit};

use crate::{
    NetNs,
    program::{self, Failure},
};

/// How long a hook without a time-out of its own may take. The specification knows no limit; a caller's create does.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// The most that a hook may write to its standard output, in bytes. Nobody reads it.
const OUTPUT_LIMIT: usize = 1 << 20;

/// Why a hook failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HookError {
    /// The specification asks for an absolute path.
    #[error("the hook {} has no absolute path", path.display())]
    NotAbsolute {
        /// The hook's program.
        path: PathBuf,
    },
    /// The specification asks for a time-out of at least a second.
    #[error("the hook {} has a time-out of {timeout} s: give 1 s or more, or none", path.display())]
    BadTimeout {
        /// The hook's program.
        path: PathBuf,
        /// Its time-out.
        timeout: i64,
    },
    /// The namespace could not be entered.
    #[error("the hook {} cannot run in the sandbox's network namespace", path.display())]
    Namespace {
        /// The hook's program.
        path: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// It could not be started.
    #[error("cannot run the hook {}", path.display())]
    Start {
        /// The hook's program.
        path: PathBuf,
        /// The reason.
        #[source]
        source: SpawnError,
    },
    /// The pipes to it failed.
    #[error("cannot talk to the hook {}", path.display())]
    Talk {
        /// The hook's program.
        path: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// It failed.
    #[error("the hook {} ended with {}{}", path.display(), describe_exit(*status), Said(stderr))]
    Failed {
        /// The hook's program.
        path: PathBuf,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it wrote to its standard error.
        stderr: String,
    },
    /// It did not end.
    #[error("the hook {} did not end within {} s: it was killed{}", path.display(), after.as_secs(), Said(stderr))]
    TimedOut {
        /// The hook's program.
        path: PathBuf,
        /// How long it had.
        after: Duration,
        /// The end of what it wrote to its standard error.
        stderr: String,
    },
    /// It wrote without end.
    #[error("the hook {} wrote more than {OUTPUT_LIMIT} bytes: it was killed", path.display())]
    TooMuch {
        /// The hook's program.
        path: PathBuf,
    },
}

/// Runs hooks in their order, in the namespace, each with `state_json` on stdin. A hook has the variables that it names,
/// and of this process's `PATH` and a few others.
///
/// # Errors
/// The first hook's that fails; those after it do not run.
pub async fn run(hooks: &[Hook], state_json: &str, ns: &NetNs) -> Result<(), HookError> {
    for hook in hooks {
        run_one(hook, state_json, ns).await?;
    }
    Ok(())
}

/// The same for hooks whose failure stops nothing (`poststop`): all run, and the errors come back.
pub async fn run_all(hooks: &[Hook], state_json: &str, ns: &NetNs) -> Vec<HookError> {
    let mut failures = Vec::new();
    for hook in hooks {
        failures.extend(run_one(hook, state_json, ns).await.err());
    }
    failures
}

async fn run_one(hook: &Hook, state_json: &str, ns: &NetNs) -> Result<(), HookError> {
    let path = hook.path().clone();
    if !path.is_absolute() {
        return Err(HookError::NotAbsolute { path });
    }
    let after = match hook.timeout() {
        None => DEFAULT_TIMEOUT,
        Some(seconds) => match u64::try_from(seconds) {
            Ok(seconds @ 1..) => Duration::from_secs(seconds),
            Ok(0) | Err(_) => return Err(HookError::BadTimeout { path, timeout: seconds }),
        },
    };
    let fd = match ns.as_fd().try_clone_to_owned() {
        Ok(fd) => fd,
        Err(source) => return Err(HookError::Namespace { path, source }),
    };
    let mut spawn = Spawn::new(&path).netns(fd);
    if let Some((name, args)) = hook.args().as_ref().and_then(|args| args.split_first()) {
        spawn = spawn.arg0(name).args(args);
    }
    for entry in hook.env().iter().flatten() {
        let (key, value) = entry.split_once('=').unwrap_or((entry, ""));
        spawn = spawn.env(key, value);
    }
    match program::run(spawn, state_json.as_bytes(), after, OUTPUT_LIMIT).await {
        Ok(ended) if ended.status.success() => Ok(()),
        Ok(ended) => Err(HookError::Failed { path, status: ended.status, stderr: ended.stderr }),
        Err(Failure::Start(source)) => Err(HookError::Start { path, source }),
        Err(Failure::Talk(source)) => Err(HookError::Talk { path, source }),
        Err(Failure::TimedOut { stderr }) => Err(HookError::TimedOut { path, after, stderr }),
        Err(Failure::TooMuch) => Err(HookError::TooMuch { path }),
    }
}

/// What a program said at its end, as a clause.
struct Said<'a>(&'a str);

impl std::fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "; it said: {}", self.0) }
    }
}
