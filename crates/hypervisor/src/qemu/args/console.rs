//! The guest's console, on a socket.

use super::{Args, Fd, Props};

/// `-serial` makes the machine's own kind of console: a 16550A, a PL011, a hypervisor terminal, an SCLP line.
pub(in crate::qemu) fn add(args: &mut Args) {
    let chardev = Props::new("socket")
        .with("id", "console")
        .with("fd", Fd::Console.number())
        .with("server", "on")
        .with("wait", "off");
    args.props("-chardev", chardev);
    args.raw("-serial", "chardev:console");
}
