//! Standard streams: `ReadStdout`, `ReadStderr`, `WriteStdin`, `CloseStdin`.
//!
//! The end of a stream is an answer without data, again and again: Kata's clients understand it, and a client of ours
//! can tell it from an error.

use std::sync::Arc;

use virtcontainers_agent_protocol::{
    api::{
        Empty,
        agent::{
            CloseStdinRequest, ReadStreamRequest, ReadStreamResponse, WriteStreamRequest, WriteStreamResponse,
        },
    },
    limits,
};

use crate::{
    agent::Agent,
    error::CallError,
    process::{OutputStream, Process, Stdio},
};

pub(super) async fn read_stdout(
    agent: &Arc<Agent>,
    request: ReadStreamRequest,
) -> Result<ReadStreamResponse, CallError> {
    read(agent, &request, Stdio::stdout).await
}

pub(super) async fn read_stderr(
    agent: &Arc<Agent>,
    request: ReadStreamRequest,
) -> Result<ReadStreamResponse, CallError> {
    read(agent, &request, Stdio::stderr).await
}

async fn read(
    agent: &Arc<Agent>,
    request: &ReadStreamRequest,
    stream: fn(&Stdio) -> &OutputStream,
) -> Result<ReadStreamResponse, CallError> {
    if request.len == 0 {
        let reason = "0 bytes cannot be told from the end of the stream: ask for more".to_owned();
        return Err(CallError::Invalid { field: "len", reason });
    }
    let process = find(agent, &request.container_id, &request.exec_id)?;
    let len = usize::try_from(request.len).unwrap_or(limits::MESSAGE_DATA);
    let data = stream(process.stdio()).read(len, process.exit()).await;
    let mut response = ReadStreamResponse::new();
    response.data = data.map_err(CallError::io("read the output of", format!("/proc/{}", process.pid())))?;
    Ok(response)
}

pub(super) async fn write_stdin(
    agent: &Arc<Agent>,
    request: WriteStreamRequest,
) -> Result<WriteStreamResponse, CallError> {
    let process = find(agent, &request.container_id, &request.exec_id)?;
    let written = process.stdio().stdin().write(&request.data, process.exit()).await;
    if !written.map_err(CallError::io("write the input of", format!("/proc/{}", process.pid())))? {
        return Err(CallError::InputClosed {
            container: request.container_id,
            exec: process.id().to_owned(),
        });
    }
    let mut response = WriteStreamResponse::new();
    response.len = u32::try_from(request.data.len()).unwrap_or(u32::MAX);
    Ok(response)
}

pub(super) async fn close_stdin(agent: &Arc<Agent>, request: CloseStdinRequest) -> Result<Empty, CallError> {
    let process = find(agent, &request.container_id, &request.exec_id)?;
    process.stdio().stdin().close().await;
    Ok(Empty::new())
}

fn find(agent: &Arc<Agent>, container: &str, exec: &str) -> Result<Arc<Process>, CallError> {
    agent.container(container)?.process(exec)
}
