//! Guest memory and what backs it.

use super::{Args, Props, path};
use crate::{error::InvalidSpec, spec::VmSpec};

/// The memory backend's id.
pub(super) const ID: &str = "ram";

pub(in crate::qemu) fn add(args: &mut Args, spec: &VmSpec) -> Result<(), InvalidSpec> {
    let memory = &spec.memory;
    args.raw("-m", format!("{}M", memory.size.0));
    let backend = match (&memory.path, memory.shared) {
        (Some(file), _) => {
            Props::new("memory-backend-file").with("id", ID).with("mem-path", path("memory path", file)?)
        }
        // A memfd can be passed to the processes that map the guest's memory.
        (None, true) => Props::new("memory-backend-memfd").with("id", ID),
        (None, false) => Props::new("memory-backend-ram").with("id", ID),
    };
    let backend = backend.with("size", format!("{}M", memory.size.0));
    let backend = if memory.shared { backend.with("share", "on") } else { backend };
    let backend = if memory.prealloc { backend.with("prealloc", "on") } else { backend };
    args.props("-object", backend);
    Ok(())
}
