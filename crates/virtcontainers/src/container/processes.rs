//! Processes: what runs in a container, as its guest's kernel shows it.
//!
//! The Kata agent protocol has no such call. `vc-agent` has one of its own; with another agent, the container's own
//! `ps` is run, which tells less: number, parent, user and command line.

use tokio::io::AsyncReadExt as _;
use virtcontainers_agent_client::{AgentErrorKind, GuestProcess};

use super::{Container, ContainerRecord, exec};
use crate::{
    config::Cmd,
    error::{Cause, Error},
    oci,
    ps::{self, ProcessList, ProcessListOptions, Setting},
    sandbox::Visit,
    state::ContainerOperation,
    time::Timestamp,
};

const VERB: &str = "list the processes of";
/// What is asked of a container's own ps: columns that both procps and busybox have.
const PS: [&str; 4] = ["ps", "-e", "-o", "pid,ppid,user,args"];
/// The most that is read of what a container's own ps says, in bytes.
const MAX_LISTING: u64 = 4 << 20;

/// The processes, ordered by number.
pub(super) async fn table(container: &Container) -> Result<Vec<GuestProcess>, Error> {
    Ok(look(container).await?.0)
}

/// The listing that ps would print.
pub(super) async fn list(container: &Container, options: ProcessListOptions) -> Result<ProcessList, Error> {
    let view = options.view()?;
    let (processes, record, memory) = look(container).await?;
    let users = oci::user_names(&record.rootfs);
    Ok(view.show(&processes, &Setting { now: Timestamp::now(), memory, users }))
}

/// The processes, the container's record, and the guest's memory in bytes.
async fn look(container: &Container) -> Result<(Vec<GuestProcess>, ContainerRecord, u64), Error> {
    let id = container.id();
    let (visit, record) =
        Visit::container(&container.shared(), id, ContainerOperation::Observe, VERB).await?;
    let memory = u64::from(visit.record.config.hypervisor_config.memory_size.0) << 20;
    let mut processes = match visit.agent().await?.list_processes(id).await {
        Err(error) if error.kind() == AgentErrorKind::Unimplemented => ask_ps(container, &record).await?,
        answer => visit.told_of(id, ContainerOperation::Observe, VERB, answer)?,
    };
    processes.sort_unstable_by_key(|process| process.pid);
    Ok((processes, record, memory))
}

/// Runs the container's own ps.
async fn ask_ps(container: &Container, record: &ContainerRecord) -> Result<Vec<GuestProcess>, Error> {
    let process = exec::exec(container.clone(), None, Cmd::new(PS)).await?;
    let broken = |why: String| {
        let (sandbox, container) = (container.sandbox().id().clone(), container.id().clone());
        Error::from(Cause::Listing { sandbox, container, why })
    };
    let mut said = Vec::new();
    let read = process.stdout().take(MAX_LISTING).read_to_end(&mut said).await;
    read.map_err(|error| broken(error.to_string()))?;
    let code = process.wait().await?;
    if code != 0 {
        return Err(broken(format!("it ended with code {code}")));
    }
    let said = String::from_utf8_lossy(&said);
    let listed = ps::read(&said, &oci::user_names(&record.rootfs));
    let mut processes = listed.ok_or_else(|| broken("it is no listing".to_owned()))?;
    // The ps itself is none of the container's.
    processes.retain(|process| process.args != PS);
    Ok(processes)
}
