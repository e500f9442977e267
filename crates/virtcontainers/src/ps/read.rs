//! Reading what a container's own ps says with `-o pid,ppid,user,args`.

use std::collections::BTreeMap;

use virtcontainers_agent_client::GuestProcess;

/// The most processes that are taken.
const MAX_PROCESSES: usize = 65_536;

/// The processes of a listing; `None` when it is none. A user of no name that is known counts as the number it may be.
pub(crate) fn read(listing: &str, users: &BTreeMap<u32, String>) -> Option<Vec<GuestProcess>> {
    let mut lines = listing.lines();
    let head: Vec<_> = lines.next()?.split_whitespace().collect();
    if head.first() != Some(&"PID") || head.get(1) != Some(&"PPID") {
        return None;
    }
    lines.take(MAX_PROCESSES).map(|line| process(line, users)).collect()
}

fn process(line: &str, users: &BTreeMap<u32, String>) -> Option<GuestProcess> {
    let mut words = line.split_whitespace();
    let (pid, ppid) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let user = words.next()?;
    let named = users.iter().find(|(_, name)| *name == user).map(|(uid, _)| *uid);
    let uid = named.or_else(|| user.parse().ok()).unwrap_or(u32::MAX);
    let args: Vec<String> = words.map(str::to_owned).collect();
    let comm = args.first().and_then(|program| program.rsplit('/').next()).unwrap_or_default().to_owned();
    Some(GuestProcess {
        pid,
        ppid,
        container_pid: pid,
        container_ppid: ppid,
        uid,
        comm,
        args,
        ..GuestProcess::default()
    })
}
