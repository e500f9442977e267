//! Being with commands, with real machines: exec, logs, attach, wait, kill, ps, update, from processes of their own.

use rustix::process::Signal;

use crate::stage::{LONG, Stage, until};

#[test]
fn vm_detached_commands_and_their_logs() {
    let stage = Stage::with_machine();
    let script = "echo first; echo second >&2; printf third; read x; echo; echo $x; exit 5";
    let made = stage.shell("run -d -i --name web --rootfs {rootfs}", script);
    assert_eq!((made.code, made.stdout.as_str()), (0, "web\n"), "{made:?}");
    until("the log has the first lines", || stage.virtc("logs web").stdout.contains("third"));
    let logs = stage.virtc("logs web");
    assert_eq!((logs.stdout.as_str(), logs.stderr.as_str()), ("first\nthird", "second\n"), "{logs:?}");
    let timed = stage.well("logs -t --tail 1 web");
    assert!(timed.starts_with("20") && timed.contains("Z "), "{timed:?}");
    assert_eq!(stage.well("logs --since 1h web"), "first\nthird");
    assert_eq!(stage.well("logs --since 2100-01-01T00:00:00Z web"), "");
    let lines = stage.well("--json logs web");
    let line: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!((&line["text"], &line["stream"]), (&"first".into(), &"stdout".into()), "{line}");

    exec_detached(&stage);
    let mut follower = stage.start("logs -f web", &[]);
    follower.await_output("third");
    let waiter = stage.start("wait web", &[]);
    let typed = stage.fed("attach web", &[], "typed\n");
    assert_eq!(typed.code, 5, "{typed:?}");
    assert!(typed.stdout.ends_with("typed\n"), "{typed:?}");
    let followed = follower.end(LONG);
    assert_eq!((followed.code, followed.stdout.as_str()), (0, "first\nthird\ntyped\n"), "{followed:?}");
    let waited = waiter.end(LONG);
    assert_eq!((waited.code, waited.stdout.as_str()), (5, "5\n"), "{waited:?}");
    assert_eq!(stage.virtc("wait web").code, 5, "known afterwards too");
    assert_eq!(stage.json("container status web")["state"], "stopped");
    for source in ["agent", "console", "vmm"] {
        stage.well(&format!("logs --source {source} web"));
    }
    assert!(stage.well("logs --source console web").lines().count() > 0, "the guest's kernel says something");
    stage.well("rm -f web");
    stage.assert_clean();
}

fn exec_detached(stage: &Stage) {
    let made = stage.shell("exec -d -e WHO=me web", "echo from $WHO; exit 4");
    assert_eq!(made.code, 0, "{made:?}");
    let id = made.stdout.trim();
    assert!(id.starts_with("exec-"), "{made:?}");
    let logs = stage.start(&format!("logs -f --exec {id} web"), &[]).end(LONG);
    assert_eq!((logs.code, logs.stdout.as_str()), (0, "from me\n"), "{logs:?}");
}

#[test]
fn vm_a_detached_command_outlives_its_reader() {
    let stage = Stage::with_machine();
    let made = stage.shell("run -d --name web --rootfs {rootfs}", "while :; do echo tick; sleep 0.1; done");
    assert_eq!(made.code, 0, "{made:?}");
    let mut reader = stage.command("logs -f web", &[]).spawn().unwrap();
    let mut stdout = reader.stdout.take().unwrap();
    std::io::Read::read_exact(&mut stdout, &mut [0; 20]).unwrap();
    drop(stdout);
    let ended = reader.wait_with_output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    assert!(ended.stderr.is_empty(), "{ended:?}");
    let mut attached = stage.command("attach --no-stdin web", &[]).spawn().unwrap();
    let mut stdout = attached.stdout.take().unwrap();
    std::io::Read::read_exact(&mut stdout, &mut [0; 20]).unwrap();
    drop(stdout);
    assert!(attached.wait().unwrap().success());
    assert_eq!(stage.json("inspect web/web")["state"], "running");

    // A signal to whoever attends is the command's, unless it is told not to be.
    let mut aside = stage.start("attach --no-stdin --sig-proxy=false web", &[]);
    aside.await_output("tick");
    aside.signal(Signal::TERM);
    let outcome = aside.end(LONG);
    assert_eq!(outcome.code, 143, "{}", outcome.stderr);
    outcome.says(&["goes on"]);
    let mut attached = stage.start("attach --no-stdin web", &[]);
    attached.await_output("tick");
    attached.signal(Signal::TERM);
    // A first process of a pid namespace that does not handle SIGTERM is killed in its place.
    assert_eq!(attached.end(LONG).code, 137);
    assert_eq!(stage.virtc("wait web").code, 137);
    stage.well("rm -f web");
    stage.assert_clean();
}

#[test]
fn vm_control_of_what_runs() {
    let stage = Stage::with_machine();
    stage.well("run -d --name web --rootfs {rootfs} -- sleep 1000");
    // A container has started before its program has taken the place of what started it.
    let ps = (0..100).map(|_| stage.well("ps web")).find(|ps| ps.contains("sleep 1000"));
    assert!(ps.is_some_and(|ps| ps.contains("PID")), "{}", stage.well("ps web"));
    assert!(stage.well("ps web -o pid,args").contains("sleep 1000"));
    let refused = stage.virtc("ps web --forest");
    assert_eq!(refused.code, 2, "{refused:?}");
    let listed = stage.json("ps web");
    assert!(listed.as_array().is_some_and(|all| all.len() == 1), "{listed}");

    assert_eq!(stage.well("update --pids-limit 7 --memory 128M web"), "web\n");
    let limits = stage.shell("exec web", "cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/memory.max");
    assert_eq!(limits.stdout, "7\n134217728\n", "{limits:?}");
    assert_eq!(stage.json("inspect web/web")["resources"]["pids"]["limit"], 7);

    assert_eq!(stage.well("pause web/web"), "web/web\n");
    assert_eq!(stage.json("inspect web")["containers"][0]["state"], "paused");
    stage.well("resume web/web");
    assert_eq!(stage.well("pause web"), "web\n");
    assert_eq!(stage.json("inspect web")["state"], "paused");
    stage.well("resume web");

    let waiter = stage.start("--json wait web", &[]);
    assert_eq!(stage.well("kill web"), "web\n");
    let waited = waiter.end(LONG);
    assert_eq!(waited.code, 137);
    let waited: serde_json::Value = serde_json::from_str(&waited.stdout).unwrap();
    assert_eq!(waited[0]["exit_code"], 137, "{waited}");
    stage.well("kill --all web");
    assert_eq!(stage.well("ls -q"), "web\n");
    assert_eq!(stage.well("stop web"), "web\n");
    assert_eq!(stage.well("rm web"), "web\n");
    stage.assert_clean();
}

#[test]
fn vm_start_and_attend() {
    let stage = Stage::with_machine();
    stage.well("sandbox run box");
    let made =
        stage.shell("container create box/job --rootfs {rootfs}", "echo begin; echo aside >&2; exit 3");
    assert_eq!(made.code, 0, "{made:?}");
    let outcome = stage.start("container start --attach box/job", &[]).end(LONG);
    assert_eq!((outcome.code, outcome.stdout.as_str(), outcome.stderr.as_str()), (3, "begin\n", "aside\n"));
    stage.well("rm -f box");
    stage.assert_clean();
}
