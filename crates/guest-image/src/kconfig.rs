//! A kernel's build configuration, as distributions ship it beside the kernel.

use std::collections::BTreeSet;

/// What a guest needs of its kernel and no module can bring. Meanings: the kernel's Kconfig files.
const ESSENTIAL: &[&str] = &[
    "CONFIG_64BIT",
    "CONFIG_BINFMT_ELF",
    "CONFIG_BLK_DEV_INITRD",
    "CONFIG_CGROUPS",
    "CONFIG_DEVTMPFS",
    "CONFIG_IPC_NS",
    "CONFIG_NAMESPACES",
    "CONFIG_NET",
    "CONFIG_NET_NS",
    "CONFIG_PID_NS",
    "CONFIG_PROC_FS",
    "CONFIG_SECCOMP",
    "CONFIG_SECCOMP_FILTER",
    "CONFIG_SYSFS",
    "CONFIG_TMPFS",
    "CONFIG_UTS_NS",
];

/// The options that are built in (`=y`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KernelConfig {
    built_in: BTreeSet<String>,
}

impl KernelConfig {
    /// Reads `CONFIG_X=y` lines; whatever else is there does not matter here.
    pub(crate) fn parse(text: &str) -> Self {
        let built_in = text.lines().filter_map(|line| line.trim().strip_suffix("=y"));
        Self { built_in: built_in.map(str::to_owned).collect() }
    }

    pub(crate) fn has(&self, option: &str) -> bool {
        self.built_in.contains(option)
    }

    /// The essential options that are not built in.
    pub(crate) fn missing_essentials(&self) -> Vec<&'static str> {
        ESSENTIAL.iter().copied().filter(|option| !self.has(option)).collect()
    }
}
