//! What this process may do on the host, and what of this library that leaves.

use std::fmt;

use serde::Serialize;
use virtcontainers_sys::privilege;

/// The privileges of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Privileges {
    /// It is root, on the host or in its user namespace.
    pub root: bool,
    /// It is in a user namespace below the host's.
    pub user_namespace: bool,
    /// It may mount, in the mount namespace in which it is.
    pub mounts: bool,
    /// It may make network interfaces in namespaces of its own, and keep these.
    pub networks: bool,
    /// It may make namespaces.
    pub namespaces: bool,
}

/// Something that this library does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Ability {
    /// Containers: their files are bind-mounted for the guest to see.
    Containers,
    /// A network: namespaces, taps and traffic filters.
    Networks,
}

/// Something that this process cannot do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Refusal {
    /// What is refused.
    pub ability: Ability,
    /// Why.
    pub why: &'static str,
}

impl fmt::Display for Ability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Containers => "containers",
            Self::Networks => "networks",
        })
    }
}

impl Privileges {
    /// Asks the kernel. What it does not tell counts as not allowed.
    #[must_use]
    pub fn look() -> Self {
        let capabilities = privilege::effective_capabilities().unwrap_or(0);
        let has = |capability: u32| capabilities & (1 << capability) != 0;
        let owns = |kind| privilege::owns_namespace(kind).unwrap_or(false);
        let admin = has(privilege::SYS_ADMIN);
        Self {
            root: rustix::process::geteuid().is_root(),
            user_namespace: privilege::in_user_namespace().unwrap_or(false),
            mounts: admin && owns("mnt"),
            networks: admin && has(privilege::NET_ADMIN) && owns("mnt"),
            namespaces: admin,
        }
    }

    /// What this process cannot do, with the reason; empty for root on the host.
    #[must_use]
    pub fn refused(&self) -> Vec<Refusal> {
        let mut refused = Vec::new();
        let mut refuse = |ability, why| refused.push(Refusal { ability, why });
        // Capabilities, and not over what they are needed for.
        let foreign = self.namespaces;
        if !self.mounts {
            refuse(
                Ability::Containers,
                if foreign {
                    "their files are bind-mounted for the guest to see, and this mount namespace belongs to the host: \
                     make one together with the user namespace (unshare -Urm)"
                } else {
                    "their files are bind-mounted for the guest to see, which takes CAP_SYS_ADMIN: be root (sudo)"
                },
            );
        }
        if !self.networks {
            refuse(
                Ability::Networks,
                if foreign {
                    "taps and filters are made in network namespaces that are kept as mounts, and this mount namespace \
                     belongs to the host: make one together with the user namespace (unshare -Urm)"
                } else {
                    "taps and filters are made in network namespaces that are kept as mounts, which takes CAP_SYS_ADMIN \
                     and CAP_NET_ADMIN: be root (sudo)"
                },
            );
        }
        refused
    }

    /// Why this process cannot do something, if it cannot.
    #[must_use]
    pub fn refusal(&self, ability: Ability) -> Option<Refusal> {
        self.refused().into_iter().find(|refusal| refusal.ability == ability)
    }
}

#[cfg(test)]
mod tests;
