//! What records cost: `cargo bench -p virtcontainers-store`. The root is on `/dev/shm`, as `/run` usually is a tmpfs.
#![allow(clippy::unwrap_used, reason = "benchmark")]
#![allow(missing_docs, reason = "benchmark")]

use std::path::PathBuf;

use divan::Bencher;
use serde::{Deserialize, Serialize};
use virtcontainers_store::{Durability, FsStore, Lease, Store, StoreExt as _};
use virtcontainers_sys::process::ProcessRef;
use virtcontainers_types::SandboxId;

fn main() {
    divan::main();
}

/// About 2 KiB, as a sandbox with its virtual machine, network and daemons.
#[derive(Serialize, Deserialize)]
struct Record {
    state: String,
    kernel: PathBuf,
    memory: u32,
    held: Vec<Held>,
}

#[derive(Serialize, Deserialize)]
struct Held {
    kind: String,
    path: PathBuf,
    process: ProcessRef,
}

fn record() -> Record {
    let held = |n: u32| Held {
        kind: "mount".to_owned(),
        path: format!("/run/virtcontainers/sandboxes/0123456789abcdef/mounts/{n}/rootfs").into(),
        process: ProcessRef { pid: n, start: 123_456_789 },
    };
    let kernel = "/usr/share/virtcontainers/vmlinux".into();
    Record { state: "running".to_owned(), kernel, memory: 1024, held: (0..14).map(held).collect() }
}

fn store(dir: &str, durability: Durability, count: usize) -> (tempfile::TempDir, FsStore, Vec<Lease>) {
    let root = tempfile::tempdir_in(dir).unwrap();
    let store = FsStore::with_durability(root.path(), durability).unwrap();
    let leases = (0..count).map(|n| {
        let lease = store.claim(&SandboxId::new(format!("sandbox-{n:04}")).unwrap()).unwrap();
        store.save_as(&lease, &record()).unwrap();
        lease
    });
    let leases = leases.collect();
    (root, store, leases)
}

const PLACES: [(&str, Durability); 4] = [
    ("/dev/shm", Durability::Full),
    ("/dev/shm", Durability::NoSync),
    ("/var/tmp", Durability::Full),
    ("/var/tmp", Durability::NoSync),
];

#[divan::bench(args = PLACES)]
fn save(bencher: Bencher<'_, '_>, (dir, durability): (&str, Durability)) {
    let (_root, store, leases) = store(dir, durability, 1);
    let record = record();
    bencher.bench_local(|| store.save_as(&leases[0], &record).unwrap());
}

#[divan::bench(args = PLACES)]
fn claim_save_forget(bencher: Bencher<'_, '_>, (dir, durability): (&str, Durability)) {
    let (_root, store, _leases) = store(dir, durability, 0);
    let (id, record) = (SandboxId::new("one").unwrap(), record());
    bencher.bench_local(|| {
        let lease = store.claim(&id).unwrap();
        store.save_as(&lease, &record).unwrap();
        store.forget(lease).unwrap();
    });
}

#[divan::bench]
fn load(bencher: Bencher<'_, '_>) {
    let (_root, store, leases) = store("/dev/shm", Durability::NoSync, 1);
    bencher.bench_local(|| store.load_as::<Record>(leases[0].id()).unwrap());
}

#[divan::bench(args = [1, 100, 1000])]
fn list(bencher: Bencher<'_, '_>, count: usize) {
    let (_root, store, _leases) = store("/dev/shm", Durability::NoSync, count);
    bencher.bench_local(|| store.list_as::<Record>().unwrap().len());
}
