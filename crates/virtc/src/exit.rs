//! Exit codes, as users of docker know them.

use std::process::ExitCode;

/// How the tool ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// With a command's own code; 128+n when signal n ended it.
    Code(i32),
    /// Done.
    Done,
}

/// virtc itself failed.
pub(crate) const FAILED: i32 = 125;
/// The command is there but cannot be executed.
pub(crate) const CANNOT_EXECUTE: i32 = 126;
/// The command is not in the container.
pub(crate) const NOT_FOUND: i32 = 127;
/// The command line is wrong.
pub(crate) const USAGE: i32 = 2;

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => Self::SUCCESS,
            // The kernel keeps eight bits of a code, and so do we; nothing else can come from a process.
            Exit::Code(code) => Self::from(u8::try_from(code & 0xff).unwrap_or(u8::MAX)),
        }
    }
}
