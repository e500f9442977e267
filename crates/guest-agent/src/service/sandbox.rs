//! `CreateSandbox` and `DestroySandbox`.

use std::{fs, path::Path, sync::Arc};

use futures::future::join_all;
use virtcontainers_agent_protocol::api::{
    Empty,
    agent::{CreateSandboxRequest, DestroySandboxRequest},
};

use super::{modules, storage};
use crate::{
    agent::{Agent, Sandbox},
    container::{self, hooks::GuestHooks},
    error::CallError,
};

const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Bytes of a resolv.conf.
const MAX_DNS: usize = 64 << 10;

/// The longest name that sethostname(2) takes.
const MAX_HOSTNAME: usize = 64;

pub(super) async fn create(agent: &Arc<Agent>, request: CreateSandboxRequest) -> Result<Empty, CallError> {
    modules::check(&request.kernel_modules)?;
    if request.hostname.len() > MAX_HOSTNAME {
        let reason = format!("it has {} bytes, at most {MAX_HOSTNAME} are allowed", request.hostname.len());
        return Err(CallError::Invalid { field: "hostname", reason });
    }
    let hooks = match request.guest_hook_path.as_str() {
        "" => GuestHooks::default(),
        path => GuestHooks::find(Path::new(path))?,
    };
    let dns = resolv_conf(&request.dns)?;
    let (id, hostname) = (request.sandbox_id.clone(), request.hostname.clone());
    agent.open_sandbox(Sandbox { id, hostname, dns: dns.clone(), hooks: Arc::new(hooks) })?;
    agent.launcher().prepare();
    let made = set_up(agent, &request, &dns).await;
    if made.is_err() {
        agent.close_sandbox();
    }
    made.map(|()| Empty::new())
}

/// The text of these lines.
fn resolv_conf(lines: &[String]) -> Result<String, CallError> {
    let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
    if text.len() > MAX_DNS {
        return Err(CallError::TooMany { what: "bytes of dns", limit: MAX_DNS });
    }
    Ok(text)
}

async fn set_up(agent: &Arc<Agent>, request: &CreateSandboxRequest, dns: &str) -> Result<(), CallError> {
    // Outside of a virtual machine these are the host's.
    if agent.settings().is_init {
        if !request.hostname.is_empty() {
            rustix::system::sethostname(request.hostname.as_bytes()).map_err(|error| {
                CallError::io("set the hostname in", "/proc/sys/kernel/hostname")(error.into())
            })?;
        }
        if !dns.is_empty() {
            fs::write(RESOLV_CONF, dns).map_err(CallError::io("write", RESOLV_CONF))?;
        }
    }
    modules::load(agent, &request.kernel_modules).await?;
    if request.sandbox_pidns {
        agent.namespaces().process_ids().await?;
    }
    storage::acquire(agent, &request.storages).await.map(drop)
}

/// Ends all containers, takes all storages back and asks for the agent's end, which follows the answer.
pub(super) async fn destroy(agent: &Arc<Agent>, _: DestroySandboxRequest) -> Result<Empty, CallError> {
    let containers = agent.containers();
    let removals = containers.iter().map(|container| container::remove::remove(agent, container, None));
    // A container that does not end is no reason to keep the machine: its end is the containers', too.
    for result in join_all(removals).await {
        if let Err(error) = result {
            tracing::warn!(%error, "while ending the sandbox");
        }
    }
    agent.storages().clear().await;
    agent.namespaces().clear().await;
    rustix::fs::sync();
    agent.close_sandbox();
    agent.end();
    Ok(Empty::new())
}
