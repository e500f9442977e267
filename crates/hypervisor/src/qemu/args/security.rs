//! What QEMU may ask of the kernel, and how much it tells.

use super::{Args, Props};
use crate::spec::VmSpec;

pub(in crate::qemu) fn add(args: &mut Args, spec: &VmSpec) {
    if spec.seccomp {
        // The strictest set that QEMU offers: no other program, no other user, no change of affinity or priority.
        let sandbox = Props::new("on")
            .with("obsolete", "deny")
            .with("elevateprivileges", "deny")
            .with("spawn", "deny")
            .with("resourcecontrol", "deny");
        args.props("-sandbox", sandbox);
    }
    if spec.debug {
        args.raw("-msg", "timestamp=on,guest-name=on");
    }
}
