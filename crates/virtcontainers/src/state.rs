//! What each state admits: two tables, one for sandboxes and one for containers, each a `const fn` without wildcards.

use virtcontainers_types::{ContainerState, SandboxState};

/// The answer of an admit table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Go ahead.
    Act,
    /// The state is already what the operation would make it: succeed without acting.
    Done,
    /// Refused, with what to do instead.
    Refuse(&'static str),
}

/// What can be asked of a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SandboxOperation {
    /// Start its containers.
    Start,
    /// End it.
    Stop,
    /// Halt its processors.
    Pause,
    /// Let them go on.
    Resume,
    /// Remove it if it does not run.
    Delete,
    /// Create a container in it.
    CreateContainer,
    /// Start a container of it.
    StartContainer,
    /// Work with a container of it.
    UseContainer,
    /// Stop or delete a container of it.
    EndContainer,
}

/// What can be asked of a container, the sandbox permitting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ContainerOperation {
    /// Start its command.
    Start,
    /// End its command.
    Stop,
    /// Signal it.
    Kill,
    /// Freeze it.
    Pause,
    /// Thaw it.
    Resume,
    /// Run a further process in it.
    Exec,
    /// Wait for its command, or use its streams.
    Attend,
    /// Look at its processes and at what they use.
    Observe,
    /// Change its limits.
    Update,
    /// Remove it if it does not run.
    Delete,
}

const UNFINISHED: &str = "its create was not finished: delete it";
const RESUME_FIRST: &str = "resume the sandbox first";
const START_FIRST: &str = "start the sandbox first";
const ENDED: &str = "its machine is gone: delete the sandbox and create it anew";

/// Whether a sandbox in `state` admits `operation`.
pub(crate) const fn admit_sandbox(state: SandboxState, operation: SandboxOperation) -> Admission {
    use Admission::{Act, Done, Refuse};
    use SandboxOperation as Op;
    use SandboxState as State;
    match (state, operation) {
        (State::Creating, Op::Stop | Op::Delete) => Act,
        (
            State::Creating,
            Op::Start
            | Op::Pause
            | Op::Resume
            | Op::CreateContainer
            | Op::StartContainer
            | Op::UseContainer
            | Op::EndContainer,
        ) => Refuse(UNFINISHED),

        (
            State::Ready,
            Op::Start | Op::Stop | Op::Delete | Op::CreateContainer | Op::UseContainer | Op::EndContainer,
        ) => Act,
        (State::Ready, Op::Pause | Op::StartContainer) => Refuse(START_FIRST),
        (State::Ready, Op::Resume) => Refuse("it is not paused: start it"),

        (
            State::Running,
            Op::Stop
            | Op::Pause
            | Op::CreateContainer
            | Op::StartContainer
            | Op::UseContainer
            | Op::EndContainer,
        ) => Act,
        (State::Running, Op::Start | Op::Resume) => Done,
        (State::Running, Op::Delete) => Refuse("stop it first, or force the delete"),

        (State::Paused, Op::Stop | Op::Resume) => Act,
        (State::Paused, Op::Pause) => Done,
        (State::Paused, Op::Delete) => Refuse("stop it first, or force the delete"),
        (
            State::Paused,
            Op::Start | Op::CreateContainer | Op::StartContainer | Op::UseContainer | Op::EndContainer,
        ) => Refuse(RESUME_FIRST),

        (State::Stopped, Op::Stop) => Done,
        (State::Stopped, Op::Delete | Op::EndContainer) => Act,
        (
            State::Stopped,
            Op::Start | Op::Pause | Op::Resume | Op::CreateContainer | Op::StartContainer | Op::UseContainer,
        ) => Refuse(ENDED),
    }
}

/// Whether a container in `state` admits `operation`.
pub(crate) const fn admit_container(state: ContainerState, operation: ContainerOperation) -> Admission {
    use Admission::{Act, Done, Refuse};
    use ContainerOperation as Op;
    use ContainerState as State;
    match (state, operation) {
        (State::Creating, Op::Stop | Op::Delete) => Act,
        (
            State::Creating,
            Op::Start | Op::Kill | Op::Pause | Op::Resume | Op::Exec | Op::Attend | Op::Observe | Op::Update,
        ) => Refuse(UNFINISHED),

        (
            State::Ready,
            Op::Start | Op::Stop | Op::Kill | Op::Attend | Op::Observe | Op::Update | Op::Delete,
        ) => Act,
        (State::Ready, Op::Pause | Op::Resume | Op::Exec) => Refuse("start the container first"),

        (
            State::Running,
            Op::Stop | Op::Kill | Op::Pause | Op::Exec | Op::Attend | Op::Observe | Op::Update,
        ) => Act,
        (State::Running, Op::Start | Op::Resume) => Done,
        (State::Running, Op::Delete) => Refuse("stop it first, or force the delete"),

        (State::Paused, Op::Stop | Op::Kill | Op::Resume | Op::Attend | Op::Observe | Op::Update) => Act,
        (State::Paused, Op::Pause) => Done,
        (State::Paused, Op::Start | Op::Exec) => Refuse("resume the container first"),
        (State::Paused, Op::Delete) => Refuse("stop it first, or force the delete"),

        (State::Stopped, Op::Stop) => Done,
        (State::Stopped, Op::Delete | Op::Attend) => Act,
        (
            State::Stopped,
            Op::Start | Op::Kill | Op::Pause | Op::Resume | Op::Exec | Op::Observe | Op::Update,
        ) => Refuse("its command has ended: delete the container and create it anew"),
    }
}

#[cfg(test)]
mod tests;
