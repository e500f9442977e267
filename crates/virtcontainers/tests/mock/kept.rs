//! Records of each schema that was ever written load for ever, and what they name can be deleted. They are kept in
//! `tests/records/v<schema>/<name>/` and never changed; a new form of record adds one.

use std::{fs, path::Path};

use virtcontainers::{DeleteMode, HypervisorKind, SandboxState, StatusReason};

use crate::stage::{Stage, sid};

#[tokio::test]
async fn records_of_every_schema_load() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/records");
    let mut loaded = 0;
    for schema in 1..=virtcontainers::store::SCHEMA {
        for record in fs::read_dir(kept.join(format!("v{schema}"))).unwrap() {
            let record = record.unwrap().path();
            let stage = Stage::new();
            let runtime = stage.runtime();
            fs::create_dir(stage.dir("web")).unwrap();
            for file in fs::read_dir(&record).unwrap() {
                let file = file.unwrap();
                fs::copy(file.path(), stage.dir("web").join(file.file_name())).unwrap();
            }
            let status =
                runtime.sandbox_status(&sid("web")).await.unwrap_or_else(|error| panic!("{error:?}"));
            assert!(status.broken_containers.is_empty(), "{status:?}");
            assert_eq!(status.containers[0].args[0], "/bin/sh");
            if status.hypervisor == HypervisorKind::Qemu {
                let seen = (status.state, status.reason);
                assert_eq!(
                    seen,
                    (SandboxState::Stopped, Some(StatusReason::MachineDied)),
                    "its process is no more"
                );
            }
            runtime.delete_sandbox(&sid("web"), DeleteMode::Force).await.unwrap();
            loaded += 1;
        }
    }
    assert!(loaded >= 2);
}
