//! Entropy from the host.

use super::{Args, Platform, Props, path};
use crate::{error::InvalidSpec, spec::VmSpec};

pub(in crate::qemu) fn add(args: &mut Args, spec: &VmSpec, platform: Platform) -> Result<(), InvalidSpec> {
    let Some(source) = &spec.entropy else { return Ok(()) };
    let object =
        Props::new("rng-random").with("id", "entropy").with("filename", path("entropy source", source)?);
    args.props("-object", object);
    args.props("-device", platform.device("virtio-rng").with("rng", "entropy"));
    Ok(())
}
