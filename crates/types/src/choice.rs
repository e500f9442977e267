//! Closed sets of choices, each with the name that configuration files, records and command lines use.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A name that is none of a set's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{found:?} is no {what}: use one of {allowed}")]
pub struct UnknownChoice {
    /// What was to be chosen.
    pub what: &'static str,
    /// The name given.
    pub found: String,
    /// The names allowed, separated by commas.
    pub allowed: String,
}

macro_rules! choice {
    ($(#[$doc:meta])* $name:ident, $what:literal, { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every choice, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name in configuration and records.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownChoice;
            fn from_str(text: &str) -> Result<Self, UnknownChoice> {
                Self::ALL.iter().copied().find(|choice| choice.as_str() == text).ok_or_else(|| UnknownChoice {
                    what: $what,
                    found: text.to_owned(),
                    allowed: [$($text),+].join(", "),
                })
            }
        }

        impl TryFrom<String> for $name {
            type Error = UnknownChoice;
            fn try_from(text: String) -> Result<Self, UnknownChoice> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(choice: $name) -> String {
                choice.as_str().to_owned()
            }
        }
    };
}

choice! {
    /// The virtual machine monitor of a sandbox.
    HypervisorKind, "hypervisor", {
        /// QEMU.
        #[default] Qemu = "qemu",
        /// Cloud Hypervisor.
        CloudHypervisor = "cloud-hypervisor",
        /// Firecracker.
        Firecracker = "firecracker",
        /// ACRN.
        Acrn = "acrn",
        /// The scriptable mock for tests.
        Mock = "mock",
    }
}
choice! {
    /// QEMU machine types (QEMU `-machine`).
    MachineType, "machine type", {
        /// Intel Q35 chipset with PCI Express, x86-64.
        #[default] Q35 = "q35",
        /// Intel 440FX chipset, x86-64.
        Pc = "pc",
        /// Minimal machine with virtio-mmio, x86-64.
        Microvm = "microvm",
        /// Generic virtual machine, aarch64.
        Virt = "virt",
        /// POWER server, ppc64le.
        Pseries = "pseries",
        /// IBM Z with the virtio channel, s390x.
        S390CcwVirtio = "s390-ccw-virtio",
    }
}
choice! {
    /// What runs the guest's instructions.
    AcceleratorChoice, "accelerator", {
        /// KVM where it can run guests, TCG with a warning elsewhere.
        #[default] Auto = "auto",
        /// The kernel's virtual machine; an error where it cannot run guests.
        Kvm = "kvm",
        /// QEMU's own translator.
        Tcg = "tcg",
    }
}
choice! {
    /// The agent inside the virtual machine.
    AgentKind, "agent", {
        /// An agent that speaks the Kata agent protocol: our own `vc-agent`, or the kata-agent.
        #[default] Kata = "kata",
        /// No agent: every call succeeds and does nothing.
        Noop = "noop",
    }
}
choice! {
    /// What stands between the host and the agent's stream.
    ProxyKind, "proxy", {
        /// Decided by the transport: none for vsock, a proxy process for virtio-serial.
        #[default] Auto = "auto",
        /// Nothing: the transport serves many connections itself.
        None = "none",
        /// A process of its own that multiplexes one virtio-serial port.
        Kata = "kata",
        /// The same multiplexer inside this process.
        KataBuiltIn = "kata-built-in",
        /// Nothing, for the noop agent.
        Noop = "noop",
    }
}
choice! {
    /// What stands on the host for a process in the guest.
    ShimKind, "shim", {
        /// Nothing.
        Noop = "noop",
        /// A process of its own.
        Kata = "kata",
        /// The caller, with the process's streams in its hands.
        #[default] KataBuiltIn = "kata-built-in",
    }
}
choice! {
    /// How the guest sees the host's directories.
    SharedFs, "shared filesystem", {
        /// virtio-fs, served by virtiofsd.
        #[default] VirtioFs = "virtio-fs",
        /// 9p over virtio, served by QEMU itself.
        Virtio9p = "virtio-9p",
    }
}
choice! {
    /// The stream between host and agent. DESIGN order: vsock, hybrid vsock, virtio-serial.
    Transport, "transport", {
        /// The first one that this host can serve.
        #[default] Auto = "auto",
        /// The kernel's vsock (`/dev/vhost-vsock`).
        Vsock = "vsock",
        /// A Unix socket that leads to the guest's vsock, served by the VMM or by our device beside it.
        HybridVsock = "hybrid-vsock",
        /// One virtio-serial port, multiplexed with yamux by a proxy.
        VirtioSerial = "virtio-serial",
    }
}
choice! {
    /// How a container network interface is joined to the virtual machine.
    NetInterworkingModel, "interworking model", {
        /// The library's choice.
        #[default] Default = "default",
        /// Traffic control filters between interface and tap.
        TcFilter = "tcfilter",
        /// A macvtap on top of the interface.
        Macvtap = "macvtap",
        /// Nothing: the caller joins them.
        None = "none",
    }
}
