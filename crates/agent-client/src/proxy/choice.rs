//! Which proxy a sandbox needs.

use virtcontainers_types::{AgentKind, ProxyKind, Transport};

use super::ProxyError;

/// What is to stand between host and agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProxyChoice {
    /// Nothing: the agent is dialled directly, or there is none.
    None,
    /// A [`ProxyProcess`](super::ProxyProcess).
    Process,
    /// [`serve`](super::serve) in this process. It ends with this process, and with it the way to the agent.
    BuiltIn,
}

/// Decides what a kind of proxy comes to with a transport and an agent.
///
/// # Errors
/// [`ProxyError::Mismatch`] for combinations that cannot work.
pub fn resolve(kind: ProxyKind, transport: Transport, agent: AgentKind) -> Result<ProxyChoice, ProxyError> {
    let mismatch = |reason| Err(ProxyError::Mismatch { kind, transport, agent, reason });
    let serial = match transport {
        Transport::VirtioSerial => true,
        Transport::Vsock | Transport::HybridVsock => false,
        Transport::Auto => match agent {
            AgentKind::Noop => false,
            AgentKind::Kata => return mismatch("the transport is to be decided before the proxy"),
        },
    };
    match (agent, kind) {
        (AgentKind::Noop, ProxyKind::Auto | ProxyKind::None | ProxyKind::Noop) => Ok(ProxyChoice::None),
        (AgentKind::Noop, ProxyKind::Kata | ProxyKind::KataBuiltIn) => {
            mismatch("there is no agent to reach: use auto or noop")
        }
        (AgentKind::Kata, ProxyKind::Noop) => mismatch("an agent is to be reached: use auto"),
        (AgentKind::Kata, ProxyKind::Auto) if serial => Ok(ProxyChoice::Process),
        (AgentKind::Kata, ProxyKind::Kata) if serial => Ok(ProxyChoice::Process),
        (AgentKind::Kata, ProxyKind::KataBuiltIn) if serial => Ok(ProxyChoice::BuiltIn),
        (AgentKind::Kata, ProxyKind::None) if serial => {
            mismatch("one serial port carries many connections only through a proxy: use auto")
        }
        (AgentKind::Kata, ProxyKind::Auto | ProxyKind::None) => Ok(ProxyChoice::None),
        (AgentKind::Kata, ProxyKind::Kata | ProxyKind::KataBuiltIn) => {
            mismatch("vsock needs no proxy: use auto or none")
        }
    }
}
