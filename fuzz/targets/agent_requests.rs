//! What the agent does with a host's request before it changes anything: decoding, conversion, every check. The first
//! byte chooses the message, the rest is its encoding.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protobuf::Message;
use virtcontainers_agent_protocol::{
    api::{agent::*, virtcontainers::ListProcessesRequest},
    oci,
};
use virtcontainers_guest_agent::{
    container::{cgroup::Cgroup, limits, spec},
    copy::Piece,
    network::wire,
    storage,
};
use virtcontainers_types::ContainerId;

fn decoded<M: Message>(bytes: &[u8]) -> Option<M> {
    M::parse_from_bytes(bytes).ok()
}

fn storages(storages: &[Storage]) {
    for storage in storages {
        storage.driver.parse::<storage::Driver>().ok();
        drop(storage::parse_options(&storage.options));
    }
}

fn create(request: CreateContainerRequest) {
    storages(&request.storages);
    let Ok(id) = ContainerId::new(&request.container_id) else { return };
    let Ok(spec) = oci::from_message(&request.OCI) else { return };
    // What a message can say, a message can say again.
    let again = oci::from_message(&oci::to_message_lossy(&spec).expect("it came from a message"));
    assert_eq!(again.expect("it was understood before"), spec);
    if let Ok((prepared, Some(resources))) = spec::prepare(spec, &id) {
        drop(prepared);
        limits::of(&resources, &Cgroup::of(id.as_str())).ok();
    }
}

fn exec(request: ExecProcessRequest) {
    if let Ok(mut process) = oci::process_from_message(&request.process) {
        spec::complete_process(&mut process).ok();
    }
}

fn update(request: UpdateContainerRequest) {
    if let Ok(resources) = oci::resources_from_message(&request.resources) {
        limits::of(&resources, &Cgroup::of("fuzz")).ok();
    }
}

/// What was understood is told again, and understood just so.
fn network(bytes: &[u8]) {
    if let Some(Ok(interface)) = decoded(bytes).map(wire::interface) {
        let again = wire::interface(wire::to_interface(interface.clone()));
        assert_eq!(again.expect("it was understood before").addresses, interface.addresses);
    }
    if let Some(Ok(routes)) = decoded(bytes).map(wire::routes) {
        assert_eq!(
            wire::routes(wire::to_routes(routes.clone())).expect("they were understood before"),
            routes
        );
    }
    decoded(bytes).map(wire::neighbors);
}

fn decode_all(bytes: &[u8]) {
    decoded::<CreateSandboxRequest>(bytes).inspect(|request| storages(&request.storages));
    decoded::<UpdateEphemeralMountsRequest>(bytes).inspect(|request| storages(&request.storages));
    decoded::<SignalProcessRequest>(bytes);
    decoded::<WriteStreamRequest>(bytes);
    decoded::<ReadStreamRequest>(bytes);
    decoded::<OnlineCPUMemRequest>(bytes);
    decoded::<MemHotplugByProbeRequest>(bytes);
    decoded::<SetGuestDateTimeRequest>(bytes);
    decoded::<AddSwapRequest>(bytes);
    decoded::<ListProcessesRequest>(bytes);
}

fuzz_target!(|input: &[u8]| {
    let Some((choice, bytes)) = input.split_first() else { return };
    match choice {
        0 => drop(decoded(bytes).map(create)),
        1 => drop(decoded(bytes).map(exec)),
        2 => drop(decoded(bytes).map(update)),
        3 => drop(decoded::<CopyFileRequest>(bytes).map(Piece::new)),
        4 => network(bytes),
        _ => decode_all(bytes),
    }
});
