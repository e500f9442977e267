//! Stats: what a container uses, as its guest counts it.

use virtcontainers_types::stats::ContainerStats;

use super::Container;
use crate::{error::Error, sandbox::Visit, state::ContainerOperation};

const VERB: &str = "measure";

pub(super) async fn stats(container: &Container) -> Result<ContainerStats, Error> {
    let id = container.id();
    let (visit, _) = Visit::container(&container.shared(), id, ContainerOperation::Observe, VERB).await?;
    let counted = visit.agent().await?.stats_container(id).await;
    visit.told_of(id, ContainerOperation::Observe, VERB, counted)
}
