//! From a spec to a launch: what is refused, and the order of the arguments.

use std::collections::BTreeSet;

use super::{
    args::{self, Args, Fd, Platform},
    slots,
};
use crate::{
    error::InvalidSpec,
    plan::{LaunchPlan, ListenSocket, OpenDevice},
    spec::{AgentChannel, Share, VmSpec},
};

/// Plans a launch. Pure.
pub(super) fn plan(spec: &VmSpec) -> Result<LaunchPlan, InvalidSpec> {
    validate(spec)?;
    let platform = Platform::of(spec.machine);
    let mut args = Args::default();
    args::machine::add(&mut args, spec);
    args::cpu::add(&mut args, spec);
    args::memory::add(&mut args, spec)?;
    args::console::add(&mut args);
    args::monitor::add(&mut args);
    // Before all that takes whichever slot is free.
    args::nic::add(&mut args, spec, platform)?;
    args::boot::add(&mut args, spec, platform)?;
    args::channel::add(&mut args, &spec.channel, platform)?;
    args::share::add(&mut args, &spec.shares, platform)?;
    args::entropy::add(&mut args, spec, platform)?;
    args::security::add(&mut args, spec);
    args::extra::add(&mut args, spec)?;
    Ok(LaunchPlan {
        program: spec.program.clone(),
        args: args.finish(),
        dir: spec.dir.clone(),
        listen: listen(&spec.channel),
        open: open(&spec.channel),
        serves_files: spec.shares.iter().any(|share| matches!(share, Share::NineP { .. })),
        nics: slots::planned_nics(spec),
        channel: spec.channel.clone(),
        plug_slots: slots::plug_slots(spec),
    })
}

/// What no argument list could make right.
fn validate(spec: &VmSpec) -> Result<(), InvalidSpec> {
    if spec.memory.size.0 == 0 {
        return Err(InvalidSpec::NoMemory);
    }
    if spec.max_vcpus < spec.vcpus {
        return Err(InvalidSpec::TooManyVcpus { vcpus: spec.vcpus, max: spec.max_vcpus });
    }
    if let AgentChannel::Vsock { cid } = spec.channel
        && cid < 3
    {
        return Err(InvalidSpec::ReservedCid(cid));
    }
    args::machine::validate(spec)?;
    args::nic::validate(spec)?;
    slots::validate(spec)?;
    let mut tags = BTreeSet::new();
    let mut mapping =
        matches!(spec.channel, AgentChannel::VhostUserVsock { .. }).then_some("vhost-user-vsock");
    for share in &spec.shares {
        let tag = match share {
            Share::VirtioFs { tag, .. } => {
                mapping = Some("virtio-fs");
                tag
            }
            Share::NineP { tag, .. } => tag,
        };
        if !tags.insert(tag) {
            return Err(InvalidSpec::DuplicateTag(tag.clone()));
        }
    }
    match mapping {
        Some(device) if !spec.memory.shared => Err(InvalidSpec::MemoryNotShared { device }),
        Some(_) | None => Ok(()),
    }
}

fn listen(channel: &AgentChannel) -> Vec<ListenSocket> {
    let socket = |name: &str, fd: Fd| ListenSocket { name: name.to_owned(), fd: fd.number() };
    let mut sockets = vec![
        socket(super::QMP_SOCKET, Fd::Qmp),
        socket(super::CONTROL_SOCKET, Fd::Control),
        socket(super::CONSOLE_SOCKET, Fd::Console),
    ];
    match channel {
        AgentChannel::VirtioSerial { socket: name } => sockets.push(socket(name, Fd::AgentPort)),
        AgentChannel::None | AgentChannel::Vsock { .. } | AgentChannel::VhostUserVsock { .. } => {}
    }
    sockets
}

fn open(channel: &AgentChannel) -> Vec<OpenDevice> {
    match channel {
        AgentChannel::Vsock { .. } => {
            vec![OpenDevice { path: "/dev/vhost-vsock".into(), fd: Fd::VhostVsock.number() }]
        }
        AgentChannel::None | AgentChannel::VhostUserVsock { .. } | AgentChannel::VirtioSerial { .. } => {
            Vec::new()
        }
    }
}
