//! A scripted guest: a ttrpc server in this process that answers as told and remembers what it was asked.
#![allow(clippy::wildcard_enum_match_arm, reason = "a call knows the answers that it can give")]
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

pub mod samples;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use futures::stream;
use protobuf::Message;
use tokio::{net::UnixStream, sync::mpsc};
use ttrpc::{Code, r#async::TtrpcContext};
use virtcontainers_agent_client::KataAgent;
use virtcontainers_agent_protocol::{
    api::{self, Empty, agent as wire, csi, health, types, virtcontainers as own},
    transport,
};

/// What a call comes to.
#[derive(Debug, Clone)]
pub enum Answer {
    Fail(Code, String),
    /// No answer, ever.
    Silence,
    Data(Vec<u8>),
    Number(i64),
    /// A reply, encoded.
    Reply(Vec<u8>),
}

impl Answer {
    pub fn reply(message: &impl Message) -> Self {
        Self::Reply(message.write_to_bytes().unwrap())
    }
}

#[derive(Debug)]
pub struct Guest {
    answers: Mutex<HashMap<&'static str, Answer>>,
    seen: Mutex<Vec<(&'static str, Vec<u8>)>>,
    pub exit: tokio::sync::watch::Sender<Option<i32>>,
    /// Containers whose memory runs out.
    pub oom: mpsc::UnboundedSender<String>,
    ooms: tokio::sync::Mutex<mpsc::UnboundedReceiver<String>>,
    /// Whether it has the service of the `vc-agent`.
    own: bool,
}

impl Default for Guest {
    fn default() -> Self {
        let (oom, ooms) = mpsc::unbounded_channel();
        let (answers, seen, exit) = Default::default();
        Self { answers, seen, exit, oom, ooms: ooms.into(), own: true }
    }
}

impl Guest {
    pub fn answer(&self, method: &'static str, answer: Answer) {
        self.answers.lock().unwrap().insert(method, answer);
    }

    pub fn methods(&self) -> Vec<&'static str> {
        self.seen.lock().unwrap().iter().map(|(method, _)| *method).collect()
    }

    pub fn count(&self, method: &str) -> usize {
        self.methods().into_iter().filter(|seen| *seen == method).count()
    }

    /// The last request of a method.
    pub fn last<M: Message>(&self, method: &str) -> M {
        let seen = self.seen.lock().unwrap();
        let (_, bytes) = seen.iter().rfind(|(of, _)| *of == method).unwrap_or_else(|| panic!("no {method}"));
        M::parse_from_bytes(bytes).unwrap()
    }

    async fn take<M: Message>(&self, method: &'static str, request: &M) -> ttrpc::Result<Option<Answer>> {
        self.seen.lock().unwrap().push((method, request.write_to_bytes().unwrap()));
        let answer = self.answers.lock().unwrap().get(method).cloned();
        match answer {
            Some(Answer::Fail(code, message)) => Err(ttrpc::error::get_rpc_status(code, message)),
            Some(Answer::Silence) => std::future::pending().await,
            answer => Ok(answer),
        }
    }

    pub fn services(self: &Arc<Self>) -> HashMap<String, ttrpc::r#async::Service> {
        let mut services = api::create_agent_service(self.clone());
        services.extend(api::create_health(self.clone()));
        if self.own {
            services.extend(api::create_guest_service(self.clone()));
        }
        services
    }
}

/// A guest and an agent connected to it.
pub struct Rig {
    pub guest: Arc<Guest>,
    pub agent: KataAgent,
    wire: virtcontainers_sys::task::Task<std::io::Result<()>>,
    _server: ttrpc::r#async::Server,
}

impl Rig {
    pub async fn new() -> Self {
        Self::with(Guest::default()).await
    }

    /// With an agent of others: it has no service but those of the Kata agent.
    pub async fn foreign() -> Self {
        Self::with(Guest { own: false, ..Guest::default() }).await
    }

    async fn with(guest: Guest) -> Self {
        let guest = Arc::new(guest);
        let (near, mut left) = UnixStream::pair().unwrap();
        let (mut right, far) = UnixStream::pair().unwrap();
        let wire = async move { tokio::io::copy_bidirectional(&mut left, &mut right).await.map(drop) };
        let wire = virtcontainers_sys::task::spawn("wire", wire);
        let incoming = stream::iter([std::io::Result::Ok(far)]);
        let server = transport::serve(guest.services(), incoming).await.unwrap();
        Self { guest, agent: KataAgent::over(near), wire, _server: server }
    }

    /// Cuts the connection.
    pub fn cut(&self) {
        self.wire.abort();
    }
}

/// The reply that was asked for, or an empty one.
fn scripted<M: Message>(answer: Option<Answer>) -> M {
    match answer {
        Some(Answer::Reply(bytes)) => M::parse_from_bytes(&bytes).unwrap(),
        _ => M::new(),
    }
}

macro_rules! calls {
    ($($function:ident, $method:literal, $request:ident $(=> $response:ty)?;)+) => {
        #[async_trait]
        impl api::AgentService for Guest {
            $(async fn $function(
                &self,
                _: &TtrpcContext,
                request: wire::$request,
            ) -> ttrpc::Result<calls!(@ $($response)?)> {
                Ok(scripted(self.take($method, &request).await?))
            })+

            async fn wait_process(
                &self,
                _: &TtrpcContext,
                request: wire::WaitProcessRequest,
            ) -> ttrpc::Result<wire::WaitProcessResponse> {
                let answer = self.take("WaitProcess", &request).await?;
                let status = match answer {
                    Some(Answer::Number(status)) => status as i32,
                    _ => self.exit.subscribe().wait_for(Option::is_some).await.unwrap().unwrap(),
                };
                Ok(wire::WaitProcessResponse { status, ..Default::default() })
            }

            async fn get_oom_event(
                &self,
                _: &TtrpcContext,
                request: wire::GetOOMEventRequest,
            ) -> ttrpc::Result<wire::OOMEvent> {
                match self.take("GetOOMEvent", &request).await? {
                    None => Ok(wire::OOMEvent {
                        container_id: self.ooms.lock().await.recv().await.unwrap(),
                        ..Default::default()
                    }),
                    answer => Ok(scripted(answer)),
                }
            }

            async fn read_stdout(
                &self,
                _: &TtrpcContext,
                request: wire::ReadStreamRequest,
            ) -> ttrpc::Result<wire::ReadStreamResponse> {
                let answer = self.take("ReadStdout", &request).await?;
                let data = match answer { Some(Answer::Data(data)) => data, _ => Vec::new() };
                Ok(wire::ReadStreamResponse { data, ..Default::default() })
            }

            async fn read_stderr(
                &self,
                _: &TtrpcContext,
                request: wire::ReadStreamRequest,
            ) -> ttrpc::Result<wire::ReadStreamResponse> {
                let answer = self.take("ReadStderr", &request).await?;
                let data = match answer { Some(Answer::Data(data)) => data, _ => Vec::new() };
                Ok(wire::ReadStreamResponse { data, ..Default::default() })
            }

            async fn write_stdin(
                &self,
                _: &TtrpcContext,
                request: wire::WriteStreamRequest,
            ) -> ttrpc::Result<wire::WriteStreamResponse> {
                let answer = self.take("WriteStdin", &request).await?;
                let len = match answer { Some(Answer::Number(len)) => len as u32, _ => request.data.len() as u32 };
                Ok(wire::WriteStreamResponse { len, ..Default::default() })
            }

            async fn get_guest_details(
                &self,
                _: &TtrpcContext,
                request: wire::GuestDetailsRequest,
            ) -> ttrpc::Result<wire::GuestDetailsResponse> {
                if let Some(Answer::Reply(bytes)) = self.take("GetGuestDetails", &request).await? {
                    return Ok(scripted(Some(Answer::Reply(bytes))));
                }
                let details =
                    wire::AgentDetails { init_daemon: true, supports_seccomp: true, ..Default::default() };
                Ok(wire::GuestDetailsResponse { agent_details: Some(details).into(), ..Default::default() })
            }
        }
    };
    (@) => { Empty };
    (@ $response:ty) => { $response };
}

calls! {
    create_sandbox, "CreateSandbox", CreateSandboxRequest;
    destroy_sandbox, "DestroySandbox", DestroySandboxRequest;
    create_container, "CreateContainer", CreateContainerRequest;
    start_container, "StartContainer", StartContainerRequest;
    remove_container, "RemoveContainer", RemoveContainerRequest;
    pause_container, "PauseContainer", PauseContainerRequest;
    resume_container, "ResumeContainer", ResumeContainerRequest;
    exec_process, "ExecProcess", ExecProcessRequest;
    signal_process, "SignalProcess", SignalProcessRequest;
    tty_win_resize, "TtyWinResize", TtyWinResizeRequest;
    close_stdin, "CloseStdin", CloseStdinRequest;
    update_container, "UpdateContainer", UpdateContainerRequest;
    stats_container, "StatsContainer", StatsContainerRequest => wire::StatsContainerResponse;
    copy_file, "CopyFile", CopyFileRequest;
    update_ephemeral_mounts, "UpdateEphemeralMounts", UpdateEphemeralMountsRequest;
    reseed_random_dev, "ReseedRandomDev", ReseedRandomDevRequest;
    set_guest_date_time, "SetGuestDateTime", SetGuestDateTimeRequest;
    online_cpu_mem, "OnlineCPUMem", OnlineCPUMemRequest;
    mem_hotplug_by_probe, "MemHotplugByProbe", MemHotplugByProbeRequest;
    get_metrics, "GetMetrics", GetMetricsRequest => wire::Metrics;
    get_volume_stats, "GetVolumeStats", VolumeStatsRequest => csi::VolumeStatsResponse;
    add_swap, "AddSwap", AddSwapRequest;
    add_swap_path, "AddSwapPath", AddSwapPathRequest;
    get_diagnostic_data, "GetDiagnosticData", GetDiagnosticDataRequest => wire::GetDiagnosticDataResponse;
    update_interface, "UpdateInterface", UpdateInterfaceRequest => types::Interface;
    list_interfaces, "ListInterfaces", ListInterfacesRequest => wire::Interfaces;
    update_routes, "UpdateRoutes", UpdateRoutesRequest => wire::Routes;
    list_routes, "ListRoutes", ListRoutesRequest => wire::Routes;
    add_arp_neighbors, "AddARPNeighbors", AddARPNeighborsRequest;
}

#[async_trait]
impl api::GuestService for Guest {
    async fn list_processes(
        &self,
        _: &TtrpcContext,
        request: own::ListProcessesRequest,
    ) -> ttrpc::Result<own::ListProcessesResponse> {
        Ok(scripted(self.take("ListProcesses", &request).await?))
    }
}

#[async_trait]
impl api::Health for Guest {
    async fn check(
        &self,
        _: &TtrpcContext,
        request: health::CheckRequest,
    ) -> ttrpc::Result<health::HealthCheckResponse> {
        let number = match self.take("Check", &request).await? {
            Some(Answer::Number(number)) => number as i32,
            _ => 1,
        };
        let status = protobuf::EnumOrUnknown::from_i32(number);
        Ok(health::HealthCheckResponse { status, ..Default::default() })
    }

    async fn version(
        &self,
        _: &TtrpcContext,
        request: health::CheckRequest,
    ) -> ttrpc::Result<health::VersionCheckResponse> {
        self.take("Version", &request).await?;
        let (grpc_version, agent_version) = ("0.0.1".to_owned(), "4.1.0\x1b[2J".to_owned());
        Ok(health::VersionCheckResponse { grpc_version, agent_version, ..Default::default() })
    }
}
