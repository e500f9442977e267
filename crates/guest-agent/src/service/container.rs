//! A container's life: `CreateContainer`, `StartContainer`, `PauseContainer`, `ResumeContainer`, `RemoveContainer`.

use std::{sync::Arc, time::Duration};

use virtcontainers_agent_protocol::{
    api::{
        Empty,
        agent::{
            CreateContainerRequest, PauseContainerRequest, RemoveContainerRequest, ResumeContainerRequest,
            StartContainerRequest,
        },
    },
    oci,
};

use super::{container_id, exec_id, process::string_user, storage, unset};
use crate::{
    agent::{Agent, Reservation},
    container::{self, create::Plan, spec, user},
    error::CallError,
};

pub(super) async fn create(agent: &Arc<Agent>, request: CreateContainerRequest) -> Result<Empty, CallError> {
    unset("CreateContainerRequest.devices", request.devices.is_empty())?;
    unset("CreateContainerRequest.sandbox_pidns", !request.sandbox_pidns)?;
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
    let plan = plan(reservation, &request).map(|plan| Plan { exec, storages: held.clone(), ..plan });
    let made = match plan {
        Ok(plan) => container::create::create(agent, plan).await,
        Err(error) => Err(error),
    };
    if made.is_err() {
        storage::release(agent, held).await;
    }
    made.map(|()| Empty::new())
}

/// What can be said only once the storages are mounted: the root must be there, and it knows the users' names.
fn plan(reservation: Reservation, request: &CreateContainerRequest) -> Result<Plan, CallError> {
    let spec = oci::from_message(&request.OCI)?;
    let mut spec = spec::prepare(spec, reservation.id())?;
    let root = spec::root_of(&spec)?;
    if let Some(mut process) = spec.process().clone() {
        user::apply(&mut process, &string_user(request.string_user.as_ref()), &root)?;
        spec.set_process(Some(process));
    }
    Ok(Plan { reservation, exec: None, spec, storages: Vec::new() })
}

pub(super) async fn start(agent: &Arc<Agent>, request: StartContainerRequest) -> Result<Empty, CallError> {
    let container = agent.container(&request.container_id)?;
    container::start::start(agent, &container).await.map(|()| Empty::new())
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
