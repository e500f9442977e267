//! Logs of a sandbox as a whole: its guest's console, its agent, its VMM.

use virtcontainers_agent_client::shim::AGENT_LOG;
use virtcontainers_hypervisor::qemu;

use virtcontainers_sys::log::{HELPER_LIMIT, trim_all};

use super::{Sandbox, Shared};
use crate::{
    error::Error,
    log::{End, LogOptions, LogSource, Logs, Text},
};

impl Sandbox {
    /// A log of the sandbox as a whole. What nobody has kept is empty: the console is kept by the process that launched
    /// the machine and then by a shim, the agent's log by a shim.
    ///
    /// # Errors
    /// When the sandbox does not exist or the log cannot be read.
    pub async fn logs(&self, source: LogSource, options: LogOptions) -> Result<Logs, Error> {
        self.load()?;
        let (name, text) = match source {
            LogSource::Agent => (AGENT_LOG, Text::Json),
            LogSource::Console => (qemu::CONSOLE_LOG, Text::Plain),
            LogSource::Vmm => (qemu::LOG, Text::Plain),
        };
        let dir = self.runtime().sandbox_dir(self.id());
        Logs::open(dir, name.to_owned(), text, Box::new(Gone(self.clone())), &options)
    }
}

impl Shared {
    /// Keeps the logs of its processes at a bounded size. What a hostile guest makes its VMM or virtiofsd complain of has
    /// no other bound: nobody but whoever works with the sandbox, watches it or is its shim looks at their size.
    pub(super) fn cut_logs(&self) {
        if let Err(error) = trim_all(&self.runtime().sandbox_dir(self.id()), HELPER_LIMIT) {
            tracing::debug!(id = %self.id(), %error, "the size of its logs is not bounded");
        }
    }
}

/// Nothing more is written once the machine has ended.
struct Gone(Sandbox);

#[async_trait::async_trait]
impl End for Gone {
    async fn come(&self) -> Result<(), Error> {
        self.0.wait_exit().await
    }
}
