//! ttrpc calls over every kind of stream that needs no kernel support.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::io;
use std::os::unix::net::UnixListener as StdListener;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::net::UnixListener;
use ttrpc::r#async::{Service, TtrpcContext};
use ttrpc::context::with_timeout;
use virtcontainers_agent_protocol::api::health::health_check_response::ServingStatus;
use virtcontainers_agent_protocol::api::health::{CheckRequest, HealthCheckResponse};
use virtcontainers_agent_protocol::api::{
    AgentService, AgentServiceClient, Health, HealthClient, agent, create_agent_service, create_health,
};
use virtcontainers_agent_protocol::limits;
use virtcontainers_agent_protocol::transport::{AgentAddress, Mux, TransportError, client, connect, serve};

const TEN_SECONDS: i64 = 10_000_000_000;

struct Guest;

#[async_trait]
impl Health for Guest {
    async fn check(&self, _: &TtrpcContext, request: CheckRequest) -> ttrpc::Result<HealthCheckResponse> {
        assert_eq!(request.service, "agent");
        Ok(HealthCheckResponse { status: ServingStatus::SERVING.into(), ..Default::default() })
    }
}

#[async_trait]
impl AgentService for Guest {
    async fn read_stdout(
        &self,
        _: &TtrpcContext,
        request: agent::ReadStreamRequest,
    ) -> ttrpc::Result<agent::ReadStreamResponse> {
        Ok(agent::ReadStreamResponse { data: vec![7; request.len as usize], ..Default::default() })
    }
}

fn services() -> HashMap<String, Service> {
    let mut services = create_health(Arc::new(Guest));
    services.extend(create_agent_service(Arc::new(Guest)));
    services
}

async fn check(client: &ttrpc::r#async::Client) -> ttrpc::Result<ServingStatus> {
    let request = CheckRequest { service: "agent".into(), ..Default::default() };
    let response = HealthClient::new(client.clone()).check(with_timeout(TEN_SECONDS), &request).await?;
    Ok(response.status.enum_value().expect("a known status"))
}

#[tokio::test]
async fn health_over_a_plain_stream() {
    let (host, guest) = duplex(1 << 16);
    let incoming = futures::stream::iter([io::Result::Ok(guest)]);
    let mut server = serve(services(), incoming).await.expect("serving");
    let client = client(host);
    assert_eq!(check(&client).await.expect("answered"), ServingStatus::SERVING);
    // The listener has ended by itself; a shutdown must still work, and end the connection.
    server.shutdown().await.expect("shut down");
    check(&client).await.expect_err("nobody there any more");
}

#[tokio::test]
async fn dropping_the_server_ends_its_connections() {
    let (host, guest) = duplex(1 << 16);
    let incoming = futures::stream::iter([io::Result::Ok(guest)]);
    let server = serve(services(), incoming).await.expect("serving");
    let client = client(host);
    check(&client).await.expect("answered");
    drop(server);
    check(&client).await.expect_err("nobody there any more");
}

#[tokio::test]
async fn health_over_many_streams_of_one_yamux_session() {
    let (host, guest) = duplex(1 << 16);
    let (guest_mux, incoming) = Mux::server(guest);
    let _server = serve(services(), incoming).await.expect("serving");
    let mux = Mux::client(host);
    for _ in 0..3 {
        let client = client(mux.open().await.expect("a stream"));
        assert_eq!(check(&client).await.expect("answered"), ServingStatus::SERVING);
        let request = agent::ReadStreamRequest { len: 1 << 20, ..Default::default() };
        let agent = AgentServiceClient::new(client);
        let response = agent.read_stdout(with_timeout(TEN_SECONDS), &request).await.expect("a large answer");
        assert_eq!(response.data.len(), 1 << 20);
    }
    mux.close().await.expect("orderly");
    guest_mux.closed().await.expect("orderly");
}

#[tokio::test]
async fn a_method_that_is_not_implemented_says_so() {
    let (host, guest) = duplex(1 << 16);
    let _server = serve(services(), futures::stream::iter([io::Result::Ok(guest)])).await.expect("serving");
    let agent = AgentServiceClient::new(client(host));
    let error = agent.get_metrics(with_timeout(TEN_SECONDS), &agent::GetMetricsRequest::new()).await;
    let Err(ttrpc::Error::RpcStatus(status)) = error else { panic!("must be refused: {error:?}") };
    assert_eq!(status.code(), ttrpc::Code::NOT_FOUND);
}

#[tokio::test]
async fn messages_above_the_limit_are_refused_before_they_are_sent() {
    let (host, guest) = duplex(1 << 16);
    let _server = serve(services(), futures::stream::iter([io::Result::Ok(guest)])).await.expect("serving");
    let client = client(host);
    let request = CheckRequest { service: "x".repeat(limits::MESSAGE + 1), ..Default::default() };
    HealthClient::new(client.clone())
        .check(with_timeout(TEN_SECONDS), &request)
        .await
        .expect_err("too large");
    check(&client).await.expect("the connection still works");
}

/// A folder whose path alone is longer than a socket address may be.
fn deep_folder(below: &Path) -> std::path::PathBuf {
    let deep = below.join("d".repeat(120));
    std::fs::create_dir(&deep).expect("created");
    deep
}

fn listen(dir: &Path, name: &str) -> UnixListener {
    let listener: StdListener = virtcontainers_sys::unix::bind_in(dir, name).expect("bound");
    UnixListener::from_std(listener).expect("registered")
}

fn accepted(
    listener: UnixListener,
) -> impl futures::Stream<Item = io::Result<tokio::net::UnixStream>> + Send {
    futures::stream::unfold(listener, |listener| async {
        let stream = listener.accept().await.map(|(stream, _)| stream);
        Some((stream, listener))
    })
}

#[tokio::test]
async fn health_over_a_unix_socket_in_a_deep_folder() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let address = AgentAddress::Unix { dir: deep_folder(scratch.path()), name: "agent.sock".into() };
    let AgentAddress::Unix { dir, name } = &address else { unreachable!() };
    let _server = serve(services(), accepted(listen(dir, name))).await.expect("serving");
    let client = client(connect(&address).await.expect("connected"));
    assert_eq!(check(&client).await.expect("answered"), ServingStatus::SERVING);
}

#[tokio::test]
async fn health_over_hybrid_vsock() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let dir = deep_folder(scratch.path());
    let listener = listen(&dir, "vsock.sock");
    let address = AgentAddress::HybridVsock { dir, name: "vsock.sock".into(), port: 1024 };
    let daemon = async {
        let (mut stream, _) = listener.accept().await.expect("a caller");
        let mut request = [0; 13];
        stream.read_exact(&mut request).await.expect("a request");
        assert_eq!(&request, b"CONNECT 1024\n");
        stream.write_all(b"OK 1024\n").await.expect("answered");
        stream
    };
    let (connected, guest) = tokio::join!(connect(&address), daemon);
    let _server = serve(services(), futures::stream::iter([io::Result::Ok(guest)])).await.expect("serving");
    let client = client(connected.expect("connected"));
    assert_eq!(check(&client).await.expect("answered"), ServingStatus::SERVING);
}

#[tokio::test]
async fn not_ready_is_told_from_wrong() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let dir = scratch.path().to_owned();
    let address = AgentAddress::Unix { dir: dir.clone(), name: "agent.sock".into() };
    let missing = connect(&address).await.err().expect("nothing there");
    assert!(matches!(missing, TransportError::Connect { .. }) && !missing.is_not_ready(), "{missing:?}");

    drop(listen(&dir, "agent.sock"));
    let refused = connect(&address).await.err().expect("nobody listens");
    assert!(refused.is_not_ready(), "{refused:?}");

    let listener = listen(&dir, "vsock.sock");
    let address = AgentAddress::HybridVsock { dir, name: "vsock.sock".into(), port: 1024 };
    let hang_up = async { drop(listener.accept().await.expect("a caller")) };
    let (early, ()) = tokio::join!(connect(&address), hang_up);
    let early = early.err().expect("closed before OK");
    assert!(matches!(early, TransportError::Handshake { .. }) && early.is_not_ready(), "{early:?}");
}

#[test]
fn addresses_survive_a_record() {
    for address in [
        AgentAddress::Vsock { cid: 3, port: 1024 },
        AgentAddress::HybridVsock { dir: "/run/a".into(), name: "v.sock".into(), port: 1024 },
        AgentAddress::Unix { dir: "/run/a".into(), name: "p.sock".into() },
    ] {
        let record = serde_json::to_string(&address).expect("serializes");
        assert_eq!(serde_json::from_str::<AgentAddress>(&record).expect("deserializes"), address);
    }
}
