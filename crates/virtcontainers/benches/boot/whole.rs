//! Sides (b) and (c): the tool and the library, as a user has them.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use virtcontainers::{DeleteMode, Runtime, SandboxConfig, config::HypervisorConfig};

use crate::{Failure, Options, Shape};

/// `virtc` on a root directory of its own.
pub(crate) fn virtc(options: &Options, root: &Path) -> Command {
    let mut command = Command::new(&options.virtc);
    // The host's settings, if there are any, would make the two sides differ.
    command.arg("--root").arg(root).stdin(Stdio::null()).env_remove("VIRTC_CONFIG").env_remove("VIRTC_LOG");
    command
}

/// Runs a command to its end; its standard output.
pub(crate) fn succeed(command: &mut Command) -> Result<Vec<u8>, Failure> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(format!("{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr)).into())
}

/// One container, from the start of the tool to its exit.
pub(crate) fn run(options: &Options, shape: Shape, root: &Path) -> Result<Duration, Failure> {
    let mut command = virtc(options, root);
    command.args(["run", "--rm", "--rootfs"]).arg(&options.rootfs).arg("--guest").arg(&options.guest);
    command.args(shape.arguments()).args(["--", "true"]);
    let clock = Instant::now();
    succeed(&mut command)?;
    Ok(clock.elapsed())
}

/// A sandbox without containers, until its agent answers.
pub(crate) async fn create(
    options: &Options,
    config: &HypervisorConfig,
    root: &Path,
) -> Result<Duration, Failure> {
    let runtime = Runtime::builder().root(root).helper_program(&options.virtc).build()?;
    let config = SandboxConfig {
        id: "bench-create".into(),
        hypervisor_config: config.clone(),
        ..SandboxConfig::default()
    };
    let clock = Instant::now();
    let sandbox = runtime.create_sandbox(config).await?;
    let took = clock.elapsed();
    sandbox.delete(DeleteMode::Force).await?;
    Ok(took)
}
