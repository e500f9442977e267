//! Descriptions of networks: which are found, and what is wrong with the others.

use serde_json::{Value, json};
use virtcontainers_network::cni::{CniError, PortMapping, Version};

use crate::world::World;

fn named(name: &str) -> Value {
    json!({ "cniVersion": "1.0.0", "name": name, "plugins": [{ "type": "bridge" }] })
}

#[tokio::test]
async fn the_directory() {
    let world = World::new().await;
    let cni = world.cni();
    let nothing = cni.network("web").unwrap_err().to_string();
    assert!(nothing.contains("there is none at all") && nothing.contains("/conf"), "{nothing}");

    world.describe("20-second.conflist", &named("web"));
    world.describe("10-first.conflist", &named("web"));
    world.describe("30-single.conf", &json!({ "cniVersion": "0.4.0", "name": "single", "type": "ptp" }));
    world.describe("40-listed.json", &named("listed"));
    world.describe("50-ignored.txt", &named("ignored"));
    world.describe("60-broken.conflist", &json!({ "name": "broken" }));
    let (known, broken) = cni.networks().unwrap();
    let names: Vec<_> = known.iter().map(|network| network.name.as_str()).collect();
    assert_eq!(names, ["web", "single", "listed"]);
    assert_eq!(known[0].path, world.path("conf/10-first.conflist"));
    assert_eq!(known[1].plugins[0].kind, "ptp");
    assert_eq!(broken.len(), 1);

    let error = cni.network("db").unwrap_err();
    let text = error.to_string();
    assert!(
        ["\"db\"", "web, single, listed", "60-broken.conflist"].iter().all(|word| text.contains(word)),
        "{text}"
    );
    let gone = virtcontainers_network::cni::Cni { conf_dir: world.path("nowhere"), ..cni };
    assert!(matches!(gone.network("web"), Err(CniError::NoNetwork { .. })));
}

#[tokio::test]
async fn plugins_beside_the_description() {
    let world = World::new().await;
    world.describe("web.conflist", &named("web"));
    world.describe("web/20-b.conf", &json!({ "type": "tuning" }));
    world.describe("web/10-a.conf", &json!({ "type": "portmap" }));
    let kinds = |world: &World| -> Vec<String> {
        world.cni().network("web").unwrap().plugins.into_iter().map(|plugin| plugin.kind).collect()
    };
    assert_eq!(kinds(&world), ["bridge", "portmap", "tuning"]);
    let mut inlined = named("web");
    inlined["loadOnlyInlinedPlugins"] = json!(true);
    world.describe("web.conflist", &inlined);
    assert_eq!(kinds(&world), ["bridge"]);
}

#[tokio::test]
async fn versions() {
    let world = World::new().await;
    let versions = |fields: Value| {
        let mut conf = named("web");
        for key in ["cniVersion", "cniVersions"] {
            conf[key] = fields[key].clone();
        }
        world.describe("web.conflist", &conf);
        world.cni().network("web").map(|network| network.versions)
    };
    assert_eq!(versions(json!({ "cniVersion": "0.3.1" })).unwrap(), [Version::V0_3_1]);
    let several = versions(json!({ "cniVersion": "1.0.0", "cniVersions": ["0.4.0", "1.1.0", "9.9.9"] }));
    assert_eq!(several.unwrap(), [Version::V1_1_0, Version::V1_0_0, Version::V0_4_0]);
    assert!(versions(json!({ "cniVersion": "0.2.0" })).unwrap_err().to_string().contains("0.2.0"));
    assert!(versions(json!({})).unwrap_err().to_string().contains("cniVersion"));
}

#[tokio::test]
async fn what_is_no_description() {
    let world = World::new().await;
    let plugin = |conf: Value| json!({ "cniVersion": "1.0.0", "name": "web", "plugins": [conf] });
    for (conf, words) in [
        (json!([]), "sequence"),
        (named("../../etc"), "../../etc"),
        (named("a/b"), "a/b"),
        (named(""), "no network's name"),
        (named(&"x".repeat(300)), "at most 100"),
        (json!({ "cniVersion": "1.0.0", "name": "web", "plugins": [] }), "0 plugins"),
        (json!({ "cniVersion": "1.0.0", "name": "web", "plugins": 3 }), "no list"),
        (plugin(json!("bridge")), "no JSON object"),
        (plugin(json!({})), "type"),
        (plugin(json!({ "type": "../../bin/sh" })), "../../bin/sh"),
        (plugin(json!({ "type": "/bin/sh" })), "/bin/sh"),
        (plugin(json!({ "type": ".." })), "\"..\""),
        (plugin(json!({ "type": "bridge", "ipam": { "type": "../evil" } })), "../evil"),
        (json!({ "cniVersion": "1.0.0", "name": "web", "type": "a", "disableCheck": 7 }), "disableCheck"),
    ] {
        world.describe("web.conflist", &conf);
        let (known, broken) = world.cni().networks().unwrap();
        assert!(known.is_empty(), "{conf}");
        let text = broken[0].to_string();
        assert!(text.contains(words) && text.contains("web.conflist"), "{conf}: {text}");
    }
    std::fs::write(world.path("conf/web.conflist"), vec![b' '; 2 << 20]).unwrap();
    assert!(matches!(world.cni().networks().unwrap().1[0], CniError::Unreadable { .. }));
}

#[test]
fn ports() {
    for (text, shown) in [
        ("8080:80", "8080:80/tcp"),
        ("53:53/udp", "53:53/udp"),
        ("127.0.0.1:1:65535/sctp", "127.0.0.1:1:65535/sctp"),
        ("[::1]:8080:80", "[::1]:8080:80/tcp"),
    ] {
        assert_eq!(text.parse::<PortMapping>().unwrap().to_string(), shown);
    }
    for text in [
        "",
        "80",
        "80:",
        ":80",
        "0:80",
        "80:0",
        "80:65536",
        "+1:80",
        "a:80",
        "80:80/icmp",
        "80:80/",
        "1.2.3:1:2",
        "::1:80:80",
        "[1.2.3.4]:80:80",
        "1:2:3",
        "1-3:1-3",
    ] {
        let error = text.parse::<PortMapping>().unwrap_err();
        assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
    }
}
