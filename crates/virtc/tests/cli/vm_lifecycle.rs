//! Sandboxes that stay, with real machines: every verb on them and their containers, from processes of their own.

use rustix::process::Signal;

use crate::stage::{LONG, Stage};

#[test]
fn vm_sandbox_that_stays() {
    let stage = Stage::with_machine();
    assert_eq!(stage.well("run -d --name web --rootfs {rootfs} -- sleep 1000"), "web\n");

    let list = stage.json("sandbox list");
    assert_eq!(list.as_array().unwrap().len(), 1);
    assert_eq!((&list[0]["id"], &list[0]["state"]), (&"web".into(), &"running".into()), "{list}");
    assert_eq!(list[0]["containers"][0]["state"], "running", "{list}");
    let refused = stage.virtc("sandbox delete web");
    assert_eq!(refused.code, 125, "{refused:?}");
    refused.says(&["sandbox web", "running"]);
    let refused = stage.virtc("container delete web");
    assert_eq!(refused.code, 125, "{refused:?}");
    refused.says(&["container web", "running"]);

    enter(&stage);
    second_container(&stage);

    stage.well("sandbox pause web");
    assert_eq!(stage.json("sandbox status web")["state"], "paused");
    let refused = stage.virtc("container enter web/web -- true");
    assert_eq!(refused.code, 125, "{refused:?}");
    refused.says(&["sandbox web", "paused"]);
    stage.well("sandbox resume web");
    assert_eq!(stage.well("container enter web -- echo awake"), "awake\n");

    stage.well("container stop -f web");
    assert_eq!(stage.json("container status web")["exit_code"], 137);
    assert_eq!(stage.well("sandbox stop web"), "web\n");
    assert_eq!(stage.json("sandbox status web")["state"], "stopped");
    let refused = stage.virtc("container enter web -- true");
    assert_eq!(refused.code, 125, "{refused:?}");
    refused.says(&["web", "stopped"]);
    assert_eq!(stage.well("sandbox delete web"), "web\n");
    stage.assert_clean();
}

/// Further processes in the container of sandbox `web`.
fn enter(stage: &Stage) {
    let echo = stage.fed("container enter -i web", &["--", "tr", "a-z", "A-Z"], "to and fro");
    assert_eq!((echo.code, echo.stdout.as_str()), (0, "TO AND FRO"), "{echo:?}");
    let apart = stage.shell("container enter web -e A=b -w /etc -u bob", "echo $A; pwd; id -u >&2; exit 5");
    assert_eq!((apart.code, apart.stdout.as_str(), apart.stderr.as_str()), (5, "b\n/etc\n", "1000\n"));
    let killed = stage.shell("container enter web", "kill -TERM $$");
    assert_eq!(killed.code, 143, "{killed:?}");
    let much = stage.virtc("container enter web -- seq 50000");
    assert_eq!((much.code, much.stdout.lines().count()), (0, 50_000));
    for (command, code) in [("frobnicate", 127), ("/etc/passwd", 126)] {
        let outcome = stage.virtc(&format!("container enter web -- {command}"));
        assert_eq!(outcome.code, code, "{outcome:?}");
        outcome.says(&[command]);
    }
}

/// The life of a second container in sandbox `web`.
fn second_container(stage: &Stage) {
    let script = "trap 'exit 9' TERM; : >/trapped; while :; do sleep 1; done";
    let made = stage.shell("container create web/second --rootfs {rootfs}", script);
    assert_eq!((made.code, made.stdout.as_str()), (0, "web/second\n"), "{made:?}");
    let again = stage.virtc("container create web/second --rootfs {rootfs} -- true");
    assert_eq!(again.code, 125, "{again:?}");
    again.says(&["web", "second"]);
    let state = |expected: &str| {
        let status = stage.json("container status web/second");
        assert_eq!(status["state"], expected, "{status}");
    };
    state("ready");
    assert_eq!(stage.well("container start web/second"), "web/second\n");
    state("running");
    // A command runs from its start on, its trap only once the shell has come to it.
    let trapped = stage.shell("container enter web/second", "until [ -e /trapped ]; do :; done");
    assert_eq!(trapped.code, 0, "{trapped:?}");
    let mut names: Vec<_> = stage.well("container list -q").lines().map(str::to_owned).collect();
    names.sort_unstable();
    assert_eq!(names, ["web/second", "web/web"]);
    let unclear = stage.virtc("container enter web -- true");
    assert_eq!(unclear.code, 2, "{unclear:?}");
    unclear.says(&["web/CONTAINER", "second"]);

    stage.well("container pause web/second");
    state("paused");
    stage.well("container resume web/second");
    state("running");
    let waiter = stage.start("container wait web/second", &[]);
    stage.well("container kill --signal TERM web/second");
    assert_eq!(waiter.end(LONG).code, 9);
    state("stopped");
    assert_eq!(stage.well("container delete web/second"), "web/second\n");
    let gone = stage.virtc("container status web/second");
    assert_eq!(gone.code, 125, "{gone:?}");
    gone.says(&["second"]);
}

#[test]
fn vm_sandbox_from_a_file() {
    let stage = Stage::with_machine();
    let rootfs = stage.files().join("rootfs");
    let text = format!(
        "id = \"filed\"\nhostname = \"hosted\"\n[hypervisor_config]\nmemory_size = 512\n[[containers]]\nid = \"one\"\n\
         root_fs.target = {rootfs:?}\ncmd.args = [\"sh\", \"-c\", \"exit 5\"]\n"
    );
    stage.file("sandbox.toml", text);
    assert_eq!(stage.well("sandbox create -f sandbox.toml"), "filed\n");
    assert_eq!(stage.json("sandbox status filed")["state"], "ready");
    assert_eq!(stage.well("sandbox start filed"), "filed\n");
    assert_eq!(stage.virtc("container wait filed").code, 5);
    assert_eq!(stage.json("container status filed/one")["exit_code"], 5);
    stage.well("sandbox delete -f filed");
    stage.assert_clean();
}

#[test]
fn vm_detached_sandbox_deletes_itself() {
    let stage = Stage::with_machine();
    stage.well("run -d --rm --name brief --rootfs {rootfs} -- sleep 1000");
    assert_eq!(stage.json("sandbox status brief")["state"], "running");
    stage.well("container kill brief");
    stage.await_empty();
    stage.assert_clean();
}

#[test]
fn vm_sandbox_outlives_its_virtc() {
    let stage = Stage::with_machine();
    let mut job =
        stage.start("run --rm --name orphan --rootfs {rootfs}", &["--", "sh", "-c", "echo up; sleep 1000"]);
    job.await_output("up\n");
    job.signal(Signal::KILL);
    assert_eq!(job.end(LONG).code, -9);

    assert_eq!(stage.json("sandbox list")[0]["state"], "running");
    assert_eq!(stage.well("container enter orphan -- echo here"), "here\n");
    stage.well("sandbox delete -f orphan");
    stage.assert_clean();
}
