//! The routes of a sandbox that runs.

use virtcontainers_types::net::Route;

use super::{Sandbox, Session, Visit};
use crate::{drive::to_the_end, error::Error, state::SandboxOperation};
use std::sync::Arc;

impl Sandbox {
    /// Brings the guest's routes to exactly these, but for those that its kernel makes of addresses. They hold until
    /// the routes of the sandbox's network namespace change and [`Sandbox::sync_network`] takes those over. Returns the
    /// routes that the guest then has.
    ///
    /// # Errors
    /// When the guest does not run, or its agent refuses a route.
    pub async fn update_routes(&self, routes: Vec<Route>) -> Result<Vec<Route>, Error> {
        to_the_end(self.runtime(), "update routes", update(Arc::clone(self.shared()), routes)).await
    }

    /// The guest's routes, as its agent lists them.
    ///
    /// # Errors
    /// When the guest does not run, or its agent does not answer.
    pub async fn list_routes(&self) -> Result<Vec<Route>, Error> {
        let visit = Visit::guest(self.shared(), "list the routes of").await?;
        let told = visit.agent().await?.list_routes().await;
        visit.told(told)
    }
}

/// Under the lease, for a verb that tells the guest of the namespace's routes must not come in between.
async fn update(shared: Arc<super::Shared>, routes: Vec<Route>) -> Result<Vec<Route>, Error> {
    let mut session = Session::open(&shared).await?;
    session.record.admit(SandboxOperation::UseContainer, "change the routes of")?;
    let answer = session.agent().await?.update_routes(routes).await;
    session.told(answer)
}
