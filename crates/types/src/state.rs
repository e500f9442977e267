//! The states that callers see. What they carry inside, and what each admits, is the library's business.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! shown {
    ($name:ident { $($variant:ident = $text:literal),+ }) => {
        impl $name {
            /// Every state.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// The state's name, as in records and listings.
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
    };
}

/// The state of a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SandboxState {
    /// A create is under way, or was when its process died; only stop and delete are admitted.
    Creating,
    /// The virtual machine runs and its agent answers; no container was started.
    Ready,
    /// Started.
    Running,
    /// The virtual machine's processors stand still.
    Paused,
    /// The virtual machine is gone.
    Stopped,
}
shown!(SandboxState { Creating = "creating", Ready = "ready", Running = "running", Paused = "paused", Stopped = "stopped" });

/// The state of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContainerState {
    /// A create is under way, or was when its process died; only stop and delete are admitted.
    Creating,
    /// Created in the guest, its command not started.
    Ready,
    /// Its command was started.
    Running,
    /// Its processes are frozen.
    Paused,
    /// Its command has ended or was stopped.
    Stopped,
}
shown!(ContainerState { Creating = "creating", Ready = "ready", Running = "running", Paused = "paused", Stopped = "stopped" });
