//! The guest's clock, set by the host's.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::{agent::Agent, error::AgentError};

/// Time since the Unix epoch by the host's clock; zero for a clock that stands before it.
#[must_use]
pub fn host_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Sets the guest's clock to the host's. The way to the guest is measured first and added, so that the clocks differ by
/// less than one call takes.
///
/// # Errors
/// Those of [`Agent::check`] and [`Agent::set_time`].
pub async fn sync_clock(agent: &dyn Agent) -> Result<(), AgentError> {
    let asked = Instant::now();
    agent.check().await?;
    let one_way = asked.elapsed() / 2;
    agent.set_time(host_time() + one_way).await
}
