//! The mock agent on a socket, for what reaches an agent from a process of its own: a shim.

use std::{io, os::unix::net::UnixListener};

use async_trait::async_trait;
use futures::stream;
use tokio::net::UnixStream;
use ttrpc::{
    Code,
    r#async::{Server, TtrpcContext},
};
use virtcontainers_agent_protocol::{
    api::{self, AgentService, Empty, agent as wire, health},
    transport,
};
use virtcontainers_types::{ContainerId, ExecId};

use super::MockAgent;
use crate::{
    agent::{Agent, TerminalSize},
    error::{AgentError, RpcCode},
};

/// A mock agent that is served; no more once this is dropped.
pub struct MockServer {
    _server: Server,
}

impl std::fmt::Debug for MockServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MockServer").finish_non_exhaustive()
    }
}

impl MockAgent {
    /// Serves the calls on processes to whoever connects to a socket, in the Kata agent protocol: streams, signals, the
    /// terminal's size and the end. Within a tokio runtime.
    ///
    /// # Errors
    /// When the socket cannot be used.
    pub async fn serve(&self, listener: UnixListener) -> io::Result<MockServer> {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::UnixListener::from_std(listener)?;
        let incoming = stream::unfold(listener, |listener| async move {
            let accepted: io::Result<UnixStream> = listener.accept().await.map(|(stream, _)| stream);
            Some((accepted, listener))
        });
        let bridge = || std::sync::Arc::new(Bridge(self.clone()));
        let mut services = api::create_agent_service(bridge());
        services.extend(api::create_health(bridge()));
        let server = transport::serve(services, incoming).await.map_err(io::Error::other)?;
        Ok(MockServer { _server: server })
    }
}

struct Bridge(MockAgent);

/// The mock's error as it goes over the wire.
fn refusal(error: AgentError) -> ttrpc::Error {
    let AgentError::Rpc { code, message, .. } = error else {
        return ttrpc::error::get_rpc_status(Code::UNAVAILABLE, error.to_string());
    };
    let code = match code {
        RpcCode::NotFound => Code::NOT_FOUND,
        RpcCode::FailedPrecondition => Code::FAILED_PRECONDITION,
        RpcCode::InvalidArgument => Code::INVALID_ARGUMENT,
        RpcCode::AlreadyExists => Code::ALREADY_EXISTS,
        RpcCode::Unavailable => Code::UNAVAILABLE,
        RpcCode::PermissionDenied => Code::PERMISSION_DENIED,
        RpcCode::Cancelled
        | RpcCode::Unknown
        | RpcCode::DeadlineExceeded
        | RpcCode::ResourceExhausted
        | RpcCode::Aborted
        | RpcCode::OutOfRange
        | RpcCode::Unimplemented
        | RpcCode::Internal
        | RpcCode::DataLoss
        | RpcCode::Unauthenticated => Code::INTERNAL,
    };
    ttrpc::error::get_rpc_status(code, message)
}

/// Which process a request is about.
fn target(container: &str, exec: &str) -> ttrpc::Result<(ContainerId, ExecId)> {
    let wrong = |error: virtcontainers_types::InvalidId| {
        ttrpc::error::get_rpc_status(Code::INVALID_ARGUMENT, error.to_string())
    };
    Ok((ContainerId::new(container).map_err(wrong)?, ExecId::new(exec).map_err(wrong)?))
}

#[async_trait]
impl AgentService for Bridge {
    async fn wait_process(
        &self,
        _: &TtrpcContext,
        request: wire::WaitProcessRequest,
    ) -> ttrpc::Result<wire::WaitProcessResponse> {
        let (container, exec) = target(&request.container_id, &request.exec_id)?;
        let status = self.0.wait_process(&container, &exec).await.map_err(refusal)?;
        Ok(wire::WaitProcessResponse { status, ..Default::default() })
    }

    async fn read_stdout(
        &self,
        _: &TtrpcContext,
        request: wire::ReadStreamRequest,
    ) -> ttrpc::Result<wire::ReadStreamResponse> {
        let (container, exec) = target(&request.container_id, &request.exec_id)?;
        let data = self.0.read_stdout(&container, &exec, request.len).await.map_err(refusal)?;
        Ok(wire::ReadStreamResponse { data, ..Default::default() })
    }

    async fn read_stderr(
        &self,
        _: &TtrpcContext,
        request: wire::ReadStreamRequest,
    ) -> ttrpc::Result<wire::ReadStreamResponse> {
        let (container, exec) = target(&request.container_id, &request.exec_id)?;
        let data = self.0.read_stderr(&container, &exec, request.len).await.map_err(refusal)?;
        Ok(wire::ReadStreamResponse { data, ..Default::default() })
    }

    async fn write_stdin(
        &self,
        _: &TtrpcContext,
        request: wire::WriteStreamRequest,
    ) -> ttrpc::Result<wire::WriteStreamResponse> {
        let (container, exec) = target(&request.container_id, &request.exec_id)?;
        let taken = self.0.write_stdin(&container, &exec, &request.data).await.map_err(refusal)?;
        Ok(wire::WriteStreamResponse { len: u32::try_from(taken).unwrap_or(u32::MAX), ..Default::default() })
    }

    async fn close_stdin(&self, _: &TtrpcContext, request: wire::CloseStdinRequest) -> ttrpc::Result<Empty> {
        let (container, exec) = target(&request.container_id, &request.exec_id)?;
        self.0.close_stdin(&container, &exec).await.map_err(refusal)?;
        Ok(Empty::new())
    }

    async fn signal_process(
        &self,
        _: &TtrpcContext,
        request: wire::SignalProcessRequest,
    ) -> ttrpc::Result<Empty> {
        let (container, exec) = target(&request.container_id, &request.exec_id)?;
        self.0.signal_process(&container, Some(&exec), request.signal).await.map_err(refusal)?;
        Ok(Empty::new())
    }

    async fn tty_win_resize(
        &self,
        _: &TtrpcContext,
        request: wire::TtyWinResizeRequest,
    ) -> ttrpc::Result<Empty> {
        let (container, exec) = target(&request.container_id, &request.exec_id)?;
        let size = TerminalSize { rows: request.row, columns: request.column };
        self.0.resize_terminal(&container, &exec, size).await.map_err(refusal)?;
        Ok(Empty::new())
    }
}

#[async_trait]
impl api::Health for Bridge {
    async fn check(
        &self,
        _: &TtrpcContext,
        _: health::CheckRequest,
    ) -> ttrpc::Result<health::HealthCheckResponse> {
        self.0.check().await.map_err(refusal)?;
        let status = health::health_check_response::ServingStatus::SERVING.into();
        Ok(health::HealthCheckResponse { status, ..Default::default() })
    }
}
