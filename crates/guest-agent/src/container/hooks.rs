//! Hooks (OCI runtime specification): which there are, and the running of those after a start and after a removal.
//!
//! Hooks before the start are `libcontainer`'s. Those after it would make the agent fork and lose their exit codes to
//! the [`crate::reaper`], so they are taken out of the specification and run here. All of them run in the guest.

use std::{
    fs, io,
    io::{Seek as _, Write as _},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use oci_spec::runtime::{Hook, Spec};
use rustix::fs::MemfdFlags;

use super::{
    Container, State,
    spec::{DEFAULT_PATH, is_plain},
};
use crate::{error::CallError, reaper::Reaper};

/// Executables in one of the guest's directories of hooks.
const MAX_HOOKS: usize = 64;

/// How long a hook may take that says nothing about it.
const PATIENCE: Duration = Duration::from_secs(60);

/// The sandbox's own hooks, for each of its containers.
#[derive(Debug, Clone, Default)]
pub struct GuestHooks {
    prestart: Vec<Hook>,
    poststart: Vec<Hook>,
    poststop: Vec<Hook>,
}

impl GuestHooks {
    /// The executables in the subdirectories `prestart`, `poststart` and `poststop` of `directory`, by name. A
    /// subdirectory may be missing.
    ///
    /// # Errors
    /// [`CallError::Invalid`] when `directory` is none of the guest's.
    pub fn find(directory: &Path) -> Result<Self, CallError> {
        if !is_plain(directory) || !directory.is_dir() {
            let reason = format!("`{}` is not a directory of the guest", directory.display());
            return Err(CallError::Invalid { field: "guest_hook_path", reason });
        }
        let of = |kind: &str| -> Result<Vec<Hook>, CallError> {
            let path = directory.join(kind);
            let paths = executables(&path).map_err(CallError::io("list the hooks in", &path))?;
            if paths.len() > MAX_HOOKS {
                return Err(CallError::TooMany {
                    what: "hooks in one directory of the guest",
                    limit: MAX_HOOKS,
                });
            }
            Ok(paths.into_iter().map(hook).collect())
        };
        Ok(Self { prestart: of("prestart")?, poststart: of("poststart")?, poststop: of("poststop")? })
    }
}

fn hook(path: PathBuf) -> Hook {
    let mut hook = Hook::default();
    hook.set_args(Some(vec![path.display().to_string()]));
    hook.set_env(Some(vec![DEFAULT_PATH.to_owned()]));
    hook.set_path(path);
    hook
}

fn executables(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let metadata = fs::metadata(&path)?;
        if metadata.is_file() && metadata.permissions().mode() & 0o111 != 0 {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// A container's hooks that the agent runs itself.
#[derive(Debug, Clone, Default)]
pub struct Hooks {
    poststart: Vec<Hook>,
    poststop: Vec<Hook>,
}

/// Adds the sandbox's hooks to the specification's and takes out those that the agent runs.
pub fn take(spec: &mut Spec, guest: &GuestHooks) -> Hooks {
    let mut hooks = spec.hooks().clone().unwrap_or_default();
    let both = |own: &Option<Vec<Hook>>, guest: &[Hook]| -> Vec<Hook> {
        own.iter().flatten().chain(guest).cloned().collect()
    };
    let prestart = both(hooks.prestart(), &guest.prestart);
    let taken = Hooks {
        poststart: both(hooks.poststart(), &guest.poststart),
        poststop: both(hooks.poststop(), &guest.poststop),
    };
    hooks.set_prestart((!prestart.is_empty()).then_some(prestart));
    hooks.set_poststart(None);
    hooks.set_poststop(None);
    spec.set_hooks(Some(hooks));
    taken
}

/// Runs the hooks after a start, in order.
///
/// # Errors
/// [`CallError::Hook`] of the first one that fails; the rest is not run.
pub async fn after_start(reaper: &Arc<Reaper>, container: &Container) -> Result<(), CallError> {
    for hook in &container.hooks.poststart {
        run(reaper, container, hook).await?;
    }
    Ok(())
}

/// Runs the hooks after a removal, in order. One that fails is no reason to leave the others out.
pub async fn after_stop(reaper: &Arc<Reaper>, container: &Container) {
    for hook in &container.hooks.poststop {
        if let Err(error) = run(reaper, container, hook).await {
            tracing::warn!(container = %container.id, %error, "after the removal");
        }
    }
}

async fn run(reaper: &Arc<Reaper>, container: &Container, hook: &Hook) -> Result<(), CallError> {
    let path = hook.path();
    let state = state(container).map_err(CallError::io("describe the container to", path))?;
    let mut command = Command::new(path);
    let name = path.display().to_string();
    let (first, rest) = match hook.args().as_deref() {
        Some([first, rest @ ..]) => (first, rest),
        Some([]) | None => (&name, &[] as &[String]),
    };
    command.arg0(first).args(rest).env_clear();
    command.envs(hook.env().iter().flatten().filter_map(|entry| entry.split_once('=')));
    command.stdin(state).stdout(Stdio::null()).stderr(Stdio::inherit());
    let expectation = reaper.expect();
    let pid = command.spawn().map_err(CallError::io("start the hook", path))?.id();
    let exit = expectation.claim(pid);
    drop(expectation);
    let seconds =
        hook.timeout().and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0);
    let limit = seconds.map_or(PATIENCE, Duration::from_secs);
    match tokio::time::timeout(limit, exit.wait()).await {
        Ok(0) => Ok(()),
        Ok(code) => Err(CallError::Hook { path: path.clone(), code }),
        Err(_elapsed) => {
            // Gone already is as good.
            reaper.signal(pid, rustix::process::Signal::KILL.as_raw().cast_unsigned()).ok();
            Err(CallError::Timeout(format!("hook `{}` after {} s", path.display(), limit.as_secs())))
        }
    }
}

/// The container's state as hooks read it from their standard input.
fn state(container: &Container) -> io::Result<fs::File> {
    let status = match container.state() {
        State::Created => "created",
        State::Running | State::Paused => "running",
        State::Stopped => "stopped",
    };
    let state = serde_json::json!({
        "ociVersion": "1.0.2",
        "id": container.id.as_str(),
        "status": status,
        "pid": if status == "stopped" { 0 } else { container.init.pid() },
        "bundle": container.bundle,
        "annotations": container.annotations,
    });
    let mut file = fs::File::from(rustix::fs::memfd_create("state.json", MemfdFlags::CLOEXEC)?);
    file.write_all(&serde_json::to_vec(&state)?)?;
    file.rewind()?;
    Ok(file)
}
