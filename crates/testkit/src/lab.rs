//! The lab: a virtual machine that stands in as a full-featured host, for tests of what the kernel at hand may lack (ipvlan,
//! vfio, vhost, KVM). `scripts/lab` makes and runs it; its root is this host's, below a layer of memory, so a test program
//! finds there all that it finds here.
//!
//! A test that is for the lab has a name that begins with `lab_`, and is ignored in an ordinary run, which counts it; `make
//! lab-test` runs it. Its body is given to [`Lab::run`], which starts the lab with this test alone; in there the
//! same call does the body.

use std::{
    any, env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The variable that tells a program that it is in the lab, and where its results go.
const INSIDE: &str = "VC_LAB";
/// Left by a body that came to its end, so that a test that was not found does not pass.
const RECEIPT: &str = "passed";
/// What a test in the lab needs to know of the one that started it.
const HANDED_ON: [&str; 3] = ["CARGO_MANIFEST_DIR", "VC_GUEST_DIR", "RUST_BACKTRACE"];

/// A lab for one test.
#[derive(Debug, Clone)]
pub struct Lab {
    seconds: u32,
    devices: Vec<String>,
}

impl Default for Lab {
    fn default() -> Self {
        Self::new()
    }
}

impl Lab {
    /// One that lasts five minutes at most.
    #[must_use]
    pub const fn new() -> Self {
        Self { seconds: 300, devices: Vec::new() }
    }

    /// One that lasts this long at most.
    #[must_use]
    pub fn seconds(self, seconds: u32) -> Self {
        Self { seconds, ..self }
    }

    /// With more words for its QEMU, as `-device virtio-net-pci`.
    #[must_use]
    pub fn device(mut self, words: &str) -> Self {
        self.devices.extend(words.split_whitespace().map(str::to_owned));
        self
    }

    /// Does `body` in the lab. It must be a closure that is written in the test's own function, whose name it gives away.
    ///
    /// # Panics
    /// When the lab cannot be had, or the body panics in it; what it said is printed.
    #[track_caller]
    pub fn run<F: FnOnce()>(&self, body: F) {
        if let Some(results) = env::var_os(INSIDE) {
            body();
            if let Err(error) = fs::write(Path::new(&results).join(RECEIPT), "") {
                panic!("cannot leave the receipt of this test: {error}");
            }
            return;
        }
        let test = name_of::<F>();
        let results = match tempfile::Builder::new().prefix("vc-lab-").tempdir() {
            Ok(results) => results,
            Err(error) => panic!("cannot make a directory: {error}"),
        };
        let done = match self.command(&test, results.path()).output() {
            Ok(done) => done,
            Err(error) => panic!("cannot run scripts/lab: {error}"),
        };
        print!("{}", String::from_utf8_lossy(&done.stdout));
        eprint!("{}", String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success(), "{test} in the lab: {}", done.status);
        assert!(results.path().join(RECEIPT).exists(), "the lab ran no test {test}: is it called so?");
    }

    fn command(&self, test: &str, results: &Path) -> Command {
        let program = env::current_exe().unwrap_or_else(|error| panic!("no path of this program: {error}"));
        let mut command = Command::new(script());
        command.arg("run").arg("--seconds").arg(self.seconds.to_string()).arg("--out").arg(results);
        for name in HANDED_ON {
            if let Ok(value) = env::var(name) {
                command.arg("--env").arg(format!("{name}={value}"));
            }
        }
        for word in &self.devices {
            command.arg("--device").arg(word);
        }
        command.arg("--").arg(program);
        command.args(["--exact", test, "--include-ignored", "--nocapture", "--test-threads", "1"]);
        command
    }
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/lab")
}

/// The name of the test in whose function this closure was written, as the harness knows it.
fn name_of<F>() -> String {
    let path = any::type_name::<F>();
    let path = path.split_once("::").map_or(path, |(_, inside)| inside);
    path.split("::{{closure}}").next().unwrap_or(path).to_owned()
}

#[cfg(test)]
mod tests;
