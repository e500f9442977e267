//! Bad input: all of it at once, each with its field and its remedy, and nothing left behind.

use virtcontainers::{
    AgentKind, AssetHashes, Bytes, ContainerConfig, EnvVar, ErrorKind, HypervisorKind, KernelParam, MiB,
    Mount, Problem, ProxyKind, SandboxConfig, Transport,
};

use crate::stage::Stage;

async fn violations(stage: &Stage, config: SandboxConfig) -> Vec<(String, Problem)> {
    let error = stage.runtime().create_sandbox(config).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error}");
    assert!(stage.root.leaks().is_empty());
    error.violations().iter().map(|v| (v.field.clone(), v.problem.clone())).collect()
}

async fn only(stage: &Stage, config: SandboxConfig) -> (String, Problem) {
    let mut all = violations(stage, config).await;
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

#[tokio::test]
async fn ids_that_are_none() {
    let stage = Stage::new();
    for id in ["", "a/b", "..", "a.b", &"x".repeat(300)] {
        let (field, problem) = only(&stage, stage.config(id, &[])).await;
        assert!(field == "id" && matches!(problem, Problem::Id(_)), "{id:?}: {problem:?}");
        let (field, problem) = only(&stage, stage.config("web", &[id])).await;
        assert!(field == "containers[0].id" && matches!(problem, Problem::Id(_)), "{id:?}: {problem:?}");
    }
    let (field, problem) = only(&stage, stage.config("web", &["a", "b", "a"])).await;
    assert_eq!((field.as_str(), problem), ("containers[2].id", Problem::Duplicate("a".into())));
}

#[tokio::test]
async fn a_real_machine_needs_its_assets() {
    let stage = Stage::new();
    let mut config = stage.config("web", &[]);
    config.hypervisor_type = HypervisorKind::Qemu;
    let all = violations(&stage, config.clone()).await;
    assert_eq!(
        all.iter().map(|(field, _)| field.as_str()).collect::<Vec<_>>(),
        ["hypervisor_config.kernel_path", "hypervisor_config.initrd_path"]
    );
    assert!(all.iter().all(|(_, problem)| problem.to_string().contains("virtc guest build")));

    let asset = stage.rootfs.path().join("etc/passwd");
    config.hypervisor_config.kernel_path = "/nonexistent/vmlinux".into();
    config.hypervisor_config.initrd_path = Some("relative".into());
    config.hypervisor_config.image_path = Some(asset.clone());
    config.hypervisor_config.firmware_path = Some(stage.rootfs.path().into());
    let all = violations(&stage, config.clone()).await;
    assert!(matches!(&all[0].1, Problem::NotFound { path, .. } if path.ends_with("vmlinux")), "{all:?}");
    assert!(matches!(all[1].1, Problem::Conflict { other: "initrd_path", .. }), "{all:?}");
    assert!(matches!(all[2].1, Problem::RelativePath(_)), "{all:?}");
    assert!(matches!(all[3].1, Problem::WrongFileType { wanted: "a regular file", .. }), "{all:?}");
    assert_eq!(all.len(), 4);
}

#[tokio::test]
async fn assets_must_have_their_hash() {
    let stage = Stage::new();
    let asset = stage.rootfs.path().join("asset");
    std::fs::write(&asset, "abc").unwrap();
    // SHA-512 of "abc", FIPS 180-2 appendix C.1.
    let right = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                 2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
    let mut config = stage.config("web", &[]);
    config.hypervisor_config.kernel_path = asset;
    config.hypervisor_config.asset_hashes.kernel = Some(right.to_uppercase());
    let sandbox = stage.runtime().create_sandbox(config.clone()).await.unwrap();
    sandbox.delete(Default::default()).await.unwrap();

    config.hypervisor_config.asset_hashes.kernel = Some(right.replace('d', "0"));
    let (field, problem) = only(&stage, config.clone()).await;
    assert_eq!(field, "hypervisor_config.kernel_path");
    assert!(matches!(&problem, Problem::HashMismatch { found, .. } if found == right), "{problem}");
    config.hypervisor_config.asset_hashes = AssetHashes { kernel: Some("abc".into()), ..Default::default() };
    assert!(matches!(only(&stage, config.clone()).await.1, Problem::Invalid { .. }));
    config.hypervisor_config.asset_hashes = AssetHashes { initrd: Some(right.into()), ..Default::default() };
    assert!(matches!(only(&stage, config).await.1, Problem::Missing(_)));
}

#[tokio::test]
async fn sizes_and_counts() {
    let stage = Stage::new();
    let mut config = stage.config("web", &[]);
    config.hypervisor_config.num_vcpus = 0;
    config.hypervisor_config.memory_size = MiB(u32::MAX);
    let all = violations(&stage, config).await;
    assert!(
        matches!(all[0].1, Problem::Unit(_)) && matches!(all[1].1, Problem::TooMuchMemory { .. }),
        "{all:?}"
    );
}

#[tokio::test]
async fn everything_is_told_at_once() {
    let stage = Stage::new();
    let mut config = stage.config("a/b", &["c"]);
    config.hypervisor_config.num_vcpus = 0;
    config.hypervisor_config.huge_pages = true;
    config.hypervisor_config.kernel_params = vec![KernelParam::new("vc.announce", "1")];
    config.network_config.netns_path = Some("/run/netns/x".into());
    config.containers[0].root_fs.target = stage.rootfs.path().join("etc/passwd");
    config.containers[0].cmd.args = Vec::new();
    config.containers[0].cmd.envs = vec![EnvVar { var: "A=B".into(), value: String::new() }];
    config.containers[0].cmd.work_dir = "relative".into();
    config.containers[0].cmd.user = "a:b:c".into();
    config.containers[0].mounts = vec![Mount::bind("/nonexistent", "relative/../..")];
    let all = violations(&stage, config).await;
    let fields: Vec<_> = all.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "id",
            "hypervisor_config.num_vcpus",
            "hypervisor_config.kernel_params[0]",
            "hypervisor_config.huge_pages",
            "network_config.netns_path",
            "containers[0].root_fs.target",
            "containers[0].cmd.args",
            "containers[0].cmd.envs[0]",
            "containers[0].cmd.work_dir",
            "containers[0].cmd.user",
            "containers[0].mounts[0].destination",
            "containers[0].mounts[0].source",
        ]
    );
    assert_eq!(all[3].1, Problem::NotBuilt);
}

#[tokio::test]
async fn what_does_not_go_together() {
    let stage = Stage::new();
    let mut config = stage.config("web", &[]);
    config.proxy_type = ProxyKind::Kata;
    config.hypervisor_config.transport = Transport::Vsock;
    assert_eq!(only(&stage, config).await.0, "proxy_type");
    let mut config = stage.config("web", &[]);
    config.agent_config.use_vsock = true;
    config.hypervisor_config.transport = Transport::VirtioSerial;
    assert_eq!(only(&stage, config).await.0, "hypervisor_config.transport");
    let mut config = stage.config("web", &["c"]);
    config.containers[0].cmd.detach = true;
    config.containers[0].cmd.stdin = true;
    assert_eq!(only(&stage, config).await.0, "containers[0].cmd.stdin");
}

#[tokio::test]
async fn users_and_groups_of_the_containers_files() {
    let stage = Stage::new();
    let mut config = stage.config("web", &["c"]);
    config.containers[0].cmd.user = "nobody-such".into();
    assert_eq!(only(&stage, config.clone()).await.0, "cmd.user");
    config.containers[0].cmd.user = "bob:no-such-group".into();
    assert_eq!(only(&stage, config.clone()).await.0, "cmd.primary_group");
    // A passwd that leads out of the root filesystem is looked for within it, and not found.
    std::fs::remove_file(stage.rootfs.path().join("etc/passwd")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", stage.rootfs.path().join("etc/passwd")).unwrap();
    config.containers[0].cmd.user = "root".into();
    assert_eq!(only(&stage, config).await.0, "cmd.user");
}

#[test]
fn unknown_keys_are_refused() {
    for json in [
        r#"{"id":"a","colour":"red"}"#,
        r#"{"hypervisor_config":{"num_cpus":1}}"#,
        r#"{"containers":[{"cmd":{"arg":[]}}]}"#,
    ] {
        let error = serde_json::from_str::<SandboxConfig>(json).unwrap_err();
        assert!(error.to_string().contains("unknown field"), "{error}");
    }
}

#[test]
fn configurations_go_through_json() {
    let mut config =
        SandboxConfig { id: "web".into(), agent_type: AgentKind::Noop, ..SandboxConfig::default() };
    config.shm_size = Bytes(1 << 20);
    config.containers = vec![ContainerConfig::new("c", "/", ["/bin/sh"])];
    let json = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<SandboxConfig>(&json).unwrap(), config);
}
