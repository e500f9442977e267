//! A namespace for a machine, joined by a veth to one that plays the host, and how a tap is joined to that veth by hand.

use std::os::fd::{AsFd as _, OwnedFd};

use virtcontainers_network::{Inside, NetNs};
use virtcontainers_sys::tap::{self, TapOptions};
use virtcontainers_testkit::TestNetNs;

use crate::{
    Failure,
    by_hand::{Recipe, Wires},
};

/// What the guest calls the host.
pub(crate) const HOST: &str = "10.7.0.1";
/// The guest's hardware address: the same on all sides.
const MAC: &str = "02:00:00:00:07:02";
/// The veth's own where the guest's would keep a bridge from passing frames on.
const OTHER_MAC: &str = "02:00:00:00:07:03";

/// The ways to join a tap to the veth by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ByHand {
    Bridge,
    TcFilter,
    Macvtap,
}

/// Two namespaces. They end with this, and all that is in them.
pub(crate) struct Wire {
    pub(crate) ns: TestNetNs,
    pub(crate) host: TestNetNs,
}

impl Wire {
    /// With `eth0` here and its other end there, both with addresses.
    pub(crate) fn new() -> Self {
        let (ns, host) = (TestNetNs::new(), TestNetNs::new());
        ns.join("eth0", &host, "v0");
        ns.ip(&format!("link set eth0 address {MAC}"));
        ns.ip("addr add 10.7.0.2/24 dev eth0");
        host.ip(&format!("addr add {HOST}/24 dev v0"));
        Self { ns, host }
    }

    /// Joins a tap to `eth0` with the tools of iproute2.
    pub(crate) async fn join(&self, by: ByHand, recipe: &Recipe) -> Result<Wires, Failure> {
        let ns = NetNs::open(self.ns.path())?;
        let tap = match by {
            ByHand::Bridge => {
                let tap = open_tap(&ns).await?;
                self.ns.ip("addr flush dev eth0");
                self.ns.ip(&format!("link set eth0 address {OTHER_MAC}"));
                self.ns.ip("link add br0 type bridge");
                for link in ["br0", "eth0 master br0", "tap0 master br0"] {
                    self.ns.ip(&format!("link set {link} up"));
                }
                tap
            }
            ByHand::TcFilter => {
                let tap = open_tap(&ns).await?;
                self.ns.ip("link set tap0 up");
                for (from, to) in [("eth0", "tap0"), ("tap0", "eth0")] {
                    self.ns.run(&format!("tc qdisc add dev {from} ingress"));
                    self.ns.run(&format!(
                        "tc filter add dev {from} parent ffff: protocol all u32 match u8 0 0 \
                         action mirred egress redirect dev {to}"
                    ));
                }
                tap
            }
            ByHand::Macvtap => {
                self.ns.ip("link add link eth0 name mvt0 type macvtap mode passthru");
                self.ns.ip("link set mvt0 up");
                let shown = self.ns.ip("-o link show mvt0");
                let index = shown.split(':').next().unwrap_or_default().parse()?;
                ns.run(async move |_: &Inside| tap::open_macvtap("mvt0", index)).await??
            }
        };
        let mut network = vec![tap];
        if recipe.network.len() > 1 {
            network.push(tap::open_vhost_net()?);
        }
        if recipe.network.len() != network.len() {
            return Err(format!("the machine inherits {:?} for its network", recipe.network).into());
        }
        Ok(Wires { netns: Some(ns.as_fd().try_clone_to_owned()?), network })
    }
}

async fn open_tap(ns: &NetNs) -> Result<OwnedFd, Failure> {
    Ok(ns.run(async |_: &Inside| tap::open("tap0", TapOptions::default())).await??)
}
