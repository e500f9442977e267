//! The traffic control model: a tap, and on tap and link an ingress qdisc with filters that lead each frame out on the
//! other side. Link and guest have the same hardware address; the namespace itself hears nothing on the link any more.
#![expect(clippy::wildcard_enum_match_arm, reason = "netlink's lists grow with each kernel")]

use std::{io, os::fd::OwnedFd};

use futures::TryStreamExt as _;
use netlink_packet_route::tc::{
    TcAction, TcActionAttribute, TcActionMirror, TcActionMirrorOption, TcActionOption, TcActionType,
    TcAttribute, TcFilterU32Option, TcHandle, TcMessage, TcMirror, TcMirrorActionType, TcOption, TcU32Key,
    TcU32Selector, TcU32SelectorFlags,
};
use rtnetlink::{Handle, LinkUnspec};
use virtcontainers_sys::tap::{self, TapOptions};

use super::{Join, index_of, present};
use crate::{NetworkError, endpoint::Properties, netlink};

/// Protocols of frames, as filters name them (`ETH_P_*`).
const ALL: u16 = 0x0003;
const TAGGED: [u16; 2] = [0x8100, 0x88a8];

/// Where filters of an ingress qdisc hang.
const INGRESS_FILTERS: u32 = 0xffff_0000;

pub(super) async fn attach(
    handle: &Handle,
    link: &Properties,
    join: &Join,
) -> Result<Vec<OwnedFd>, NetworkError> {
    present(handle, link).await?;
    let multi_queue = join.queues.pairs > 1;
    let taps = join
        .queues
        .open(|queue| tap::open(&join.tap, TapOptions { multi_queue, exclusive: queue == 0, bare: false }));
    // From here on: the tap ends with its descriptors, and all that hangs on it.
    let taps = taps.map_err(NetworkError::link("open a tap for the traffic", &link.name, link.index))?;
    let tap = index_of(handle, &join.tap).await?;
    let quiet = netlink::no_own_addresses(handle, tap).await;
    quiet.map_err(NetworkError::link("turn off the own addresses", &join.tap, tap))?;
    let up = LinkUnspec::new_with_index(tap).mtu(link.mtu).up().build();
    let done = handle.link().set(up).execute().await;
    done.map_err(netlink::link_error("bring up", &join.tap, tap))?;
    let done = add_ingress(handle, tap).await;
    done.map_err(NetworkError::link("add the ingress qdisc", &join.tap, tap))?;
    let done = redirect(handle, tap, link.index, join.mark, 1).await;
    done.map_err(NetworkError::link("add the filter", &join.tap, tap))?;
    claim(handle, link, tap, join).await?;
    Ok(taps)
}

/// The link's side: last, for it is the only one that does not go away by itself.
async fn claim(handle: &Handle, link: &Properties, tap: u32, join: &Join) -> Result<(), NetworkError> {
    match add_ingress(handle, link.index).await {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::EXIST.raw_os_error()) => {
            return Err(NetworkError::IngressTaken { link: link.name.clone() });
        }
        done => done.map_err(NetworkError::link("add the ingress qdisc", &link.name, link.index))?,
    }
    let filtered = lead(handle, link.index, tap, join).await;
    if filtered.is_err()
        && let Err(error) = delete_ingress(handle, link.index).await
    {
        tracing::warn!(link = link.name, %error, "an ingress qdisc is left behind");
    }
    filtered.map_err(NetworkError::link("add the filters", &link.name, link.index))
}

async fn lead(handle: &Handle, link: u32, tap: u32, join: &Join) -> io::Result<()> {
    let mut priority = 1;
    for protocol in TAGGED.into_iter().filter(|_| join.spare_tagged) {
        add_filter(handle, link, protocol, priority, &[mark(join.mark), everything()]).await?;
        priority += 1;
    }
    redirect(handle, link, tap, join.mark, priority).await
}

async fn redirect(handle: &Handle, from: u32, to: u32, marked: u32, priority: u16) -> io::Result<()> {
    let options = [mark(marked), everything(), TcFilterU32Option::Action(vec![out_on(to)])];
    add_filter(handle, from, ALL, priority, &options).await
}

async fn add_filter(
    handle: &Handle,
    link: u32,
    protocol: u16,
    priority: u16,
    options: &[TcFilterU32Option],
) -> io::Result<()> {
    let mut filters = handle.traffic_filter(link.cast_signed());
    let filter = filters.add().parent(INGRESS_FILTERS).priority(priority).protocol(protocol.to_be());
    filter.u32(options).map_err(netlink::io_error)?.execute().await.map_err(netlink::io_error)
}

/// A class that no ingress qdisc has: it changes nothing, and names the maker.
fn mark(mark: u32) -> TcFilterU32Option {
    TcFilterU32Option::ClassId(TcHandle::from(mark))
}

/// Matches each frame.
fn everything() -> TcFilterU32Option {
    let mut selector = TcU32Selector::default();
    selector.flags = TcU32SelectorFlags::Terminal;
    selector.nkeys = 1;
    selector.keys = vec![TcU32Key::default()];
    TcFilterU32Option::Selector(selector)
}

/// Sends a frame out on another link, and ends its way here.
fn out_on(link: u32) -> TcAction {
    let mut mirror = TcMirror::default();
    mirror.generic.action = TcActionType::Stolen;
    mirror.eaction = TcMirrorActionType::EgressRedir;
    mirror.ifindex = link;
    let mut action = TcAction::default();
    action.attributes = vec![
        TcActionAttribute::Kind(TcActionMirror::KIND.to_owned()),
        TcActionAttribute::Options(vec![TcActionOption::Mirror(TcActionMirrorOption::Parms(mirror))]),
    ];
    action
}

async fn add_ingress(handle: &Handle, link: u32) -> io::Result<()> {
    handle.qdisc().add(link.cast_signed()).ingress().execute().await.map_err(netlink::io_error)
}

async fn delete_ingress(handle: &Handle, link: u32) -> io::Result<()> {
    let mut request = handle.qdisc().del(link.cast_signed());
    request.message_mut().header.parent = TcHandle::INGRESS;
    match request.execute().await.map_err(netlink::io_error) {
        Err(error) if !netlink::is_absent(&error) => Err(error),
        _ => Ok(()),
    }
}

/// Takes the ingress qdisc off the link, if it is ours: its filters bear the mark, or it has none yet.
pub(super) async fn clear(handle: &Handle, link: u32, join: &Join) -> Result<(), NetworkError> {
    let failed =
        |error| NetworkError::link("remove the ingress qdisc", &format!("number {link}"), link)(error);
    if has_ingress(handle, link).await.map_err(failed)? {
        let marks = marks(handle, link).await.map_err(failed)?;
        if marks.is_empty() || marks.contains(&Some(join.mark)) {
            delete_ingress(handle, link).await.map_err(failed)?;
        }
    }
    Ok(())
}

async fn has_ingress(handle: &Handle, link: u32) -> io::Result<bool> {
    let qdiscs: Vec<TcMessage> =
        listed(handle.qdisc().get().index(link.cast_signed()).execute().try_collect().await)?;
    // A kernel may list those of other links too.
    Ok(qdiscs.iter().any(|qdisc| {
        qdisc.header.index == link.cast_signed()
            && qdisc.attributes.iter().any(|it| matches!(it, TcAttribute::Kind(kind) if kind == "ingress"))
    }))
}

/// The mark of each filter at the link's ingress.
async fn marks(handle: &Handle, link: u32) -> io::Result<Vec<Option<u32>>> {
    let mut request = handle.traffic_filter(link.cast_signed());
    let filters: Vec<TcMessage> = listed(request.get().root().execute().try_collect().await)?;
    Ok(filters.iter().map(mark_of).collect())
}

/// A list of what hangs on a link that is gone is empty.
fn listed<T>(found: Result<Vec<T>, rtnetlink::Error>) -> io::Result<Vec<T>> {
    match found.map_err(netlink::io_error) {
        Err(error) if netlink::is_absent(&error) => Ok(Vec::new()),
        other => other,
    }
}

fn mark_of(filter: &TcMessage) -> Option<u32> {
    let options = filter.attributes.iter().find_map(|attribute| match attribute {
        TcAttribute::Options(options) => Some(options),
        _ => None,
    })?;
    options.iter().find_map(|option| match option {
        TcOption::U32(TcFilterU32Option::ClassId(class)) => Some(u32::from(*class)),
        _ => None,
    })
}
