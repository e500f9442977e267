//! What a guest tells of itself beside its containers: figures, abilities, its log; and a shell in it.

use std::{
    fmt,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use virtcontainers_agent_client::GuestDetails;
use virtcontainers_agent_protocol::{
    ports,
    transport::{AgentAddress, BoxStream, connect},
};
use virtcontainers_types::ContainerId;

use super::{Sandbox, Visit};
use crate::error::{Cause, Error};

/// What to do where the stream to the agent leads to nothing else of the guest.
const NEEDS_VSOCK: &str = "use the transport vsock or hybrid-vsock";
/// What to do where the debug console was not asked for.
const ASK_FOR_IT: &str = "create the sandbox with agent_config.debug_console";

impl Sandbox {
    /// What its agent and its guest's kernel count, as Prometheus text (the agent's GetMetrics).
    ///
    /// # Errors
    /// When the guest does not run, or its agent does not answer or has no metrics.
    pub async fn agent_metrics(&self) -> Result<String, Error> {
        let visit = Visit::guest(self.shared(), "ask the agent of").await?;
        let told = visit.agent().await?.metrics().await;
        visit.told(told)
    }

    /// What its guest is capable of (the agent's GetGuestDetails).
    ///
    /// # Errors
    /// When the guest does not run, or its agent does not answer or does not tell.
    pub async fn guest_details(&self) -> Result<GuestDetails, Error> {
        let visit = Visit::guest(self.shared(), "ask the agent of").await?;
        let told = visit.agent().await?.guest_details().await;
        visit.told(told)
    }

    /// Waits until a container of it loses a process because its memory ran out, and tells which (the reference
    /// document's `GetOOMEvent`). Not bounded in time. Each event is told to one caller: let one wait for a sandbox.
    ///
    /// # Errors
    /// When the guest does not run or ends meanwhile.
    pub async fn oom_event(&self) -> Result<ContainerId, Error> {
        let visit = Visit::guest(self.shared(), "watch").await?;
        let agent = visit.agent().await?;
        self.watching(agent.oom_event()).await
    }

    /// A shell in its guest, outside of all containers, on a terminal of its own: what is written is typed, what is read
    /// is shown. Dropping it hangs up. It is there only with `agent_config.debug_console` and a vsock transport.
    ///
    /// # Errors
    /// When the guest does not run, or nobody serves a shell there.
    pub async fn console_shell(&self) -> Result<GuestStream, Error> {
        let visit = Visit::guest(self.shared(), "open a shell in").await?;
        if !visit.record.config.agent_config.debug_console {
            return Err(Cause::NoStream { id: self.id().clone(), what: "a shell", remedy: ASK_FOR_IT }.into());
        }
        dial(&visit, ports::DEBUG_CONSOLE, "a shell").await
    }

    /// Its agent's log, one JSON object a line: what the agent has kept of it, then what comes. Needs a vsock transport.
    ///
    /// # Errors
    /// When the guest does not run, or nobody serves a log there.
    pub async fn agent_log(&self) -> Result<GuestStream, Error> {
        let visit = Visit::guest(self.shared(), "read the agent's log of").await?;
        dial(&visit, ports::AGENT_LOG, "a log").await
    }
}

/// Connects to another port of the guest than its agent's.
async fn dial(visit: &Visit, port: u32, what: &'static str) -> Result<GuestStream, Error> {
    let address = match &visit.record.machine()?.agent {
        Some(AgentAddress::Vsock { cid, .. }) => AgentAddress::Vsock { cid: *cid, port },
        Some(AgentAddress::HybridVsock { dir, name, .. }) => {
            AgentAddress::HybridVsock { dir: dir.clone(), name: name.clone(), port }
        }
        Some(AgentAddress::Unix { .. }) | None => {
            let id = visit.record.id.clone();
            return Err(Cause::NoStream { id, what, remedy: NEEDS_VSOCK }.into());
        }
    };
    let unserved = |source| Cause::GuestPort { id: visit.record.id.clone(), what, port, source };
    Ok(GuestStream(connect(&address).await.map_err(unserved)?))
}

/// A stream to something in a guest. What comes out of it is the guest's, hence hostile: bound it, and take control
/// characters out before it is shown.
pub struct GuestStream(BoxStream);

impl fmt::Debug for GuestStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuestStream").finish_non_exhaustive()
    }
}

impl AsyncRead for GuestStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for GuestStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
