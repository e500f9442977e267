//! Shared directories.

use super::{Args, Platform, Props, path, socket, text};
use crate::{error::InvalidSpec, spec::Share};

/// The longest tag of virtio-fs, in bytes (virtio specification, 5.11.4).
const LONGEST_FS_TAG: usize = 36;
/// The longest tag of 9p, in bytes (QEMU's `MAX_TAG_LEN`, less its end).
const LONGEST_9P_TAG: usize = 31;

pub(in crate::qemu) fn add(args: &mut Args, shares: &[Share], platform: Platform) -> Result<(), InvalidSpec> {
    for (number, share) in shares.iter().enumerate() {
        let id = format!("share{number}");
        match share {
            Share::VirtioFs { tag, socket: name, cache } => {
                let chardev =
                    Props::new("socket").with("id", &id).with("path", socket("virtio-fs socket", name)?);
                args.props("-chardev", chardev);
                let device = platform.device("vhost-user-fs").with("chardev", &id);
                let device = device.with("tag", mount_tag(tag, LONGEST_FS_TAG)?).with("queue-size", 1024);
                // Only a QEMU with the patches for a DAX window knows this property; another one says that it does not.
                let device =
                    if cache.0 > 0 { device.with("cache-size", format!("{}M", cache.0)) } else { device };
                args.props("-device", device);
            }
            Share::NineP { tag, path: dir } => {
                // `none` is `passthrough` that puts up with a VMM that may not chown. `remap` keeps files of several
                // filesystems apart, of which the directory of bind mounts is made.
                let fsdev = Props::new("local")
                    .with("id", &id)
                    .with("path", path("shared directory", dir)?)
                    .with("security_model", "none")
                    .with("multidevs", "remap");
                args.props("-fsdev", fsdev);
                let device = platform.device("virtio-9p").with("fsdev", &id);
                args.props("-device", device.with("mount_tag", mount_tag(tag, LONGEST_9P_TAG)?));
            }
        }
    }
    Ok(())
}

fn mount_tag(tag: &str, longest: usize) -> Result<&str, InvalidSpec> {
    if tag.len() > longest {
        let why = "it is too long: 36 bytes are the most for virtio-fs, 31 for 9p";
        return Err(InvalidSpec::Text { what: "mount tag", text: tag.to_owned(), why });
    }
    text("mount tag", tag)
}
