//! Processes killed at random: records stay whole, leases pass on, and what was begun is known.
//!
//! The test runs itself as the process to be killed: a test named `child_…` does nothing unless its work is named in
//! the environment.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use futures::FutureExt as _;
use serde::{Deserialize, Serialize};
use virtcontainers_store::{
    FaultKind, FaultPlan, FsStore, Lease, Ledger, ReleaseError, Releaser, Resource, StepError, Store,
    StoreError, StoreExt as _, Transaction, transact,
};
use virtcontainers_types::SandboxId;

const ROOT: &str = "STORE_TEST_ROOT";
const WORK: &str = "STORE_TEST_WORK";

fn id(name: &str) -> SandboxId {
    SandboxId::new(name).unwrap()
}

fn child(root: &Path, work: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_process", "--nocapture"])
        .env(ROOT, root)
        .env(WORK, work)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn wait_for_line(child: &mut Child, wanted: &str) {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let found = lines.map_while(Result::ok).any(|line| line.contains(wanted));
    assert!(found, "the child ended without {wanted:?}");
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A record whose two ends must agree, long enough to be written in more than one page.
#[derive(Serialize, Deserialize)]
struct Checked {
    first: u64,
    filling: String,
    last: u64,
}

/// The process that the tests kill.
#[test]
fn child_process() {
    let (Some(root), Ok(work)) = (std::env::var_os(ROOT), std::env::var(WORK)) else { return };
    let store = FsStore::open(root).unwrap();
    match work.split_once(' ').unwrap_or((&work, "")) {
        ("write", _) => {
            let lease = store.lease(&id("a"), Duration::from_secs(10)).unwrap();
            println!("\nready");
            for n in 0u64.. {
                let filling = "x".repeat(usize::try_from(n % 7).unwrap() * 3000);
                store.save_as(&lease, &Checked { first: n, filling, last: n }).unwrap();
            }
        }
        ("hold", _) => {
            let _lease = store.lease(&id("a"), Duration::from_secs(10)).unwrap();
            println!("\nready");
            std::thread::sleep(Duration::from_secs(60));
        }
        ("claim", _) => match store.claim(&id("a")) {
            Ok(lease) => {
                store.save_as(&lease, &std::process::id()).unwrap();
                println!("\nclaimed");
            }
            Err(StoreError::AlreadyExists { .. }) => println!("\ntaken"),
            Err(error) => panic!("{error}"),
        },
        ("transact", index) => {
            let faults = FaultPlan::at(index.parse().unwrap(), FaultKind::Abort);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(acquire_three(store, faults)).unwrap();
        }
        (other, _) => panic!("{other}"),
    }
}

#[test]
fn a_killed_writer_leaves_the_old_record_or_the_new_one() {
    let root = tempfile::tempdir().unwrap();
    let store = FsStore::open(root.path()).unwrap();
    let lease = store.claim(&id("a")).unwrap();
    store.save_as(&lease, &Checked { first: 0, filling: String::new(), last: 0 }).unwrap();
    drop(lease);
    // A pseudo-random spread over the few hundred microseconds of some writes, the same in every run.
    let mut spread = 0x2545_f491_4f6c_dd1du64;
    for _ in 0..100 {
        spread ^= spread << 13;
        spread ^= spread >> 7;
        spread ^= spread << 17;
        let mut writer = child(root.path(), "write");
        wait_for_line(&mut writer, "ready");
        let until = Instant::now() + Duration::from_micros(spread % 3000);
        while Instant::now() < until {
            // Readers need no lease and see whole records all the while.
            let record: Checked = store.load_as(&id("a")).unwrap();
            assert_eq!(record.first, record.last);
        }
        kill(writer);
        let record: Checked = store.load_as(&id("a")).unwrap();
        assert_eq!(record.first, record.last);
        assert_eq!(record.filling.len() as u64, record.first % 7 * 3000);
    }
    let lease = store.lease(&id("a"), Duration::ZERO).expect("the dead hold nothing");
    let left = std::fs::read_dir(store.sandbox_dir(lease.id())).unwrap().count();
    // Who replaces the file next takes the name of a temporary one that a dead writer left.
    assert!(left <= 2, "{left} files: temporary ones pile up");
}

#[test]
fn a_lease_passes_on_when_its_holder_is_killed() {
    let root = tempfile::tempdir().unwrap();
    let store = FsStore::open(root.path()).unwrap();
    store.save_as(&store.claim(&id("a")).unwrap(), &1).unwrap();
    let mut holder = child(root.path(), "hold");
    wait_for_line(&mut holder, "ready");
    match store.lease(&id("a"), Duration::from_millis(20)) {
        Err(StoreError::Busy { holder: named, .. }) => assert_eq!(named, Some(holder.id())),
        other => panic!("{other:?}"),
    }
    let store = Arc::new(store);
    let waiter = std::thread::spawn({
        let store = Arc::clone(&store);
        move || store.lease(&id("a"), Duration::from_secs(20)).map(drop)
    });
    kill(holder);
    waiter.join().unwrap().expect("handed over");
}

#[test]
fn one_of_two_processes_gets_an_id() {
    let root = tempfile::tempdir().unwrap();
    for _ in 0..10 {
        let outputs = [child(root.path(), "claim"), child(root.path(), "claim")]
            .map(|child| String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap());
        let said =
            |word: &str| outputs.iter().filter(|output| output.lines().any(|line| line == word)).count();
        assert_eq!((said("claimed"), said("taken")), (1, 1), "{outputs:?}");
        let store = FsStore::open(root.path()).unwrap();
        store.forget(store.lease(&id("a"), Duration::ZERO).unwrap()).unwrap();
    }
}

/// A file made by a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct MadeFile(std::path::PathBuf);

impl Resource for MadeFile {
    fn label(&self) -> String {
        self.0.display().to_string()
    }
}

#[derive(Default)]
struct RemoveFile(Mutex<Vec<MadeFile>>);

#[async_trait]
impl Releaser<MadeFile> for RemoveFile {
    async fn release(&self, file: &MadeFile) -> Result<(), ReleaseError> {
        self.0.lock().unwrap().push(file.clone());
        match std::fs::remove_file(&file.0) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

struct Recorded {
    store: Arc<FsStore>,
    lease: Lease,
}

impl Ledger<MadeFile> for Recorded {
    fn record(&mut self, held: &[MadeFile]) -> Result<(), StoreError> {
        self.store.save_as(&self.lease, &held)
    }
}

/// A verb of three steps on sandbox `t`, each making a file beside the store.
async fn acquire_three(store: FsStore, faults: FaultPlan) -> Result<usize, String> {
    let store = Arc::new(store);
    let lease = store.claim(&id("t")).map_err(|error| error.to_string())?;
    let root = store.root().to_owned();
    let ledger = Recorded { store, lease };
    let tx = Transaction::new(ledger, Arc::new(RemoveFile::default()), Vec::new()).with_faults(faults);
    let done = transact(tx, move |tx| {
        async move {
            for step in ["one", "two", "three"] {
                let path = root.join(format!("made-{step}"));
                let make = async { std::fs::write(&path, step) };
                tx.step(step, MadeFile(path.clone()), make).await?;
            }
            Ok::<_, StepError<std::io::Error>>(())
        }
        .boxed()
    });
    done.await.map(|((), _, held)| held.len()).map_err(|error| error.to_string())
}

fn made(root: &Path) -> usize {
    std::fs::read_dir(root)
        .unwrap()
        .filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().starts_with("made-"))
        .count()
}

/// At every point of the verb: kill the process there, then clean up from the record alone.
#[tokio::test]
async fn whatever_a_killed_transaction_acquired_is_in_the_record() {
    let counted = tempfile::tempdir().unwrap();
    let counting = FaultPlan::counting();
    acquire_three(FsStore::open(counted.path()).unwrap(), counting.clone()).await.unwrap();
    assert_eq!((counting.passed().len(), made(counted.path())), (6, 3));
    for point in counting.passed() {
        let root = tempfile::tempdir().unwrap();
        let status = child(root.path(), &format!("transact {}", point.index)).wait().unwrap();
        assert!(!status.success(), "{point:?}: it was to die");
        assert_eq!(made(root.path()), point.index.div_ceil(2), "{point:?}");
        let store = Arc::new(FsStore::open(root.path()).unwrap());
        let lease = store.lease(&id("t"), Duration::ZERO).expect("the dead hold nothing");
        let held: Vec<MadeFile> = store.load_as(&id("t")).unwrap();
        assert_eq!(held.len(), point.index / 2 + 1, "{point:?}");
        let releaser = Arc::new(RemoveFile::default());
        let ledger = Recorded { store: Arc::clone(&store), lease };
        let mut tx = Transaction::adopt(ledger, Arc::clone(&releaser) as _, held.clone());
        assert!(tx.unwind().await.is_empty());
        assert_eq!(made(root.path()), 0, "{point:?}: something leaks");
        let released = releaser.0.lock().unwrap().clone();
        assert!(released.iter().eq(held.iter().rev()), "{point:?}: the latest first");
        let (ledger, remaining) = tx.commit();
        assert!(remaining.is_empty());
        store.forget(ledger.lease).unwrap();
    }
}
