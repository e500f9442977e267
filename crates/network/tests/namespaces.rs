//! Namespaces: opened, made, entered, removed. Needs root.
#![expect(clippy::unwrap_used, reason = "what tests share fails the test")]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use virtcontainers_network::{Inside, LinkKind, NetNs, NetworkError, scan};

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

fn refusal(path: &Path) -> NetworkError {
    NetNs::open(path).unwrap_err()
}

#[tokio::test]
async fn what_is_no_network_namespace_is_refused() {
    let place = Place::new();
    let (file, fifo) = (place.path("file"), place.path("fifo"));
    fs::write(&file, "").unwrap();
    let made =
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0);
    made.unwrap();
    // A fifo without a writer would hold the reader for ever.
    let others = [Path::new("/proc/self/ns/mnt"), Path::new("/dev/null"), place.0.path(), &file, &fifo];
    for path in others.into_iter().chain([place.path("nothing").as_path()]) {
        let error = refusal(path);
        let NetworkError::NotANamespace { path: named, .. } = &error else { unreachable!("{error}") };
        assert_eq!(named, path);
    }
}

#[tokio::test]
async fn a_made_one_has_lo_up_and_goes_for_good() {
    let place = Place::new();
    let path = place.path("ns");
    let made = NetNs::create(&path).unwrap();
    let seen = scan(&made).await.unwrap();
    let [lo] = &seen.links[..] else { unreachable!("{seen:?}") };
    assert_eq!((lo.kind.clone(), lo.up, lo.name.as_str()), (LinkKind::Loopback, true, "lo"));
    assert!(NetNs::open(&path).unwrap().is_same_as(&made).unwrap());
    assert!(!NetNs::current().unwrap().is_same_as(&made).unwrap());
    let taken = NetNs::create(&path).unwrap_err();
    assert!(matches!(taken, NetworkError::PathTaken { .. }), "{taken}");
    assert!(NetNs::open(&path).is_ok(), "the refused one has not touched it");
    for _ in 0..2 {
        NetNs::remove(&path).unwrap();
        assert!(!path.exists());
    }
    // It is held open still, and of use.
    scan(&made).await.unwrap();
}

#[tokio::test]
async fn only_what_was_made_is_removed() {
    let place = Place::new();
    let file = place.path("file");
    fs::write(&file, "of the user").unwrap();
    for path in [&file, place.0.path()] {
        let error = NetNs::remove(path).unwrap_err();
        assert!(matches!(error, NetworkError::NotOurs { .. }), "{error}");
        assert!(path.exists());
    }
    // A crash between the file and the mount leaves this.
    fs::write(&file, "").unwrap();
    NetNs::remove(&file).unwrap();
    assert!(!file.exists());
}

#[tokio::test]
async fn work_is_inside_and_the_caller_stays_outside() {
    let place = Place::new();
    let made = NetNs::create(&place.path("ns")).unwrap();
    let before = NetNs::current().unwrap();
    let inside = made.run(async |_: &Inside| NetNs::current().unwrap()).await.unwrap();
    assert!(inside.is_same_as(&made).unwrap());
    assert!(NetNs::current().unwrap().is_same_as(&before).unwrap());
    let child = made.run(async |_: &Inside| {
        let child = tokio::process::Command::new("readlink").arg("/proc/self/ns/net").output().await;
        String::from_utf8(child.unwrap().stdout).unwrap()
    });
    let child = child.await.unwrap();
    let outside = fs::read_link("/proc/self/ns/net").unwrap();
    assert!(child.starts_with("net:[") && child.trim() != outside.to_str().unwrap(), "{child}");
    NetNs::remove(&place.path("ns")).unwrap();
}

#[tokio::test]
async fn work_that_panics_is_told() {
    let here = NetNs::current().unwrap();
    let error = here.run(async |_: &Inside| -> () { unreachable!("on purpose") }).await.unwrap_err();
    assert!(matches!(error, NetworkError::BrokeDown), "{error}");
}

#[tokio::test]
async fn work_ends_with_its_caller() {
    struct Told(Arc<AtomicBool>);
    impl Drop for Told {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let here = NetNs::current().unwrap();
    let ended = Arc::new(AtomicBool::new(false));
    let told = Told(Arc::clone(&ended));
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let work = here.run(async move |_: &Inside| {
        let _told = told;
        begun.send(()).unwrap();
        std::future::pending::<()>().await;
    });
    tokio::select! {
        _ = work => unreachable!("it never ends by itself"),
        begun = has_begun => begun.unwrap(),
    }
    assert!(ended.load(Ordering::SeqCst), "its thread has ended when the caller goes on");
    let quick = tokio::time::timeout(Duration::from_secs(5), here.run(async |_: &Inside| 7)).await;
    assert_eq!(quick.unwrap().unwrap(), 7);
}
