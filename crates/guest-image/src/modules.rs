//! Which modules a guest needs, by role, and in what order they load.
//!
//! A role is something the guest can do when its kernel has all the role's parts, each built in or as a module. What a kernel
//! lacks for a role is recorded; it is an error only where no sandbox could run: without virtio over PCI and over MMIO, without
//! any transport to the agent ([`Role::Vsock`], [`Role::Serial`]), or without any shared filesystem ([`Role::VirtioFs`], [`Role::NineP`]).

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::{catalog::Catalog, error::BuildError, kconfig::KernelConfig, manifest::Ability};

/// What modules are for. The order is the order in which a guest loads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Role {
    /// Virtio itself with its PCI and MMIO transports.
    Virtio,
    /// Reaching the agent over virtio-vsock.
    Vsock,
    /// Reaching the agent over a virtio-serial port.
    Serial,
    /// Sharing directories over virtio-fs.
    VirtioFs,
    /// Sharing directories over 9p.
    #[serde(rename = "9p")]
    NineP,
    /// Overlay filesystems.
    Overlay,
    /// Network interfaces over virtio.
    Network,
}

/// One driver of a role.
#[derive(Debug)]
struct Part {
    /// What is missing without it.
    what: &'static str,
    module: &'static str,
    /// The option that builds it.
    option: &'static str,
}

const fn part(what: &'static str, module: &'static str, option: &'static str) -> Part {
    Part { what, module, option }
}

impl Role {
    /// All roles, in loading order.
    pub const ALL: [Self; 7] =
        [Self::Virtio, Self::Vsock, Self::Serial, Self::VirtioFs, Self::NineP, Self::Overlay, Self::Network];

    /// The role's word in `/etc/vc-modules` and in the manifest.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Virtio => "virtio",
            Self::Vsock => "vsock",
            Self::Serial => "serial",
            Self::VirtioFs => "virtiofs",
            Self::NineP => "9p",
            Self::Overlay => "overlay",
            Self::Network => "network",
        }
    }

    const fn parts(self) -> &'static [Part] {
        const VIRTIO: &[Part] = &[
            part("virtio", "virtio", "CONFIG_VIRTIO"),
            part("virtio over PCI", "virtio_pci", "CONFIG_VIRTIO_PCI"),
            part("virtio over MMIO", "virtio_mmio", "CONFIG_VIRTIO_MMIO"),
        ];
        const VSOCK: &[Part] = &[
            part("vsock sockets", "vsock", "CONFIG_VSOCKETS"),
            part("vsock over virtio", "vmw_vsock_virtio_transport", "CONFIG_VIRTIO_VSOCKETS"),
        ];
        const SERIAL: &[Part] = &[part("virtio-serial ports", "virtio_console", "CONFIG_VIRTIO_CONSOLE")];
        const VIRTIO_FS: &[Part] =
            &[part("FUSE", "fuse", "CONFIG_FUSE_FS"), part("virtio-fs", "virtiofs", "CONFIG_VIRTIO_FS")];
        const NINE_P: &[Part] = &[
            part("the 9p protocol", "9pnet", "CONFIG_NET_9P"),
            part("9p over virtio", "9pnet_virtio", "CONFIG_NET_9P_VIRTIO"),
            part("the 9p filesystem", "9p", "CONFIG_9P_FS"),
        ];
        const OVERLAY: &[Part] = &[part("the overlay filesystem", "overlay", "CONFIG_OVERLAY_FS")];
        const NETWORK: &[Part] = &[part("virtio network interfaces", "virtio_net", "CONFIG_VIRTIO_NET")];
        match self {
            Self::Virtio => VIRTIO,
            Self::Vsock => VSOCK,
            Self::Serial => SERIAL,
            Self::VirtioFs => VIRTIO_FS,
            Self::NineP => NINE_P,
            Self::Overlay => OVERLAY,
            Self::Network => NETWORK,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The modules where every search for dependencies begins.
pub(crate) fn roots() -> impl Iterator<Item = &'static str> {
    Role::ALL.into_iter().flat_map(Role::parts).map(|part| part.module)
}

/// Finds out what the kernel can do, and the modules that it takes.
///
/// # Errors
/// [`BuildError::MissingDrivers`] if no sandbox can run on it, [`BuildError::ModuleCycle`], and what reading modules may give.
pub(crate) fn abilities(
    catalog: &mut Catalog,
    config: Option<&KernelConfig>,
    release: &str,
) -> Result<BTreeMap<Role, Ability>, BuildError> {
    let mut abilities = BTreeMap::new();
    for role in Role::ALL {
        abilities.insert(role, ability(role, catalog, config, release)?);
    }
    let lacks = requirements(&abilities);
    if lacks.is_empty() {
        Ok(abilities)
    } else {
        Err(BuildError::MissingDrivers { release: release.to_owned(), lacks })
    }
}

fn ability(
    role: Role,
    catalog: &mut Catalog,
    config: Option<&KernelConfig>,
    release: &str,
) -> Result<Ability, BuildError> {
    let mut roots = Vec::new();
    let mut lacks = Vec::new();
    for part in role.parts() {
        if catalog.load_with_dependencies(part.module, release)? {
            roots.push(part.module);
        } else if !catalog.is_built_in(part.module) && !config.is_some_and(|config| config.has(part.option)) {
            lacks.push(format!("{} ({}, module {})", part.what, part.option, part.module));
        }
    }
    let modules = match load_order(&roots, catalog) {
        Ok(modules) => modules,
        Err(OrderError::Cycle(cycle)) => return Err(BuildError::ModuleCycle { cycle }),
        Err(OrderError::Missing { module, dependency }) => {
            lacks.push(format!("module {dependency}, which module {module} needs"));
            Vec::new()
        }
    };
    Ok(match (lacks.is_empty(), modules.is_empty()) {
        (false, _) => Ability::Absent { lacks },
        (true, true) => Ability::BuiltIn,
        (true, false) => Ability::Modules { modules },
    })
}

/// One sentence for each requirement that is not met.
fn requirements(abilities: &BTreeMap<Role, Ability>) -> Vec<String> {
    let required: [(&str, &[Role]); 3] = [
        ("no virtio devices", &[Role::Virtio]),
        ("no way to reach the agent", &[Role::Vsock, Role::Serial]),
        ("no shared filesystem", &[Role::VirtioFs, Role::NineP]),
    ];
    let mut sentences = Vec::new();
    for (what, one_of) in required {
        if one_of.iter().any(|role| abilities.get(role).is_some_and(Ability::is_present)) {
            continue;
        }
        let lacks = one_of.iter().filter_map(|role| match abilities.get(role) {
            Some(Ability::Absent { lacks }) => Some(format!("{role} lacks {}", lacks.join(", "))),
            Some(Ability::BuiltIn | Ability::Modules { .. }) | None => None,
        });
        sentences.push(format!("{what} ({})", lacks.collect::<Vec<_>>().join("; ")));
    }
    sentences
}

/// Why there is no loading order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum OrderError {
    /// Hard dependencies go round.
    Cycle(Vec<String>),
    /// A hard dependency is neither a module nor built in.
    Missing { module: String, dependency: String },
}

/// The modules of `roots` and all they depend on, each after its dependencies.
/// Soft dependencies are followed where that does no harm.
pub(crate) fn load_order(roots: &[&str], catalog: &Catalog) -> Result<Vec<String>, OrderError> {
    let mut walk = Walk { catalog, path: Vec::new(), order: Vec::new() };
    for root in roots {
        walk.visit(root)?;
    }
    Ok(walk.order)
}

/// A depth-first walk along dependencies.
#[derive(Clone)]
struct Walk<'a> {
    catalog: &'a Catalog,
    /// From a root to the module being visited.
    path: Vec<String>,
    order: Vec<String>,
}

impl Walk<'_> {
    fn visit(&mut self, name: &str) -> Result<(), OrderError> {
        if self.order.iter().any(|done| done == name) {
            return Ok(());
        }
        if let Some(at) = self.path.iter().position(|open| open == name) {
            let mut cycle = self.path.split_off(at);
            cycle.push(name.to_owned());
            return Err(OrderError::Cycle(cycle));
        }
        let Some(module) = self.catalog.get(name) else {
            if self.catalog.is_built_in(name) {
                return Ok(());
            }
            let module = self.path.last().cloned().unwrap_or_default();
            return Err(OrderError::Missing { module, dependency: name.to_owned() });
        };
        self.path.push(name.to_owned());
        for dependency in &module.info.depends {
            self.visit(dependency)?;
        }
        self.try_visit(&module.info.soft_before);
        self.path.pop();
        self.order.push(name.to_owned());
        self.try_visit(&module.info.soft_after);
        Ok(())
    }

    /// Visits those of `names` that can be visited; the others leave no trace.
    fn try_visit(&mut self, names: &[String]) {
        for name in names {
            let mut attempt = self.clone();
            if attempt.visit(name).is_ok() {
                *self = attempt;
            }
        }
    }
}

#[cfg(test)]
mod tests;
