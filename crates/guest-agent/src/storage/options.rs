//! Mount options as fstab(5) writes them.

use rustix::mount::MountFlags;

/// Options, sorted into what mount(2) takes as flags and what the file system takes as data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountOptions {
    /// Flags.
    pub flags: MountFlags,
    /// The rest, in order.
    pub data: Vec<String>,
    /// Whether a bind takes the mounts below with it (`rbind`).
    pub recursive: bool,
}

const FLAGS: [(&str, MountFlags); 9] = [
    ("ro", MountFlags::RDONLY),
    ("nosuid", MountFlags::NOSUID),
    ("nodev", MountFlags::NODEV),
    ("noexec", MountFlags::NOEXEC),
    ("noatime", MountFlags::NOATIME),
    ("nodiratime", MountFlags::NODIRATIME),
    ("relatime", MountFlags::RELATIME),
    ("strictatime", MountFlags::STRICTATIME),
    ("sync", MountFlags::SYNCHRONOUS),
];

/// What unsets a flag, or says nothing.
const PLAIN: [(&str, MountFlags); 6] = [
    ("rw", MountFlags::RDONLY),
    ("suid", MountFlags::NOSUID),
    ("dev", MountFlags::NODEV),
    ("exec", MountFlags::NOEXEC),
    ("defaults", MountFlags::empty()),
    ("bind", MountFlags::empty()),
];

/// Sorts `options`; later ones win.
#[must_use]
pub fn parse(options: &[String]) -> MountOptions {
    let mut parsed = MountOptions { flags: MountFlags::empty(), data: Vec::new(), recursive: false };
    // Kata joins some options with commas.
    for option in options.iter().flat_map(|option| option.split(',')).filter(|option| !option.is_empty()) {
        if let Some((_, flag)) = FLAGS.iter().find(|(name, _)| *name == option) {
            parsed.flags |= *flag;
        } else if let Some((_, flag)) = PLAIN.iter().find(|(name, _)| *name == option) {
            parsed.flags &= !*flag;
        } else if option == "rbind" {
            parsed.recursive = true;
        } else {
            parsed.data.push(option.to_owned());
        }
    }
    parsed
}
