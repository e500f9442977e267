//! `virtc gc` with leftovers that need no machine.

use std::process::{Child, Command};

use crate::stage::Stage;

fn orphan(stage: &Stage) -> Child {
    let mark = format!("{}:gone:vmm", stage.root().display());
    Command::new("sleep").arg("1000").env("VIRTCONTAINERS_MARK", mark).spawn().unwrap()
}

#[test]
fn gc_tells_what_it_would_remove_and_removes_it() {
    let stage = Stage::new();
    assert_eq!(stage.well("gc"), "", "nothing to do, nothing to say");
    let mut process = orphan(&stage);
    let pid = process.id().to_string();
    for line in ["gc --dry-run", "gc -n"] {
        let table = stage.well(line);
        assert!(table.contains("would be removed") && table.contains(&pid), "{table}");
    }
    assert!(process.try_wait().unwrap().is_none());
    let report = stage.json("gc");
    assert_eq!(report["items"][0]["sandbox"], "gone", "{report}");
    assert_eq!(report["items"][0]["outcome"], "removed", "{report}");
    assert!(!process.wait().unwrap().success());
    assert_eq!(stage.json("gc")["items"].as_array().unwrap().len(), 0);
    stage.assert_clean();
}

#[test]
fn gc_sets_aside_what_cannot_be_read_and_leaves_what_is_newer() {
    let stage = Stage::new();
    stage.well("list");
    for (name, record) in [("broken", "{\"schema\":1,"), ("newer", "{\"schema\":77}")] {
        let dir = stage.root().join("sandboxes").join(name);
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("record.json"), format!("{record}\n")).unwrap();
    }
    let table = stage.well("gc");
    assert!(table.contains("set aside in") && table.contains("left: "), "{table}");
    assert!(table.contains("use the version that wrote it"), "{table}");
    let aside = stage.root().join("set-aside");
    assert_eq!(std::fs::read_dir(&aside).unwrap().count(), 1);
    assert!(stage.root().join("sandboxes/newer/record.json").exists());
    std::fs::remove_dir_all(aside).unwrap();
    stage.well("rm -f newer");
    stage.assert_clean();
}
