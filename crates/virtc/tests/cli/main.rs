//! The real `virtc`, as a user calls it. Everything below `vm_` boots real machines and needs root, QEMU, vc-virtiofsd
//! and a guest image in build/guest (or where `VC_GUEST_DIR` says); all need Debian's
//! busybox-static. What is missing fails the test that needs it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "what tests share fails the test")]

mod answers;
mod bad_input;
mod bad_network;
mod bad_verbs;
mod gc;
mod pty;
mod stage;
mod vm_attend;
mod vm_copy;
mod vm_failures;
mod vm_lifecycle;
mod vm_network;
mod vm_run;
mod vm_terminal;
mod vm_watch;
