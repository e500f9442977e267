//! `virtc run` with real machines: everything that passes between the command and its caller.

use std::{fs, io::Read as _, process::Stdio};

use rustix::process::Signal;

use crate::{
    pty::Pty,
    stage::{LONG, Stage, code, wait},
};

const SCRIPT: &str = r#"
pwd
echo "$GREETING-$EMPTY-$0"
cat >&2
echo kept > file
cat /secret/known
(echo no > /secret/file) 2>/dev/null || echo secret is read-only
(echo no > /etc/file) 2>/dev/null || echo root is read-only
exit 7
"#;

#[test]
fn vm_run_passes_everything() {
    let stage = Stage::with_machine();
    fs::create_dir(stage.files().join("data")).unwrap();
    stage.file("secret/known", "a secret\n");
    let options = "run --rm -i --read-only --rootfs {rootfs} -e GREETING=hi=there -e EMPTY= -w /data \
                   -v {files}/data:/data -v secret:/secret:ro";
    let outcome = stage.fed(options, &["--", "sh", "-c", SCRIPT, "a b"], "one\ntwo\n");
    assert_eq!(outcome.code, 7, "{outcome:?}");
    assert_eq!(
        outcome.stdout, "/data\nhi=there--a b\na secret\nsecret is read-only\nroot is read-only\n",
        "{outcome:?}"
    );
    assert_eq!(outcome.stderr, "one\ntwo\n");
    assert_eq!(fs::read_to_string(stage.files().join("data/file")).unwrap(), "kept\n");
    assert!(!stage.files().join("secret/file").exists());
    assert!(!stage.files().join("rootfs/etc/file").exists());
    stage.assert_clean();
}

#[test]
fn vm_run_of_a_command_that_cannot_run() {
    let stage = Stage::with_machine();
    for (command, code) in [("frobnicate", 127), ("/etc/passwd", 126)] {
        let outcome = stage.virtc(&format!("run --rootfs {{rootfs}} -- {command}"));
        assert_eq!(outcome.code, code, "{outcome:?}");
        assert_eq!(outcome.stdout, "");
        outcome.says(&[command]);
        stage.assert_clean();
    }
}

#[test]
fn vm_run_is_signalled_and_keeps_its_name() {
    let stage = Stage::with_machine();
    let script = "trap 'echo heard TERM' TERM; echo up; while :; do sleep 1; done";
    let mut job = stage.start("run --name job --rootfs {rootfs}", &["--", "sh", "-c", script]);
    job.await_output("up\n");

    let second = stage.virtc("run --name job --rootfs {rootfs} -- true");
    assert_eq!(second.code, 125, "{second:?}");
    second.says(&["job"]);
    assert_eq!(stage.well("container enter job -- echo still here"), "still here\n");

    job.signal(Signal::TERM);
    job.await_output("heard TERM\n");
    stage.well("container kill job");
    let outcome = job.end(LONG);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (137, ""), "{outcome:?}");

    let status = stage.json("sandbox status job");
    assert_eq!(status["state"], "stopped", "{status}");
    assert_eq!(status["containers"][0]["exit_code"], 137, "{status}");
    stage.well("sandbox delete job");
    stage.assert_clean();
}

#[test]
fn vm_run_on_other_machines() {
    let stage = Stage::with_machine();
    stage.file("data/known", "shared\n");
    for options in [
        "--transport virtio-serial --shared-fs virtio-9p",
        "--machine pc --memory 384M",
        "--machine microvm --cpus 2",
    ] {
        let outcome = stage.fed(
            &format!("run --rm -i --rootfs {{rootfs}} -v data:/data {options}"),
            &["--", "sh", "-c", "cat /data/known - && exit 4"],
            "from standard input\n",
        );
        assert_eq!(outcome.code, 4, "{options}: {outcome:?}");
        assert_eq!(outcome.stdout, "shared\nfrom standard input\n", "{options}");
        assert_eq!(outcome.stderr, "", "{options}");
        stage.assert_clean();
    }
}

const TERMINAL_SCRIPT: &str = r#"
stty size
echo ready
read line
echo "got $line"
while [ "$(stty size)" != "40 100" ]; do sleep 1; done
echo resized
exit 3
"#;

#[test]
fn vm_run_with_a_terminal() {
    let stage = Stage::with_machine();
    let mut pty = Pty::new(37, 91);
    let before = pty.modes();
    let mut child =
        pty.spawn(&mut stage.command("run --rm -it --rootfs {rootfs}", &["--", "sh", "-c", TERMINAL_SCRIPT]));
    let shown = pty.expect("ready\r\n");
    assert!(shown.contains("37 91\r\n"), "the size from the start: {shown:?}");
    assert_ne!(pty.modes().local_modes, before.local_modes, "the terminal is raw meanwhile");

    // What is typed is shown once, by the guest's terminal: the host's is raw.
    pty.write("hello\r");
    assert_eq!(pty.expect("got hello\r\n"), "hello\r\ngot hello\r\n");
    pty.resize(40, 100);
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::WINCH).unwrap();
    pty.expect("resized\r\n");

    let status = wait(&mut child, LONG).expect("virtc did not end");
    assert_eq!(code(status), 3);
    let after = pty.modes();
    assert_eq!(
        (after.input_modes, after.output_modes, after.control_modes, after.local_modes),
        (before.input_modes, before.output_modes, before.control_modes, before.local_modes)
    );
    stage.assert_clean();
}

#[test]
fn vm_run_whose_reader_goes_away() {
    let stage = Stage::with_machine();
    let script = "while :; do echo y; done";
    let mut child = stage
        .command("run --rm --rootfs {rootfs}", &["--", "sh", "-c", script])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 1000]).unwrap();
    drop(stdout);
    let status = wait(&mut child, LONG).expect("virtc did not end");
    assert_eq!(code(status), 141);
    stage.assert_clean();
}
