//! Whoever fills the namespace does not do well: CNI plugins that fail, hang or talk rubbish, and hooks. The create is undone,
//! and the plugins are told to undo theirs.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use oci_spec::runtime::{Hook, HookBuilder};
use serde_json::{Value, json};
use virtcontainers::{CniConfig, DeleteMode, ErrorKind, NetworkConfig, SandboxConfig};

use crate::stage::Stage;

/// A directory with programs and descriptions of the test's own.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn program(&self, name: &str, script: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// A sandbox on a network whose first plugin makes a link and whose second one is this script; both log.
    fn joining(&self, stage: &Stage, script: &str) -> SandboxConfig {
        let log = |name: &str| format!("echo {name} $CNI_COMMAND >> {}", self.path("log").display());
        let link = "[ $CNI_COMMAND = ADD ] && nsenter --net=$CNI_NETNS ip link add $CNI_IFNAME type bridge \
                    && echo '{\"cniVersion\":\"1.0.0\"}'; exit 0";
        self.program("first", &format!("{}; {link}", log("first")));
        let script = format!("{}; [ $CNI_COMMAND = DEL ] && exit 0; {script}", log("second"));
        self.program("second", &script);
        let plugins = json!([{ "type": "first" }, { "type": "second" }]);
        let net = json!({ "cniVersion": "1.0.0", "name": "net", "plugins": plugins });
        fs::write(self.path("net.conflist"), net.to_string()).unwrap();
        let dir = || self.0.path().to_owned();
        let cni = CniConfig {
            network: "net".to_owned(),
            conf_dir: Some(dir()),
            plugin_dirs: vec![dir()],
            ..CniConfig::default()
        };
        let network_config = NetworkConfig { cni: Some(cni), ..NetworkConfig::default() };
        SandboxConfig { network_config, ..stage.config("web", &["a"]) }
    }

    fn log(&self) -> Vec<String> {
        fs::read_to_string(self.path("log")).unwrap().lines().map(str::to_owned).collect()
    }
}

/// A create fails because of what the second plugin does; nothing of it is left, and the error says these words.
async fn is_undone(script: &str, words: &[&str]) {
    let (stage, desk) = (Stage::new(), Desk::new());
    let error = stage.runtime().create_sandbox(desk.joining(&stage, script)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Network, "{error}");
    let told = error.report().to_string();
    for word in words.iter().chain(&["second", "net"]) {
        assert!(told.contains(word), "{word}: {told}");
    }
    assert_eq!(error.undo_errors(), [""; 0]);
    assert_eq!(desk.log(), ["first ADD", "second ADD", "second DEL", "first DEL"]);
    assert_eq!(stage.root.leaks(), []);
    // And the next one does well.
    let sandbox = stage.runtime().create_sandbox(desk.joining(&stage, "cat > /dev/null; echo '{}'")).await;
    sandbox.unwrap().delete(DeleteMode::Force).await.unwrap();
    assert_eq!(desk.log().last().map(String::as_str), Some("first DEL"));
}

#[tokio::test]
async fn a_plugin_that_fails_undoes_the_create() {
    is_undone(
        r#"echo '{"cniVersion":"1.0.0","code":7,"msg":"no such luck","details":"ask again"}'; exit 1"#,
        &["no such luck", "ask again"],
    )
    .await;
}

#[tokio::test]
async fn a_plugin_that_talks_rubbish_undoes_the_create() {
    is_undone("echo hello", &["hello"]).await;
    is_undone("kill -9 $$", &["wrote nothing"]).await;
}

/// It has 30 seconds.
#[tokio::test]
async fn a_plugin_that_hangs_undoes_the_create() {
    is_undone("echo where am I >&2; sleep 1000", &["where am I"]).await;
}

fn hook(path: &Path) -> Hook {
    HookBuilder::default().path(path).build().unwrap()
}

#[tokio::test]
async fn what_hooks_leave_in_the_namespace_is_the_guests() {
    let (stage, desk) = (Stage::new(), Desk::new());
    let at = desk.0.path().display();
    let script = format!(
        "cat > {at}/state; readlink /proc/self/ns/net > {at}/own
         ip link add eth0 type veth peer name far; ip addr add 10.7.0.2/24 dev eth0; ip link set far up; ip link set eth0 up"
    );
    let network_config = NetworkConfig {
        prestart_hooks: vec![hook(&desk.program("hook", &script))],
        ..NetworkConfig::default()
    };
    let mut config = SandboxConfig { network_config, ..stage.config("web", &["a"]) };
    config.annotations.insert("some.key".to_owned(), "value".to_owned());
    let sandbox = stage.runtime().create_sandbox(config).await.unwrap();

    let state: Value = serde_json::from_slice(&fs::read(desk.path("state")).unwrap()).unwrap();
    assert_eq!([&state["id"], &state["status"]], ["web", "creating"], "{state}");
    assert_eq!(state["annotations"]["some.key"], "value");
    assert!(Path::new(state["bundle"].as_str().unwrap()).ends_with("sandboxes/web"), "{state}");
    assert!(state["pid"].as_u64().unwrap() > 0 && state["ociVersion"].is_string(), "{state}");
    let netns = sandbox.netns_path().await.unwrap().unwrap();
    let inode = std::os::unix::fs::MetadataExt::ino(&fs::metadata(netns).unwrap());
    assert_eq!(fs::read_to_string(desk.path("own")).unwrap().trim(), format!("net:[{inode}]"));

    let network = stage.agent.network();
    let told = network.interfaces.iter().find(|one| one.name == "eth0").unwrap();
    assert_eq!(told.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.7.0.2/24"]);
    sandbox.delete(DeleteMode::Force).await.unwrap();
}

#[tokio::test]
async fn a_hook_that_fails_undoes_the_create() {
    let (stage, desk) = (Stage::new(), Desk::new());
    let good = hook(&desk.program("good", "ip link add left type bridge"));
    let bad = hook(&desk.program("bad", "echo no bridge today >&2; exit 4"));
    let network_config = NetworkConfig { prestart_hooks: vec![good, bad], ..NetworkConfig::default() };
    let config = SandboxConfig { network_config, ..stage.config("web", &["a"]) };
    let error = stage.runtime().create_sandbox(config).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Network, "{error}");
    let told = error.report().to_string();
    assert!(["/bad", "exit code 4", "no bridge today"].iter().all(|word| told.contains(word)), "{told}");
    assert_eq!(stage.root.leaks(), []);
}
