//! The admit tables, whole: one line a state, one letter an operation (a: act, d: done, r: refuse).

use super::*;

fn letter(admission: Admission) -> char {
    match admission {
        Admission::Act => 'a',
        Admission::Done => 'd',
        Admission::Refuse(_) => 'r',
    }
}

#[test]
fn sandbox_table() {
    use SandboxOperation as Op;
    let operations = [
        Op::Start,
        Op::Stop,
        Op::Pause,
        Op::Resume,
        Op::Delete,
        Op::CreateContainer,
        Op::StartContainer,
        Op::UseContainer,
        Op::EndContainer,
    ];
    let table = |state| operations.map(|op| letter(admit_sandbox(state, op))).iter().collect::<String>();
    let whole: Vec<_> = SandboxState::ALL.iter().map(|&state| (state, table(state))).collect();
    let expected = [
        (SandboxState::Creating, "rarrarrrr"),
        (SandboxState::Ready, "aarraaraa"),
        (SandboxState::Running, "daadraaaa"),
        (SandboxState::Paused, "radarrrrr"),
        (SandboxState::Stopped, "rdrrarrra"),
    ];
    assert_eq!(whole, expected.map(|(state, row)| (state, row.to_owned())));
}

#[test]
fn container_table() {
    use ContainerOperation as Op;
    let operations = [
        Op::Start,
        Op::Stop,
        Op::Kill,
        Op::Pause,
        Op::Resume,
        Op::Exec,
        Op::Attend,
        Op::Observe,
        Op::Update,
        Op::Delete,
    ];
    let table = |state| operations.map(|op| letter(admit_container(state, op))).iter().collect::<String>();
    let whole: Vec<_> = ContainerState::ALL.iter().map(|&state| (state, table(state))).collect();
    let expected = [
        (ContainerState::Creating, "rarrrrrrra"),
        (ContainerState::Ready, "aaarrraaaa"),
        (ContainerState::Running, "daaadaaaar"),
        (ContainerState::Paused, "raadaraaar"),
        (ContainerState::Stopped, "rdrrrrarra"),
    ];
    assert_eq!(whole, expected.map(|(state, row)| (state, row.to_owned())));
}
