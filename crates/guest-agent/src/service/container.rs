//! A container's life: `CreateContainer`, `StartContainer`, `PauseContainer`, `ResumeContainer`, `RemoveContainer`; its
//! limits and what it uses: `UpdateContainer`, `StatsContainer`; and what the kernel ended in it: `GetOOMEvent`.

use std::{sync::Arc, time::Duration};

use virtcontainers_agent_protocol::{
    api::{
        Empty,
        agent::{
            CreateContainerRequest, GetOOMEventRequest, OOMEvent, PauseContainerRequest,
            RemoveContainerRequest, ResumeContainerRequest, StartContainerRequest, StatsContainerRequest,
            StatsContainerResponse, UpdateContainerRequest,
        },
    },
    oci,
};

use super::{container_id, exec_id, process::string_user, storage, unset};
use crate::{
    agent::{Agent, Reservation},
    container::{self, cgroup::Cgroup, create::Plan, devices, hooks, spec, stats, update, user},
    error::CallError,
};

pub(super) async fn create(agent: &Arc<Agent>, request: CreateContainerRequest) -> Result<Empty, CallError> {
    unset("CreateContainerRequest.shared_mounts", request.shared_mounts.is_empty())?;
    let no_ports = [request.stdin_port, request.stdout_port, request.stderr_port] == [0; 3];
    unset("CreateContainerRequest's stream ports", no_ports)?;
    let id = container_id(&request.container_id)?;
    let exec = Some(request.exec_id.as_str()).filter(|id| !id.is_empty()).map(exec_id).transpose()?;
    if request.OCI.is_none() {
        return Err(CallError::Invalid { field: "OCI", reason: "it must be set".to_owned() });
    }
    let reservation = agent.reserve(id)?;
    let held = storage::acquire(agent, &request.storages).await?;
    let group = Cgroup::of(&request.container_id);
    let made = match plan(agent, reservation, &request, &group).await {
        Ok(plan) => container::create::create(agent, Plan { exec, storages: held.clone(), ..plan }).await,
        Err(error) => Err(error),
    };
    match made {
        Ok(()) => {
            if let Ok(container) = agent.container(&request.container_id) {
                agent.ooms().watch(container.id(), &group);
            }
            Ok(Empty::new())
        }
        Err(error) => {
            storage::release(agent, held).await;
            Err(error)
        }
    }
}

/// What can be said only once the storages are mounted: the root must be there, and it knows the users' names. What
/// may fail for other reasons comes after what is only checked.
async fn plan(
    agent: &Agent,
    reservation: Reservation,
    request: &CreateContainerRequest,
    group: &Cgroup,
) -> Result<Plan, CallError> {
    let spec = oci::from_message(&request.OCI)?;
    let (mut spec, resources) = spec::prepare(spec, reservation.id())?;
    let root = spec::root_of(&spec)?;
    if let Some(mut process) = spec.process().clone() {
        user::apply(&mut process, &string_user(request.string_user.as_ref()), &root)?;
        spec.set_process(Some(process));
    }
    devices::give(&mut spec, &request.devices)?;
    let hooks = hooks::take(&mut spec, &agent.sandbox().unwrap_or_default().hooks);
    let shares_pids = request.sandbox_pidns;
    spec::share(agent, &mut spec, shares_pids).await?;
    if let Err(error) = update::prepare(group, resources.as_ref()) {
        // Without processes it hinders nobody when it stays. The id is still taken.
        group.remove().ok();
        return Err(error);
    }
    Ok(Plan { reservation, exec: None, spec, storages: Vec::new(), hooks, shares_pids })
}

pub(super) async fn start(agent: &Arc<Agent>, request: StartContainerRequest) -> Result<Empty, CallError> {
    let container = agent.container(&request.container_id)?;
    container::start::start(agent, &container).await?;
    if let Err(error) = hooks::after_start(agent.reaper(), &container).await {
        // As the specification has it: such a container does not go on.
        container
            .cgroup()
            .kill()
            .map_err(CallError::io("kill everything in", container.cgroup().directory()))?;
        return Err(error);
    }
    Ok(Empty::new())
}

pub(super) async fn update(agent: &Arc<Agent>, request: UpdateContainerRequest) -> Result<Empty, CallError> {
    let container = agent.container(&request.container_id)?;
    if request.resources.is_none() {
        return Err(CallError::Invalid { field: "resources", reason: "it must be set".to_owned() });
    }
    let resources = oci::resources_from_message(&request.resources)?;
    update::update(&container, &resources).await.map(|()| Empty::new())
}

pub(super) async fn statistics(
    agent: &Arc<Agent>,
    request: StatsContainerRequest,
) -> Result<StatsContainerResponse, CallError> {
    let container = agent.container(&request.container_id)?;
    let mut response = StatsContainerResponse::new();
    response.cgroup_stats = Some(stats::of(container.cgroup())?).into();
    response.network_stats = stats::interfaces()?;
    Ok(response)
}

/// Has no limit in time: who asks waits for the next event.
pub(super) async fn oom_event(agent: &Arc<Agent>, _: GetOOMEventRequest) -> Result<OOMEvent, CallError> {
    let container_id = agent.ooms().next().await.to_string();
    Ok(OOMEvent { container_id, ..Default::default() })
}

pub(super) async fn pause(agent: &Arc<Agent>, request: PauseContainerRequest) -> Result<Empty, CallError> {
    let container = agent.container(&request.container_id)?;
    container::pause::pause(&container).await.map(|()| Empty::new())
}

pub(super) async fn resume(agent: &Arc<Agent>, request: ResumeContainerRequest) -> Result<Empty, CallError> {
    let container = agent.container(&request.container_id)?;
    container::pause::resume(&container).await.map(|()| Empty::new())
}

pub(super) async fn remove(agent: &Arc<Agent>, request: RemoveContainerRequest) -> Result<Empty, CallError> {
    let limit = (request.timeout > 0).then(|| Duration::from_secs(request.timeout.into()));
    container::remove::remove_named(agent, &request.container_id, limit).await.map(|()| Empty::new())
}
