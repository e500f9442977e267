//! Plugins that fail, hang, or talk rubbish: an error that names all, DEL called, and no lease left.

use std::{fs, path::Path, time::Duration};

use serde_json::json;
use virtcontainers_network::cni::{Cni, CniError, NetworkList, PluginFailure};

use crate::world::World;

/// A world with a network whose first plugin gives an address and whose second one is this script. `DEL` does well.
async fn world_with(script: &str) -> (World, Cni, NetworkList) {
    let world = World::new().await;
    world.plugin("odd", &format!("if [ $CNI_COMMAND = DEL ]; then exit 0; fi\n{script}"));
    let ipam = json!({ "type": "host-local", "dataDir": "{dir}/ipam", "subnet": "10.90.0.0/24" });
    let bridge = json!({ "type": "bridge", "bridge": "cni-odd", "ipam": ipam });
    world.describe(
        "net.conflist",
        &json!({ "cniVersion": "1.0.0", "name": "net", "plugins": [bridge, { "type": "odd" }] }),
    );
    let cni = Cni { timeout: Duration::from_secs(10), ..world.cni() };
    let network = cni.network("net").unwrap();
    (world, cni, network)
}

/// Runs ADD, which must fail and be undone; the error.
async fn failure(script: &str, timeout: Duration) -> (World, CniError) {
    let (world, cni, network) = world_with(script).await;
    let cni = Cni { timeout, ..cni };
    let (_ns, attachment) = world.container("c").await;
    let error = cni.add(&network, &attachment).await.unwrap_err();
    assert_eq!(world.log("odd"), ["ADD", "DEL"], "{error}");
    assert_eq!((world.leases("net"), world.notes()), (vec![], vec![]), "{error}");
    assert_eq!(world.inside("c", "ip -o link").lines().count(), 1, "{error}");
    (world, error)
}

/// What went wrong with the plugin's run.
fn of(error: &CniError) -> &PluginFailure {
    let CniError::Plugin { failure, .. } = error else { panic!("{error}") };
    failure
}

const LONG: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_plugin_that_fails() {
    let script = r#"echo '{"cniVersion":"1.0.0","code":7,"msg":"no such luck","details":"ask again"}'
        echo "panic in line 5" >&2; exit 1"#;
    let (world, error) = failure(script, LONG).await;
    let CniError::Plugin { network, plugin, command, failure } = &error else { panic!("{error}") };
    let PluginFailure::Said { code, msg, details, stderr } = &**failure else { panic!("{error}") };
    assert_eq!((network.as_str(), *command, *code), ("net", "ADD", 7));
    assert_eq!(*plugin, world.path("plugins/odd"));
    assert_eq!([msg.as_str(), details, stderr], ["no such luck", "ask again", "panic in line 5"]);
    let text = error.to_string();
    assert!(
        ["plugins/odd", "\"net\"", "no such luck", "ask again", "line 5"]
            .iter()
            .all(|word| text.contains(word))
    );
}

#[tokio::test]
async fn a_plugin_that_talks_rubbish() {
    for (script, reason) in [
        ("echo hello", "hello"),
        ("true", "wrote nothing"),
        ("echo oh dear >&2; exit 3", "wrote nothing"),
        ("echo dear me; exit 3", "dear me"),
        (r#"echo '{"ips": 7}'"#, "sequence"),
        (r#"echo '{"ips": [{"address": "10.1.1.1/99"}]}'"#, "10.1.1.1/99"),
        (r#"echo '{"ips": [{"address": "10.1.1.1/9", "interface": 4}]}'"#, "number 4"),
    ] {
        let (_world, error) = failure(script, LONG).await;
        let PluginFailure::NoAnswer { reason: told, exit, .. } = of(&error) else {
            panic!("{script}: {error}")
        };
        assert!(told.contains(reason), "{script}: {told}");
        assert_eq!(exit == "exit code 3", script.ends_with('3'), "{exit}");
    }
    let (_world, error) = failure(r#"echo '{"code": 11, "msg": "later"}'"#, LONG).await;
    assert!(matches!(of(&error), PluginFailure::Said { code: 11, .. }), "{error}");
}

#[tokio::test]
async fn a_plugin_that_never_stops_talking() {
    let (_world, error) = failure("yes", LONG).await;
    assert!(matches!(of(&error), PluginFailure::TooMuch { .. }), "{error}");
}

#[tokio::test]
async fn a_plugin_that_hangs() {
    // The time-out is for the plugins that do well, too.
    let script = "echo waiting for a friend >&2; sleep 1000 & echo $! > ${0%/*}/../friend; wait";
    let (world, error) = failure(script, Duration::from_secs(2)).await;
    let PluginFailure::TimedOut { stderr, .. } = of(&error) else { panic!("{error}") };
    assert_eq!(stderr, "waiting for a friend");
    let friend = fs::read_to_string(world.path("friend")).unwrap();
    assert!(is_over(friend.trim()), "what a plugin started goes with it");
}

/// Whether the process is gone, or has only to be reaped.
fn is_over(pid: &str) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
    stat.is_empty() || stat.contains(") Z ")
}

#[tokio::test]
async fn a_caller_that_leaves() {
    let (world, cni, network) =
        world_with("echo $$ > ${0%/*}/../me.new; mv ${0%/*}/../me.new ${0%/*}/../me; sleep 1000").await;
    let (_ns, attachment) = world.container("c").await;
    let path = world.path("me");
    let seen = async {
        while !path.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        outcome = cni.add(&network, &attachment) => panic!("{outcome:?}"),
        () = seen => {}
    }
    let pid = fs::read_to_string(path).unwrap();
    let gone = async {
        while !is_over(pid.trim()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LONG, gone).await.expect("the plugin is killed with the call");
    assert_eq!((world.leases("net").len(), world.notes().len()), (1, 1));
    world.cni().del("net", &attachment).await.unwrap();
    assert_eq!((world.leases("net"), world.notes()), (vec![], vec![]));
}

#[tokio::test]
async fn a_plugin_that_is_missing() {
    let (world, cni, network) = world_with("true").await;
    fs::remove_file(world.path("plugins/odd")).unwrap();
    let (_ns, attachment) = world.container("c").await;
    let error = cni.add(&network, &attachment).await.unwrap_err();
    assert!(matches!(&error, CniError::NoPlugin { plugin, .. } if plugin == "odd"), "{error}");
    let text = error.to_string();
    assert!(text.contains("/usr/lib/cni") && text.contains("containernetworking-plugins"), "{text}");
    assert_eq!((world.leases("net"), world.notes()), (vec![], vec![]), "nothing ran");
}

#[tokio::test]
async fn a_plugin_that_cannot_undo() {
    let world = World::new().await;
    world.plugin("good", r#"[ $CNI_COMMAND = ADD ] && echo '{"cniVersion":"1.0.0"}'; exit 0"#);
    world.plugin(
        "stuck",
        r#"[ $CNI_COMMAND = ADD ] && exec echo '{"cniVersion":"1.0.0"}'; [ -e ${0%/*}/../free ]"#,
    );
    let plugins = json!([{ "type": "good" }, { "type": "stuck" }]);
    world.describe("net.conflist", &json!({ "cniVersion": "1.0.0", "name": "net", "plugins": plugins }));
    let (cni, (_ns, attachment)) = (world.cni(), world.container("c").await);
    cni.add(&cni.network("net").unwrap(), &attachment).await.unwrap();

    let error = cni.del("net", &attachment).await.unwrap_err();
    let CniError::NotDetached { failures, .. } = &error else { panic!("{error}") };
    assert_eq!(failures.len(), 1, "{error}");
    assert_eq!(world.log("good"), ["ADD", "DEL"], "the others are undone all the same");
    assert_eq!(world.notes().len(), 1, "it is still known");
    fs::write(world.path("free"), "").unwrap();
    world.cni().del("net", &attachment).await.unwrap();
    assert!(world.notes().is_empty());
}

#[tokio::test]
async fn both_errors_are_told_when_undoing_fails_too() {
    let world = World::new().await;
    world.plugin("bad", r#"echo "{\"code\": 100, \"msg\": \"$CNI_COMMAND is hard\"}"; exit 1"#);
    world.describe("net.conf", &json!({ "cniVersion": "0.4.0", "name": "net", "type": "bad" }));
    let (cni, (_ns, attachment)) = (world.cni(), world.container("c").await);
    let error = cni.add(&cni.network("net").unwrap(), &attachment).await.unwrap_err();
    assert!(matches!(error, CniError::NotUndone { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("ADD is hard") && text.contains("DEL is hard"), "{text}");
}

#[tokio::test]
async fn a_host_namespace_that_is_none() {
    let (world, cni, network) = world_with("true").await;
    let (_ns, attachment) = world.container("c").await;
    let cni = Cni { host_netns: Some("/etc/hostname".into()), ..cni };
    let error = cni.add(&network, &attachment).await.unwrap_err();
    assert!(error.to_string().contains("/etc/hostname"), "{error}");
    world.cni().del("net", &attachment).await.unwrap();
}
