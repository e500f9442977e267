//! Update: other limits for a container that is there.

use std::sync::Arc;

use oci_spec::runtime::LinuxResources;
use virtcontainers_types::ContainerId;

use super::{create::pass, open_in_guest};
use crate::{
    config::{check_update, merge},
    error::Error,
    sandbox::{Shared, cgroups},
    state::ContainerOperation,
};

pub(super) async fn update(shared: Arc<Shared>, id: ContainerId, asked: LinuxResources) -> Result<(), Error> {
    check_update(&asked)?;
    let (mut session, mut record, _) =
        open_in_guest(&shared, &id, ContainerOperation::Update, "update").await?;
    let merged = merge(record.config.resources.take().unwrap_or_default(), &asked);
    // All that is in force is told, because some limits hang together: a quota and its period, memory and swap.
    let mut told = merged.clone();
    told.set_devices(None);
    check_update(&told)?;
    let faults = session.runtime().faults();
    let updated = async {
        let updated = session.agent().await?.update_container(&id, told).await;
        session.told(updated)
    };
    pass(&faults, "update container in guest", updated).await?;
    record.config.resources = Some(merged);
    let limited = async { cgroups::limit_session(&session, Some(&record)) };
    pass(&faults, "limits of cgroups", limited).await?;
    session.save_container(&record)
}
