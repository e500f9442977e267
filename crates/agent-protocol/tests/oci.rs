//! Specifications travel as messages and come back the same; what cannot travel is refused by name.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use oci_spec::runtime::{Capability, LinuxMemory, LinuxResources, Process, Root, Spec};
use protobuf::Message;
use serde_json::{Value, json};
use virtcontainers_agent_protocol::api::oci as message;
use virtcontainers_agent_protocol::oci::{self, ConversionError};

fn spec(value: Value) -> Spec {
    serde_json::from_value(value).expect("a valid specification")
}

/// Over the wire: as message, as bytes, and back.
fn travel(spec: &Spec) -> Spec {
    let sent = oci::to_message(spec).expect("the specification can be carried");
    let bytes = sent.write_to_bytes().expect("messages encode");
    let received = message::Spec::parse_from_bytes(&bytes).expect("messages decode");
    assert_eq!(sent, received);
    oci::from_message(&received).expect("a message that we made is valid")
}

/// Capability sets have no order.
fn sort_capabilities(value: &mut Value) {
    let Some(Value::Object(sets)) = value.pointer_mut("/process/capabilities") else { return };
    for set in sets.values_mut().filter_map(Value::as_array_mut) {
        set.sort_by_key(ToString::to_string);
    }
}

fn to_json(spec: &Spec) -> Value {
    let mut value = serde_json::to_value(spec).expect("specifications serialize");
    sort_capabilities(&mut value);
    value
}

#[test]
fn a_rich_specification_comes_back_the_same() {
    let text = include_str!("data/rich_config.json");
    let spec: Spec = serde_json::from_str(text).expect("a valid specification");
    // The file itself is what goes round: nothing was lost in reading it.
    let mut file: Value = serde_json::from_str(text).expect("valid JSON");
    sort_capabilities(&mut file);
    assert_eq!(to_json(&spec), file);

    assert_eq!(to_json(&travel(&spec)), file);
}

#[test]
fn an_almost_empty_specification_comes_back_the_same() {
    for value in [json!({ "ociVersion": "" }), json!({ "ociVersion": "1.0.2", "linux": {}, "hooks": {} })] {
        assert_eq!(to_json(&travel(&spec(value.clone()))), value);
    }
}

#[test]
fn the_default_specification_of_the_oci_library_keeps_its_meaning() {
    let back = travel(&Spec::default());
    assert_eq!(back.root(), Spec::default().root());
    assert_eq!(back.mounts(), Spec::default().mounts());
    let (process, expected) = (back.process().clone().expect("a process"), Process::default());
    assert_eq!(process.args(), expected.args());
    assert_eq!(process.capabilities(), expected.capabilities());
    assert_eq!(process.terminal(), None, "false and absent are the same on the wire");
}

#[test]
fn an_absent_capability_set_becomes_an_empty_one() {
    let spec = spec(json!({
        "ociVersion": "1.0.2",
        "process": { "user": {}, "cwd": "/", "capabilities": { "permitted": ["CAP_KILL"] } }
    }));
    let process = travel(&spec).process().clone().expect("a process");
    let capabilities = process.capabilities().clone().expect("capabilities");
    assert_eq!(
        capabilities.permitted().as_ref().expect("a set").iter().collect::<Vec<_>>(),
        [&Capability::Kill]
    );
    assert!(capabilities.bounding().as_ref().expect("a set, not absence").is_empty());
}

#[test]
fn what_messages_cannot_carry_is_refused_by_name() {
    let spec = spec(json!({
        "ociVersion": "1.0.2",
        "domainname": "example.org",
        "process": { "user": { "umask": 18 }, "cwd": "/", "scheduler": { "policy": "SCHED_BATCH" } },
        "mounts": [{ "destination": "/a", "uidMappings": [], "gidMappings": [] }],
        "linux": {
            "personality": { "domain": "LINUX32" },
            "intelRdt": { "l3CacheSchema": "L3:0=f", "memBwSchema": "MB:0=20" },
            "resources": { "unified": { "memory.high": "1" }, "cpu": { "burst": 5 } },
            "seccomp": { "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38 }
        }
    }));
    let expected = [
        "domainname",
        "mounts[].uidMappings/gidMappings",
        "process.user.umask",
        "process.scheduler",
        "linux.personality",
        "linux.intelRdt (besides l3CacheSchema)",
        "linux.seccomp.defaultErrnoRet",
        "linux.resources.unified",
        "linux.resources.cpu.burst",
    ];
    let Err(ConversionError::NotCarried { fields }) = oci::to_message(&spec) else {
        panic!("must be refused");
    };
    assert_eq!(fields, expected);
    assert_eq!(oci::not_carried(&spec), expected);

    let lossy = oci::to_message_lossy(&spec).expect("the rest can be carried");
    assert_eq!(lossy.Linux.IntelRdt.L3CacheSchema, "L3:0=f");
    let process = spec.process().as_ref().expect("a process");
    assert!(matches!(oci::process_to_message(process), Err(ConversionError::NotCarried { .. })));
}

#[test]
fn resources_travel_alone() {
    let mut memory = LinuxMemory::default();
    memory.set_limit(Some(64 << 20));
    let mut resources = LinuxResources::default();
    resources.set_memory(Some(memory));
    let sent = oci::resources_to_message(&resources).expect("can be carried");
    assert_eq!(sent.Memory.Limit, 64 << 20);
    assert_eq!(oci::resources_from_message(&sent).expect("valid"), resources);
}

#[test]
fn values_that_do_not_fit_are_refused_with_their_field() {
    let mut bad_path = Spec::default();
    let mut root = Root::default();
    root.set_path(PathBuf::from(OsStr::from_bytes(b"/\xff")));
    bad_path.set_root(Some(root));
    assert!(matches!(oci::to_message(&bad_path), Err(ConversionError::NotUtf8 { field: "root.path", .. })));

    let wide = json!({ "user": {}, "cwd": "/", "consoleSize": { "width": 1u64 << 40 } });
    let wide: Process = serde_json::from_value(wide).expect("a valid process");
    assert!(matches!(
        oci::process_to_message(&wide),
        Err(ConversionError::OutOfRange { field: "process.consoleSize.width", value }) if value == 1 << 40
    ));

    let mut score = message::Process::new();
    score.OOMScoreAdj = i64::MAX;
    assert!(matches!(
        oci::process_from_message(&score),
        Err(ConversionError::OutOfRange { field: "process.oomScoreAdj", .. })
    ));
}

#[test]
fn unknown_names_in_a_message_are_refused_and_not_repeated_at_length() {
    let mut process = message::Process::new();
    process.Capabilities.mut_or_insert_default().Bounding.push("CAP_".to_owned() + &"X".repeat(1 << 20));
    let Err(ConversionError::Unknown { field, value, .. }) = oci::process_from_message(&process) else {
        panic!("must be refused");
    };
    assert_eq!((field, value.len()), ("process.capabilities", 64));

    let mut spec = message::Spec::new();
    let namespace = message::LinuxNamespace { Type: "moon".into(), ..Default::default() };
    spec.Linux.mut_or_insert_default().Namespaces.push(namespace);
    assert!(matches!(
        oci::from_message(&spec),
        Err(ConversionError::Unknown { field: "linux.namespaces[].type", .. })
    ));
}

#[test]
fn names_as_kata_runtimes_write_them_are_understood() {
    let mut process = message::Process::new();
    process.Capabilities.mut_or_insert_default().Bounding.push("KILL".into());
    let process = oci::process_from_message(&process).expect("a bare capability name is fine");
    let capabilities = process.capabilities().clone().expect("capabilities");
    assert!(capabilities.bounding().as_ref().expect("a set").contains(&Capability::Kill));

    let mut spec = message::Spec::new();
    for name in ["net", "mnt"] {
        let namespace = message::LinuxNamespace { Type: name.into(), ..Default::default() };
        spec.Linux.mut_or_insert_default().Namespaces.push(namespace);
    }
    oci::from_message(&spec).expect("the kernel's names of namespaces are fine");
}
