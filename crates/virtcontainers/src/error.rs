//! The one error of the library: opaque, so that it can grow; answered by kind, never by text.

mod cause;

use std::fmt;

use crate::config::Violation;

pub(crate) use cause::Cause;

/// What went wrong with a verb of this library.
///
/// `Display` says what failed and what to do next, with the last lines of the guest's console where a guest failed;
/// [`std::error::Error::source`] leads to the causes; [`Error::report`] prints everything.
pub struct Error(Box<Whole>);

struct Whole {
    cause: Cause,
    undo: Vec<String>,
    console: Vec<String>,
}

/// What sort of failure an [`Error`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The configuration is wrong; see [`Error::violations`].
    InvalidConfig,
    /// No such sandbox, container or process.
    NotFound,
    /// The id is taken.
    AlreadyExists,
    /// Another process works on the sandbox.
    Busy,
    /// The state does not admit the verb.
    WrongState,
    /// The virtual machine monitor failed, or the virtual machine died.
    Hypervisor,
    /// The agent refused or failed.
    Agent,
    /// A command to be run is not in its container.
    CommandNotFound,
    /// A command to be run is in its container, but cannot be executed.
    CommandNotExecutable,
    /// Something did not happen in time.
    Timeout,
    /// A record cannot be read or written.
    Storage,
    /// A network cannot be made as asked: the host, a CNI plugin or a hook refused.
    Network,
    /// The host refused something: a mount, a socket, a process.
    Io,
    /// The feature is not built in this version.
    NotBuilt,
    /// A program that is needed is not installed.
    MissingProgram,
    /// The verb was cut off, for example because the runtime shuts down.
    Interrupted,
}

impl Error {
    /// What sort of failure it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.cause.kind()
    }

    /// Whether the same call may succeed later without anything being changed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self.kind() {
            ErrorKind::Busy | ErrorKind::Timeout | ErrorKind::Interrupted => true,
            ErrorKind::InvalidConfig
            | ErrorKind::NotFound
            | ErrorKind::AlreadyExists
            | ErrorKind::WrongState
            | ErrorKind::Hypervisor
            | ErrorKind::Agent
            | ErrorKind::CommandNotFound
            | ErrorKind::CommandNotExecutable
            | ErrorKind::Storage
            | ErrorKind::Network
            | ErrorKind::Io
            | ErrorKind::NotBuilt
            | ErrorKind::MissingProgram => false,
        }
    }

    /// Everything that is wrong with the configuration; empty for other kinds of failure.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        if let Cause::Config(error) = &self.0.cause { error.violations() } else { &[] }
    }

    /// What could not be undone after the failure. Delete the sandbox to try again.
    #[must_use]
    pub fn undo_errors(&self) -> &[String] {
        &self.0.undo
    }

    /// The last lines of the guest's console, where a guest failed.
    #[must_use]
    pub fn console(&self) -> &[String] {
        &self.0.console
    }

    /// The whole story for people: what failed, why, what could not be undone, the console.
    #[must_use]
    pub fn report(&self) -> impl fmt::Display + '_ {
        Report(self)
    }

    /// Adds the end of the console, unless it has nothing to do with the failure.
    pub(crate) fn with_console(mut self, lines: Vec<String>) -> Self {
        let guest_is_well =
            matches!(self.kind(), ErrorKind::CommandNotFound | ErrorKind::CommandNotExecutable);
        if self.0.console.is_empty() && !guest_is_well {
            self.0.console = lines;
        }
        self
    }

    pub(crate) fn with_undo(mut self, failures: impl IntoIterator<Item = String>) -> Self {
        self.0.undo.extend(failures);
        self
    }

    pub(crate) fn cause(&self) -> &Cause {
        &self.0.cause
    }
}

impl<C: Into<Cause>> From<C> for Error {
    fn from(cause: C) -> Self {
        Self(Box::new(Whole { cause: cause.into(), undo: Vec::new(), console: Vec::new() }))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Whole { cause, undo, console } = &*self.0;
        write!(f, "{cause}")?;
        for failure in undo {
            write!(f, "\nnot undone: {failure}")?;
        }
        if !console.is_empty() {
            write!(f, "\nthe last lines of the guest's console:")?;
            console.iter().try_for_each(|line| write!(f, "\n  | {line}"))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Whole { cause, undo, console } = &*self.0;
        f.debug_struct("Error")
            .field("kind", &self.kind())
            .field("cause", cause)
            .field("undo", undo)
            .field("console", console)
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.0.cause)
    }
}

struct Report<'a>(&'a Error);

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.0.cause)?;
        let mut next = std::error::Error::source(self.0);
        while let Some(source) = next {
            write!(f, "\n  because: {source}")?;
            next = source.source();
        }
        let Whole { undo, console, .. } = &*self.0.0;
        undo.iter().try_for_each(|failure| write!(f, "\n  not undone: {failure}"))?;
        if !console.is_empty() {
            write!(f, "\n  the last lines of the guest's console:")?;
            console.iter().try_for_each(|line| write!(f, "\n  | {line}"))?;
        }
        Ok(())
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        line.push_str(": ");
        line.push_str(&source.to_string());
        next = source.source();
    }
    line
}
