//! A record's file as anybody may have left it: it reads as a value or as an error, alike for each reader; whoever has the
//! lease can write over it, and then it is what was written.
#![no_main]

use std::{fs, path::PathBuf, sync::OnceLock, time::Duration};

use libfuzzer_sys::fuzz_target;
use virtcontainers_store::{Durability, FsStore, Store, StoreError, StoreExt as _};
use virtcontainers_types::SandboxId;

fn stage() -> &'static (FsStore, PathBuf, SandboxId) {
    static STAGE: OnceLock<(FsStore, PathBuf, SandboxId)> = OnceLock::new();
    STAGE.get_or_init(|| {
        let root = PathBuf::from(format!("/dev/shm/vc-fuzz-records-{}", std::process::id()));
        let store = FsStore::with_durability(&root, Durability::NoSync).expect("a root in memory");
        let id = SandboxId::new("a").expect("an id");
        let dir = store.sandbox_dir(&id);
        fs::create_dir_all(&dir).expect("a directory");
        (store, dir.join("record.json"), id)
    })
}

fuzz_target!(|bytes: &[u8]| {
    let (store, path, id) = stage();
    fs::write(path, bytes).expect("a file in memory");
    let read = store.load(id);
    let again = store.load(id);
    match (&read, &again) {
        (Ok(one), Ok(other)) => assert_eq!(one.get(), other.get()),
        (Err(_), Err(_)) => {}
        (one, other) => panic!("{one:?} {other:?}"),
    }
    if let Err(StoreError::NotFound { .. } | StoreError::Busy { .. } | StoreError::Foreign { .. }) = read {
        panic!("{read:?}");
    }
    drop(store.list().expect("a list, whatever is in a record"));
    let lease = store.lease(id, Duration::ZERO).expect("nobody has it");
    store.save_as(&lease, &bytes).expect("a log goes on behind whatever was there");
    assert_eq!(store.load_as::<Vec<u8>>(id).expect("what was written"), bytes);
});
