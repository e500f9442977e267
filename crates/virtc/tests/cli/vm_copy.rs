//! `virtc cp` with real machines: both ways, and what does not fit.

use std::{
    fs,
    io::Read as _,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::Path,
};

use crate::stage::{Outcome, Stage};

/// A tree with something of everything, and a file that no single message holds.
fn tree(root: &Path) {
    fs::create_dir_all(root.join("tree/dir/empty")).unwrap();
    let content: Vec<u8> = (0..3_000_000_u32)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .take(5_000_001)
        .collect();
    fs::write(root.join("tree/big"), content).unwrap();
    fs::write(root.join("tree/dir/a name with spaces"), "small").unwrap();
    fs::write(root.join("tree/dir").join("long".repeat(50)), "long").unwrap();
    fs::set_permissions(root.join("tree/dir/a name with spaces"), fs::Permissions::from_mode(0o750)).unwrap();
    symlink("dir", root.join("tree/link")).unwrap();
}

#[track_caller]
fn same(a: &Path, b: &Path) {
    let compared =
        std::process::Command::new("diff").args(["-r", "--no-dereference"]).arg(a).arg(b).output().unwrap();
    assert!(compared.status.success(), "{}", String::from_utf8_lossy(&compared.stdout));
}

#[track_caller]
fn refused(outcome: &Outcome, words: &[&str]) {
    assert_eq!((outcome.code, outcome.stdout.as_str()), (125, ""), "{outcome:?}");
    outcome.says(words);
}

#[test]
fn vm_cp_both_ways() {
    let stage = Stage::with_machine();
    stage.well("run -d --name box --rootfs {rootfs} -- sleep 1000");
    tree(stage.files());

    // There: /data exists, /new does not.
    let copied = stage.json("cp tree box:/data");
    assert_eq!(
        (copied["entries"].as_u64(), copied["bytes"].as_u64()),
        (Some(7), Some(5_000_010)),
        "{copied}"
    );
    stage.well("cp tree box/box:/new");
    stage.well("cp tree/. box:/data/");
    same(&stage.files().join("tree"), &stage.files().join("rootfs/data/tree"));
    same(&stage.files().join("tree"), &stage.files().join("rootfs/new"));
    let sum = stage.shell(
        "exec box",
        "md5sum < /data/big; md5sum < /new/big; stat -c '%a %u' '/new/dir/a name with spaces'",
    );
    let lines: Vec<_> = sum.stdout.lines().collect();
    assert_eq!(lines[0], lines[1], "{sum:?}");

    // And back.
    fs::create_dir(stage.files().join("out")).unwrap();
    stage.well("cp box:/new out");
    stage.well("cp box:new out/renamed");
    stage.well("cp box:/new/. out/flat");
    stage.well("cp box:/new/dir/ out/dir");
    for copy in ["out/new", "out/renamed", "out/flat"] {
        same(&stage.files().join("tree"), &stage.files().join(copy));
    }
    same(&stage.files().join("tree/dir"), &stage.files().join("out/dir"));
    let copy = fs::metadata(stage.files().join("out/dir/a name with spaces")).unwrap();
    assert_eq!(copy.permissions().mode() & 0o777, 0o750);
    single_files(&stage);
    streams(&stage);
    misfits(&stage);
    stage.well("rm -f box");
    stage.assert_clean();
}

fn single_files(stage: &Stage) {
    stage.file("one", "first");
    stage.well("cp one box:/data");
    stage.well("cp one box:/data/two");
    stage.file("one", "second");
    stage.well("cp one box:/data/two");
    assert_eq!(stage.well("exec box -- cat /data/one /data/two"), "firstsecond");
    stage.well("cp box:/data/two .");
    stage.well("cp box:/data/two one");
    assert_eq!(fs::read_to_string(stage.files().join("two")).unwrap(), "second");
    assert_eq!(fs::read_to_string(stage.files().join("one")).unwrap(), "second");

    // Owners: the caller's, and root's in the container, unless they are asked for.
    stage.well("exec box -- chown 1000:1000 /data/two");
    stage.well("cp -a box:/data/two owned");
    stage.well("cp box:/data/two plain");
    let owner = |name: &str| fs::metadata(stage.files().join(name)).unwrap().uid();
    assert_eq!((owner("owned"), owner("plain")), (1000, rustix::process::geteuid().as_raw()));
    stage.well("cp owned box:/data/as-root");
    stage.well("cp -a owned box:/data/as-bob");
    assert_eq!(stage.shell("exec box", "stat -c %u /data/as-root /data/as-bob").stdout, "0\n1000\n");

    // A link is a link, and with -L what it points to.
    stage.shell("exec box", "ln -s two /data/pointer; ln -s /etc/passwd /data/away");
    stage.well("cp box:/data/pointer .");
    assert_eq!(fs::read_link(stage.files().join("pointer")).unwrap(), Path::new("two"));
    stage.well("cp -L box:/data/pointer followed");
    assert_eq!(fs::read_to_string(stage.files().join("followed")).unwrap(), "second");
    refused(&stage.virtc("cp box:/data/away ."), &["/etc/passwd", "--all-links", "-L"]);
    stage.well("cp --all-links box:/data/away .");
    assert_eq!(fs::read_link(stage.files().join("away")).unwrap(), Path::new("/etc/passwd"));
}

fn streams(stage: &Stage) {
    let mut child = stage.command("cp box:/new -", &[]).spawn().unwrap();
    let mut archive = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut archive).unwrap();
    assert!(child.wait().unwrap().success());
    let names: Vec<_> = tar::Archive::new(archive.as_slice())
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().display().to_string())
        .collect();
    assert!(names.iter().any(|name| name.ends_with("new/dir/a name with spaces")), "{names:?}");
    stage.file("archive.tar", &archive);
    stage.well("exec box -- mkdir /unpacked");
    let sent = stage
        .command("cp - box:/unpacked", &[])
        .stdin(fs::File::open(stage.files().join("archive.tar")).unwrap())
        .output()
        .unwrap();
    assert!(sent.status.success(), "{sent:?}");
    same(&stage.files().join("tree"), &stage.files().join("rootfs/unpacked/new"));
    let garbage = stage.fed("cp - box:/unpacked", &[], "this is no archive\n");
    refused(&garbage, &["tar in container box/box", "exit code"]);
}

fn misfits(stage: &Stage) {
    for (line, words) in [
        ("cp box:/none .", &["tar", "none"][..]),
        ("cp box:/new/none/deep .", &["tar"]),
        ("cp none box:/data", &["none", "No such file"]),
        ("cp tree box:/nowhere/deep", &["/nowhere", "make it first"]),
        ("cp one box:/fresh/", &["/fresh/", "make it first"]),
        ("cp tree box:/data/one", &["/data/one", "no directory"]),
        ("cp box:/new one", &["one", "over the file"]),
        ("cp box:/new/. one", &["one", "over the file"]),
        ("cp box:/data/one fresh/", &["fresh/", "make it first"]),
        ("cp box:/data/one nowhere/deep", &["nowhere", "make it first"]),
        ("cp box:/data/one /dev/null", &["/dev/null", "neither a file"]),
    ] {
        refused(&stage.virtc(line), words);
    }
    assert!(fs::symlink_metadata("/dev/null").unwrap().rdev() != 0, "the device is still one");
    refused(&stage.fed("cp - box:/data/one", &[], ""), &["/data/one", "no directory"]);
    fs::remove_file(stage.files().join("rootfs/bin/tar")).unwrap();
    refused(&stage.virtc("cp one box:/data"), &["box/box", "no tar"]);
    refused(&stage.virtc("cp box:/data/one ."), &["box/box", "no tar"]);
}
