//! Records of an older schema, as a later version of this library will read them.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};

use super::{Kind, Step, open, open_by, seal};
use crate::StoreError;

/// A record of schema 1, kept for ever.
fn kept(name: &str) -> Vec<u8> {
    let records = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../virtcontainers/tests/records/v1/qemu");
    let bytes = fs::read(records.join(name)).unwrap();
    let last = bytes.split(|&byte| byte == b'\n').rfind(|line| !line.is_empty());
    last.unwrap().to_vec()
}

/// A schema 2 that names a sandbox's hostname otherwise, and a schema 3 that counts what has been done to it.
const LATER: [Step; 2] = [
    |kind, mut body| {
        if kind == Kind::Sandbox {
            let fields = body.as_object_mut().unwrap();
            let hostname = fields.remove("hostname").unwrap();
            fields.insert("name_in_guest".to_owned(), hostname);
        }
        Ok(body)
    },
    |_, mut body| {
        body["steps"] = json!(body["steps"].as_u64().unwrap_or(0) + 1);
        Ok(body)
    },
];

fn migrated(steps: &[Step], kind: Kind, bytes: &[u8]) -> Value {
    let body = open_by(steps, kind, || "a record".into(), bytes).unwrap();
    serde_json::from_str(body.get()).unwrap()
}

#[test]
fn a_kept_record_is_migrated_step_by_step() {
    let now: Value =
        serde_json::from_str(open(Kind::Sandbox, PathBuf::new, &kept("record.json")).unwrap().get()).unwrap();
    let later = migrated(&LATER, Kind::Sandbox, &kept("record.json"));
    assert_eq!(later["name_in_guest"], now["hostname"]);
    assert!(later["hostname"].is_null() && now["hostname"].is_string());
    assert_eq!((&later["id"], &later["steps"]), (&now["id"], &json!(1)));
    let container = migrated(&LATER, Kind::Container, &kept("container.a.json"));
    assert_eq!(container["steps"], 1);
    let halfway = migrated(&LATER[..1], Kind::Sandbox, &kept("record.json"));
    assert!(halfway["name_in_guest"].is_string() && halfway["steps"].is_null());
}

#[test]
fn only_the_steps_that_a_record_has_not_seen_are_taken() {
    let line = br#"{"schema":2,"kind":"sandbox","body":{"name_in_guest":"a"}}"#;
    assert_eq!(migrated(&LATER, Kind::Sandbox, line), json!({"name_in_guest": "a", "steps": 1}));
    let line = br#"{"schema":3,"kind":"sandbox","body":{"steps":7}}"#;
    assert_eq!(migrated(&LATER, Kind::Sandbox, line), json!({"steps": 7}));
    let newer = open_by(&LATER, Kind::Sandbox, PathBuf::new, br#"{"schema":4,"kind":"sandbox","body":{}}"#);
    assert!(matches!(newer, Err(StoreError::NewerSchema { found: 4, supported: 3, .. })), "{newer:?}");
}

#[test]
fn what_a_step_cannot_turn_and_what_has_changed_since_is_damaged() {
    let refuse: Step = |_, _| Err(serde::de::Error::custom("no hostname"));
    let refused = open_by(&[refuse], Kind::Sandbox, PathBuf::new, &kept("record.json"));
    assert!(matches!(refused, Err(StoreError::Corrupt { .. })), "{refused:?}");
    // The sum is of what was written, not of what it becomes.
    let body = serde_json::value::to_raw_value(&json!({"hostname": "a"})).unwrap();
    let mut line = seal(Kind::Sandbox, PathBuf::new, &body).unwrap();
    assert_eq!(migrated(&LATER, Kind::Sandbox, line.trim_ascii()), json!({"name_in_guest": "a", "steps": 1}));
    let place = line.windows(3).position(|three| three == b"\"a\"").unwrap() + 1;
    line[place] = b'b';
    let changed = open_by(&LATER, Kind::Sandbox, PathBuf::new, line.trim_ascii());
    assert!(matches!(changed, Err(StoreError::Corrupt { .. })), "{changed:?}");
}
