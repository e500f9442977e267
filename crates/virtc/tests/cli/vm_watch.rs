//! Looking on, with real machines: top, stats, events.

use crate::{
    pty::Pty,
    stage::{LONG, Stage, code, wait},
};

#[test]
fn vm_top_and_stats() {
    let stage = Stage::with_machine();
    stage.well("run -d --name busy --rootfs {rootfs} -- sh -c yes>/dev/null");
    let top = stage.json("top --interval 1s");
    assert_eq!((&top[0]["sandbox"], &top[0]["state"]), (&"busy".into(), &"running".into()), "{top}");
    assert!(top[0]["cpu_percent"].as_f64().unwrap() > 10.0, "{top}");
    assert!(top[0]["memory_bytes"].as_u64().unwrap() > 20 << 20, "{top}");
    assert!(top[0]["pids"].as_u64().unwrap() >= 1, "{top}");
    let stats = stage.json("stats");
    assert_eq!(stats[0]["container"], "busy", "{stats}");
    let used = &stats[0]["stats"]["cgroup_stats"]["cpu_stats"]["cpu_usage"]["total_usage"];
    assert!(used.as_u64().unwrap() > 0, "{stats}");
    let table = stage.well("stats --no-stream --interval 500ms busy/busy");
    assert!(
        table.lines().nth(1).is_some_and(|line| line.starts_with("busy/busy") && line.contains('%')),
        "{table}"
    );

    let mut pty = Pty::new(20, 90);
    let before = pty.modes();
    for (line, keys) in
        [("top --interval 200ms", "q"), ("top --interval 200ms", "\x03"), ("stats --interval 200ms", "q")]
    {
        let mut child = pty.spawn(&mut stage.command(line, &[]));
        pty.expect("\x1b[?1049h");
        let shown = pty.expect("%");
        assert!(shown.contains("busy"), "{shown:?}");
        pty.write(keys);
        assert_eq!(code(wait(&mut child, LONG).unwrap()), 0, "{line}");
        pty.expect("\x1b[?1049l");
        assert_eq!(pty.modes().local_modes, before.local_modes);
    }
    stage.well("rm -f busy");
    stage.assert_clean();
}

#[test]
fn vm_events_of_a_life() {
    let stage = Stage::with_machine();
    let mut all = stage.start("--json events --filter sandbox=web", &[]);
    let mut ends = stage.start("events --filter event=stopped --filter event=deleted", &[]);
    stage.well("run -d --name web --rootfs {rootfs} -- sleep 1000");
    stage.well("pause web");
    stage.well("resume web");
    stage.well("kill web");
    assert_eq!(stage.virtc("wait web").code, 137);
    stage.well("rm -f web");
    for kind in ["created", "started", "paused", "resumed", "stopped", "deleted"] {
        all.await_output(&format!("\"kind\":\"{kind}\""));
    }
    ends.await_output("sandbox web deleted");
    all.signal(rustix::process::Signal::INT);
    let told = all.end(LONG);
    assert_eq!(told.code, 0, "{told:?}");
    let stopped = told
        .stdout
        .lines()
        .find(|line| line.contains("\"stopped\"") && line.contains("\"container\":\"web\""));
    let stopped: serde_json::Value = serde_json::from_str(stopped.unwrap()).unwrap();
    assert_eq!(stopped["code"], 137, "{stopped}");
    ends.signal(rustix::process::Signal::TERM);
    let told = ends.end(LONG);
    assert!(told.stdout.contains("container web/web stopped code=137"), "{told:?}");
    assert!(!told.stdout.contains("created"), "{told:?}");
    stage.assert_clean();
}
