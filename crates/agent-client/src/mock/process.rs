//! Processes of the mock agent: what they are scripted to do, and how far they are.

use crate::{
    agent::{GuestProcess, ProcessState, TerminalSize},
    io::OutputStream,
};

/// When a scripted process ends of its own accord. A signal ends it earlier.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MockEnd {
    /// As soon as it was started.
    #[default]
    AtOnce,
    /// When its standard input is closed.
    StdinClosed,
    /// Never.
    Never,
}

/// What a process does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MockProcess {
    /// What it writes to its standard output when it starts.
    pub stdout: Vec<u8>,
    /// What it writes to its standard error when it starts.
    pub stderr: Vec<u8>,
    /// It copies its standard input to its standard output.
    pub echo: bool,
    /// When it ends.
    pub ends: MockEnd,
    /// Its exit code when it ends of its own accord.
    pub code: i32,
    /// The signals that it outlives. SIGKILL is never among them; any other ends it with 128 and its number.
    pub ignores: Vec<u32>,
}

impl MockProcess {
    /// Writes this and ends with that code.
    #[must_use]
    pub fn output(stdout: impl Into<Vec<u8>>, code: i32) -> Self {
        Self { stdout: stdout.into(), code, ..Self::default() }
    }

    /// Runs until it is signalled.
    #[must_use]
    pub fn endless() -> Self {
        Self { ends: MockEnd::Never, ..Self::default() }
    }

    /// Copies its input to its output until its input ends, as `cat` does.
    #[must_use]
    pub fn cat() -> Self {
        Self { echo: true, ends: MockEnd::StdinClosed, ..Self::default() }
    }
}

/// SIGKILL.
const KILL: u32 = 9;

/// A process that was created.
#[derive(Debug)]
pub(super) struct Running {
    script: MockProcess,
    pid: u32,
    args: Vec<String>,
    started: bool,
    stdin: bool,
    pub(super) signals: Vec<u32>,
    pub(super) size: Option<TerminalSize>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    pub(super) code: Option<i32>,
}

impl Running {
    pub(super) fn created(script: MockProcess, stdin: bool, pid: u32, args: Vec<String>) -> Self {
        let (stdout, stderr, signals) = (Vec::new(), Vec::new(), Vec::new());
        Self { script, pid, args, started: false, stdin, signals, size: None, stdout, stderr, code: None }
    }

    /// As the guest's kernel would show it, if it runs.
    pub(super) fn shown(&self) -> Option<GuestProcess> {
        let runs = self.started && self.code.is_none();
        let comm = || {
            let program =
                self.args.first().map_or("mock", |program| program.rsplit('/').next().unwrap_or_default());
            program.to_owned()
        };
        runs.then(|| GuestProcess {
            pid: self.pid,
            container_pid: self.pid,
            state: ProcessState::Sleeping,
            threads: 1,
            comm: comm(),
            args: self.args.clone(),
            ..GuestProcess::default()
        })
    }

    pub(super) fn resize(&mut self, size: TerminalSize) {
        self.size = Some(size);
    }

    pub(super) fn is_started(&self) -> bool {
        self.started
    }

    pub(super) fn output(&self, stream: OutputStream) -> &[u8] {
        match stream {
            OutputStream::Stdout => &self.stdout,
            OutputStream::Stderr => &self.stderr,
        }
    }

    pub(super) fn take_output(&mut self, stream: OutputStream, max: usize) -> Vec<u8> {
        let output = match stream {
            OutputStream::Stdout => &mut self.stdout,
            OutputStream::Stderr => &mut self.stderr,
        };
        output.drain(..output.len().min(max)).collect()
    }

    pub(super) fn start(&mut self) {
        self.started = true;
        self.stdout.extend_from_slice(&self.script.stdout);
        self.stderr.extend_from_slice(&self.script.stderr);
        let ends = match self.script.ends {
            MockEnd::AtOnce => true,
            MockEnd::StdinClosed => !self.stdin,
            MockEnd::Never => false,
        };
        if ends {
            self.end(self.script.code);
        }
    }

    /// `false`: nobody reads.
    pub(super) fn write(&mut self, data: &[u8]) -> bool {
        let takes = self.stdin && self.code.is_none();
        if takes && self.script.echo {
            self.stdout.extend_from_slice(data);
        }
        takes
    }

    pub(super) fn close_stdin(&mut self) {
        self.stdin = false;
        if self.started && self.script.ends == MockEnd::StdinClosed {
            self.end(self.script.code);
        }
    }

    pub(super) fn signal(&mut self, signal: u32) {
        self.signals.push(signal);
        if signal != 0 && (signal == KILL || !self.script.ignores.contains(&signal)) {
            self.end(128 + signal.min(127) as i32);
        }
    }

    /// `false`: it had ended before.
    pub(super) fn end(&mut self, code: i32) -> bool {
        let first = self.code.is_none();
        self.code.get_or_insert(code);
        first
    }
}
