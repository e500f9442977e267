//! Create: the container's files for the guest to see, then the container in the guest. All or nothing.

use std::{future::Future, sync::Arc};

use oci_spec::runtime::{LinuxResources, Root, Spec};
use virtcontainers_agent_client::ContainerSpec;
use virtcontainers_store::{
    FaultPlan, Ledger, Moment, StepError, StoreError, StoreExt as _, Transaction, transact,
};
use virtcontainers_sys::process::ProcessRef;
use virtcontainers_types::AgentKind;

use super::{Container, ContainerPhase, ContainerRecord};
use crate::{
    config::{ContainerConfig, ContainerPlan},
    error::{Cause, Error},
    oci::{self, SandboxTraits},
    sandbox::{
        Release, Resource, Sandbox, Session, Shared, cgroups, create::error_of, server_of, share_container,
    },
    state::SandboxOperation,
    time::Timestamp,
};

/// A container whose files the guest can see, and what the agent is to be told.
pub(crate) struct PreparedContainer {
    record: ContainerRecord,
    spec: Spec,
}

/// How a sandbox's files reach its guest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Serving {
    /// The process that serves them, where there is one.
    pub(crate) by: Option<ProcessRef>,
}

/// Makes the record and the spec of a container, and puts its files where the guest sees them, if it sees any.
pub(crate) fn prepare(
    shared: &Shared,
    plan: &ContainerPlan,
    traits: SandboxTraits<'_>,
    serving: Option<Serving>,
    place: u32,
) -> Result<PreparedContainer, Error> {
    let guest = oci::guest_container(plan, traits)?;
    if let Some(Serving { by }) = serving {
        let read_only = guest.spec.root().as_ref().and_then(Root::readonly).unwrap_or(false);
        let dir = shared.runtime().sandbox_dir(shared.id());
        share_container(&dir, by, plan, read_only, &guest.volumes)?;
    }
    Ok(PreparedContainer { record: record_of(plan, place), spec: guest.spec })
}

fn record_of(plan: &ContainerPlan, place: u32) -> ContainerRecord {
    ContainerRecord {
        id: plan.id().clone(),
        phase: ContainerPhase::Creating,
        intent: None,
        created: Timestamp::now(),
        place,
        rootfs: plan.rootfs().to_owned(),
        config: ContainerConfig { custom_spec: None, resources: limits_of(plan), ..plan.config().clone() },
    }
}

/// The limits of a container, wherever they were written. Devices are no limit, and are said where they are chosen.
fn limits_of(plan: &ContainerPlan) -> Option<LinuxResources> {
    let mut limits = plan.limits()?.clone();
    if plan.config().resources.is_none() {
        limits.set_devices(None);
    }
    Some(limits)
}

impl PreparedContainer {
    /// What the agent is told, and the record that goes with it.
    pub(crate) fn into_request(self, shared_pid_namespace: bool) -> (ContainerRecord, ContainerSpec) {
        let stdin = self.record.config.cmd.stdin;
        let (id, spec) = (self.record.id.clone(), self.spec);
        let request = ContainerSpec { id, spec, storages: Vec::new(), stdin, shared_pid_namespace };
        (self.record, request)
    }
}

/// Creates a container in a sandbox that runs.
pub(crate) async fn create(shared: Arc<Shared>, config: ContainerConfig) -> Result<Container, Error> {
    let plan = config.validate()?;
    let mut session = Session::open(&shared).await?;
    session.record.admit(SandboxOperation::CreateContainer, "create a container in")?;
    match session.runtime().store().load_container(session.id(), plan.id()) {
        Err(StoreError::NoContainer { .. }) => {}
        Ok(_) => {
            let (sandbox, container) = (session.id().clone(), plan.id().clone());
            return Err(Cause::ContainerExists { sandbox, container }.into());
        }
        Err(error) => return Err(error.into()),
    }
    let agent = session.agent().await?;
    let runtime = session.runtime().clone();
    let release = Release::new(&runtime, session.id(), session.record.config.hypervisor_type)
        .with_agent(Arc::clone(&agent));
    let container = Container::new(Sandbox::from(Arc::clone(&shared)), plan.id().clone());
    let delivery = Delivery { record: record_of(&plan, 0), session };
    let transaction =
        Transaction::new(delivery, Arc::new(release) as _, Vec::new()).with_faults(runtime.faults());

    let created = transact(transaction, move |steps: &mut Transaction<Resource, Delivery>| {
        Box::pin(async move {
            let config = steps.ledger_mut().session.record.config.clone();
            let hostname = steps.ledger_mut().session.record.hostname.clone();
            let traits = SandboxTraits {
                hostname: &hostname,
                shm_size: config.shm_size,
                disable_seccomp: config.disable_guest_seccomp,
            };
            let by = server_of(&steps.ledger_mut().session.record.resources);
            let serving = (config.agent_type != AgentKind::Noop).then_some(Serving { by });
            let prepare = async { prepare(&shared, &plan, traits, serving, 0) };
            let intent = Resource::Container { id: plan.id().clone() };
            let prepared = steps.step("container files", intent, prepare).await.map_err(flat)?;
            let (_, request) = prepared.into_request(config.share_pid_ns);
            let faults = shared.runtime().faults();
            let told = pass(&faults, "create container in guest", async {
                let answer = agent.create_container(request).await;
                steps.ledger_mut().session.told(answer)
            });
            told.await?;
            let delivery = steps.ledger_mut();
            let limited = async { cgroups::limit_session(&delivery.session, Some(&delivery.record)) };
            pass(&faults, "limits of cgroups", limited).await?;
            delivery.record.phase = ContainerPhase::Ready;
            delivery.session.save_container(&delivery.record)
        })
    })
    .await;
    match created {
        Ok(((), _delivery, _held)) => Ok(container),
        Err(unwound) => Err(error_of("create container", unwound)),
    }
}

/// The record of a container that comes to be, which is its own intent: what it holds follows from its id.
struct Delivery {
    session: Session,
    record: ContainerRecord,
}

impl Ledger<Resource> for Delivery {
    fn record(&mut self, _held: &[Resource]) -> Result<(), StoreError> {
        let store = self.session.runtime().store();
        store.note_container_as(self.session.lease(), &self.record.id, &self.record)
    }

    fn unwound(&mut self, remaining: &[Resource]) -> Result<(), StoreError> {
        match remaining {
            [] => self.session.runtime().store().remove_container(self.session.lease(), &self.record.id),
            _ => self.record(remaining),
        }
    }
}

/// Surrounds a call to the agent with points at which tests make it fail.
pub(crate) async fn pass<T, E: Into<Error>>(
    faults: &FaultPlan,
    step: &'static str,
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, Error> {
    faults.pass(step, Moment::Before).await.map_err(Cause::from)?;
    let done = call.await.map_err(Into::into)?;
    faults.pass(step, Moment::After).await.map_err(Cause::from)?;
    Ok(done)
}

/// A failed step is the error of its action.
pub(crate) fn flat<E: Into<Error>>(error: StepError<E>) -> Error {
    match error {
        StepError::Record { source, .. } => source.into(),
        StepError::Fault { source, .. } => Cause::from(source).into(),
        StepError::Action { source, .. } => source.into(),
    }
}
