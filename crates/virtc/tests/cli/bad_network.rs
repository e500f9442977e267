//! Networks that cannot be: one error that names the cause and the remedy, and nothing is left. Nothing boots.

use crate::{
    bad_input::{USAGE, refused},
    stage::Stage,
};

/// virtc failed.
const FAILED: i32 = 125;

#[test]
fn words() {
    let stage = Stage::new();
    let run = |options: &str| format!("run --rootfs {{rootfs}} {options} -- true");
    let rows: &[(String, &[&str])] = &[
        (run("--net cni:"), &["'cni:'", "cni:NAME or netns:PATH"]),
        (run("--net netns:"), &["'netns:'", "netns:PATH"]),
        (run("--net host"), &["'host'", "none"]),
        (run("--net-model bridge"), &["bridge", "tcfilter", "macvtap"]),
        (run("--net cni:web -p 80"), &["\"80\" publishes no port", "8080:80"]),
        (run("--net cni:web -p 0:80"), &["\"0:80\"", "1 to 65535"]),
        (run("--net cni:web -p 80:65536"), &["\"80:65536\"", "1 to 65535"]),
        (run("--net cni:web -p 80:80/icmp"), &["80:80/icmp", "/udp"]),
        (run("--net cni:web -p host:80:80"), &["host:80:80", "address"]),
        (run("-p 8080:80"), &["8080:80/tcp", "--net cni:NAME"]),
        (run("-p 8080:80 --net none"), &["8080:80/tcp", "--net cni:NAME"]),
        (run("-p [::1]:8080:80/udp --net netns:/run/netns/x"), &["[::1]:8080:80/udp", "--net cni:NAME"]),
        ("network".into(), &["list", "routes"]),
        ("network add web".into(), &["LINK"]),
        ("network routes web --add default".into(), &["no device", "via GATEWAY"]),
    ];
    for (line, words) in rows {
        refused(&stage, &[(line, USAGE, words)]);
    }
}

#[test]
fn settings_of_the_host() {
    let stage = Stage::new();
    stage.file("host.toml", "[network]\nconf = \"/etc\"\n");
    let words: &[&str] = &["host.toml", "`conf`", "`conf_dir`", "`plugin_dirs`"];
    refused(&stage, &[("--config {files}/host.toml sandbox list", USAGE, words)]);
}

#[test]
fn names_of_nothing() {
    let stage = Stage::new();
    stage.file("routes.json", "[]");
    for line in [
        "network list web",
        "network ls web",
        "network add web eth0",
        "network remove web eth0",
        "network routes web",
        "network routes web --set {files}/routes.json",
        "netmon web",
    ] {
        refused(&stage, &[(line, FAILED, &["sandbox web", "virtc list"])]);
    }
    stage.file("routes.toml", "x = 1");
    refused(
        &stage,
        &[
            ("network routes web --set {files}/none", FAILED, &["/none", "No such file"]),
            ("network routes web --set {files}/routes.toml", USAGE, &["routes.toml", "line 1"]),
        ],
    );
}

#[test]
fn namespaces_and_networks_that_are_none() {
    let stage = Stage::new();
    stage.file("asset", "abc");
    let conf = |name: &str, kind: &str| {
        serde_json::json!({ "cniVersion": "1.0.0", "name": name, "plugins": [{ "type": kind }] }).to_string()
    };
    stage.file("cni/web.conflist", conf("web", "vc-no-such-plugin"));
    stage.file("cni/evil.conflist", conf("evil", "../../bin/sh"));
    stage.file("cni/lo.conflist", conf("lo", "loopback"));
    stage.file("bin/README", "");
    let files = stage.files().display().to_string();
    stage.file(
        "host.toml",
        format!("[network]\nconf_dir = \"{files}/cni\"\nplugin_dirs = [\"{files}/bin\", \"/usr/lib/cni\"]\n"),
    );
    let run = |options: &str| {
        format!(
            "--config {{files}}/host.toml run --rootfs {{rootfs}} --kernel asset --initrd asset {options} -- true"
        )
    };
    let rows: &[(String, &[&str])] = &[
        (run("--net netns:{files}/none"), &["/none\"", "does not exist", "ip netns add"]),
        (run("--net netns:{files}/asset"), &["/asset", "ip netns add"]),
        (run("--net netns:{files}"), &["ip netns add", "no namespace"]),
        (run("--net netns:/proc/self/ns/mnt"), &["/proc/self/ns/mnt", "of another kind"]),
        (run("--net cni:db"), &["\"db\"", "/cni", "lo, web", "evil.conflist", "../../bin/sh"]),
        (run("--net cni:../web"), &["../web"]),
        (run("--net cni:web"), &["vc-no-such-plugin", "/bin", "/usr/lib/cni", "containernetworking-plugins"]),
        (run("--net cni:lo -p 80:80"), &["portMappings", "portmap", "lo.conflist"]),
    ];
    for (line, words) in rows {
        refused(&stage, &[(line, FAILED, words)]);
    }
}
