//! Interfaces of a sandbox that runs: plugged in, unplugged, listed.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures::FutureExt as _;
use virtcontainers_agent_client::Agent;
use virtcontainers_hypervisor::Vm;
use virtcontainers_network::{Link, NetNs, scan};
use virtcontainers_store::{Ledger, Releaser as _, StoreError, StoreExt as _, Transaction};
use virtcontainers_types::net::Interface;

use super::{
    Release, Resource, Sandbox, SandboxRecord, Session, Shared, Visit,
    network::{self, Card, Wishes},
    sync::{self, Ways},
};
use crate::{
    container::create::{flat, pass},
    drive::to_the_end,
    error::{Cause, Error, chain},
    state::SandboxOperation,
};

impl Sandbox {
    /// Plugs an interface in: the link `device` of the sandbox's network namespace (`name` when empty) appears in the
    /// guest as `name` (`device` when empty), with the addresses and the MTU that are given, or else the link's own. Its
    /// hardware address is the link's. All or nothing. Returns what the guest was told.
    ///
    /// # Errors
    /// A sandbox without a network or whose machine takes no interface while it runs; a link that is not there or cannot
    /// be joined to a machine; a guest that does not take it.
    pub async fn add_interface(&self, interface: Interface) -> Result<Interface, Error> {
        to_the_end(self.runtime(), "add interface", add(Arc::clone(self.shared()), interface)).await
    }

    /// Unplugs an interface by its name in the guest. The link in the namespace is left as it was found.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) when no link of the namespace is behind an interface of that
    /// name; a guest that does not let go of it, of which it can be asked again.
    pub async fn remove_interface(&self, name: &str) -> Result<(), Error> {
        let verb = remove(Arc::clone(self.shared()), name.to_owned());
        to_the_end(self.runtime(), "remove interface", verb).await
    }

    /// The guest's interfaces, as its agent lists them.
    ///
    /// # Errors
    /// When the guest does not run, or its agent does not answer.
    pub async fn list_interfaces(&self) -> Result<Vec<Interface>, Error> {
        let visit = Visit::guest(self.shared(), "list the interfaces of").await?;
        let told = visit.agent().await?.list_interfaces().await;
        visit.told(told)
    }
}

async fn add(shared: Arc<Shared>, wanted: Interface) -> Result<Interface, Error> {
    let session = Session::open(&shared).await?;
    session.record.admit(SandboxOperation::UseContainer, "plug an interface into")?;
    let (_, ns) = session.record.open_netns()?;
    let device = if wanted.device.is_empty() { wanted.name.clone() } else { wanted.device.clone() };
    let (id, name) = (|| shared.id().clone(), || device.clone());
    let info = scan(&ns).await?;
    let link = info.links.iter().find(|link| link.name == device);
    let link = link.ok_or_else(|| Cause::NoLink { id: id(), name: name() })?;
    let card = plan(&session.record, link)?.ok_or_else(|| Cause::UnfitLink { id: id(), name: name() })?;
    let card = as_wanted(card, wanted);
    let taken = |other: &Card| other.link() == device || other.interface.name == card.interface.name;
    if session.record.cards().any(taken) {
        return Err(Cause::InterfaceExists { id: id(), name: card.interface.name }.into());
    }
    let slot = card.slot().to_owned();
    let (mut session, plugged) = plug(session, &ns, card).await;
    plugged?;
    session.record.network.unplugged.remove(&device);
    sync::tell_ways(&mut session, &info, Ways::IfChanged).await?;
    session.save()?;
    let told = session.record.cards().find(|card| card.slot() == slot).map(|card| card.interface.clone());
    Ok(told.ok_or_else(|| Cause::NoInterface { id: id(), name: name() })?)
}

async fn remove(shared: Arc<Shared>, name: String) -> Result<(), Error> {
    let mut session = Session::open(&shared).await?;
    session.record.admit(SandboxOperation::UseContainer, "unplug an interface of")?;
    let card = session.record.cards().find(|card| card.interface.name == name).cloned();
    let card = card.ok_or_else(|| Cause::NoInterface { id: shared.id().clone(), name })?;
    unplug(&mut session, &card).await?;
    session.record.network.unplugged.insert(card.link().to_owned());
    session.save()
}

/// A new interface for a link, on paper. None for a link that is not the guest's business.
pub(super) fn plan(record: &SandboxRecord, link: &Link) -> Result<Option<Card>, Error> {
    let config = &record.config;
    let netns = record.netns().ok_or_else(|| Cause::NoNetwork { id: record.id.clone() })?;
    let wishes = Wishes::of(&config.network_config, &config.hypervisor_config);
    Ok(Card::plan(link, netns, network::free_slot(record.cards()), &wishes)?)
}

/// The interface as the caller wants it: what he leaves out is the link's.
fn as_wanted(mut card: Card, wanted: Interface) -> Card {
    if !wanted.name.is_empty() {
        card.interface.name = wanted.name;
    }
    if !wanted.addresses.is_empty() {
        card.interface.addresses = wanted.addresses;
    }
    if wanted.mtu != 0 {
        card.interface.mtu = wanted.mtu;
    }
    card
}

/// Joins a link to the machine and tells the guest; all or nothing. The session comes back either way.
pub(super) async fn plug(session: Session, ns: &NetNs, card: Card) -> (Session, Result<(), Error>) {
    let mut plugging = Plugging { before: session.record.resources.clone(), session };
    let (vm, agent) = match plugging.reach().await {
        Ok(reached) => reached,
        Err(error) => return (plugging.session, Err(error)),
    };
    let (runtime, id) = (plugging.session.runtime().clone(), plugging.session.id().clone());
    let hypervisor = plugging.session.record.config.hypervisor_type;
    let release = Release::new(&runtime, &id, hypervisor).with_machine(Arc::clone(&vm));
    let mut steps =
        Transaction::new(plugging, Arc::new(release) as _, Vec::new()).with_faults(runtime.faults());
    let body = AssertUnwindSafe(plug_in(&mut steps, ns, card, vm.as_ref(), agent.as_ref()));
    let plugged = match body.catch_unwind().await {
        Ok(plugged) => plugged,
        Err(_panic) => Err(Cause::Interrupted("add interface panicked".to_owned()).into()),
    };
    let plugged = match plugged {
        Ok(()) => Ok(()),
        Err(error) => Err(error.with_undo(steps.unwind().await.iter().map(|error| chain(error)))),
    };
    (steps.commit().0.session, plugged)
}

async fn plug_in(
    steps: &mut Transaction<Resource, Plugging>,
    ns: &NetNs,
    mut card: Card,
    vm: &dyn Vm,
    agent: &dyn Agent,
) -> Result<(), Error> {
    let session = &steps.ledger_mut().session;
    let hotplug = vm.hotplug().ok_or_else(|| Cause::NoHotplug { id: session.id().clone() })?;
    let faults = session.runtime().faults();
    let intent = Resource::Endpoint(Box::new(card.clone()));
    let attached = steps.step("endpoint", intent, card.endpoint.attach(ns)).await.map_err(flat)?;
    let (nic, fds) = card.nic(attached);
    card.interface.pci_path = pass(&faults, "plug interface", hotplug.add_nic(&nic, fds)).await?;
    let told = pass(&faults, "update interface in guest", async {
        let answer = agent.update_interface(card.interface.clone()).await;
        steps.ledger_mut().session.told(answer)
    });
    told.await?;
    Ok(steps.amend(Resource::Endpoint(Box::new(card)))?)
}

/// Takes an interface out of the machine, and gives back what joined it to its link.
pub(super) async fn unplug(session: &mut Session, card: &Card) -> Result<(), Error> {
    let vm = session.vm().await?;
    if vm.hotplug().is_none() {
        return Err(Cause::NoHotplug { id: session.id().clone() }.into());
    }
    let release = Release::new(session.runtime(), session.id(), session.record.config.hypervisor_type);
    let resource = Resource::Endpoint(Box::new(card.clone()));
    let faults = session.runtime().faults();
    let released = pass(&faults, "unplug interface", async {
        let released = release.with_machine(vm).release(&resource).await;
        released
            .map_err(|source| Cause::Release { what: format!("interface {}", card.interface.name), source })
    });
    released.await?;
    session
        .record
        .resources
        .retain(|resource| resource.card().is_none_or(|other| other.slot() != card.slot()));
    Ok(())
}

/// The record of a sandbox that gets an interface: it comes before the machine, as if it had been there from the start.
struct Plugging {
    session: Session,
    before: Vec<Resource>,
}

impl Plugging {
    /// The machine and the agent.
    async fn reach(&mut self) -> Result<(Arc<dyn Vm>, Arc<dyn Agent>), Error> {
        Ok((self.session.vm().await?, self.session.agent().await?))
    }
}

impl Ledger<Resource> for Plugging {
    fn record(&mut self, held: &[Resource]) -> Result<(), StoreError> {
        let is_machine = |resource: &Resource| matches!(resource, Resource::Machine { .. });
        let place = self.before.iter().position(is_machine).unwrap_or(self.before.len());
        let mut all = self.before.clone();
        all.splice(place..place, held.iter().cloned());
        self.session.record.resources = all;
        self.session.runtime().store().note_as(self.session.lease(), &self.session.record)
    }
}
