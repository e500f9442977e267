//! A terminal whose user is the test.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Write as _},
    os::fd::OwnedFd,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{self, Termios, Winsize},
};

/// More than anything that the test expects takes, a boot included.
const PATIENCE: Duration = Duration::from_secs(90);

/// Both sides of a pseudoterminal.
pub(crate) struct Pty {
    /// What the user sees and types.
    user: File,
    /// What the program has. Kept open, so that the user's side never sees a hangup.
    program: File,
    seen: String,
}

impl Pty {
    pub(crate) fn new(rows: u16, columns: u16) -> Self {
        let user = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&user).unwrap();
        unlockpt(&user).unwrap();
        let name = ptsname(&user, Vec::new()).unwrap().into_string().unwrap();
        let program = OpenOptions::new().read(true).write(true).open(name).unwrap();
        let pty = Self { user: user.into(), program, seen: String::new() };
        pty.resize(rows, columns);
        pty
    }

    /// Starts a program with the terminal as its three streams.
    pub(crate) fn spawn(&self, command: &mut Command) -> Child {
        let end = || Stdio::from(OwnedFd::from(self.program.try_clone().unwrap()));
        command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap()
    }

    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        termios::tcsetwinsize(&self.program, size).unwrap();
    }

    pub(crate) fn modes(&self) -> Termios {
        termios::tcgetattr(&self.program).unwrap()
    }

    pub(crate) fn write(&mut self, text: &str) {
        self.user.write_all(text.as_bytes()).unwrap();
    }

    /// Waits until `text` has been written, and gives all that came up to its end and was not given before.
    #[track_caller]
    pub(crate) fn expect(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.seen.find(text) {
                let rest = self.seen.split_off(at + text.len());
                return std::mem::replace(&mut self.seen, rest);
            }
            let bound = Timespec::try_from(PATIENCE).unwrap();
            let ready = poll(&mut [PollFd::new(&self.user, PollFlags::IN)], Some(&bound)).unwrap();
            assert_eq!(ready, 1, "{text:?} did not come; there was {:?}", self.seen);
            let mut piece = [0; 4096];
            let len = self.user.read(&mut piece).unwrap();
            self.seen.push_str(&String::from_utf8_lossy(&piece[..len]));
        }
    }
}
