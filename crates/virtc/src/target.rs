//! How a container is named on the command line: `SANDBOX/CONTAINER`, or `SANDBOX` when it has only one.

use std::{fmt, str::FromStr};

use virtcontainers::{Container, ContainerId, InvalidId, Runtime, SandboxId};

use crate::error::CliError;

/// A container, or the only one of a sandbox.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) sandbox: SandboxId,
    container: Option<ContainerId>,
}

impl FromStr for Target {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Ok(match text.split_once('/') {
            Some((sandbox, container)) => {
                Self { sandbox: sandbox.parse()?, container: Some(container.parse()?) }
            }
            None => Self { sandbox: text.parse()?, container: None },
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.container {
            Some(container) => write!(f, "{}/{container}", self.sandbox),
            None => write!(f, "{}", self.sandbox),
        }
    }
}

impl Target {
    /// The container, where one is named.
    pub(crate) const fn container(&self) -> Option<&ContainerId> {
        self.container.as_ref()
    }

    /// The container's name for a new one: given, or the sandbox's own.
    pub(crate) fn new_container(&self) -> String {
        self.container.as_ref().map_or_else(|| self.sandbox.to_string(), ToString::to_string)
    }

    /// The container that is meant.
    pub(crate) async fn find(&self, runtime: &Runtime) -> Result<Container, CliError> {
        let sandbox = runtime.fetch_sandbox(&self.sandbox).await?;
        if let Some(container) = &self.container {
            return Ok(sandbox.container(container));
        }
        let containers = sandbox.containers().await?;
        match containers.as_slice() {
            [only] => Ok(sandbox.container(only)),
            [] => Err(CliError::Usage(format!(
                "sandbox {} has no container: make one with virtc container create {}/NAME",
                self.sandbox, self.sandbox
            ))),
            several => Err(CliError::Usage(format!(
                "sandbox {} has {} containers: name one as {}/CONTAINER (there are: {})",
                self.sandbox,
                several.len(),
                self.sandbox,
                several.iter().map(ContainerId::as_str).collect::<Vec<_>>().join(", ")
            ))),
        }
    }
}
