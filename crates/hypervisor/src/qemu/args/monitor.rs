//! The two QMP monitors: one for the launcher, one for every other process.

use super::{Args, Fd, Props};

pub(in crate::qemu) fn add(args: &mut Args) {
    for (id, fd) in [("qmp", Fd::Qmp), ("control", Fd::Control)] {
        let chardev = Props::new("socket")
            .with("id", id)
            .with("fd", fd.number())
            .with("server", "on")
            .with("wait", "off");
        args.props("-chardev", chardev);
        args.props("-mon", Props::first("chardev", id).with("mode", "control"));
    }
}
