//! Disks that fail and processes that die at every system call of a store's writing; records with every bit changed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "tests")]

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use virtcontainers_store::{DiskFault, DiskFaults, FsStore, Store, StoreError, StoreExt as _};
use virtcontainers_types::{ContainerId, SandboxId};

const ROOT: &str = "STORE_DISK_ROOT";
const FAULT: &str = "STORE_DISK_FAULT";
/// What the steps of [`work`] leave in the record, in their order.
const STEPS: usize = 7;

fn id() -> SandboxId {
    SandboxId::new("a").unwrap()
}

fn cid() -> ContainerId {
    ContainerId::new("c").unwrap()
}

/// Longer than a log may be, so that it is replaced.
fn text(step: usize) -> String {
    "x".repeat(if step == 3 { 60_000 } else { step })
}

/// The whole life of a sandbox's records; `done` is told each step that is.
fn work(store: &FsStore, mut done: impl FnMut(usize)) -> Result<(), StoreError> {
    let lease = store.claim(&id())?;
    done(0);
    store.save_as(&lease, &(1, text(1)))?;
    done(1);
    store.note_as(&lease, &(2, text(2)))?;
    store.note_container_as(&lease, &cid(), &2)?;
    done(2);
    // Twice, because a log has room for some records of its last one's size.
    store.save_as(&lease, &(3, text(3)))?;
    done(3);
    store.save_as(&lease, &(4, text(4)))?;
    done(4);
    store.remove_container(&lease, &cid())?;
    store.save_as(&lease, &(5, text(5)))?;
    done(5);
    store.forget(lease)?;
    done(6);
    Ok(())
}

/// What is in the record: the step that wrote it; 0 where there is none.
fn state(store: &FsStore) -> usize {
    match store.load_as::<(usize, String)>(&id()) {
        Ok((step, read)) => {
            assert_eq!(read, text(step), "a mixture");
            step
        }
        Err(StoreError::NotFound { .. } | StoreError::NoRecord { .. }) => 0,
        Err(error) => panic!("{error:?}"),
    }
}

/// Whether the record may say this when the process died after so many steps.
fn fits(done: Option<usize>, state: usize) -> bool {
    match done {
        None => state == 0,
        // A forget was begun, and may be done.
        Some(5) => state == 5 || state == 0,
        Some(6) => state == 0,
        Some(done) => state == done || state == done + 1,
    }
}

/// After any failure: the lease is free, the id too, and all can be done again, leaving nothing.
fn works_again(root: &Path) {
    let store = FsStore::open(root).unwrap();
    match store.lease(&id(), Duration::from_secs(5)) {
        Ok(lease) => store.forget(lease).unwrap(),
        Err(StoreError::NotFound { .. }) => {}
        Err(error) => panic!("{error:?}"),
    }
    work(&store, |_| {}).unwrap();
    let left: Vec<_> =
        fs::read_dir(root.join("sandboxes")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// A root in memory: the disks that fail here are made up, and real ones wait for every file that is written anew.
fn memory() -> tempfile::TempDir {
    if Path::new("/dev/shm").is_dir() { tempfile::tempdir_in("/dev/shm") } else { tempfile::tempdir() }
        .unwrap()
}

fn calls() -> Vec<&'static str> {
    let root = memory();
    let counting = DiskFaults::counting();
    work(&FsStore::open(root.path()).unwrap().with_disk_faults(counting.clone()), |_| {}).unwrap();
    counting.passed()
}

fn child(test: &str, root: &Path, fault: &str) -> Command {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", test, "--ignored", "--nocapture"]).env(ROOT, root).env(FAULT, fault);
    child.stdout(Stdio::piped()).stderr(Stdio::null());
    child
}

#[test]
#[ignore = "the child of a_writer_killed_at_any_system_call_leaves_the_old_record_or_the_new_one"]
fn writer() {
    let root = std::env::var(ROOT).unwrap();
    let fault = std::env::var(FAULT).unwrap();
    let (index, torn) = fault.split_once(' ').unwrap();
    let fault = match torn {
        "abort" => DiskFault::Abort,
        length => DiskFault::Torn(length.parse().unwrap()),
    };
    let faults = DiskFaults::at(index.parse().unwrap(), fault);
    work(&FsStore::open(root).unwrap().with_disk_faults(faults), |step| println!("\ndone {step}")).unwrap();
}

#[test]
fn a_writer_killed_at_any_system_call_leaves_the_old_record_or_the_new_one() {
    let mut cases = 0;
    let calls = calls();
    for (index, call) in calls.iter().enumerate() {
        let mut deaths = vec!["abort"];
        if *call == "write" {
            deaths.extend(["0", "1", "20", "40", "90", "4096"]);
        }
        for death in deaths {
            let root = memory();
            let output = child("writer", root.path(), &format!("{index} {death}")).output().unwrap();
            assert!(!output.status.success(), "{index} {call} {death}: it was to die");
            let said = String::from_utf8(output.stdout).unwrap();
            let done = said.lines().filter_map(|line| line.strip_prefix("done ")).next_back();
            let done = done.map(|step| step.parse().unwrap());
            let state = state(&FsStore::open(root.path()).unwrap());
            assert!(
                fits(done, state),
                "{index} {call} {death}: {done:?} steps done, the record says {state}"
            );
            works_again(root.path());
            cases += 1;
        }
    }
    eprintln!("{} system calls, {cases} deaths", calls.len());
    assert!(calls.len() >= 25, "{calls:?}");
}

#[test]
fn a_disk_that_refuses_any_system_call_leaves_the_old_record_or_the_new_one() {
    const NOSPC: i32 = 28;
    const EIO: i32 = 5;
    const EROFS: i32 = 30;
    let mut cases = 0;
    let calls = calls();
    for (index, call) in calls.iter().enumerate() {
        let mut faults: Vec<_> = [NOSPC, EIO, EROFS].map(DiskFault::Error).into();
        if *call == "write" {
            faults.extend([0, 1, 40, 90].map(DiskFault::Short));
        }
        for fault in faults {
            let root = memory();
            let store = FsStore::open(root.path()).unwrap().with_disk_faults(DiskFaults::at(index, fault));
            let mut done = None;
            let ended = work(&store, |step| done = Some(step));
            match ended {
                Ok(()) => assert!(matches!(fault, DiskFault::Short(_)), "{index} {call} {fault:?}"),
                Err(StoreError::Io { .. }) => {}
                Err(error) => panic!("{index} {call} {fault:?}: {error:?}"),
            }
            assert!(fits(done, state(&store)), "{index} {call} {fault:?}: {done:?}");
            drop(store);
            works_again(root.path());
            cases += 1;
        }
    }
    eprintln!("{} system calls, {cases} refusals", calls.len());
    assert!(STEPS == 7 && cases > 75);
}

#[test]
fn no_changed_bit_makes_another_state_of_a_record() {
    let root = memory();
    let store = FsStore::open(root.path()).unwrap();
    let lease = store.claim(&id()).unwrap();
    let path = store.sandbox_dir(&id()).join("record.json");
    let mut cases = 0;
    for lines in [1usize, 3] {
        fs::remove_file(&path).ok();
        for line in 1..=lines {
            store.save_as(&lease, &(line, "J*JJ")).unwrap();
        }
        let whole = fs::read(&path).unwrap();
        let read = || store.load_as::<(usize, String)>(&id());
        for place in 0..whole.len() {
            for bit in 0..8 {
                let mut changed = whole.clone();
                changed[place] ^= 1 << bit;
                fs::write(&path, &changed).unwrap();
                match read() {
                    Ok(read) => assert_eq!(read, (lines, "J*JJ".into()), "bit {bit} of {place}"),
                    Err(StoreError::Corrupt { .. } | StoreError::NewerSchema { .. }) => {}
                    Err(error) => panic!("bit {bit} of {place}: {error:?}"),
                }
                cases += 1;
            }
        }
        // One that was cut off is as one that its writer did not end: the former one counts, or there is none.
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            match read() {
                Ok((step, ..)) => assert!(step <= lines),
                Err(StoreError::NoRecord { .. } | StoreError::Corrupt { .. }) => {
                    assert!(length < whole.len())
                }
                Err(error) => panic!("cut at {length}: {error:?}"),
            }
            cases += 1;
        }
    }
    eprintln!("{cases} damaged records");
}

#[test]
#[ignore = "the child of a_full_disk_and_a_read_only_one_keep_what_is_there, in a mount namespace of its own"]
fn on_a_small_disk() {
    let root = std::env::var(ROOT).unwrap();
    let mount = |words: &[&str]| {
        assert!(Command::new("mount").args(words).arg(&root).status().unwrap().success());
    };
    mount(&["-t", "tmpfs", "-o", "size=96k", "small"]);
    let store = FsStore::open(&root).unwrap();
    let lease = store.claim(&id()).unwrap();
    store.save_as(&lease, &(1, text(1))).unwrap();
    let filling = Path::new(&root).join("filling");
    fs::write(&filling, vec![0; 1 << 20]).unwrap_err();
    // The page in which the log ends has room for some more.
    let mut last = 1;
    let refused = loop {
        match store.save_as(&lease, &(last + 1, text(last + 1))) {
            Ok(()) => last += 1,
            Err(error) => break error,
        }
        assert!(last < 1000);
    };
    assert!(matches!(refused, StoreError::Io { .. }), "{refused:?}");
    assert_eq!(state(&store), last, "the record as it was");
    let other = store.claim(&SandboxId::new("b").unwrap()).and_then(|lease| store.save_as(&lease, &1));
    assert!(other.is_err());
    fs::remove_file(&filling).unwrap();
    store.save_as(&lease, &(last + 1, text(last + 1))).unwrap();
    assert_eq!(state(&store), last + 1);

    mount(&["-o", "remount,ro"]);
    let refused = store.save_as(&lease, &(0, "")).unwrap_err();
    assert!(matches!(refused, StoreError::Io { .. }), "{refused:?}");
    assert!(store.claim(&SandboxId::new("c").unwrap()).is_err());
    let reader = FsStore::open(&root).unwrap();
    assert_eq!(state(&reader), last + 1, "reads go on");
    assert!(!reader.list().unwrap().is_empty());
    mount(&["-o", "remount,rw"]);
    fs::write(&filling, vec![0; 1 << 20]).unwrap_err();
    store.forget(lease).unwrap();
    assert_eq!(state(&store), 0, "a full disk does not stand in the way of a removal");
    println!("\nwell");
}

#[test]
fn a_full_disk_and_a_read_only_one_keep_what_is_there() {
    let root = memory();
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "on_a_small_disk", "--ignored", "--nocapture"])
        .env(ROOT, root.path())
        .output()
        .expect("unshare of util-linux");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("\nwell"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_is_set_aside_is_whole_and_in_nobody_s_way() {
    let root = memory();
    let store = FsStore::open(root.path()).unwrap();
    for round in 0..2 {
        let lease = store.claim(&id()).unwrap();
        store.save_as(&lease, &round).unwrap();
        let at = store.set_aside(lease).unwrap();
        assert!(at.starts_with(store.root().join("set-aside")) && at.join("record.json").exists());
        assert!(matches!(store.load(&id()), Err(StoreError::NotFound { .. })));
    }
    assert_eq!(fs::read_dir(root.path().join("set-aside")).unwrap().count(), 2);
    assert!(store.list().unwrap().is_empty());
}

/// Records of former versions of this library load for ever. Those of a schema that is to come are refused and stay.
#[test]
fn records_of_each_schema_that_was_released_load() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/records");
    let mut schemas = 0;
    for schema in fs::read_dir(kept).unwrap() {
        let schema = schema.unwrap().path();
        let root = memory();
        let store = FsStore::open(root.path()).unwrap();
        for record in fs::read_dir(&schema).unwrap() {
            let record = record.unwrap().path();
            let name = record.file_stem().unwrap().to_str().unwrap();
            fs::create_dir(root.path().join("sandboxes").join(name)).unwrap();
            fs::copy(&record, root.path().join("sandboxes").join(name).join("record.json")).unwrap();
            store.load_named(name).unwrap_or_else(|error| panic!("{}: {error:?}", record.display()));
        }
        schemas += 1;
    }
    assert_eq!(schemas, virtcontainers_store::SCHEMA);
}
