//! Which signals this connection has sent to which processes that have not been waited for since.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use virtcontainers_types::{ContainerId, ExecId};

/// How many processes are remembered. Beyond that all are forgotten, which costs a nicety and nothing else.
const MAX_KNOWN: usize = 4096;

/// Signals as bits; `None` in place of a process stands for all of the container.
#[derive(Debug, Default)]
pub(super) struct Signals(Mutex<HashMap<(ContainerId, Option<ExecId>), u64>>);

impl Signals {
    /// To be called before the signal goes out: the process may end before the answer comes.
    pub(super) fn sent(&self, container: &ContainerId, exec: Option<&ExecId>, signal: u32) {
        let Some(bit) = bit(signal) else { return };
        let mut known = self.lock();
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        *known.entry((container.clone(), exec.cloned())).or_default() |= bit;
    }

    /// Whether the process was sent a signal of this number, alone or with all others.
    pub(super) fn have(&self, container: &ContainerId, exec: &ExecId, signal: u32) -> bool {
        let known = self.lock();
        let sent = |exec: Option<ExecId>| known.get(&(container.clone(), exec)).copied().unwrap_or_default();
        bit(signal).is_some_and(|bit| (sent(Some(exec.clone())) | sent(None)) & bit != 0)
    }

    /// The process is to be created: what was sent under its id went to another one.
    pub(super) fn forget(&self, container: &ContainerId, exec: &ExecId) {
        self.lock().remove(&(container.clone(), Some(exec.clone())));
    }

    /// The container is gone, with all its processes.
    pub(super) fn forget_container(&self, container: &ContainerId) {
        self.lock().retain(|(of, _), _| of != container);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(ContainerId, Option<ExecId>), u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Linux has the signals 1 to 64.
fn bit(signal: u32) -> Option<u64> {
    signal.checked_sub(1).and_then(|bit| 1_u64.checked_shl(bit))
}
