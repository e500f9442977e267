//! The steps of a create that make its network: the namespace, what fills it, and one interface after the other. Later
//! the guest is told of them.

use std::{os::fd::AsFd as _, path::Path, path::PathBuf};

use serde_json::json;
use virtcontainers_agent_client::Agent;
use virtcontainers_hypervisor::{LaunchPlan, Nic, NicFds};
use virtcontainers_network::{Inside, NetNs, NetworkInfo, cni::CniDns, dns::Dns, hooks, scan};
use virtcontainers_store::FaultPlan;
use virtcontainers_sys::mount;

use super::{
    super::{
        Resource, Shared,
        network::{self, Card, NetworkState, Wishes},
    },
    build::Steps,
};
use crate::{
    config::{CniConfig, NetworkConfig, SandboxSpec},
    container::create::{flat, pass},
    error::{Cause, Error},
};

/// The network of a sandbox that comes to be; empty for one without.
#[derive(Debug, Default)]
pub(super) struct Network {
    /// The namespace in which the machine's process starts.
    pub(super) ns: Option<NetNs>,
    /// The machine's interfaces.
    pub(super) nics: Vec<Nic>,
    /// Their descriptors.
    pub(super) fds: Vec<NicFds>,
    /// The lines of resolv.conf that the CNI network asks for.
    pub(super) dns: Vec<String>,
    cards: Vec<Card>,
    state: NetworkState,
}

/// Makes it.
pub(super) async fn join(steps: &mut Steps, shared: &Shared, spec: &SandboxSpec) -> Result<Network, Error> {
    let config = &spec.config().network_config;
    if !config.has_namespace() {
        return Ok(Network::default());
    }
    let (path, ns) = namespace(steps, shared, config).await?;
    let mut network = Network::default();
    if let Some(cni) = &config.cni {
        network.dns = add_cni(steps, shared, cni, &path).await?;
    }
    run_hooks(shared, spec, &ns).await?;
    let info = scan(&ns).await?;
    network.attach(steps, spec, &info, &path, &ns).await?;
    network.ns = Some(ns);
    Ok(network)
}

async fn namespace(
    steps: &mut Steps,
    shared: &Shared,
    config: &NetworkConfig,
) -> Result<(PathBuf, NetNs), Error> {
    const STEP: &str = "network namespace";
    let Some(path) = &config.netns_path else {
        let path = network::own_netns(&shared.runtime().sandbox_dir(shared.id()));
        let intent = Resource::Netns { path: path.clone(), owned: true };
        let ns = steps.step(STEP, intent, async { NetNs::create(&path) }).await.map_err(flat)?;
        return Ok((path, ns));
    };
    // Looked at before it is on record: what is no namespace is nothing to be removed.
    let ns = NetNs::open(path)?;
    let owned = config.netns_created;
    let failed = |source| Cause::Path { what: "look at", path: path.clone(), source };
    if owned && !mount::is_mount_point(path).map_err(failed)? {
        return Err(Cause::NotOurs { path: path.clone() }.into());
    }
    let intent = Resource::Netns { path: path.clone(), owned };
    steps.step(STEP, intent, async { Ok::<_, Error>(()) }).await.map_err(flat)?;
    Ok((path.clone(), ns))
}

/// Has CNI plugins fill the namespace. Returns how names are resolved in that network.
async fn add_cni(
    steps: &mut Steps,
    shared: &Shared,
    config: &CniConfig,
    netns: &Path,
) -> Result<Vec<String>, Error> {
    let dir = shared.runtime().sandbox_dir(shared.id());
    let (cni, attachment) = network::cni(shared.id(), &dir, config, netns);
    let list = cni.network(&config.network)?;
    let intent = Resource::Cni { config: Box::new(config.clone()), netns: netns.to_owned() };
    let result = steps.step("cni network", intent, cni.add(&list, &attachment)).await.map_err(flat)?;
    Ok(resolv_conf(result.dns))
}

/// The lines of resolv.conf(5) that say the same.
fn resolv_conf(dns: CniDns) -> Vec<String> {
    let CniDns { nameservers, domain, search, options } = dns;
    Dns { nameservers, domain: domain.unwrap_or_default(), search, options }.lines()
}

/// Runs the hooks that fill the namespace. What they leave in it goes with it. As there is no process of the sandbox
/// yet, the state names a thread of this one that is in the namespace: `/proc/<pid>/ns/net` is what hooks look for.
async fn run_hooks(shared: &Shared, spec: &SandboxSpec, ns: &NetNs) -> Result<(), Error> {
    let config = spec.config();
    let hooks = config.network_config.prestart_hooks.clone();
    if hooks.is_empty() {
        return Ok(());
    }
    let mut state = json!({
        "ociVersion": "1.1.0",
        "id": shared.id().as_str(),
        "status": "creating",
        "bundle": shared.runtime().sandbox_dir(shared.id()),
        "annotations": config.annotations,
    });
    let namespace = ns.clone();
    let run = ns.run(async move |_: &Inside| {
        state["pid"] = rustix::thread::gettid().as_raw_nonzero().get().into();
        hooks::run(&hooks, &state.to_string(), &namespace).await
    });
    let run = async { Ok::<_, Error>(run.await??) };
    pass(&shared.runtime().faults(), "prestart hooks", run).await
}

impl Network {
    /// Joins each link to the machine that is to be.
    async fn attach(
        &mut self,
        steps: &mut Steps,
        spec: &SandboxSpec,
        info: &NetworkInfo,
        path: &Path,
        ns: &NetNs,
    ) -> Result<(), Error> {
        let config = spec.config();
        let wishes = Wishes::of(&config.network_config, &config.hypervisor_config);
        for link in &info.links {
            let slot = network::free_slot(self.cards.iter());
            let Some(card) = Card::plan(link, path, slot, &wishes)? else { continue };
            let intent = Resource::Endpoint(Box::new(card.clone()));
            let attached = steps.step("endpoint", intent, card.endpoint.attach(ns)).await.map_err(flat)?;
            let (nic, fds) = card.nic(attached);
            self.nics.push(nic);
            self.fds.push(fds);
            self.cards.push(card);
        }
        let (routes, neighbors) = network::ways(info, self.cards.iter());
        self.state = NetworkState { routes, neighbors, ..NetworkState::default() };
        Ok(())
    }

    /// Takes over where the guest will find the interfaces.
    pub(super) fn place(&mut self, plan: &LaunchPlan) {
        for card in &mut self.cards {
            let planned = plan.nics.iter().find(|nic| nic.id == card.slot());
            card.interface.pci_path = planned.and_then(|nic| nic.path.clone());
        }
    }

    /// Tells the guest.
    pub(super) async fn tell(&self, faults: &FaultPlan, agent: &dyn Agent) -> Result<(), Error> {
        for card in &self.cards {
            let told = agent.update_interface(card.interface.clone());
            pass(faults, "update interface in guest", told).await?;
        }
        let NetworkState { routes, neighbors, .. } = &self.state;
        if !routes.is_empty() {
            pass(faults, "update routes in guest", agent.update_routes(routes.clone())).await?;
        }
        if !neighbors.is_empty() {
            pass(faults, "add neighbours in guest", agent.add_arp_neighbors(neighbors.clone())).await?;
        }
        Ok(())
    }

    /// What the record is to say: the interfaces as they were told, and the rest.
    pub(super) fn record(self, held: &mut [Resource]) -> NetworkState {
        for card in self.cards {
            if let Some(old) =
                held.iter_mut().filter_map(Resource::card_mut).find(|old| old.slot() == card.slot())
            {
                *old = card;
            }
        }
        self.state
    }

    /// The namespace, for the machine's process.
    pub(super) fn netns(&self) -> Result<Option<std::os::fd::OwnedFd>, Error> {
        let failed = |source| Cause::Host { what: "hand over the network namespace", source };
        Ok(self.ns.as_ref().map(|ns| ns.as_fd().try_clone_to_owned()).transpose().map_err(failed)?)
    }
}
