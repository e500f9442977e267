//! Sync: the guest is brought in step with the sandbox's network namespace.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use virtcontainers_network::{Link, NetNs, NetworkInfo, endpoint::EndpointType, scan};

use super::{
    Sandbox, Session, Shared, interfaces,
    network::{self, Card},
};
use crate::{container::create::pass, drive::to_the_end, error::Error, state::SandboxOperation};

/// What a [`Sandbox::sync_network`] did in the guest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NetworkChanges {
    /// Interfaces that were plugged in, by name.
    pub added: Vec<String>,
    /// Interfaces that were unplugged.
    pub removed: Vec<String>,
    /// Interfaces that got other addresses or another MTU.
    pub updated: Vec<String>,
    /// The routes were brought to the namespace's.
    pub routes: bool,
    /// Neighbours were told.
    pub neighbors: bool,
}

impl NetworkChanges {
    /// Whether nothing had changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Sandbox {
    /// Brings the guest in step with the sandbox's network namespace: links that came are plugged in, links that went are
    /// unplugged; addresses, MTU, routes and neighbours that changed are told. What the network monitor does at each
    /// change. A link that was unplugged by [`Sandbox::remove_interface`] stays so until it has gone from the namespace.
    ///
    /// # Errors
    /// When the sandbox has no network or does not run; at the first change that the guest does not take. What was done
    /// until then stays done.
    pub async fn sync_network(&self) -> Result<NetworkChanges, Error> {
        to_the_end(self.runtime(), "sync network", sync(Arc::clone(self.shared()))).await
    }

    /// The path of its network namespace; none without a network. Waits for nobody.
    ///
    /// # Errors
    /// When it does not exist or its record cannot be read.
    pub async fn netns_path(&self) -> Result<Option<PathBuf>, Error> {
        Ok(self.load()?.netns().map(Path::to_owned))
    }
}

async fn sync(shared: Arc<Shared>) -> Result<NetworkChanges, Error> {
    let mut session = Session::open(&shared).await?;
    session.record.admit(SandboxOperation::UseContainer, "change the network of")?;
    let (_, ns) = session.record.open_netns()?;
    let info = scan(&ns).await?;
    let mut changes = NetworkChanges::default();
    unplug_gone(&mut session, &info, &mut changes).await?;
    update_changed(&mut session, &info, &mut changes).await?;
    // What is known of the routes is told even if a link that came cannot be plugged in.
    let (mut session, plugged) = plug_new(session, &ns, &info, &mut changes).await;
    let ways = if changes.updated.is_empty() { Ways::IfChanged } else { Ways::Anyway };
    (changes.routes, changes.neighbors) = tell_ways(&mut session, &info, ways).await?;
    if !changes.is_empty() {
        session.save()?;
    }
    plugged.map(|()| changes)
}

/// Whether a link is the one that it was: not another of the same name, nor one whose packets have become too large for
/// what was plugged in. Its hardware address is no sign, for a model may have changed it.
fn is_same(card: &Card, link: &Link) -> bool {
    let was = card.endpoint.properties();
    (link.index, &link.name) == (was.index, &was.name) && link.mtu <= was.mtu
}

/// Whether an interface's link is there still. A network card that was given away is not in the namespace.
fn stays(card: &Card, info: &NetworkInfo) -> bool {
    match card.endpoint.endpoint_type() {
        EndpointType::Physical => true,
        EndpointType::Veth
        | EndpointType::BridgedMacvlan
        | EndpointType::IpVlan
        | EndpointType::Macvtap
        | EndpointType::Tap
        | EndpointType::Tuntap
        | EndpointType::VhostUser => info.links.iter().any(|link| is_same(card, link)),
    }
}

async fn unplug_gone(
    session: &mut Session,
    info: &NetworkInfo,
    changes: &mut NetworkChanges,
) -> Result<(), Error> {
    let gone: Vec<_> = session.record.cards().filter(|card| !stays(card, info)).cloned().collect();
    for card in gone {
        interfaces::unplug(session, &card).await?;
        session.save()?;
        changes.removed.push(card.interface.name);
    }
    session.record.network.unplugged.retain(|name| info.links.iter().any(|link| link.name == *name));
    Ok(())
}

async fn update_changed(
    session: &mut Session,
    info: &NetworkInfo,
    changes: &mut NetworkChanges,
) -> Result<(), Error> {
    let faults = session.runtime().faults();
    let cards: Vec<_> = session.record.cards().cloned().collect();
    for mut card in cards {
        let Some(link) = info.links.iter().find(|link| is_same(&card, link)) else { continue };
        let was = card.endpoint.properties_mut();
        if (&link.addresses, link.mtu) == (&was.addresses, was.mtu) {
            continue;
        }
        (was.addresses, was.mtu) = (link.addresses.clone(), link.mtu);
        (card.interface.addresses, card.interface.mtu) = (link.addresses.clone(), link.mtu);
        let agent = session.agent().await?;
        let told = async {
            let answer = agent.update_interface(card.interface.clone()).await;
            session.told(answer)
        };
        pass(&faults, "update interface in guest", told).await?;
        changes.updated.push(card.interface.name.clone());
        if let Some(old) = session.record.cards_mut().find(|old| old.slot() == card.slot()) {
            *old = card;
        }
    }
    Ok(())
}

/// Plugs in each link that is neither there, nor ours, nor unwanted.
async fn plug_new(
    mut session: Session,
    ns: &NetNs,
    info: &NetworkInfo,
    changes: &mut NetworkChanges,
) -> (Session, Result<(), Error>) {
    for link in &info.links {
        let known = |card: &Card| card.endpoint.properties().index == link.index;
        if session.record.cards().any(known) || session.record.network.unplugged.contains(&link.name) {
            continue;
        }
        let card = match interfaces::plan(&session.record, link) {
            Ok(Some(card)) => card,
            Ok(None) => continue,
            Err(error) => return (session, Err(error)),
        };
        let (back, plugged) = interfaces::plug(session, ns, card).await;
        session = back;
        if plugged.is_err() {
            return (session, plugged);
        }
        changes.added.push(link.name.clone());
    }
    (session, Ok(()))
}

/// When routes and neighbours are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ways {
    /// If they are others than those that were told last.
    IfChanged,
    /// In any case: what else was told may have cost the guest some.
    Anyway,
}

/// Tells the guest the namespace's routes and neighbours. Returns which of the two were told.
pub(super) async fn tell_ways(
    session: &mut Session,
    info: &NetworkInfo,
    when: Ways,
) -> Result<(bool, bool), Error> {
    let (routes, neighbors) = network::ways(info, session.record.cards());
    let faults = session.runtime().faults();
    let known = &session.record.network;
    let (tell_routes, tell_neighbors) = match when {
        Ways::IfChanged => (routes != known.routes, neighbors != known.neighbors && !neighbors.is_empty()),
        Ways::Anyway => (true, !neighbors.is_empty()),
    };
    if tell_routes {
        let agent = session.agent().await?;
        let told = async {
            let answer = agent.update_routes(routes.clone()).await;
            session.told(answer)
        };
        pass(&faults, "update routes in guest", told).await?;
    }
    if tell_neighbors {
        let agent = session.agent().await?;
        let told = async {
            let answer = agent.add_arp_neighbors(neighbors.clone()).await;
            session.told(answer)
        };
        pass(&faults, "add neighbours in guest", told).await?;
    }
    session.record.network.routes = routes;
    session.record.network.neighbors = neighbors;
    Ok((tell_routes, tell_neighbors))
}
