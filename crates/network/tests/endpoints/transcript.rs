//! What the kernel announces while an endpoint comes and goes: links, queueing disciplines and filters, a line each.
//!
//! `VC_REGENERATE=1` rewrites the golden files; review them as code.
#![expect(clippy::wildcard_enum_match_arm, reason = "netlink's lists grow with each kernel")]

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path, time::Duration};

use futures::{Stream, StreamExt as _};
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{LinkAttribute, LinkFlags, LinkMessage},
    tc::{
        TcActionAttribute, TcActionMirrorOption, TcActionOption, TcAttribute, TcFilterU32Option, TcMessage,
        TcOption,
    },
};
use rtnetlink::{
    MulticastGroup,
    packet_core::{NetlinkMessage, NetlinkPayload},
};
use virtcontainers_network::{Inside, NetNs};
use virtcontainers_testkit::TestNetNs;

/// The link whose coming ends a transcript.
const END: &str = "transcript-end";
/// What a link of ours is called here.
const TAP: &str = "TAP";

/// What is announced in `ns` while `work` is done, with the names of links in place of what is random about them.
pub(crate) async fn of(space: &TestNetNs, ns: &NetNs, work: impl AsyncFnOnce()) -> String {
    let (done, is_done) = tokio::sync::oneshot::channel::<()>();
    let (begin, begun) = tokio::sync::oneshot::channel::<()>();
    let reading = ns.run(async move |_: &Inside| {
        let groups = [MulticastGroup::Link, MulticastGroup::Tc];
        let (connection, _handle, messages) = rtnetlink::new_multicast_connection(&groups).unwrap();
        begin.send(()).unwrap();
        let lines = lines(messages);
        tokio::select! {
            lines = lines => lines,
            () = connection => unreachable!("the socket ended"),
        }
    });
    let working = async {
        begun.await.unwrap();
        work().await;
        space.ip(&format!("link add {END} type bridge"));
        space.ip(&format!("link del {END}"));
        done.send(()).ok();
    };
    let (lines, ()) = tokio::join!(tokio::time::timeout(Duration::from_secs(60), reading), working);
    is_done.await.unwrap();
    lines.unwrap().unwrap()
}

async fn lines(
    mut messages: impl Stream<Item = (NetlinkMessage<RouteNetlinkMessage>, rtnetlink::sys::SocketAddr)> + Unpin,
) -> String {
    let mut text = String::new();
    let mut names = BTreeMap::new();
    let mut up = BTreeMap::new();
    while let Some((message, _)) = messages.next().await {
        let NetlinkPayload::InnerMessage(message) = message.payload else { continue };
        let line = match message {
            RouteNetlinkMessage::NewLink(link) if name(&link) == END => break,
            // The link itself changes its state when it likes.
            RouteNetlinkMessage::NewLink(link) if shown(&link) != TAP => continue,
            RouteNetlinkMessage::NewTrafficChain(_) | RouteNetlinkMessage::DelTrafficChain(_) => continue,
            RouteNetlinkMessage::NewLink(link) => {
                let shown = shown(&link);
                names.insert(link.header.index.cast_signed(), shown.clone());
                let now = (link.header.flags.contains(LinkFlags::Up), mtu(&link));
                // It is announced again for each of its states.
                if up.insert(link.header.index, now) == Some(now) {
                    continue;
                }
                format!("link {shown}: {}, mtu {}", if now.0 { "up" } else { "down" }, now.1)
            }
            RouteNetlinkMessage::DelLink(link) => format!("link {}: gone", shown(&link)),
            RouteNetlinkMessage::NewQueueDiscipline(tc) => format!("qdisc {}", queueing(&tc, &names)),
            RouteNetlinkMessage::DelQueueDiscipline(tc) => format!("qdisc {}: gone", queueing(&tc, &names)),
            RouteNetlinkMessage::NewTrafficFilter(tc) => format!("filter {}", filter(&tc, &names)),
            RouteNetlinkMessage::DelTrafficFilter(tc) => format!("filter {}: gone", filter(&tc, &names)),
            other => format!("{other:?}"),
        };
        writeln!(text, "{line}").unwrap();
    }
    text
}

fn name(link: &LinkMessage) -> &str {
    let name = link.attributes.iter().find_map(|it| match it {
        LinkAttribute::IfName(name) => Some(name.as_str()),
        _ => None,
    });
    name.unwrap_or_default()
}

/// The name, or what a name of ours stands for.
fn shown(link: &LinkMessage) -> String {
    let name = name(link);
    if name.starts_with("vctap") { TAP.to_owned() } else { name.to_owned() }
}

fn mtu(link: &LinkMessage) -> u32 {
    let mtu = link.attributes.iter().find_map(|it| match it {
        LinkAttribute::Mtu(mtu) => Some(*mtu),
        _ => None,
    });
    mtu.unwrap_or_default()
}

type Names = BTreeMap<i32, String>;

fn on(index: i32, names: &Names) -> String {
    // A link that was there before is not announced as new.
    names.get(&index).cloned().unwrap_or_else(|| "LINK".to_owned())
}

fn kind(tc: &TcMessage) -> &str {
    let kind = tc.attributes.iter().find_map(|it| match it {
        TcAttribute::Kind(kind) => Some(kind.as_str()),
        _ => None,
    });
    kind.unwrap_or("?")
}

fn queueing(tc: &TcMessage, names: &Names) -> String {
    format!("{} on {}", kind(tc), on(tc.header.index, names))
}

fn filter(tc: &TcMessage, names: &Names) -> String {
    let protocol = u16::from_be((tc.header.info & 0xffff) as u16);
    let mut text = format!(
        "{} on {}: protocol {protocol:#06x}, priority {}",
        kind(tc),
        on(tc.header.index, names),
        tc.header.info >> 16
    );
    let options = tc.attributes.iter().find_map(|it| match it {
        TcAttribute::Options(options) => Some(options.as_slice()),
        _ => None,
    });
    for option in options.unwrap_or_default() {
        match option {
            TcOption::U32(TcFilterU32Option::Selector(selector)) => {
                for key in &selector.keys {
                    write!(text, ", match {:08x}/{:08x}", key.val, key.mask).unwrap();
                }
            }
            TcOption::U32(TcFilterU32Option::ClassId(_)) => text.push_str(", MARK"),
            TcOption::U32(TcFilterU32Option::Action(actions)) => {
                for attribute in actions.iter().flat_map(|action| &action.attributes) {
                    let TcActionAttribute::Options(options) = attribute else { continue };
                    for option in options {
                        if let TcActionOption::Mirror(TcActionMirrorOption::Parms(to)) = option {
                            let to_link = on(to.ifindex.cast_signed(), names);
                            write!(text, ", {:?} to {to_link}, then {:?}", to.eaction, to.generic.action)
                                .unwrap();
                        }
                    }
                }
            }
            _ => {}
        }
    }
    text
}

#[track_caller]
pub(crate) fn golden(name: &str, shown: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("VC_REGENERATE").is_some() {
        fs::write(&file, shown).unwrap();
    }
    let expected = fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{}: {error}: run with VC_REGENERATE=1", file.display()));
    assert_eq!(shown, expected, "{} differs: run with VC_REGENERATE=1 if that is meant", file.display());
}
