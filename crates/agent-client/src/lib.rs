//! The agent inside the virtual machine, as seen from the host: the trait [`Agent`], its implementations
//! [`kata`] (ttrpc), [`noop`] and, for tests, [`mock`]; the [`announce`] listeners that hear a guest become ready, the
//! [`proxy`] that multiplexes a virtio-serial port, the [`shim`] that stands for a process of the guest, and the standard
//! streams of processes ([`io`]).

mod agent;
mod clock;
mod copy;
mod error;
mod task;

pub mod announce;
pub mod connector;
pub mod io;
pub mod kata;
pub mod mock;
pub mod noop;
pub mod proxy;
pub mod shim;

pub use virtcontainers_vsock_device as vsock_device;

pub use agent::{
    Agent, AgentInfo, ContainerSpec, FileChunk, GuestDetails, GuestProcess, GuestSandbox, KernelModule,
    OnlineCpuMem, ProcessSpec, ProcessState, Storage, TerminalSize, VolumeStats, VolumeUsage,
};
pub use announce::Announcement;
pub use clock::{host_time, sync_clock};
pub use connector::{AgentConnector, Backoff, KataConnector, NoopConnector, dial_until_ready};
pub use copy::{CopyError, copy_file};
pub use error::{AgentError, AgentErrorKind, MAX_GUEST_MESSAGE, RpcCode, guest_text};
pub use io::{OutputStream, ProcessOutput, ProcessStdin};
pub use kata::{KataAgent, Timeouts};
pub use noop::NoopAgent;
