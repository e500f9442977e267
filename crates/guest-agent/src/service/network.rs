//! `UpdateInterface`, `ListInterfaces`, `UpdateRoutes`, `ListRoutes`, `AddARPNeighbors`.

use std::sync::Arc;

use virtcontainers_agent_protocol::api::{
    Empty,
    agent::{
        AddARPNeighborsRequest, Interfaces, ListInterfacesRequest, ListRoutesRequest, Routes,
        UpdateInterfaceRequest, UpdateRoutesRequest,
    },
    types,
};

use super::{blocking, in_guest};
use crate::{
    agent::Agent,
    error::CallError,
    network::{
        interface::{self, Search},
        neighbor, route, wire,
    },
};

/// The role of the modules that network devices need (see [`crate::init::modules`]).
const DRIVERS: &str = "network";

pub(super) async fn update_interface(
    agent: &Arc<Agent>,
    request: UpdateInterfaceRequest,
) -> Result<types::Interface, CallError> {
    let wanted = wire::interface(request.interface.unwrap_or_default())?;
    in_guest(agent, "UpdateInterface")?;
    load_drivers(agent).await?;
    Ok(wire::to_interface(interface::update(wanted, &Search::default()).await?))
}

/// A guest without network does without its drivers.
async fn load_drivers(agent: &Arc<Agent>) -> Result<(), CallError> {
    let Some(modules) = agent.modules().filter(|modules| !modules.has_loaded(DRIVERS)).cloned() else {
        return Ok(());
    };
    let loaded = blocking(move || Ok(modules.load(DRIVERS))).await;
    Ok(loaded.map_err(CallError::io("load modules from", "/lib/modules"))??)
}

pub(super) async fn list_interfaces(
    _: &Arc<Agent>,
    _: ListInterfacesRequest,
) -> Result<Interfaces, CallError> {
    Ok(wire::to_interfaces(interface::list(&Search::default())?))
}

pub(super) async fn update_routes(
    agent: &Arc<Agent>,
    request: UpdateRoutesRequest,
) -> Result<Routes, CallError> {
    let wanted = wire::routes(request.routes.unwrap_or_default())?;
    in_guest(agent, "UpdateRoutes")?;
    Ok(wire::to_routes(route::update(wanted)?))
}

pub(super) async fn list_routes(_: &Arc<Agent>, _: ListRoutesRequest) -> Result<Routes, CallError> {
    Ok(wire::to_routes(route::list()?))
}

pub(super) async fn add_neighbors(
    agent: &Arc<Agent>,
    request: AddARPNeighborsRequest,
) -> Result<Empty, CallError> {
    let neighbors = wire::neighbors(request.neighbors.unwrap_or_default())?;
    in_guest(agent, "AddARPNeighbors")?;
    neighbor::add(&neighbors)?;
    Ok(Empty::new())
}
