//! The steps of a create, in their order.

use std::{future::Future, sync::Arc, time::Duration};

use virtcontainers_agent_client::{
    Agent, GuestSandbox, KernelModule,
    announce::{Announcement, HYBRID_PORT},
    proxy::{self, ProxyChoice, ProxyOptions},
};
use virtcontainers_agent_protocol::transport::AgentAddress;
use virtcontainers_device::vhost_vsock;
use virtcontainers_hypervisor::{LaunchCx, Vm, VmError};
use virtcontainers_store::Transaction;

use super::{
    super::{
        Machine, Release, Resource, SandboxPhase, Shared,
        boot::{self, Layout, Served, Stream},
        cgroups,
        connect::{self, Readiness, Supports},
        helper::Helper,
        netmon,
        resource::Role,
        share,
    },
    birth::Birth,
    network::{self, Network},
};
use crate::{
    config::SandboxSpec,
    container::{
        self, PreparedContainer,
        create::{Serving, flat, pass},
    },
    error::Error,
    oci::SandboxTraits,
};

pub(super) type Steps = Transaction<Resource, Birth>;

/// Builds the whole sandbox, and leaves its connections in the handle.
pub(super) async fn build(
    steps: &mut Steps,
    shared: &Arc<Shared>,
    spec: &SandboxSpec,
    release: &Release,
) -> Result<(), Error> {
    let runtime = shared.runtime();
    let mut live = Arc::clone(&shared.live).lock_owned().await;
    let layout = boot::layout(runtime, spec.config())?;
    steps.ledger_mut().record.transport = layout.stream.transport();

    cgroups::make(steps, shared, spec.config()).await?;
    let mut helpers = Vec::new();
    let announcement = start_stream(steps, shared, spec, &layout, &mut helpers).await?;
    start_share(steps, shared, spec, &layout, &mut helpers).await?;
    let mut network = network::join(steps, shared, spec).await?;
    let announce = announcement.as_ref().map(Announcement::port);
    let with = LaunchWith { announce, network: &mut network, helpers: &mut helpers };
    let vm = launch(steps, shared, spec, &layout, with, release).await?;
    shared.watch(vm.as_ref());

    // The guest boots meanwhile.
    let containers = match prepare_containers(steps, shared, spec, &layout).await {
        Err(_) if share::server_of(steps.held()).is_some_and(|server| !server.is_alive()) => {
            return Err(connect::server_gone(shared, &mut helpers).await);
        }
        prepared => prepared?,
    };

    let proxy = start_proxy(steps, shared, spec, &layout, &mut helpers).await?;
    let readiness = match (announcement, &layout.stream) {
        (_, Stream::None | Stream::Mock) => Readiness::Always,
        (Some(announcement), _) => Readiness::Announced(announcement),
        (None, Stream::Serial { .. }) => Readiness::PortOpen(vm.agent_port_open()),
        (None, Stream::Vsock { .. } | Stream::Hybrid { .. }) => Readiness::Dialled,
    };
    let address = address(shared, &layout.stream);
    let connector = runtime.connector(spec.config().agent_type);
    let within = Duration::from(spec.config().agent_config.boot_timeout);
    let mut supports = Supports { shared, vm: vm.as_ref(), helpers };
    let agent = connect::handshake(&mut supports, readiness, connector.as_ref(), &address, within).await?;
    populate(steps, spec, &layout, &mut supports, agent.as_ref(), &network, containers).await?;
    start_netmon(steps, shared, spec).await?;
    limit(steps, shared, spec).await?;

    let machine = Machine { vm: vm.record(), agent: (layout.stream != Stream::None).then_some(address) };
    let mut held: Vec<_> =
        steps.held().iter().filter(|held| !matches!(held, Resource::Container { .. })).cloned().collect();
    let birth = steps.ledger_mut();
    birth.record.network = network.record(&mut held);
    birth.record.resources = held;
    birth.enter(SandboxPhase::Ready(machine))?;
    live.vm = Some(vm);
    shared.keep_agent(&steps.ledger_mut().record, &agent);
    live.proxy = proxy;
    Ok(())
}

/// The shared directory, and the daemon that serves it.
async fn start_share(
    steps: &mut Steps,
    shared: &Shared,
    spec: &SandboxSpec,
    layout: &Layout,
    helpers: &mut Vec<Helper>,
) -> Result<(), Error> {
    let Some(served) = &layout.share else { return Ok(()) };
    let dir = shared.runtime().sandbox_dir(shared.id());
    steps
        .step("share", Resource::Share, async { virtcontainers_device::Share::new(&dir).make() })
        .await
        .map_err(flat)?;
    match served {
        Served::Nobody | Served::Vmm => Ok(()),
        Served::Virtiofsd { program } => {
            let config = &spec.config().hypervisor_config;
            let within = cgroups::mark(shared, steps.held(), Role::Virtiofsd);
            let start = async {
                share::start_virtiofsd(shared, config, program, &within)
                    .map(|daemon| Helper::daemon(Role::Virtiofsd, daemon))
            };
            helpers.push(start_helper(steps, Role::Virtiofsd, start).await?);
            Ok(())
        }
    }
}

/// The daemon behind the agent's stream, and the ear for the guest's announcement.
async fn start_stream(
    steps: &mut Steps,
    shared: &Shared,
    spec: &SandboxSpec,
    layout: &Layout,
    helpers: &mut Vec<Helper>,
) -> Result<Option<Announcement>, Error> {
    let announces = spec.config().agent_config.announces;
    match &layout.stream {
        Stream::None | Stream::Mock | Stream::Serial { .. } => Ok(None),
        Stream::Vsock { cid } => Ok(announces.then(|| Announcement::vsock(*cid)).transpose()?),
        Stream::Hybrid { daemon } => {
            let dir = shared.runtime().sandbox_dir(shared.id());
            let announcement = announces
                .then(|| Announcement::hybrid(&dir, vhost_vsock::VSOCK_SOCKET, HYBRID_PORT))
                .transpose()?;
            let within = cgroups::mark(shared, steps.held(), Role::VsockDaemon);
            let start = async {
                let daemon = share::start_vsock_daemon(shared, daemon, &within)?;
                Ok(Helper::daemon(Role::VsockDaemon, daemon))
            };
            helpers.push(start_helper(steps, Role::VsockDaemon, start).await?);
            Ok(announcement)
        }
    }
}

/// Starts a helper process and puts it on record.
async fn start_helper(
    steps: &mut Steps,
    role: Role,
    start: impl Future<Output = Result<Helper, Error>>,
) -> Result<Helper, Error> {
    let intent = Resource::Daemon { role, process: None };
    let helper = steps.step(role.as_str(), intent, start).await.map_err(flat)?;
    steps.amend(Resource::Daemon { role, process: Some(helper.process()) })?;
    Ok(helper)
}

/// What a machine is launched with, beside what it is.
struct LaunchWith<'a> {
    /// The host port on which the guest announces itself.
    announce: Option<u32>,
    network: &'a mut Network,
    helpers: &'a mut [Helper],
}

async fn launch(
    steps: &mut Steps,
    shared: &Shared,
    spec: &SandboxSpec,
    layout: &Layout,
    with: LaunchWith<'_>,
    release: &Release,
) -> Result<Arc<dyn Vm>, Error> {
    let LaunchWith { announce, network, helpers } = with;
    let runtime = shared.runtime();
    let hypervisor = runtime.hypervisor(spec.config().hypervisor_type)?;
    let vm_spec = boot::vm_spec(runtime, spec, layout, announce, &network.nics)?;
    let plan = boot::plan(hypervisor.as_ref(), vm_spec, spec.config())?;
    network.place(&plan);
    let (nic_fds, netns) = (std::mem::take(&mut network.fds), network.netns()?);
    let mark = cgroups::mark(shared, steps.held(), Role::Vmm);
    let within = Duration::from(spec.config().agent_config.boot_timeout);
    let start = async {
        // Its intent is on record, and its mark leads to it: nothing more is needed before the guest runs.
        let mut spawned = |_: &virtcontainers_hypervisor::VmRecord| Ok(());
        let launched =
            hypervisor.launch(plan, LaunchCx { nic_fds, netns, ..LaunchCx::new(mark, &mut spawned) });
        // A launch that is given up ends its process.
        let launched = tokio::time::timeout(within, launched).await.map_err(|_elapsed| VmError::Timeout {
            waiting_for: "the start of the virtual machine monitor".to_owned(),
            after: within,
            console: shared.console(),
        });
        let vm: Arc<dyn Vm> = launched??.into();
        // For the undoing, which is quicker with it.
        release.vm.set(Arc::clone(&vm)).ok();
        Ok::<_, Error>(vm)
    };
    let start = connect::launch_among(shared, helpers, start);
    let vm = steps.step("launch", Resource::Machine { vm: None }, start).await.map_err(flat)?;
    steps.amend(Resource::Machine { vm: Some(vm.record()) })?;
    Ok(vm)
}

/// The process that keeps the guest in step with its namespace. It waits until the sandbox is there.
async fn start_netmon(steps: &mut Steps, shared: &Shared, spec: &SandboxSpec) -> Result<(), Error> {
    if !spec.config().network_config.netmon.enable {
        return Ok(());
    }
    let intent = Resource::Daemon { role: Role::Netmon, process: None };
    let mark = cgroups::mark(shared, steps.held(), Role::Netmon);
    let start = async { netmon::start(shared, &spec.config().network_config.netmon, &mark) };
    let process = steps.step(Role::Netmon.as_str(), intent, start).await.map_err(flat)?;
    Ok(steps.amend(Resource::Daemon { role: Role::Netmon, process: Some(process) })?)
}

/// Limits what the sandbox may use on the host, now that it has booted.
async fn limit(steps: &mut Steps, shared: &Shared, spec: &SandboxSpec) -> Result<(), Error> {
    let limits = spec.containers().iter().map(|plan| plan.limits());
    let limited = async { cgroups::limit(spec.config(), steps.held(), limits) };
    pass(&shared.runtime().faults(), "limits of cgroups", limited).await
}

/// Puts the containers' files where the guest will see them.
async fn prepare_containers(
    steps: &mut Steps,
    shared: &Shared,
    spec: &SandboxSpec,
    layout: &Layout,
) -> Result<Vec<PreparedContainer>, Error> {
    let config = spec.config();
    let traits = SandboxTraits {
        hostname: spec.hostname(),
        shm_size: config.shm_size,
        disable_seccomp: config.disable_guest_seccomp,
    };
    let mut prepared = Vec::with_capacity(spec.containers().len());
    for (place, plan) in (0..).zip(spec.containers()) {
        let serving = layout.share.as_ref().map(|_| Serving { by: share::server_of(steps.held()) });
        let prepare = async { container::prepare(shared, plan, traits, serving, place) };
        prepared.push(if serving.is_some() {
            let intent = Resource::Container { id: plan.id().clone() };
            steps.step("container files", intent, prepare).await.map_err(flat)?
        } else {
            prepare.await?
        });
    }
    Ok(prepared)
}

async fn start_proxy(
    steps: &mut Steps,
    shared: &Shared,
    spec: &SandboxSpec,
    layout: &Layout,
    helpers: &mut Vec<Helper>,
) -> Result<Option<proxy::Proxy>, Error> {
    let Stream::Serial { proxy } = &layout.stream else { return Ok(None) };
    let runtime = shared.runtime();
    let dir = runtime.sandbox_dir(shared.id());
    match proxy {
        ProxyChoice::None => Ok(None),
        ProxyChoice::BuiltIn => Ok(Some(proxy::serve(ProxyOptions::in_dir(dir))?)),
        ProxyChoice::Process => {
            let program = boot::proxy_program(runtime, spec.config())?;
            let mark = cgroups::mark(shared, steps.held(), Role::Proxy);
            let start = async { Ok(Helper::proxy(proxy::ProxyProcess::launch(&program, &dir, mark)?)) };
            helpers.push(start_helper(steps, Role::Proxy, start).await?);
            Ok(None)
        }
    }
}

fn address(shared: &Shared, stream: &Stream) -> AgentAddress {
    let dir = shared.runtime().sandbox_dir(shared.id());
    let port = virtcontainers_agent_protocol::ports::AGENT;
    match stream {
        Stream::None | Stream::Mock => AgentAddress::Unix { dir, name: "agent.sock".to_owned() },
        Stream::Vsock { cid } => AgentAddress::Vsock { cid: *cid, port },
        Stream::Hybrid { .. } => {
            AgentAddress::HybridVsock { dir, name: vhost_vsock::VSOCK_SOCKET.to_owned(), port }
        }
        Stream::Serial { .. } => AgentAddress::Unix { dir, name: proxy::PROXY_SOCKET.to_owned() },
    }
}

/// A module as the configuration names it: name and parameters, separated by blanks.
fn kernel_module(module: &str) -> KernelModule {
    let mut words = module.split_whitespace().map(str::to_owned);
    KernelModule { name: words.next().unwrap_or_default(), parameters: words.collect() }
}

/// Tells the agent of the sandbox and of its containers.
async fn populate(
    steps: &mut Steps,
    spec: &SandboxSpec,
    layout: &Layout,
    supports: &mut Supports<'_>,
    agent: &dyn Agent,
    network: &Network,
    containers: Vec<PreparedContainer>,
) -> Result<(), Error> {
    let (shared, config) = (supports.shared, spec.config());
    let guest = GuestSandbox {
        hostname: spec.hostname().to_owned(),
        dns: if config.dns.is_empty() { network.dns.clone() } else { config.dns.clone() },
        storages: share::storages(layout.share.as_ref(), &config.hypervisor_config),
        shared_pid_namespace: config.share_pid_ns,
        sandbox_id: shared.id().to_string(),
        kernel_modules: config
            .agent_config
            .kernel_modules
            .iter()
            .map(|module| kernel_module(module))
            .collect(),
        guest_hook_path: config
            .hypervisor_config
            .guest_hook_path
            .as_ref()
            .map(|path| path.to_string_lossy().into_owned())
            .unwrap_or_default(),
    };
    let faults = shared.runtime().faults();
    let tell = async {
        pass(&faults, "create sandbox in guest", agent.create_sandbox(guest)).await?;
        network.tell(&faults, agent).await?;
        let mut records = Vec::with_capacity(containers.len());
        for container in containers {
            let (record, request) = container.into_request(config.share_pid_ns);
            pass(&faults, "create container in guest", agent.create_container(request)).await?;
            records.push(record);
        }
        Ok::<_, Error>(records)
    };
    let records = supports
        .carry(tell, "while its containers were created")
        .await
        .map_err(|error| error.with_console(shared.console()))?;
    let store = Arc::clone(shared.runtime().store());
    let lease = steps.ledger_mut().lease()?;
    for mut record in records {
        record.phase = container::ContainerPhase::Ready;
        // The sandbox's own record is saved after them, and they with it.
        virtcontainers_store::StoreExt::note_container_as(store.as_ref(), lease, &record.id, &record)?;
    }
    Ok(())
}
