//! What a guest sees of files that the host changes, and how often it reads those that nobody changes. They need what the tests
//! of `vm_sandbox` need; what is missing fails the test.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test tells by panicking")]

mod guest;

use std::{
    fs,
    io::Write as _,
    os::unix::fs::FileExt as _,
    path::PathBuf,
    time::{Duration, Instant},
};

use guest::{Stage, output};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use virtcontainers::{Cmd, Container, ContainerId, DeleteMode, Mount, Process, Sandbox, Transport};

/// The guest trusts names and sizes for a second (`--cache auto`); the rest is for a busy host.
const SOON: Duration = Duration::from_secs(20);

/// A container that sees a directory of the host as `/data`.
struct Scene {
    _stage: Stage,
    data: tempfile::TempDir,
    sandbox: Sandbox,
    container: Container,
}

impl Scene {
    /// With these files in the directory.
    async fn set(files: &[(&str, &[u8])]) -> Self {
        let (stage, data) = (Stage::new().await, tempfile::tempdir().unwrap());
        for (name, content) in files {
            fs::write(data.path().join(name), content).unwrap();
        }
        let mut config = stage.config("box");
        config.hypervisor_config.transport = Transport::HybridVsock;
        let mut container = stage.shell("c", "sleep 1000 & sleep 1000");
        container.mounts = vec![Mount::bind(data.path(), "/data")];
        config.containers = vec![container];
        let sandbox =
            stage.runtime().run_sandbox(config).await.unwrap_or_else(|error| panic!("{}", error.report()));
        let container = sandbox.container(&ContainerId::new("c").unwrap());
        Self { _stage: stage, data, sandbox, container }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.data.path().join(name)
    }

    /// So many bytes the virtio-fs daemon has read so far, from whatever file.
    async fn read_by_daemon(&self) -> u64 {
        let status = self.sandbox.status().await.unwrap();
        let daemon = status.processes.iter().find(|process| process.role == "virtiofsd").unwrap();
        let io = fs::read_to_string(format!("/proc/{}/io", daemon.pid)).unwrap();
        io.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
    }
}

/// A shell in the guest that opens and reads a file whenever it is told a name.
struct Reader {
    process: Process,
    answers: tokio::io::Lines<BufReader<virtcontainers::ProcessOutput>>,
}

impl Reader {
    async fn start(container: &Container) -> Self {
        let script = "while read name; do cat /data/$name; echo; done";
        let process =
            container.exec(Cmd { stdin: true, ..Cmd::new(["/bin/sh", "-c", script]) }).await.unwrap();
        let answers = BufReader::new(process.stdout()).lines();
        Self { process, answers }
    }

    async fn read(&mut self, name: &str) -> String {
        self.process.stdin().write_all(format!("{name}\n").as_bytes()).await.unwrap();
        tokio::time::timeout(SOON, self.answers.next_line()).await.unwrap().unwrap().unwrap()
    }

    /// Opens the file until it has this content, and never anything else than this and the old one.
    async fn read_until(&mut self, name: &str, old: &str, new: &str) {
        let until = Instant::now() + SOON;
        loop {
            match self.read(name).await {
                seen if seen == new => return,
                seen => assert_eq!(seen, old, "of {name}, neither the old content nor the new"),
            }
            assert!(Instant::now() < until, "{name} stays as it was");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_cache_reads_an_unchanged_file_once() {
    const SIZE: usize = 4 << 20;
    let scene = Scene::set(&[("big", &[b'x'; SIZE])]).await;
    let sum =
        async || output(&scene.container.exec(Cmd::new(["sha256sum", "/data/big"])).await.unwrap()).await;

    let start = scene.read_by_daemon().await;
    let (first, code) = sum().await;
    assert_eq!(code, 0, "{first}");
    let once = scene.read_by_daemon().await;
    assert!(once - start >= SIZE as u64, "the first one reads it all: {}", once - start);
    for _ in 0..3 {
        assert_eq!(sum().await.0, first);
    }
    let again = scene.read_by_daemon().await - once;
    // Neither the file nor, at the latest from the second time on, the program that reads it.
    assert!(again < (SIZE / 4) as u64, "three more opens read {again} bytes from the host");

    fs::File::options().write(true).open(scene.file("big")).unwrap().write_at(b"y", 12_345).unwrap();
    assert_ne!(sum().await.0, first, "one byte in the middle");
    scene.sandbox.delete(DeleteMode::Force).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_cache_shows_what_the_host_has_changed() {
    let old = "0000 as it was";
    let scene = Scene::set(&[("file", old.as_bytes())]).await;
    let mut reader = Reader::start(&scene.container).await;

    // In place, with the same size: each open sees it at once. Between two changes the guest keeps the file, or not.
    for round in 0..60 {
        let content = format!("{round:04} as it was");
        let file = fs::File::options().write(true).open(scene.file("file")).unwrap();
        file.write_all_at(content.as_bytes(), 0).unwrap();
        for _ in 0..=round % 3 {
            assert_eq!(reader.read("file").await, content);
        }
    }

    // Other sizes and other files of that name: within the second for which sizes and names are trusted.
    let before = "0059 as it was";
    fs::File::options().append(true).open(scene.file("file")).unwrap().write_all(b", and more").unwrap();
    reader.read_until("file", before, "0059 as it was, and more").await;
    fs::File::options().write(true).open(scene.file("file")).unwrap().set_len(4).unwrap();
    reader.read_until("file", "0059 as it was, and more", "0059").await;
    fs::write(scene.file("other"), "another file").unwrap();
    fs::rename(scene.file("other"), scene.file("file")).unwrap();
    reader.read_until("file", "0059", "another file").await;
    for _ in 0..3 {
        assert_eq!(reader.read("file").await, "another file");
    }
    scene.sandbox.delete(DeleteMode::Force).await.unwrap();
}
