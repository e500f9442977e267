//! What plugins are told: environment, configuration, earlier results, and the version that all of them speak.

use serde_json::{Value, json};
use virtcontainers_network::cni::{CniError, Version};

use crate::world::{PLUGINS, World};

/// A script that answers VERSION with these, and ADD with this result.
fn answering(versions: &str, result: &str) -> String {
    format!(
        "case $CNI_COMMAND in\nVERSION) echo '{{\"cniVersion\":\"1.0.0\",\"supportedVersions\":{versions}}}';;\n\
         ADD) env > ${{0%/*}}/../env; echo '{result}';;\nesac"
    )
}

#[tokio::test]
async fn a_chain() {
    let world = World::new().await;
    let result = r#"{"cniVersion":"1.0.0","ips":[{"address":"10.1.0.5/16"}],"extra":true}"#;
    world.plugin("first", &answering("[]", result));
    world.plugin("second", &answering("[]", r#"{"cniVersion":"1.0.0","dns":{"nameservers":["1.1.1.1"]}}"#));
    let first =
        json!({ "type": "first", "capabilities": { "bandwidth": true, "aliases": false }, "own": [1] });
    let second = json!({ "type": "second", "capabilities": { "portMappings": true } });
    world.describe("n.conflist", &json!({ "cniVersion": "1.0.0", "name": "n", "plugins": [first, second] }));
    let (cni, (_ns, mut attachment)) = (world.cni(), world.container("c").await);
    attachment.args = vec![("IgnoreUnknown".to_owned(), "1".to_owned()), ("K".to_owned(), "v".to_owned())];
    attachment.port_mappings = vec!["[::1]:1:2/udp".parse().unwrap()];
    for (name, value) in [("bandwidth", json!({ "ingressRate": 8 })), ("aliases", json!(["a"]))] {
        attachment.capabilities.insert(name.to_owned(), value);
    }
    let got = cni.add(&cni.network("n").unwrap(), &attachment).await.unwrap();
    assert_eq!((got.ips.len(), got.dns.nameservers.as_slice()), (0, ["1.1.1.1".to_owned()].as_slice()));

    let told = world.told("first", "ADD");
    let expected = json!({
        "cniVersion": "1.0.0", "name": "n", "type": "first", "own": [1],
        "runtimeConfig": { "bandwidth": { "ingressRate": 8 } },
    });
    assert_eq!(told, expected);
    let told = world.told("second", "ADD");
    assert_eq!(told["prevResult"], serde_json::from_str::<Value>(result).unwrap());
    let ports = json!([{ "hostIP": "::1", "hostPort": 1, "containerPort": 2, "protocol": "udp" }]);
    assert_eq!(told["runtimeConfig"], json!({ "portMappings": ports }));

    let env = std::fs::read_to_string(world.path("env")).unwrap();
    for line in [
        "CNI_COMMAND=ADD".to_owned(),
        "CNI_CONTAINERID=c".to_owned(),
        "CNI_IFNAME=eth0".to_owned(),
        "CNI_ARGS=IgnoreUnknown=1;K=v".to_owned(),
        format!("CNI_NETNS={}", attachment.netns.display()),
        format!("CNI_PATH={}:{PLUGINS}", world.path("plugins").display()),
    ] {
        assert!(env.lines().any(|found| found == line), "{line} is not in {env}");
    }

    cni.check("n", &attachment).await.unwrap();
    cni.del("n", &attachment).await.unwrap();
    for name in ["first", "second"] {
        assert_eq!(world.log(name), ["ADD", "CHECK", "DEL"]);
        for command in ["CHECK", "DEL"] {
            let told = world.told(name, command);
            assert_eq!(told["prevResult"]["dns"]["nameservers"][0], "1.1.1.1", "the last result for all");
            assert_eq!(told["runtimeConfig"], world.told(name, "ADD")["runtimeConfig"]);
        }
    }
}

#[tokio::test]
async fn check_is_not_called_where_it_must_not_be() {
    for (version, disabled) in [("1.0.0", true), ("0.3.1", false)] {
        let world = World::new().await;
        world.plugin("p", &answering("[]", "{}"));
        let conf = json!({ "cniVersion": version, "name": "n", "disableCheck": disabled, "plugins": [{ "type": "p" }] });
        world.describe("n.conflist", &conf);
        let (cni, (_ns, attachment)) = (world.cni(), world.container("c").await);
        cni.add(&cni.network("n").unwrap(), &attachment).await.unwrap();
        cni.check("n", &attachment).await.unwrap();
        cni.del("n", &attachment).await.unwrap();
        assert_eq!(world.log("p"), ["ADD", "DEL"]);
    }
}

#[tokio::test]
async fn the_newest_version_that_all_speak() {
    let world = World::new().await;
    let old = r#"{"cniVersion":"0.4.0","ips":[{"version":"6","address":"fd00::5/64"}]}"#;
    world.plugin(
        "new",
        &answering(
            r#"["0.4.0","1.0.0","1.1.0"]"#,
            r#"{"cniVersion":"1.0.0","ips":[{"address":"fd00::5/64"}]}"#,
        ),
    );
    world.plugin("old", &answering(r#"["0.3.1","0.4.0"]"#, old));
    world.plugin("odd", &answering(r#"["0.2.0"]"#, old));
    let describe = |plugins: [&str; 2]| {
        let plugins: Vec<_> = plugins.into_iter().map(|kind| json!({ "type": kind })).collect();
        let versions = ["0.4.0", "1.0.0", "1.1.0"];
        world.describe("n.conflist", &json!({ "cniVersions": versions, "name": "n", "plugins": plugins }));
        world.cni().network("n").unwrap()
    };
    let (cni, (_ns, attachment)) = (world.cni(), world.container("c").await);
    cni.add(&describe(["new", "old"]), &attachment).await.unwrap();
    let told = world.told("old", "ADD");
    assert_eq!(told["cniVersion"], "0.4.0");
    // The first plugin answered in another version than it was asked in: the second one still gets its own.
    assert_eq!(told["prevResult"], serde_json::from_str::<Value>(old).unwrap());
    cni.del("n", &attachment).await.unwrap();

    let error = cni.add(&describe(["odd", "old"]), &attachment).await.unwrap_err();
    assert!(matches!(&error, CniError::NoVersion { spoken, .. } if spoken == "0.2.0"), "{error}");
    assert!(world.notes().is_empty(), "nothing was attached");
    assert_eq!(Version::ALL.map(Version::as_str)[0], "1.1.0");
}

#[tokio::test]
async fn what_nobody_does_is_refused() {
    let world = World::new().await;
    world.plugin("p", "echo {}");
    world.describe("n.conf", &json!({ "cniVersion": "1.0.0", "name": "n", "type": "p" }));
    let cni = world.cni();
    let network = cni.network("n").unwrap();
    let (_ns, plain) = world.container("c").await;
    let mut ports = plain.clone();
    ports.port_mappings = vec!["80:80".parse().unwrap()];
    let error = cni.add(&network, &ports).await.unwrap_err();
    assert!(
        error.to_string().contains("portmap") && matches!(error, CniError::NoCapability { .. }),
        "{error}"
    );

    for (place, value) in
        [("id", "../c"), ("id", ""), ("if", "a/b"), ("if", "0123456789abcdef"), ("ns", "ns"), ("arg", "a;b")]
    {
        let mut bad = plain.clone();
        match place {
            "id" => bad.container_id = value.to_owned(),
            "if" => bad.ifname = value.to_owned(),
            "ns" => bad.netns = value.into(),
            _ => bad.args = vec![("K".to_owned(), value.to_owned())],
        }
        for error in [
            cni.add(&network, &bad).await.map(drop).unwrap_err(),
            cni.check("n", &bad).await.unwrap_err(),
            cni.del("n", &bad).await.unwrap_err(),
        ] {
            assert!(matches!(error, CniError::BadAttachment { .. }), "{error}");
            assert!(error.to_string().contains(value), "{error}");
        }
    }
    assert!(cni.del("../n", &plain).await.unwrap_err().to_string().contains("../n"));
    assert!(world.log("p").is_empty());
}
