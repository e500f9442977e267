//! The network monitor: a process that watches the sandbox's network namespace, and calls
//! [`Sandbox::sync_network`](super::Sandbox::sync_network) at each change. The sandbox does without it when it dies.

use std::path::{Path, PathBuf};

use virtcontainers_sys::{
    process::{Mark, ProcessRef},
    spawn::Spawn,
};

use super::{Shared, helper, resource::Role};
use crate::{
    config::NetmonConfig,
    error::{Cause, Error},
};

/// The largest file that it writes, in bytes: beside its log, records.
const LARGEST_FILE: u64 = 2 * virtcontainers_store::MAX_RECORD_BYTES;

/// Starts it: `<program> netmon --root <root> <id>` in the sandbox's directory.
pub(super) fn start(shared: &Shared, config: &NetmonConfig, mark: &Mark) -> Result<ProcessRef, Error> {
    let runtime = shared.runtime();
    let program = program(shared, config.path.as_deref())?;
    let dir = runtime.sandbox_dir(shared.id());
    let log = dir.join(format!("{}.log", Role::Netmon.as_str()));
    let child = Spawn::new(program)
        .args([Role::Netmon.as_str(), "--root"])
        .args([runtime.root()])
        .args([shared.id().as_str()])
        .cwd(dir)
        .stderr(log)
        .largest_file(LARGEST_FILE)
        .mark(mark)
        .spawn()?;
    Ok(child.process())
}

/// Its program. It works with this library, which the small program of the other helpers does not.
fn program(shared: &Shared, configured: Option<&Path>) -> Result<PathBuf, Error> {
    let helper = shared.runtime().helper_program().filter(|program| !helper::is_small(program));
    if let Some(program) = configured.or(helper) {
        return Ok(program.to_owned());
    }
    let remedy = "install virtc beside the program of this process or on PATH, or name it in \
                  network_config.netmon.path or with Runtime::builder().helper_program()";
    helper::tool().ok_or_else(|| Cause::MissingProgram { program: "virtc", remedy }.into())
}
