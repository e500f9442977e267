//! What `virtc` answers without a machine: help, completions, listings of nothing, the doctor.

use crate::{
    pty::Pty,
    stage::{LONG, Stage, wait},
};

#[test]
fn help_and_completions() {
    let stage = Stage::new();
    let help = stage.well("--help");
    for word in ["Examples:", "Exit codes:", "doctor", "completions"] {
        assert!(help.contains(word), "{word}: {help}");
    }
    assert!(!help.contains("(internal)"), "{help}");
    for (line, word) in [
        ("run --help", "--boot-timeout"),
        ("run --help", "[HOST_IP:]HOST:GUEST[/PROTO]"),
        ("network routes --help", "via 10.1.0.1"),
        ("sandbox create --help", "SandboxConfig"),
        ("container enter --help", "SANDBOX[/CONTAINER]"),
        ("exec --help", "Examples:"),
        ("logs --help", "10m"),
        ("cp --help", "--all-links"),
        ("top --help", "q or ctrl-c"),
        ("update --help", "--pids-limit"),
        ("events --help", "sandbox=NAME"),
        ("guest build --help", "linux-image-amd64"),
        ("completions bash", "complete"),
        ("completions zsh", "#compdef virtc"),
        ("completions fish", "complete -c virtc"),
    ] {
        let text = stage.well(line);
        assert!(text.contains(word), "virtc {line}: {text}");
    }
    stage.assert_clean();
}

#[test]
fn listings_of_nothing() {
    let stage = Stage::new();
    assert_eq!(stage.json("sandbox list"), serde_json::json!([]));
    assert_eq!(stage.json("container list"), serde_json::json!([]));
    assert_eq!(stage.json("list"), serde_json::json!([]));
    assert_eq!(stage.json("stats"), serde_json::json!([]));
    assert_eq!(stage.json("top --interval 100ms"), serde_json::json!([]));
    assert_eq!(stage.well("ls --quiet"), "");
    assert!(stage.well("top --no-stream --interval 100ms").starts_with("SANDBOX  STATE"));
    assert!(stage.well("stats --no-stream --interval 100ms").starts_with("CONTAINER  CPU"));
    assert_eq!(stage.well("sandbox list -q"), "");
    assert!(stage.well("sandbox list").starts_with("SANDBOX  STATE"));
    assert_eq!(stage.well("container list").lines().count(), 1);
    stage.assert_clean();
}

#[test]
fn doctor_sees_what_is_missing() {
    let stage = Stage::new();
    stage.file(
        "host.toml",
        "guest = \"/nonexistent\"\n[hypervisor]\nhypervisor_path = \"/nonexistent/qemu\"\n",
    );
    let outcome = stage
        .command("--json --config host.toml doctor", &[])
        .env_remove("VIRTC_GUEST_DIR")
        .output()
        .unwrap();
    assert_eq!(outcome.status.code(), Some(1), "{outcome:?}");
    let findings: serde_json::Value = serde_json::from_slice(&outcome.stdout).unwrap();
    for what in ["hypervisor", "guest image"] {
        let finding = findings.as_array().unwrap().iter().find(|finding| finding["what"] == what).unwrap();
        assert_eq!(finding["verdict"], "missing", "{finding}");
        assert!(finding["found"].as_str().unwrap().contains("/nonexistent"), "{finding}");
        assert!(finding["remedy"].is_string(), "{finding}");
    }
    let named = |what: &str| findings.as_array().unwrap().iter().any(|finding| finding["what"] == what);
    assert!(named("accelerator") && named("virtio-fs") && named("privileges"), "{findings}");
}

#[test]
fn listings_fit_their_terminal() {
    let stage = Stage::new();
    let record = stage.root().join("sandboxes").join("n".repeat(100)).join("record.json");
    std::fs::create_dir_all(record.parent().unwrap()).unwrap();
    std::fs::write(&record, "garbage").unwrap();
    let mut pty = Pty::new(24, 72);
    let mut child = pty.spawn(&mut stage.command("list", &[]));
    let shown = pty.expect("unreadable");
    assert!(wait(&mut child, LONG).is_some());
    let first = shown.lines().next().unwrap();
    assert!(first.chars().count() <= 72, "{shown}");
    assert!(shown.contains("nnn…"), "{shown}");
    stage.well(&format!("sandbox delete -f {}", "n".repeat(100)));
    stage.assert_clean();
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let stage = Stage::new();
    let mut child = stage.command("completions bash", &[]).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}
