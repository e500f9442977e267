//! What the tests share: a root directory of their own, a root filesystem of busybox, and `virtc` with a bound on its
//! time.

use std::{
    fs,
    io::{Read, Write as _},
    os::unix::{fs::symlink, process::ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};
use serde_json::Value;
use virtcontainers_testkit::TestRoot;

/// A machine under TCG takes a core: two at once would time out for want of it.
static ONE_MACHINE: Mutex<()> = Mutex::new(());
/// More than any call of `virtc` takes here, the boot of a machine included.
pub(crate) const LONG: Duration = Duration::from_secs(90);

/// A root directory, files to work with, and the turn of this test where it boots machines.
pub(crate) struct Stage {
    files: tempfile::TempDir,
    root: TestRoot,
    /// The network namespace that virtc is called in, instead of the test's.
    pub(crate) netns: Option<PathBuf>,
    _turn: Option<MutexGuard<'static, ()>>,
}

impl Stage {
    /// For tests that boot nothing.
    pub(crate) fn new() -> Self {
        let files = tempfile::tempdir().unwrap();
        busybox(&files.path().join("rootfs"));
        Self { files, root: TestRoot::new(), netns: None, _turn: None }
    }

    /// For tests with a real machine.
    pub(crate) fn with_machine() -> Self {
        let turn = ONE_MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(
            guest_dir().join("manifest.json").exists(),
            "no guest image in {}: `make guest`",
            guest_dir().display()
        );
        Self { _turn: Some(turn), ..Self::new() }
    }

    /// Where a test puts its files.
    pub(crate) fn files(&self) -> &Path {
        self.files.path()
    }

    /// Makes a file, and says where.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.files().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    /// `virtc` with the words of `line`, in which `{files}` and `{rootfs}` stand for those directories, and then the
    /// words of `more`, as they are.
    pub(crate) fn command(&self, line: &str, more: &[&str]) -> Command {
        let virtc = env!("CARGO_BIN_EXE_virtc");
        let mut command = match &self.netns {
            None => Command::new(virtc),
            Some(path) => {
                let mut command = Command::new("nsenter");
                command.arg(format!("--net={}", path.display())).arg(virtc);
                command
            }
        };
        let files = self.files().to_str().unwrap();
        let words = line
            .split_whitespace()
            .map(|word| word.replace("{rootfs}", "{files}/rootfs").replace("{files}", files));
        command
            .args(words)
            .args(more)
            .current_dir(self.files())
            .env("VIRTC_ROOT", self.root())
            .env("VIRTC_CONFIG", "/dev/null")
            .env("VIRTC_LOG", "error")
            .env("VIRTC_GUEST_DIR", guest_dir())
            .env_remove("VIRTC_ROOTFS")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs `virtc` to its end.
    pub(crate) fn virtc(&self, line: &str) -> Outcome {
        self.start(line, &[]).end(LONG)
    }

    /// Runs `virtc`, whose command in the container is a shell with this script.
    pub(crate) fn shell(&self, line: &str, script: &str) -> Outcome {
        self.start(line, &["--", "sh", "-c", script]).end(LONG)
    }

    /// Runs `virtc`, which must do well; what it printed.
    #[track_caller]
    pub(crate) fn well(&self, line: &str) -> String {
        let outcome = self.virtc(line);
        assert_eq!(outcome.code, 0, "virtc {line}: {outcome:?}");
        outcome.stdout
    }

    /// Runs `virtc … --json`, which must do well.
    #[track_caller]
    pub(crate) fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.well(&format!("--json {line}"))).unwrap()
    }

    /// Starts `virtc`.
    pub(crate) fn start(&self, line: &str, more: &[&str]) -> Running {
        Running::new(self.command(line, more).spawn().unwrap())
    }

    /// Runs `virtc` with this on its standard input.
    pub(crate) fn fed(&self, line: &str, more: &[&str], input: &str) -> Outcome {
        let mut child = self.command(line, more).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let running = Running::new(child);
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        running.end(LONG)
    }

    /// Nothing may be left, neither here nor on the host.
    #[track_caller]
    pub(crate) fn assert_clean(&self) {
        assert_eq!(self.root.leaks(), [], "left behind");
    }

    /// Waits until no sandbox is left: something else deletes it.
    pub(crate) fn await_empty(&self) {
        until("no sandbox is left", || self.well("sandbox list --quiet").is_empty());
    }
}

/// Waits for something that nobody announces, at most [`LONG`].
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < LONG, "waited {LONG:?} in vain until {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// How a call of `virtc` ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The exit code; the negative signal when one ended it.
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

impl Outcome {
    /// Standard error has all of these.
    #[track_caller]
    pub(crate) fn says(&self, words: &[&str]) {
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is not in: {}", self.stderr);
        }
    }
}

/// A call of `virtc` that goes on. Its output is read as it comes.
pub(crate) struct Running {
    child: Child,
    begin: Instant,
    stdout: Collected,
    stderr: Collected,
}

impl Running {
    fn new(mut child: Child) -> Self {
        let stdout = Collected::new(child.stdout.take().unwrap());
        let stderr = Collected::new(child.stderr.take().unwrap());
        Self { child, begin: Instant::now(), stdout, stderr }
    }

    /// Waits until it has printed this.
    #[track_caller]
    pub(crate) fn await_output(&mut self, text: &str) {
        until(&format!("{text:?} is printed"), || {
            let over = self.child.try_wait().unwrap();
            assert!(over.is_none(), "virtc ended: {over:?}: {}", self.stderr.so_far());
            self.stdout.so_far().contains(text)
        });
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end, at most `bound`.
    #[track_caller]
    pub(crate) fn end(mut self, bound: Duration) -> Outcome {
        let status = wait(&mut self.child, bound);
        let took = self.begin.elapsed();
        let (stdout, stderr) = (self.stdout.end(), self.stderr.end());
        let Some(status) = status else {
            panic!("virtc did not end within {bound:?}\nstdout: {stdout}\nstderr: {stderr}")
        };
        Outcome { code: code(status), stdout, stderr, took }
    }
}

/// What a program has printed, read by a thread so that it never waits for its reader.
struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Collected {
    fn new(mut from: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let to = Arc::clone(&bytes);
        let reader = std::thread::spawn(move || {
            let mut piece = [0; 16 * 1024];
            loop {
                match from.read(&mut piece).unwrap() {
                    0 => break,
                    len => to.lock().unwrap().extend_from_slice(&piece[..len]),
                }
            }
        });
        Self { bytes, reader }
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }

    fn end(self) -> String {
        self.reader.join().unwrap();
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }
}

/// Waits for a child's end; kills it after `bound`.
pub(crate) fn wait(child: &mut Child, bound: Duration) -> Option<ExitStatus> {
    let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty()).unwrap();
    let bound = Timespec::try_from(bound).unwrap();
    let ended = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&bound)).unwrap() == 1;
    if !ended {
        child.kill().unwrap();
    }
    let status = child.wait().unwrap();
    ended.then_some(status)
}

/// The exit code, or the negative signal.
pub(crate) fn code(status: ExitStatus) -> i32 {
    status.code().or(status.signal().map(|signal| -signal)).unwrap()
}

/// The guest image that the tests boot.
pub(crate) fn guest_dir() -> PathBuf {
    std::env::var_os("VC_GUEST_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../build/guest"), PathBuf::from)
}

/// Debian's static busybox.
pub(crate) const BUSYBOX: &str = "/bin/busybox";

/// Makes a root filesystem.
fn busybox(dir: &Path) {
    for name in ["bin", "etc", "proc", "sys", "dev", "tmp", "data", "secret"] {
        fs::create_dir_all(dir.join(name)).unwrap();
    }
    fs::copy(BUSYBOX, dir.join("bin/busybox"))
        .unwrap_or_else(|error| panic!("no {BUSYBOX}: {error}; `apt-get install busybox-static`"));
    for tool in [
        "sh", "cat", "echo", "sleep", "true", "id", "uname", "pwd", "stty", "tr", "seq", "tar", "ls", "ps",
        "readlink", "md5sum", "kill", "mkdir", "head", "dd", "stat", "ln", "chown", "yes",
    ] {
        symlink("busybox", dir.join("bin").join(tool)).unwrap();
    }
    fs::write(dir.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\nbob:x:1000:1000::/:/bin/sh\n").unwrap();
}
