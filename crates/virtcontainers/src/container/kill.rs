//! Kill: a signal to a container's command, or to all of its processes.

use std::sync::Arc;

use virtcontainers_types::{ContainerId, ExecId};

use super::open_in_guest;
use crate::{
    error::Error,
    sandbox::Shared,
    signal::{KillScope, Signal},
    state::ContainerOperation,
};

pub(super) async fn kill(
    shared: Arc<Shared>,
    id: ContainerId,
    signal: Signal,
    scope: KillScope,
) -> Result<(), Error> {
    let (mut session, _, _) = open_in_guest(&shared, &id, ContainerOperation::Kill, "kill").await?;
    let first = ExecId::from(&id);
    let target = match scope {
        KillScope::Init => Some(&first),
        KillScope::All => None,
    };
    let sent = session.agent().await?.signal_process(&id, target, signal.number()).await;
    session.told(sent)
}
