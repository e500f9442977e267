//! Bad input: each ends in one error that names the cause and the remedy, soon, and leaves nothing. Nothing boots.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use crate::stage::{Outcome, Stage};

/// The command line is wrong.
pub(crate) const USAGE: i32 = 2;
/// virtc failed.
const FAILED: i32 = 125;
/// Far more than a refusal takes, on a busy host.
const SOON: Duration = Duration::from_secs(20);

/// Each row: the words after `virtc`, the exit code, and what standard error must name.
pub(crate) type Row<'a> = (&'a str, i32, &'a [&'a str]);

pub(crate) fn refused(stage: &Stage, rows: &[Row<'_>]) {
    for (line, code, words) in rows {
        check(stage, line, stage.start(line, &[]).end(SOON), *code, words);
    }
}

#[track_caller]
fn check(stage: &Stage, line: &str, outcome: Outcome, code: i32, words: &[&str]) {
    assert_eq!(outcome.code, code, "virtc {line}: {outcome:?}");
    assert_eq!(outcome.stdout, "", "virtc {line}");
    outcome.says(words);
    stage.assert_clean();
}

#[test]
fn command_lines() {
    refused(
        &Stage::new(),
        &[
            ("frobnicate", USAGE, &["frobnicate"]),
            ("run --bogus", USAGE, &["--bogus", "--help"]),
            ("sandbox list --bogus", USAGE, &["--bogus"]),
            ("sandbox frobnicate", USAGE, &["frobnicate"]),
            ("run --rootfs {rootfs}", USAGE, &["COMMAND"]),
            ("run -- true", USAGE, &["--rootfs", "mmdebstrap"]),
            ("run --rootfs {rootfs} -it -- true", USAGE, &["-t", "terminal"]),
            ("container enter -it web -- true", USAGE, &["-t", "terminal"]),
            ("run --rootfs {rootfs} -t -- true", USAGE, &["-t", "terminal"]),
            ("run --rootfs {rootfs} -v one -- true", USAGE, &["\"one\"", "SRC:DST"]),
            ("run --rootfs {rootfs} -v a:b:c:d -- true", USAGE, &["a:b:c:d", "SRC:DST"]),
            ("run --rootfs {rootfs} -v /etc:/b:rx -- true", USAGE, &["/etc:/b:rx", "SRC:DST:ro"]),
            ("run --rootfs {rootfs} -v :/b -- true", USAGE, &[":/b", "SRC:DST"]),
            ("run --rootfs {rootfs} -e NAME -- true", USAGE, &["\"NAME\"", "NAME=VALUE"]),
            ("run --rootfs {rootfs} -e =value -- true", USAGE, &["=value", "NAME=VALUE"]),
            ("run --rootfs {rootfs} --cpus many -- true", USAGE, &["many", "--cpus"]),
            ("run --rootfs {rootfs} --memory much -- true", USAGE, &["much", "512M"]),
            ("run --rootfs {rootfs} --machine toaster -- true", USAGE, &["toaster", "microvm"]),
            ("run --rootfs {rootfs} --transport pigeon -- true", USAGE, &["pigeon", "virtio-serial"]),
            ("run --rootfs {rootfs} --shared-fs nfs -- true", USAGE, &["nfs", "virtio-9p"]),
            ("run --rootfs {rootfs} --accel warp -- true", USAGE, &["warp", "tcg"]),
            ("run --rootfs {rootfs} --net bridge -- true", USAGE, &["bridge", "none"]),
            ("run --rootfs {rootfs} --kernel {files}/k -- true", USAGE, &["--initrd"]),
            (
                "run --rootfs {rootfs} --guest g --kernel k --initrd i -- true",
                USAGE,
                &["--guest", "--kernel"],
            ),
            ("container kill --signal LOUD web", USAGE, &["LOUD", "SIGTERM"]),
            ("--log [=loud sandbox list", USAGE, &["[=loud", "--log"]),
        ],
    );
}

#[test]
fn ids() {
    let stage = Stage::new();
    let long = "x".repeat(300);
    for (id, words) in [
        ("a/b", ["a/b", "'-' and '_'"]),
        ("a.b", ["a.b", "'-' and '_'"]),
        ("..", ["..", "start with a letter"]),
        (&long, ["300 bytes", "at most 128"]),
    ] {
        let rows = ["run --rootfs {rootfs} --name ID -- true", "sandbox create ID", "sandbox status ID"];
        for row in rows {
            refused(&stage, &[(&row.replace("ID", id), USAGE, &words)]);
        }
        let target = format!("container create web/{id} --rootfs {{rootfs}} -- true");
        refused(&stage, &[(&target, USAGE, &words)]);
        let file = stage.file("sandbox.json", serde_json::json!({ "id": id }).to_string());
        refused(&stage, &[(&format!("sandbox run -f {}", file.display()), FAILED, &words)]);
    }
}

#[test]
fn settings() {
    let stage = Stage::new();
    for (name, text) in [
        ("host.toml", "rot = 1"),
        ("machine.toml", "[hypervisor]\nmemory = 5"),
        ("agent.toml", "[agent]\nport = 5"),
        ("host.json", r#"{"rot": 1}"#),
        ("sandbox.toml", "memory = 5"),
        ("sandbox.json", r#"{"hypervisor_config": {"memory": 5}}"#),
        ("container.toml", "[[containers]]\nid = \"1\"\nroot = \"/\""),
        ("cut.json", r#"{"id": "a""#),
        ("cut.toml", "id = "),
        ("kind.toml", "guest = 5"),
    ] {
        stage.file(name, text);
    }
    refused(
        &stage,
        &[
            ("--config {files}/host.toml sandbox list", USAGE, &["host.toml", "`rot`", "`rootfs`"]),
            ("--config {files}/host.json doctor", USAGE, &["host.json", "`rot`", "`rootfs`"]),
            (
                "--config {files}/machine.toml sandbox list",
                USAGE,
                &["machine.toml", "`memory`", "`memory_size`"],
            ),
            ("--config {files}/agent.toml guest info", USAGE, &["agent.toml", "`port`", "`boot_timeout`"]),
            ("--config {files}/kind.toml sandbox list", USAGE, &["kind.toml", "line 1", "guest = 5"]),
            ("--config {files}/none.toml sandbox list", FAILED, &["none.toml", "No such file"]),
            (
                "sandbox run -f {files}/sandbox.toml",
                USAGE,
                &["sandbox.toml", "`memory`", "`hypervisor_config`"],
            ),
            ("sandbox create -f {files}/sandbox.json", USAGE, &["sandbox.json", "`memory`", "`memory_size`"]),
            ("sandbox run -f {files}/container.toml", USAGE, &["container.toml", "`root`", "`root_fs`"]),
            ("sandbox run -f {files}/cut.json", USAGE, &["cut.json", "line 1"]),
            ("sandbox run -f {files}/cut.toml", USAGE, &["cut.toml", "line 1"]),
            ("sandbox run -f {files}/kind.toml", USAGE, &["kind.toml", "line 1", "`guest`"]),
            ("sandbox run -f {files}", FAILED, &["cannot read"]),
        ],
    );
}

#[test]
fn paths_and_sizes() {
    let stage = Stage::new();
    stage.file("asset", "abc");
    stage.file("guest.toml", "guest = \"/nonexistent\"");
    let own = "--kernel {files}/asset --initrd asset";
    let run = |options: &str| format!("run --rootfs {{rootfs}} {own} {options} -- true");
    let rows: &[(String, &[&str])] = &[
        (format!("run --rootfs {{files}}/none {own} -- true"), &["/none\"", "make the root filesystem"]),
        (format!("run --rootfs none {own} -- true"), &["/none\"", "make the root filesystem"]),
        (format!("run --rootfs {{files}}/asset {own} -- true"), &["/asset\"", "not a directory"]),
        (
            "run --rootfs {rootfs} --kernel {files}/k --initrd {files}/asset -- true".into(),
            &["/k\"", "virtc guest build"],
        ),
        (
            "run --rootfs {rootfs} --kernel {files}/asset --initrd {files}/i -- true".into(),
            &["/i\"", "virtc guest build"],
        ),
        (
            "run --rootfs {rootfs} --kernel {files} --initrd {files}/asset -- true".into(),
            &["not a regular file"],
        ),
        (
            "run --rootfs {rootfs} --guest {files}/none -- true".into(),
            &["/none/manifest.json", "virtc guest build"],
        ),
        (
            "run --rootfs {rootfs} --guest {files}/asset -- true".into(),
            &["/asset/manifest.json", "virtc guest build"],
        ),
        ("guest info {files}".into(), &["/manifest.json", "virtc guest build"]),
        (run("--cpus 0"), &["0 vCPUs", "at least 1"]),
        (run("--memory 900T"), &["more memory than the host's", "ask for less"]),
        (run("--memory 1M"), &["1 MiB", "at least 64 MiB"]),
        (run("-v {files}/none:/data"), &["/none\"", "make it first"]),
        (run("-v /etc:data"), &["\"data\"", "absolute path"]),
        (run("-v /etc:/"), &["\"/\"", "absolute path"]),
        (run("-w data"), &["\"data\"", "absolute path"]),
        (run("-u a:b:c"), &["\"b:c\"", "/etc/group"]),
        (run("--boot-timeout 0"), &["boot_timeout", "at least a second"]),
        (run("--kernel-param vc.transport=air"), &["vc.transport=air", "leave it out"]),
        // What the command line says to boot comes before the host's settings and the environment.
        (format!("--config {{files}}/guest.toml {}", run("--cpus 0")), &["0 vCPUs"]),
    ];
    for (line, words) in rows {
        refused(&stage, &[(line, FAILED, words)]);
    }
}

#[test]
fn guest_images_to_build() {
    let stage = Stage::new();
    stage.file("asset", "abc");
    let rows: &[(&str, &[&str])] = &[
        ("--kernel {files}/none --agent {rootfs}/bin/busybox", &["/none", "No such file"]),
        ("--kernel {files}/asset --agent {rootfs}/bin/busybox", &["/asset", "kernel"]),
        ("--deb {files}/none --agent {rootfs}/bin/busybox", &["/none", "No such file"]),
        ("--deb {files}/asset --agent {rootfs}/bin/busybox", &["/asset"]),
        ("--kernel {files}/asset --agent {files}/none", &["/none", "No such file"]),
        ("--kernel {files}/asset --agent {files}/asset", &["/asset", "ELF"]),
    ];
    for (options, words) in rows {
        refused(&stage, &[(&format!("guest build {options} -o {{files}}/out"), FAILED, words)]);
        assert!(!stage.files().join("out").exists());
    }
}

#[test]
fn assets_of_a_sandbox_file() {
    let stage = Stage::new();
    let asset = stage.file("asset", "abc");
    let write = |name: &str, more: serde_json::Value| {
        let mut hypervisor = serde_json::json!({ "kernel_path": asset, "initrd_path": asset });
        hypervisor.as_object_mut().unwrap().append(&mut more.as_object().unwrap().clone());
        stage.file(name, serde_json::json!({ "id": "web", "hypervisor_config": hypervisor }).to_string());
    };
    write("both.json", serde_json::json!({ "image_path": asset }));
    write("hash.json", serde_json::json!({ "asset_hashes": { "kernel": "0".repeat(128) } }));
    write("short.json", serde_json::json!({ "asset_hashes": { "initrd": "abc" } }));
    write("unbuilt.json", serde_json::json!({ "huge_pages": true }));
    write("relative.json", serde_json::json!({ "kernel_path": "asset" }));
    let asset = asset.to_str().unwrap();
    refused(
        &stage,
        &[
            (
                "sandbox run -f {files}/both.json",
                FAILED,
                &["image_path", "initrd_path", "leave one of the two out"],
            ),
            // SHA-512 of "abc" (FIPS 180-2, appendix C.1) begins so.
            ("sandbox run -f {files}/hash.json", FAILED, &[asset, "ddaf35a193617aba", "correct the hash"]),
            ("sandbox run -f {files}/short.json", FAILED, &["\"abc\"", "128 hexadecimal digits"]),
            ("sandbox run -f {files}/unbuilt.json", FAILED, &["huge_pages", "leave the field out"]),
            ("sandbox run -f {files}/relative.json", FAILED, &["\"asset\"", "starting with '/'"]),
        ],
    );
}

#[test]
fn hypervisor_programs() {
    let stage = Stage::new();
    stage.file("asset", "abc");
    for (name, text) in [
        ("complains", "echo the moon is full >&2; exit 3"),
        ("babbles", "seq 100000 >&2; echo the last words >&2; exit 1"),
        ("dies", "kill -SEGV $$"),
    ] {
        let script = stage.file(name, format!("#!/bin/sh\n{text}\n"));
        fs::set_permissions(script, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let run = |options: &str| {
        format!(
            "run --rootfs {{rootfs}} --kernel asset --initrd asset --boot-timeout 3 --hypervisor {options} -- true"
        )
    };
    let serial = "--transport virtio-serial --shared-fs virtio-9p";
    let rows: &[(String, &[&str])] = &[
        (run("{files}/none"), &["/none\"", "install the VMM"]),
        (run("{files}/asset"), &["/asset\"", "may be executed"]),
        (run("{files}"), &["may be executed"]),
        (run("/bin/false"), &["/bin/false", "exit code 1"]),
        (run("./complains"), &["/complains", "exit code 3", "the moon is full"]),
        (run(&format!("complains {serial}")), &["/complains", "exit code 3", "the moon is full"]),
        (run("babbles"), &["/babbles", "the last words"]),
        (run("dies"), &["/dies", "signal 11"]),
    ];
    for (line, words) in rows {
        let outcome = stage.start(line, &[]).end(SOON);
        assert!(outcome.stderr.len() < 10_000, "{} bytes: {line}", outcome.stderr.len());
        check(&stage, line, outcome, FAILED, words);
    }
}

#[test]
fn names_of_nothing() {
    let stage = Stage::new();
    for line in [
        "sandbox start web",
        "sandbox stop web",
        "sandbox stop -f web",
        "sandbox pause web",
        "sandbox resume web",
        "sandbox delete web",
        "sandbox delete -f web",
        "sandbox status web",
        "container create web/1 --rootfs {rootfs} -- true",
        "container start web",
        "container enter web -- true",
        "container enter web/1 -- true",
        "container stop web/1",
        "container kill web",
        "container pause web",
        "container resume web/1",
        "container wait web",
        "container delete web/1",
        "container delete -f web",
        "container status web/1",
        "container list web",
        "container attach web",
        "container logs web",
        "container update --memory 1G web",
        "exec web -- true",
        "exec -d web/1 -- true",
        "attach web",
        "logs -f web/1",
        "logs --source vmm web",
        "ps web",
        "stats web",
        "stats web/1",
        "kill web",
        "kill --all web/1",
        "wait web",
        "pause web",
        "pause web/1",
        "resume web",
        "resume web/1",
        "update --memory 1G web",
        "cp web:/etc/passwd .",
        "cp {rootfs}/etc web/1:/",
        "console web",
        "inspect web",
        "inspect web/1",
        "stop web",
        "rm web",
        "rm -f web",
    ] {
        refused(&stage, &[(line, FAILED, &["sandbox web", "virtc list"])]);
    }
    refused(&stage, &[("kill one two", FAILED, &["sandbox one", "sandbox two", "2 of 2 failed"])]);
    refused(&stage, &[("sandbox delete one two", FAILED, &["sandbox one", "sandbox two", "2 of 2 failed"])]);
    stage.file("plain", "");
    refused(&stage, &[("--root {files}/plain sandbox list", FAILED, &["/plain", "Not a directory"])]);
}

#[test]
fn records_that_are_damaged() {
    let stage = Stage::new();
    let record = |id: &str| stage.root().join("sandboxes").join(id).join("record.json");
    fs::create_dir_all(record("broken").parent().unwrap()).unwrap();
    fs::write(record("broken"), "garbage").unwrap();

    let list = stage.virtc("sandbox list");
    assert_eq!(list.code, 0, "{list:?}");
    assert!(list.stdout.lines().any(|line| line.starts_with("broken   unreadable  -")), "{list:?}");
    list.says(&[record("broken").to_str().unwrap(), "delete the sandbox by force"]);
    let list = stage.json("sandbox list");
    assert_eq!(list[0]["id"], "broken");
    assert!(list[0]["error"].as_str().unwrap().contains("record.json"), "{list}");
    for line in ["sandbox status broken", "sandbox delete broken", "container enter broken -- true"] {
        let outcome = stage.virtc(line);
        assert_eq!(outcome.code, FAILED, "virtc {line}: {outcome:?}");
        outcome.says(&[record("broken").to_str().unwrap(), "damaged", "delete the sandbox by force"]);
    }
    assert_eq!(stage.well("sandbox delete --force broken"), "broken\n");
    stage.assert_clean();
}
