//! The agent inside the virtual machine, as seen from the host: the trait [`Agent`], its implementations
//! [`kata`] (ttrpc), [`noop`] and, for tests, [`mock`]; the [`announce`] listeners that hear a guest become ready, the
//! [`proxy`] that multiplexes a virtio-serial port, and the standard streams of processes ([`io`]).

mod agent;
mod error;
mod task;

pub mod announce;
pub mod connector;
pub mod io;
pub mod kata;
pub mod mock;
pub mod noop;
pub mod proxy;

pub use agent::{Agent, AgentInfo, ContainerSpec, GuestSandbox, ProcessSpec, Storage, TerminalSize};
pub use announce::Announcement;
pub use connector::{AgentConnector, Backoff, KataConnector, NoopConnector, dial_until_ready};
pub use error::{AgentError, AgentErrorKind, MAX_GUEST_MESSAGE, RpcCode, guest_text};
pub use io::{OutputStream, ProcessOutput, ProcessStdin};
pub use kata::{KataAgent, Timeouts};
pub use noop::NoopAgent;
