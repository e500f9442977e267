//! QEMU's argument list, one file per concern.

pub(super) mod boot;
pub(super) mod channel;
pub(super) mod console;
pub(super) mod cpu;
pub(super) mod entropy;
pub(super) mod extra;
pub(super) mod machine;
pub(super) mod memory;
pub(super) mod monitor;
pub(super) mod nic;
pub(super) mod security;
pub(super) mod share;

use std::{fmt, path::Path};

use virtcontainers_types::MachineType;

use crate::error::InvalidSpec;

/// An argument list under construction.
#[derive(Debug, Default)]
pub(super) struct Args(Vec<String>);

impl Args {
    /// An option without a value.
    fn flag(&mut self, option: &str) {
        self.0.push(option.to_owned());
    }

    /// An option with a value that QEMU takes as it is.
    fn raw(&mut self, option: &str, value: impl Into<String>) {
        self.0.push(option.to_owned());
        self.0.push(value.into());
    }

    /// An option with a value of properties.
    fn props(&mut self, option: &str, props: Props) {
        self.raw(option, props.0);
    }

    pub(super) fn finish(self) -> Vec<String> {
        self.0
    }
}

/// The value of an option that QEMU splits at commas: `head,key=value,…`. A comma inside a value is doubled, which is
/// how QEMU takes it for a comma.
#[derive(Debug)]
struct Props(String);

impl Props {
    fn new(head: impl Into<String>) -> Self {
        Self(head.into())
    }

    /// Starts with a property instead of a head.
    fn first(key: &str, value: impl fmt::Display) -> Self {
        Self(format!("{key}={}", escape(&value.to_string())))
    }

    fn with(mut self, key: &str, value: impl fmt::Display) -> Self {
        self.0.push_str(&format!(",{key}={}", escape(&value.to_string())));
        self
    }

    /// Appends what the user wrote in QEMU's own form.
    fn verbatim(mut self, options: Option<&str>) -> Self {
        if let Some(options) =
            options.map(|options| options.trim_matches(',')).filter(|options| !options.is_empty())
        {
            self.0.push(',');
            self.0.push_str(options);
        }
        self
    }
}

fn escape(value: &str) -> String {
    value.replace(',', ",,")
}

/// A text that can be an argument.
fn text<'a>(what: &'static str, text: &'a str) -> Result<&'a str, InvalidSpec> {
    let wrong = |why| InvalidSpec::Text { what, text: text.to_owned(), why };
    match text {
        "" => Err(wrong("it is empty")),
        text if text.contains('\0') => Err(wrong("it holds a NUL")),
        text => Ok(text),
    }
}

/// A path that can be an argument.
fn path<'a>(what: &'static str, path: &'a Path) -> Result<&'a str, InvalidSpec> {
    match path.to_str() {
        Some(path) => text(what, path),
        None => Err(InvalidSpec::Text {
            what,
            text: path.to_string_lossy().into_owned(),
            why: "it is not UTF-8: rename it",
        }),
    }
}

/// The name of a socket in the sandbox's directory.
fn socket<'a>(what: &'static str, name: &'a str) -> Result<&'a str, InvalidSpec> {
    if name.contains('/') || name == "." || name == ".." {
        let why = "it is a path: give the name of a socket in the sandbox's directory";
        return Err(InvalidSpec::Text { what, text: name.to_owned(), why });
    }
    text(what, name)
}

/// The descriptors that QEMU inherits, by purpose.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fd {
    Qmp = 3,
    Control = 4,
    Console = 5,
    AgentPort = 6,
    VhostVsock = 7,
    /// The first of a network interface; the others follow.
    FirstNic = 16,
}

impl Fd {
    pub(super) const fn number(self) -> i32 {
        self as i32
    }
}

/// What the rest of the arguments must know of a machine type.
#[derive(Debug, Clone, Copy)]
pub(super) struct Platform {
    pub(super) machine: MachineType,
    /// How virtio devices are attached: the end of their names.
    bus: &'static str,
    /// The console's name in the guest.
    console: &'static str,
}

impl Platform {
    pub(super) const fn of(machine: MachineType) -> Self {
        let (bus, console) = match machine {
            MachineType::Q35 | MachineType::Pc => ("pci", "ttyS0"),
            // virtio-mmio, whose devices carry no bus in their name.
            MachineType::Microvm => ("device", "ttyS0"),
            MachineType::Virt => ("pci", "ttyAMA0"),
            MachineType::Pseries => ("pci", "hvc0"),
            MachineType::S390CcwVirtio => ("ccw", "ttysclp0"),
        };
        Self { machine, bus, console }
    }

    /// A device of this kind on this machine's bus: `virtio-rng` is `virtio-rng-pci` on most.
    fn device(self, kind: &str) -> Props {
        Props::new(format!("{kind}-{}", self.bus))
    }
}

#[cfg(test)]
mod tests;
