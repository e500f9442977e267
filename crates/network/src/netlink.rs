//! What the rest of the crate asks of rtnetlink: links by index and by name, and the kernel's errors as such.
#![expect(clippy::wildcard_enum_match_arm, reason = "netlink's lists grow with each kernel")]

use std::io;

use futures::TryStreamExt as _;
use netlink_packet_route::link::{AfSpecInet6, AfSpecUnspec, In6AddrGenMode, LinkAttribute, LinkMessage};
use rtnetlink::{Handle, LinkUnspec};

use crate::NetworkError;

/// The kernel's error number in an answer, as an I/O error.
pub(crate) fn io_error(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(message) => {
            message.code.map_or_else(|| io::Error::other("an error without a number"), |_| message.to_io())
        }
        other => io::Error::other(other),
    }
}

/// For `map_err`: what was tried on which link.
pub(crate) fn link_error(
    action: &'static str,
    link: &str,
    index: u32,
) -> impl FnOnce(rtnetlink::Error) -> NetworkError + use<> {
    let wrap = NetworkError::link(action, link, index);
    move |error| wrap(io_error(error))
}

/// Whether the kernel said that something is not there.
pub(crate) fn is_absent(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let absent = [Errno::NODEV, Errno::NOENT, Errno::NXIO].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|code| absent.contains(&code))
}

/// The link with this index, if there is one.
pub(crate) async fn by_index(handle: &Handle, index: u32) -> io::Result<Option<LinkMessage>> {
    let found = handle.link().get().match_index(index).execute().try_next().await;
    present(found.map_err(io_error))
}

/// The link with this name, if there is one.
pub(crate) async fn by_name(handle: &Handle, name: &str) -> io::Result<Option<LinkMessage>> {
    let found = handle.link().get().match_name(name).execute().try_next().await;
    present(found.map_err(io_error))
}

fn present(found: io::Result<Option<LinkMessage>>) -> io::Result<Option<LinkMessage>> {
    match found {
        Err(error) if is_absent(&error) => Ok(None),
        other => other,
    }
}

/// A link's name.
pub(crate) fn name(link: &LinkMessage) -> Option<&str> {
    link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.as_str()),
        _ => None,
    })
}

/// Keeps the kernel from giving a link an IPv6 address of its own: it is nothing but a wire. A kernel without IPv6 has
/// nothing to be kept from.
pub(crate) async fn no_own_addresses(handle: &Handle, index: u32) -> io::Result<()> {
    let mode = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
    let specs = LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![mode])]);
    let change = LinkUnspec::new_with_index(index).append_extra_attribute(specs).build();
    let unsupported =
        [rustix::io::Errno::AFNOSUPPORT, rustix::io::Errno::OPNOTSUPP, rustix::io::Errno::INVAL];
    match handle.link().set(change).execute().await.map_err(io_error) {
        Err(error) if !unsupported.iter().any(|it| error.raw_os_error() == Some(it.raw_os_error())) => {
            Err(error)
        }
        _ => Ok(()),
    }
}
