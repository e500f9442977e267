//! The reference document's example: creates and starts a sandbox with a single container, with QEMU as the hypervisor
//! and an agent that speaks the Kata agent protocol; then shows what the container says, and cleans up.
//!
//! As root: `cargo run --example create_and_start -- GUEST_DIR ROOTFS [COMMAND…]`, where GUEST_DIR is what
//! `virtc guest build` made and ROOTFS a directory with a root filesystem. They can be given as the environment
//! variables `VC_GUEST_DIR` and `VC_ROOTFS` too; `VC_ROOT` is the runtime's root directory, and `VC_TRANSPORT`,
//! `VC_SHARED_FS` and `VC_MACHINE` choose what they name.

use std::{env, error::Error, path::PathBuf, time::Instant};

use tokio::io::{AsyncWriteExt as _, copy, stderr, stdout};
use virtcontainers::{
    Cmd, ContainerConfig, ContainerId, DeleteMode, EnvVar, HypervisorConfig, MiB, ProxyKind, RootFs, Runtime,
    SandboxConfig, StopMode,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let usage = "usage: create_and_start GUEST_DIR ROOTFS [COMMAND…]";
    let guest: PathBuf = arguments.next().or_else(|| env::var("VC_GUEST_DIR").ok()).ok_or(usage)?.into();
    let rootfs: PathBuf = arguments.next().or_else(|| env::var("VC_ROOTFS").ok()).ok_or(usage)?.into();
    let mut command: Vec<String> = arguments.collect();
    if command.is_empty() {
        command = ["/bin/sh", "-c", "uname -a; id; cat /proc/mounts | head -3"].map(str::to_owned).into();
    }

    // Define the container's command and root filesystem.
    let container = ContainerConfig {
        id: "1".into(),
        root_fs: RootFs::directory(rootfs.canonicalize()?),
        cmd: Cmd {
            envs: vec![EnvVar { var: "PATH".into(), value: "/bin:/usr/bin:/sbin:/usr/sbin".into() }],
            work_dir: "/".into(),
            ..Cmd::new(command)
        },
        ..ContainerConfig::default()
    };
    // The virtual machine; QEMU is found on the PATH.
    let guest = guest.canonicalize()?;
    let hypervisor_config = HypervisorConfig {
        kernel_path: guest.join("vmlinux"),
        initrd_path: Some(guest.join("initrd.img")),
        memory_size: MiB(1024),
        transport: env::var("VC_TRANSPORT").map_or(Ok(Default::default()), |name| name.parse())?,
        shared_fs: env::var("VC_SHARED_FS").map_or(Ok(Default::default()), |name| name.parse())?,
        hypervisor_machine_type: env::var("VC_MACHINE")
            .map_or(Ok(Default::default()), |name| name.parse())?,
        ..HypervisorConfig::default()
    };
    // One container, QEMU, and the defaults for the agent; without a helper program, a proxy has to be built in.
    let serial = hypervisor_config.transport == virtcontainers::Transport::VirtioSerial;
    let config = SandboxConfig {
        id: format!("example-{}", std::process::id()),
        hypervisor_config,
        proxy_type: if serial { ProxyKind::KataBuiltIn } else { ProxyKind::Auto },
        containers: vec![container],
        ..SandboxConfig::default()
    };

    let begin = Instant::now();
    let runtime = match env::var("VC_ROOT") {
        Ok(root) => Runtime::builder().root(root).build()?,
        Err(_) => Runtime::new()?,
    };
    let sandbox = runtime.run_sandbox(config).await.map_err(|error| error.report().to_string())?;
    let running = begin.elapsed();

    let container = sandbox.container(&ContainerId::new("1")?);
    let process = container.process().await?;
    let (mut output, mut errors) = (process.stdout(), process.stderr());
    let (mut to_output, mut to_errors) = (stdout(), stderr());
    let (out, err) = tokio::join!(copy(&mut output, &mut to_output), copy(&mut errors, &mut to_errors));
    out.and(err)?;
    let code = container.wait().await?;
    let ended = begin.elapsed();

    sandbox.stop(StopMode::Force).await.map_err(|error| error.report().to_string())?;
    sandbox.delete(DeleteMode::IfStopped).await?;
    let line = format!(
        "exit code {code}; running after {running:.2?}, ended after {ended:.2?}, all gone after {:.2?}\n",
        begin.elapsed()
    );
    to_errors.write_all(line.as_bytes()).await?;
    Ok(())
}
