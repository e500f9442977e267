//! Records, claims, leases and listings on a real file system.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    sync::{Arc, Barrier},
    thread,
    time::{Duration, Instant},
};

use proptest::prelude::*;
use serde_json::{Value, json};
use virtcontainers_store::{FsStore, Store, StoreError, StoreExt as _};
use virtcontainers_types::{ContainerId, SandboxId};

fn id(name: &str) -> SandboxId {
    SandboxId::new(name).unwrap()
}

fn cid(name: &str) -> ContainerId {
    ContainerId::new(name).unwrap()
}

fn store() -> (tempfile::TempDir, FsStore) {
    let root = tempfile::tempdir().unwrap();
    let store = FsStore::open(root.path().join("root")).unwrap();
    (root, store)
}

fn record_path(store: &FsStore, name: &str) -> PathBuf {
    store.sandbox_dir(&id(name)).join("record.json")
}

/// Returns when a thread is blocked in flock(2) on `dir`: `/proc/locks` (proc(5)) shows its line with an arrow.
fn until_somebody_waits(dir: &std::path::Path) {
    let inode = format!(":{} ", std::os::unix::fs::MetadataExt::ino(&fs::metadata(dir).unwrap()));
    let waits = |table: String| table.lines().any(|line| line.contains("-> FLOCK") && line.contains(&inode));
    while !waits(fs::read_to_string("/proc/locks").unwrap()) {
        thread::yield_now();
    }
}

#[test]
fn a_record_goes_through_and_replaces_the_former() {
    let (_root, store) = store();
    let lease = store.claim(&id("a")).unwrap();
    assert!(matches!(store.load(&id("a")), Err(StoreError::NoRecord { .. })));
    for body in [json!({"n": 1, "text": "ä\n\u{0}"}), json!(null), json!([1, {"deep": []}])] {
        store.save_as(&lease, &body).unwrap();
        assert_eq!(store.load_as::<Value>(&id("a")).unwrap(), body);
    }
    let text = fs::read_to_string(record_path(&store, "a")).unwrap();
    let mut on_disk: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(on_disk.as_object_mut().unwrap().remove("sum").unwrap().as_str().unwrap().len(), 8);
    assert_eq!(on_disk, json!({"schema": 1, "kind": "sandbox", "body": [1, {"deep": []}]}));
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(store.sandbox_dir(&id("a"))) & !0o750, 0);
    assert_eq!(mode(record_path(&store, "a")) & !0o640, 0);
}

#[test]
fn a_duplicate_claim_fails_and_touches_nothing() {
    let (_root, store) = store();
    let lease = store.claim(&id("a")).unwrap();
    store.save_as(&lease, &json!({"alive": true})).unwrap();
    fs::write(store.sandbox_dir(&id("a")).join("qmp.sock"), "").unwrap();
    assert!(matches!(store.claim(&id("a")), Err(StoreError::AlreadyExists { .. })), "while leased");
    drop(lease);
    assert!(matches!(store.claim(&id("a")), Err(StoreError::AlreadyExists { .. })), "while not leased");
    assert_eq!(store.load_as::<Value>(&id("a")).unwrap(), json!({"alive": true}));
    let mut names: Vec<_> =
        fs::read_dir(store.sandbox_dir(&id("a"))).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["qmp.sock", "record.json"]);
    assert_eq!(
        fs::read_dir(store.root().join("sandboxes")).unwrap().count(),
        1,
        "no half-made directory stays"
    );
}

#[test]
fn an_id_whose_claimant_recorded_nothing_is_free() {
    let (_root, store) = store();
    let lease = store.claim(&id("a")).unwrap();
    assert!(matches!(store.claim(&id("a")), Err(StoreError::AlreadyExists { .. })), "its claimant lives");
    drop(lease);
    let lease = store.claim(&id("a")).expect("nobody has it and nothing was acquired");
    store.save_as(&lease, &1).unwrap();
}

#[test]
fn one_of_many_claims_wins() {
    let (_root, store) = store();
    let (store, barrier) = (Arc::new(store), Arc::new(Barrier::new(8)));
    for round in 0..20 {
        let claimants: Vec<_> = (0..8)
            .map(|_| {
                let (store, barrier) = (Arc::clone(&store), Arc::clone(&barrier));
                thread::spawn(move || {
                    barrier.wait();
                    let lease = store.claim(&id(&format!("r{round}")));
                    lease.map(|lease| store.save_as(&lease, &round).unwrap())
                })
            })
            .collect();
        let outcomes: Vec<_> = claimants.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
        assert!(
            outcomes
                .iter()
                .flat_map(|o| o.as_ref().err())
                .all(|e| matches!(e, StoreError::AlreadyExists { .. }))
        );
    }
}

#[test]
fn a_busy_sandbox_names_its_holder_after_the_time_allowed() {
    let (_root, store) = store();
    let lease = store.claim(&id("a")).unwrap();
    store.save_as(&lease, &1).unwrap();
    let begin = Instant::now();
    match store.lease(&id("a"), Duration::from_millis(50)) {
        Err(StoreError::Busy { holder, .. }) => assert_eq!(holder, Some(std::process::id())),
        other => panic!("{other:?}"),
    }
    assert!(begin.elapsed() >= Duration::from_millis(50));
    assert!(matches!(store.lease(&id("a"), Duration::ZERO), Err(StoreError::Busy { .. })));
    drop(lease);
    // The waiter that gave up must not keep the lock that it gets now.
    store.lease(&id("a"), Duration::from_secs(5)).unwrap();
}

#[test]
fn a_waiter_gets_the_lease_when_it_is_given_back() {
    let (_root, store) = store();
    let store = Arc::new(store);
    let lease = store.claim(&id("a")).unwrap();
    store.save_as(&lease, &1).unwrap();
    let waiter = thread::spawn({
        let store = Arc::clone(&store);
        move || store.lease(&id("a"), Duration::from_secs(20)).map(|lease| store.save_as(&lease, &3).unwrap())
    });
    until_somebody_waits(&store.sandbox_dir(&id("a")));
    store.save_as(&lease, &2).unwrap();
    drop(lease);
    waiter.join().unwrap().unwrap();
    assert_eq!(store.load_as::<u8>(&id("a")).unwrap(), 3);
}

#[tokio::test]
async fn waiting_blocks_no_runtime_and_ends_when_the_sandbox_goes() {
    let (_root, store) = store();
    let store = Arc::new(store);
    let lease = store.claim(&id("a")).unwrap();
    store.save_as(&lease, &1).unwrap();
    let busy = store.lease_async(&id("a"), Duration::from_millis(20)).await;
    assert!(matches!(busy, Err(StoreError::Busy { .. })));
    let waiting = virtcontainers_sys::task::spawn("wait", {
        let store = Arc::clone(&store);
        async move { store.lease_async(&id("a"), Duration::from_secs(20)).await }
    });
    let dir = store.sandbox_dir(&id("a"));
    tokio::task::spawn_blocking(move || until_somebody_waits(&dir)).await.unwrap();
    store.forget(lease).unwrap();
    assert!(matches!(waiting.await.unwrap(), Err(StoreError::NotFound { .. })));
    assert!(matches!(store.lease_async(&id("a"), Duration::ZERO).await, Err(StoreError::NotFound { .. })));
}

#[test]
fn forgetting_removes_all_and_frees_the_id() {
    let (_root, store) = store();
    let lease = store.claim(&id("a")).unwrap();
    store.save_as(&lease, &1).unwrap();
    store.save_container(&lease, &cid("c"), &serde_json::value::to_raw_value(&2).unwrap()).unwrap();
    fs::create_dir_all(store.sandbox_dir(&id("a")).join("mounts/c/rootfs")).unwrap();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("precious"), "").unwrap();
    std::os::unix::fs::symlink(outside.path(), store.sandbox_dir(&id("a")).join("link")).unwrap();
    store.forget(lease).unwrap();
    assert!(matches!(store.load(&id("a")), Err(StoreError::NotFound { .. })));
    assert_eq!(fs::read_dir(store.root().join("sandboxes")).unwrap().count(), 0);
    assert!(outside.path().join("precious").exists());
    store.claim(&id("a")).unwrap();
}

#[test]
fn what_is_mounted_is_not_removed() {
    use virtcontainers_sys::mount::{self, BindOptions};
    let (_root, store) = store();
    let lease = store.claim(&id("a")).unwrap();
    store.save_as(&lease, &1).unwrap();
    let (outside, inside) = (tempfile::tempdir().unwrap(), store.sandbox_dir(&id("a")).join("rootfs"));
    fs::write(outside.path().join("precious"), "").unwrap();
    fs::create_dir(&inside).unwrap();
    mount::bind(outside.path(), &inside, BindOptions::default()).expect("mounting needs root");
    let refused = store.forget(lease);
    assert!(matches!(refused, Err(StoreError::StillMounted { ref path }) if *path == inside), "{refused:?}");
    assert!(outside.path().join("precious").exists() && record_path(&store, "a").exists());
    mount::unmount(&inside).unwrap();
    store.forget(store.lease(&id("a"), Duration::ZERO).unwrap()).unwrap();
    assert!(outside.path().join("precious").exists());
}

#[test]
fn containers_have_records_of_their_own() {
    let (_root, store) = store();
    let lease = store.claim(&id("a")).unwrap();
    assert!(matches!(store.load_container(&id("a"), &cid("c")), Err(StoreError::NoContainer { .. })));
    assert!(matches!(store.load_container(&id("x"), &cid("c")), Err(StoreError::NotFound { .. })));
    assert!(store.list_containers(&id("a")).unwrap().is_empty());
    for name in ["c2", "c1"] {
        store.save_container_as(&lease, &cid(name), &json!({ "name": name })).unwrap();
    }
    assert_eq!(store.load_container_as::<Value>(&id("a"), &cid("c1")).unwrap(), json!({"name": "c1"}));
    let names: Vec<_> =
        store.list_containers_as::<Value>(&id("a")).unwrap().into_iter().map(|l| l.name).collect();
    assert_eq!(names, ["c1", "c2"]);
    store.remove_container(&lease, &cid("c1")).unwrap();
    store.remove_container(&lease, &cid("c1")).unwrap();
    assert_eq!(store.list_containers(&id("a")).unwrap().len(), 1);
    let moved = store.sandbox_dir(&id("a")).join("container.c2.json");
    fs::copy(moved, record_path(&store, "a")).unwrap();
    assert!(matches!(store.load(&id("a")), Err(StoreError::WrongKind { .. })));
}

#[test]
fn a_listing_names_what_it_cannot_read() {
    let (_root, store) = store();
    let sandboxes = store.root().join("sandboxes");
    let put = |name: &str, text: &[u8]| {
        fs::create_dir_all(sandboxes.join(name)).unwrap();
        fs::write(sandboxes.join(name).join("record.json"), text).unwrap();
    };
    put("good", br#"{"schema":1,"kind":"sandbox","body":7}"#);
    put("truncated", br#"{"schema":1,"kind":"sand"#);
    put("garbage", &[0xff; 100]);
    put("empty", b"");
    put("newer", br#"{"schema":2,"kind":"sandbox","payload":[7]}"#);
    put("not an id", br#"{"schema":1,"kind":"sandbox","body":7}"#);
    fs::create_dir(sandboxes.join("bare")).unwrap();
    fs::write(sandboxes.join("file"), "").unwrap();
    std::os::unix::fs::symlink("good", sandboxes.join("link")).unwrap();
    fs::create_dir(sandboxes.join("leak")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", sandboxes.join("leak/record.json")).unwrap();
    fs::create_dir(sandboxes.join(".new-x-1-1")).unwrap();
    let huge = fs::File::create({
        fs::create_dir(sandboxes.join("huge")).unwrap();
        sandboxes.join("huge/record.json")
    });
    huge.unwrap().set_len(virtcontainers_store::MAX_RECORD_BYTES + 1).unwrap();

    let lease = store.lease(&id("good"), Duration::ZERO).unwrap();
    let listed = store.list_as::<u8>().unwrap();
    drop(lease);
    let told: Vec<(&str, &str)> = listed
        .iter()
        .map(|entry| {
            let told = match &entry.record {
                Ok(7) => "read",
                Ok(_) => "wrong",
                Err(StoreError::Corrupt { .. }) => "corrupt",
                Err(StoreError::NewerSchema { found: 2, supported: 1, .. }) => "newer",
                Err(StoreError::NoRecord { .. }) => "none",
                Err(StoreError::Foreign { .. }) => "foreign",
                Err(StoreError::TooLarge { .. }) => "large",
                Err(StoreError::Io { .. }) => "refused",
                Err(other) => panic!("{other:?}"),
            };
            (entry.name.as_str(), told)
        })
        .collect();
    let expected = [
        ("bare", "none"),
        ("empty", "none"),
        ("file", "foreign"),
        ("garbage", "corrupt"),
        ("good", "read"),
        ("huge", "large"),
        ("leak", "refused"),
        ("link", "refused"),
        ("newer", "newer"),
        ("not an id", "foreign"),
        ("truncated", "corrupt"),
    ];
    assert_eq!(told, expected);
    let newer = fs::read(sandboxes.join("newer/record.json")).unwrap();
    assert_eq!(newer, br#"{"schema":2,"kind":"sandbox","payload":[7]}"#, "left as it is");
    FsStore::open(store.root()).unwrap();
    assert!(!sandboxes.join(".new-x-1-1").exists());
}

#[test]
fn a_lease_is_good_for_its_own_store() {
    let (_one, first) = store();
    let (_two, second) = store();
    let lease = first.claim(&id("a")).unwrap();
    assert!(matches!(second.save_as(&lease, &1), Err(StoreError::ForeignLease { .. })));
}

#[test]
fn what_a_killed_writer_left_does_not_count() {
    let (_root, store) = store();
    let lease = store.claim(&id("a")).unwrap();
    store.save_as(&lease, &1).unwrap();
    store.save_as(&lease, &2).unwrap();
    let path = record_path(&store, "a");
    let mut text = fs::read(&path).unwrap();
    let whole = text.len();
    text.extend_from_slice(b"\n{\"schema\":1,\"kind\":\"sandbox\",\"body\":3}\n");
    for cut in whole..text.len() {
        fs::write(&path, &text[..cut]).unwrap();
        assert_eq!(store.load_as::<u8>(&id("a")).unwrap(), 2, "{cut}");
        store.save_as(&lease, &4).unwrap();
        assert_eq!(store.load_as::<u8>(&id("a")).unwrap(), 4, "after {cut}");
    }
    fs::write(&path, &text).unwrap();
    assert_eq!(store.load_as::<u8>(&id("a")).unwrap(), 3);
}

#[test]
fn a_log_stays_bounded() {
    let (_root, store) = store();
    let lease = store.claim(&id("a")).unwrap();
    for (length, limit) in [(100, 16 << 10), (10_000, 90_000)] {
        let text = "x".repeat(length);
        for n in 0..500 {
            store.note_as(&lease, &(n, &text)).unwrap();
            assert!(fs::metadata(record_path(&store, "a")).unwrap().len() <= limit);
        }
        assert_eq!(store.load_as::<(u32, String)>(&id("a")).unwrap(), (499, text));
    }
    store.note_as(&lease, &"noted\nin two lines").unwrap();
    assert_eq!(store.load_as::<String>(&id("a")).unwrap(), "noted\nin two lines");
    let spread = serde_json::value::RawValue::from_string("[\n1,\n2]".to_owned()).unwrap();
    store.save(&lease, &spread).unwrap();
    assert_eq!(store.load_as::<Value>(&id("a")).unwrap(), json!([1, 2]));
    let names: Vec<_> =
        fs::read_dir(store.sandbox_dir(&id("a"))).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["record.json"]);
}

#[test]
fn what_is_kept_of_a_container_goes_with_its_record() {
    let (_root, store) = store();
    let lease = store.claim(&id("a")).unwrap();
    store.note_container_as(&lease, &cid("c"), &1).unwrap();
    let logs = store.sandbox_dir(&id("a")).join("containers/c");
    fs::create_dir_all(&logs).unwrap();
    fs::write(logs.join("c.log"), "text").unwrap();
    store.remove_container(&lease, &cid("c")).unwrap();
    assert!(!logs.exists());
    assert!(store.list_containers(&id("a")).unwrap().is_empty());
}

proptest! {
    /// Whatever bytes are in a record's place, reading them ends in a value or a typed error.
    #[test]
    fn no_bytes_in_a_record_s_place_break_a_read(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0usize..60) {
        let (_root, store) = store();
        fs::create_dir_all(store.sandbox_dir(&id("a"))).unwrap();
        fs::write(record_path(&store, "a"), &bytes).unwrap();
        let typed = match store.load(&id("a")) {
            Err(StoreError::NoRecord { .. }) => bytes.is_empty() || bytes.contains(&b'\n'),
            Err(StoreError::Corrupt { .. }) => true,
            _ => false,
        };
        prop_assert!(typed, "read as something else than damage");
        let whole = br#"{"schema":1,"kind":"sandbox","body":{"a":[1,2,3]}}"#;
        let cut = cut.min(whole.len());
        fs::write(record_path(&store, "a"), &whole[..cut]).unwrap();
        let read = store.load(&id("a"));
        prop_assert_eq!(read.is_ok(), cut == whole.len(), "{:?}", read);
    }
}
