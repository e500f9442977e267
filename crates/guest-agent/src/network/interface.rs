//! Finding an interface, and making it what the host describes.

use std::{io, path::PathBuf, time::Duration};

use tokio::time::{Instant, timeout_at};
use virtcontainers_types::net::{Interface, MacAddr};

use super::{
    NetworkError, address,
    link::{self, Change, Link},
    netlink::Netlink,
    pci, route,
};
use crate::sys::uevent::Uevents;

/// How long a device that is being plugged in may take to show up.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where to look for devices, and for how long.
#[derive(Debug, Clone)]
pub struct Search {
    /// [`pci::DEVICES`].
    pub devices: PathBuf,
    /// Where interfaces are shown by their names.
    pub class: PathBuf,
    /// How long.
    pub patience: Duration,
}

impl Default for Search {
    fn default() -> Self {
        Self { devices: pci::DEVICES.into(), class: "/sys/class/net".into(), patience: PATIENCE }
    }
}

/// The guest's interfaces but the loopback one, with all their addresses.
///
/// # Errors
/// [`NetworkError::Kernel`].
pub fn list(search: &Search) -> Result<Vec<Interface>, NetworkError> {
    let doing = || "list the guest's interfaces".to_owned();
    let list = || -> io::Result<_> {
        let mut netlink = Netlink::open()?;
        Ok((link::all(&mut netlink)?, address::all(&mut netlink)?))
    };
    let (links, addresses) = list().map_err(NetworkError::kernel(doing))?;
    let links = links.into_iter().filter(|link| !link.is_loopback());
    let interfaces = links.map(|link| Interface {
        device: String::new(),
        addresses: addresses.iter().filter(|held| held.link == link.index).map(|held| held.net).collect(),
        pci_path: pci::path_of(&search.class, &link.name),
        mac: link.mac,
        mtu: link.mtu,
        raw_flags: link.flags & link::NOARP,
        kind: link.kind,
        name: link.name,
    });
    Ok(interfaces.collect())
}

/// Waits for the interface and makes it what is `wanted`. What it then is comes back, with the addresses that were asked
/// for; where the host described what only it knows, its words.
///
/// # Errors
/// [`NetworkError`]. What was done by then stays: the same request again goes on from there.
pub async fn update(wanted: Interface, search: &Search) -> Result<Interface, NetworkError> {
    let mut link = find(&wanted, search).await?;
    // From here on nothing waits, so requests do not meet half-way.
    let name = &wanted.name;
    let mut netlink =
        Netlink::open().map_err(NetworkError::kernel(|| format!("open a netlink socket for {name}")))?;
    if link.name != *name {
        let doing = || format!("rename interface {} to {name}", link.name);
        take_name(&mut netlink, &link, name).map_err(NetworkError::kernel(doing))?;
    }
    if wanted.mtu > 0 && wanted.mtu != link.mtu {
        let change = Change { mtu: Some(wanted.mtu), ..Change::default() };
        let doing = || format!("set the MTU of interface {name} to {}", wanted.mtu);
        link::set(&mut netlink, link.index, change).map_err(NetworkError::kernel(doing))?;
        link.mtu = wanted.mtu;
    }
    replace_addresses(&mut netlink, &link, &wanted)?;
    let noarp = wanted.raw_flags & link::NOARP != 0;
    let change = Change { up: Some(true), noarp: Some(noarp), ..Change::default() };
    link::set(&mut netlink, link.index, change)
        .map_err(NetworkError::kernel(|| format!("set interface {name} up")))?;
    Ok(Interface { mac: link.mac, mtu: link.mtu, raw_flags: u32::from(noarp) * link::NOARP, ..wanted })
}

/// The link that a description means, as soon as it is there.
async fn find(wanted: &Interface, search: &Search) -> Result<Link, NetworkError> {
    if let Some(link) = look(wanted, search)? {
        return Ok(link);
    }
    let watching = || "watch for network devices".to_owned();
    let changes = Uevents::of_links().map_err(NetworkError::kernel(watching))?;
    let deadline = Instant::now() + search.patience;
    loop {
        if let Some(link) = look(wanted, search)? {
            return Ok(link);
        }
        let changed = timeout_at(deadline, changes.next()).await;
        if changed.is_err() || Instant::now() >= deadline {
            let what = match &wanted.pci_path {
                Some(path) => format!("at PCI path {path}"),
                None => format!("with hardware address {}", wanted.mac),
            };
            return Err(NetworkError::NoDevice { what, patience: search.patience });
        }
        if let Ok(changed) = changed {
            changed.map_err(NetworkError::kernel(watching))?;
        }
    }
}

/// One look, whether the link is there.
fn look(wanted: &Interface, search: &Search) -> Result<Option<Link>, NetworkError> {
    let doing = || format!("look for interface {}", wanted.name);
    let links = Netlink::open().and_then(|mut netlink| link::all(&mut netlink));
    let links = links.map_err(NetworkError::kernel(doing))?;
    let mut links = links.into_iter().filter(|link| !link.is_loopback());
    let Some(path) = &wanted.pci_path else {
        let same = links.filter(|link| link.mac == wanted.mac);
        // A device itself, rather than what somebody has put on top of it with its address.
        return Ok(same.min_by_key(|link| (!link.kind.is_empty(), link.index)));
    };
    let index = pci::interface(&search.devices, path).map_err(NetworkError::kernel(doing))?;
    let Some(link) = links.find(|link| Some(link.index) == index) else { return Ok(None) };
    if wanted.mac != MacAddr([0; 6]) && wanted.mac != link.mac {
        let (path, has, wanted) = (path.to_string(), link.mac.to_string(), wanted.mac.to_string());
        return Err(NetworkError::OtherDevice { path, has, wanted });
    }
    Ok(Some(link))
}

/// Gives a link a name. Another one that has it gets the link's in exchange.
fn take_name(netlink: &mut Netlink, link: &Link, name: &str) -> io::Result<()> {
    let holder = link::all(netlink)?.into_iter().find(|other| other.name == name);
    let Some(holder) = holder else { return rename(netlink, link, name) };
    let between = format!("vc-rename{}", link.index % 100_000);
    rename(netlink, link, &between)?;
    let exchange = rename(netlink, &holder, &link.name).and_then(|()| rename(netlink, link, name));
    if exchange.is_err() {
        // The first failure is the one to tell.
        rename(netlink, link, &link.name).ok();
    }
    exchange
}

/// Renames a link. Kernels before 6.2 do it only while the link is down, which costs it its routes and its IPv6
/// addresses: they are given back.
fn rename(netlink: &mut Netlink, link: &Link, name: &str) -> io::Result<()> {
    let to_name = Change { name: Some(name), ..Change::default() };
    match link::set(netlink, link.index, to_name) {
        Err(error) if link.is_up() && error.kind() == io::ErrorKind::ResourceBusy => {}
        outcome => return outcome,
    }
    let addresses = address::all(netlink)?;
    let held = addresses.iter().filter(|held| held.link == link.index && !held.is_kernels());
    let routes = route::over(netlink, link.index)?;
    let up = |up| Change { up: Some(up), ..Change::default() };
    link::set(netlink, link.index, up(false))?;
    let renamed = link::set(netlink, link.index, to_name);
    link::set(netlink, link.index, up(true))?;
    for held in held {
        match address::add(netlink, link.index, held.net) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    route::give_back(netlink, &routes)?;
    renamed
}

/// Takes away what is not wanted, then adds what is missing.
fn replace_addresses(netlink: &mut Netlink, link: &Link, wanted: &Interface) -> Result<(), NetworkError> {
    let name = &wanted.name;
    let held = |netlink: &mut Netlink| {
        let all =
            address::all(netlink).map_err(NetworkError::kernel(|| format!("list addresses of {name}")))?;
        Ok::<_, NetworkError>(all.into_iter().filter(|held| held.link == link.index).collect::<Vec<_>>())
    };
    let before = held(netlink)?;
    let surplus = before.iter().filter(|held| !held.is_kernels() && !wanted.addresses.contains(&held.net));
    for surplus in surplus {
        let doing = || format!("remove address {} from interface {name}", surplus.net);
        address::remove(netlink, link.index, surplus.net).map_err(NetworkError::kernel(doing))?;
    }
    // The first address of a network takes the others of it along.
    let left = held(netlink)?;
    for net in wanted.addresses.iter().filter(|net| !left.iter().any(|held| held.net == **net)) {
        let doing = || format!("add address {net} to interface {name}");
        address::add(netlink, link.index, *net).map_err(NetworkError::kernel(doing))?;
    }
    Ok(())
}
