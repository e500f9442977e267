//! Which endpoint serves which link.

use virtcontainers_types::{NetInterworkingModel as Model, net::MacAddr};

use super::{
    BridgedMacvlan, Endpoint, EndpointOptions, IpVlan, MAX_QUEUES, Macvtap, Physical, Properties, Tap,
    Tuntap, Veth, VhostUser, tap,
};
use crate::{
    Link, LinkKind, NetworkError,
    model::{self, Join, Means, Queues},
};

const GIVE_TAP: &str =
    "choose the tcfilter or macvtap model, or give the sandbox a tap, macvtap or vhost-user link";
const USE_TC: &str = "choose the tcfilter model";

pub(super) fn choose(link: &Link, options: &EndpointOptions) -> Result<Option<Endpoint>, NetworkError> {
    if !is_for_guest(link) {
        return Ok(None);
    }
    let mac = mac(link)?;
    let properties = Properties::new(&options.id, link, mac);
    if let Some(socket) = options.vhost_user.clone() {
        let queues = pairs(link, options.queues, MAX_QUEUES)?;
        return Ok(Some(Endpoint::VhostUser(VhostUser { properties, socket, queues })));
    }
    let queues = Queues { pairs: pairs(link, options.queues, MAX_QUEUES)?, vhost_net: options.vhost_net };
    let join = |means| {
        let spare_tagged = means == Means::TcFilter && link.carries_vlans;
        Join { spare_tagged, ..Join::new(means, queues) }
    };
    if let (LinkKind::Device, Some(pci)) = (&link.kind, link.pci.clone()) {
        return Ok(Some(Endpoint::Physical(Physical { properties, pci })));
    }
    Ok(Some(match &link.kind {
        LinkKind::Macvtap => Endpoint::Macvtap(Macvtap { properties, queues }),
        LinkKind::Tap { held: false, multi_queue, vnet_hdr } => {
            let queues = Queues { pairs: if *multi_queue { queues.pairs } else { 1 }, ..queues };
            let properties = Properties { mac: tap::far_end_of(mac), ..properties };
            Endpoint::Tap(Tap { properties, multi_queue: *multi_queue, vnet_hdr: *vnet_hdr, queues })
        }
        LinkKind::Tap { held: true, .. } => {
            let join = join(either(link, options.model)?);
            Endpoint::Tuntap(Tuntap { properties, join })
        }
        LinkKind::Macvlan => {
            let join = join(only_tc(link, options.model)?);
            Endpoint::BridgedMacvlan(BridgedMacvlan { properties, join })
        }
        LinkKind::Ipvlan => {
            let join = join(only_tc(link, options.model)?);
            Endpoint::IpVlan(IpVlan { properties, join })
        }
        LinkKind::Tun => return Err(unsupported(link, "it carries no Ethernet frames: use a tap")),
        LinkKind::Loopback | LinkKind::Bridge | LinkKind::FallbackTunnel { .. } => return Ok(None),
        LinkKind::Veth | LinkKind::Vlan | LinkKind::Device | LinkKind::Other { .. } => {
            let join = join(either(link, options.model)?);
            Endpoint::Veth(Veth { properties, join })
        }
    }))
}

fn is_for_guest(link: &Link) -> bool {
    let tap = matches!(link.kind, LinkKind::Tap { .. });
    let plumbing =
        matches!(link.kind, LinkKind::Loopback | LinkKind::Bridge | LinkKind::FallbackTunnel { .. });
    let port = link.master.is_some() && !tap;
    let trunk = link.carries_vlans && link.addresses.is_empty();
    if link.carries_others && !link.addresses.is_empty() {
        tracing::warn!(
            link = link.name,
            "a link that others rest on stays in the namespace, with its addresses"
        );
    }
    link.up && !plumbing && !port && !trunk && !link.carries_others && !model::is_ours(&link.name)
}

fn mac(link: &Link) -> Result<MacAddr, NetworkError> {
    let mac = link.mac.filter(|mac| mac.is_unicast());
    mac.ok_or_else(|| {
        unsupported(link, "it carries no Ethernet frames: leave it down, or keep it out of the namespace")
    })
}

fn pairs(link: &Link, asked: u32, most: u32) -> Result<u32, NetworkError> {
    let fits = (1..=most).contains(&asked);
    fits.then_some(asked).ok_or_else(|| NetworkError::Queues { link: link.name.clone(), asked, most })
}

fn either(link: &Link, model: Model) -> Result<Means, NetworkError> {
    match model {
        Model::Default | Model::TcFilter => Ok(Means::TcFilter),
        Model::Macvtap => Ok(Means::Macvtap),
        Model::None => Err(cannot(link, model, GIVE_TAP)),
    }
}

fn only_tc(link: &Link, model: Model) -> Result<Means, NetworkError> {
    match model {
        Model::Default | Model::TcFilter => Ok(Means::TcFilter),
        Model::Macvtap => Err(cannot(link, model, USE_TC)),
        Model::None => Err(cannot(link, model, GIVE_TAP)),
    }
}

fn cannot(link: &Link, model: Model, advice: &'static str) -> NetworkError {
    NetworkError::ModelCannotServe {
        model,
        link: link.name.clone(),
        kind: link.kind.as_str().to_owned(),
        advice,
    }
}

fn unsupported(link: &Link, advice: &'static str) -> NetworkError {
    NetworkError::UnsupportedLink { link: link.name.clone(), kind: link.kind.as_str().to_owned(), advice }
}
