//! Terminals, with real machines: sizes, keys that leave, and modes that are always restored.

use rustix::{
    process::{Pid, Signal, kill_process},
    termios::Termios,
};

use crate::{
    pty::Pty,
    stage::{LONG, Stage, code, wait},
};

#[track_caller]
fn restored(before: &Termios, pty: &Pty) {
    let after = pty.modes();
    assert_eq!(
        (after.input_modes, after.output_modes, after.control_modes, after.local_modes),
        (before.input_modes, before.output_modes, before.control_modes, before.local_modes)
    );
}

#[test]
fn vm_exec_with_a_terminal() {
    let stage = Stage::with_machine();
    stage.well("run -d --name web --rootfs {rootfs} -- sleep 1000");
    let mut pty = Pty::new(33, 77);
    let before = pty.modes();

    // The first thing that the command does sees the right size.
    let mut child = pty.spawn(&mut stage.command("exec -it web", &["--", "stty", "size"]));
    pty.expect("33 77\r\n");
    assert_eq!(code(wait(&mut child, LONG).unwrap()), 0);
    restored(&before, &pty);

    // ctrl-c is the command's, not virtc's.
    let script = "trap 'echo interrupted; exit 9' INT; echo ready; while :; do sleep 1; done";
    let mut child = pty.spawn(&mut stage.command("exec -it web", &["--", "sh", "-c", script]));
    pty.expect("ready\r\n");
    pty.write("\x03");
    pty.expect("interrupted\r\n");
    assert_eq!(code(wait(&mut child, LONG).unwrap()), 9);
    restored(&before, &pty);

    // A command that is killed, and its code.
    let mut child =
        pty.spawn(&mut stage.command("exec -it web", &["--", "sh", "-c", "echo up; kill -KILL $$"]));
    pty.expect("up\r\n");
    assert_eq!(code(wait(&mut child, LONG).unwrap()), 137);
    restored(&before, &pty);

    keys_that_leave(&stage, &mut pty, &before);
    stopped_and_continued(&stage, &mut pty, &before);

    // ctrl-d ends a shell.
    let mut child = pty.spawn(&mut stage.command("exec -it web", &["--", "cat"]));
    pty.write("typed\r");
    pty.expect("typed\r\ntyped\r\n");
    pty.write("\x04");
    assert_eq!(code(wait(&mut child, LONG).unwrap()), 0);
    restored(&before, &pty);
    stage.well("rm -f web");
    stage.assert_clean();
}

fn keys_that_leave(stage: &Stage, pty: &mut Pty, before: &Termios) {
    for (options, keys) in [("", "\x10\x11"), ("--detach-keys ctrl-x,y", "\x18y")] {
        let script = ["--", "sh", "-c", "echo ready; while read line; do echo \"got $line\"; done"];
        let mut child = pty.spawn(&mut stage.command(&format!("exec -it {options} web"), &script));
        pty.expect("ready\r\n");
        // The first of the keys alone leaves nothing, and reaches the command.
        pty.write(&keys[..1]);
        pty.write("a\r");
        pty.expect("got");
        pty.write(keys);
        assert_eq!(code(wait(&mut child, LONG).unwrap()), 0, "left, and well");
        restored(before, pty);
    }
    let left = stage.well("exec web -- ps");
    assert_eq!(left.matches("while read line").count(), 2, "both go on: {left}");
}

/// ctrl-z on the outside: the shell gets its terminal back, and virtc gets it raw again.
fn stopped_and_continued(stage: &Stage, pty: &mut Pty, before: &Termios) {
    let mut child =
        pty.spawn(&mut stage.command("exec -it web", &["--", "sh", "-c", "echo up; read x; echo got $x"]));
    pty.expect("up\r\n");
    let raw = pty.modes().local_modes;
    assert_ne!(raw, before.local_modes);
    let virtc = Pid::from_child(&child);
    kill_process(virtc, Signal::TSTP).unwrap();
    crate::stage::until("virtc is stopped", || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        stat.rsplit(')').next().unwrap().trim_start().starts_with('T')
    });
    restored(before, pty);
    kill_process(virtc, Signal::CONT).unwrap();
    crate::stage::until("the terminal is raw again", || pty.modes().local_modes == raw);
    pty.write("on\r");
    pty.expect("got on\r\n");
    assert_eq!(code(wait(&mut child, LONG).unwrap()), 0);
    restored(before, pty);
}

#[test]
fn vm_run_that_is_left() {
    let stage = Stage::with_machine();
    let mut pty = Pty::new(24, 80);
    let before = pty.modes();
    let script = "echo ready; while read line; do echo \"got $line\"; done; exit 6";
    let mut child =
        pty.spawn(&mut stage.command("run -it --name left --rootfs {rootfs}", &["--", "sh", "-c", script]));
    pty.expect("ready\r\n");
    pty.write("one\r");
    pty.expect("got one\r\n");
    pty.write("\x10\x11");
    pty.expect("left\r\n");
    assert_eq!(code(wait(&mut child, LONG).unwrap()), 0);
    restored(&before, &pty);
    assert_eq!(stage.json("inspect left")["state"], "running");

    // Whoever comes later has its terminal, and its exit code.
    let mut child = pty.spawn(&mut stage.command("attach left", &[]));
    pty.write("two\r");
    pty.expect("got two\r\n");
    pty.write("\x04");
    assert_eq!(code(wait(&mut child, LONG).unwrap()), 6);
    restored(&before, &pty);
    assert!(stage.well("logs left").contains("got two"));
    assert_eq!(stage.virtc("wait left").code, 6);
    stage.well("rm -f left");
    stage.assert_clean();
}

#[test]
fn vm_attached_terminal_whose_machine_is_killed() {
    let stage = Stage::with_machine();
    stage.well("run -d -it --name web --rootfs {rootfs} -- sh");
    let mut pty = Pty::new(24, 80);
    let before = pty.modes();
    let mut child = pty.spawn(&mut stage.command("attach web", &[]));
    pty.write("echo $((6 * 7))\r");
    pty.expect("42\r\n");
    let vmm = stage.json("inspect web")["vmm_pid"].as_i64().unwrap();
    kill_process(Pid::from_raw(i32::try_from(vmm).unwrap()).unwrap(), Signal::KILL).unwrap();
    assert_eq!(code(wait(&mut child, LONG).expect("virtc did not end")), 125);
    restored(&before, &pty);
    stage.well("rm -f web");
    stage.assert_clean();
}
