//! Networks of real machines: a CNI bridge with published ports, interfaces and routes of a running guest. What is the
//! host to virtc is a network namespace of the test's own.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream},
    path::PathBuf,
    process::Command,
    time::Duration,
};

use serde_json::{Value, json};
use virtcontainers_network::NetNs;

use crate::stage::{Stage, until};

/// A stage whose `virtc` is called in a namespace of its own, with a CNI network `web`.
struct Host {
    stage: Stage,
    path: PathBuf,
    ns: NetNs,
}

impl Host {
    fn new() -> Self {
        let mut stage = Stage::with_machine();
        let path = stage.files().join("host-netns");
        let ns = NetNs::create(&path).unwrap();
        let files = stage.files().display().to_string();
        stage.file("host.toml", format!("[network]\nconf_dir = \"{files}/cni\"\n"));
        let ipam = json!({
            "type": "host-local", "dataDir": format!("{files}/ipam"),
            "ranges": [[{ "subnet": "10.91.0.0/24" }], [{ "subnet": "fd00:91::/64" }]],
            "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }],
        });
        let bridge = json!({ "type": "bridge", "bridge": "br-web", "isGateway": true, "ipMasq": true, "mtu": 9000, "ipam": ipam });
        let portmap = json!({ "type": "portmap", "capabilities": { "portMappings": true } });
        let web = json!({ "cniVersion": "1.0.0", "name": "web", "plugins": [bridge, portmap] });
        stage.file("cni/web.conflist", web.to_string());
        stage.netns = Some(path.clone());
        let host = Self { stage, path, ns };
        // The plugins do not wait until the bridge's own new address is known to be nobody else's.
        host.inside("sh", &["-c", "echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad"]);
        host
    }

    #[track_caller]
    fn inside(&self, program: &str, args: &[&str]) -> String {
        let mut command = Command::new("nsenter");
        let output =
            command.arg(format!("--net={}", self.path.display())).arg(program).args(args).output().unwrap();
        assert!(output.status.success(), "{program} {args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What the other side sends, when one connects to it from the host.
    fn fetch(&self, to: SocketAddr) -> Option<Vec<u8>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let connect = async move |_: &_| TcpStream::connect_timeout(&to, Duration::from_secs(5));
        let mut stream = runtime.block_on(self.ns.run(connect)).unwrap().ok()?;
        stream.write_all(b"GET\n").ok()?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).ok()?;
        (!bytes.is_empty()).then_some(bytes)
    }

    fn leases(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.stage.files().join("ipam/web")) else { return Vec::new() };
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != "lock" && !name.starts_with("last_reserved")).collect()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        NetNs::remove(&self.path).unwrap();
    }
}

const CONFIG: &str = "--config {files}/host.toml";

#[test]
fn vm_cni_network_with_a_published_port() {
    let host = Host::new();
    let stage = &host.stage;
    let serve = "i=0; while [ $i -lt 20 ]; do seq 100000 | busybox nc -l -p 80 -w 30; i=$((i + 1)); done";
    let line = format!("{CONFIG} run --rootfs {{rootfs}} -d --name web --net cni:web -p 8080:80");
    assert_eq!(stage.shell(&line, serve).code, 0);

    let expected: Vec<u8> = (1..=100_000).flat_map(|number| format!("{number}\n").into_bytes()).collect();
    for gateway in [IpAddr::from([10, 91, 0, 1]), IpAddr::from("fd00:91::1".parse::<Ipv6Addr>().unwrap())] {
        let mut got = None;
        until("the published port answers", || {
            got = host.fetch((gateway, 8080).into());
            got.is_some()
        });
        assert!(got.as_ref() == Some(&expected), "what comes through {gateway} is not what was sent");
    }

    let listed = stage.json("network list web");
    let eth0 = listed.as_array().unwrap().iter().find(|one| one["name"] == "eth0").unwrap().clone();
    let addresses = eth0["addresses"].to_string();
    assert!(addresses.contains("10.91.0.2/24") && addresses.contains("fd00:91::2/64"), "{eth0}");
    assert_eq!(eth0["mtu"], 9000);
    assert!(stage.well("network list web").contains("10.91.0.2/24"));
    let pinged = stage.virtc("exec web -- busybox ping -c 2 -W 5 10.91.0.1");
    assert!(pinged.stdout.contains(" 0% packet loss"), "{pinged:?}");

    routes(stage);
    assert_eq!(host.leases().len(), 2);
    stage.well("rm -f web");
    assert_eq!(host.leases(), Vec::<String>::new());
    assert!(!host.inside("iptables-save", &["-t", "nat"]).contains("8080"));
    assert!(!host.inside("ip", &["-o", "link"]).contains("veth"));
    stage.assert_clean();
}

/// Routes are listed, added, and set as a whole.
fn routes(stage: &Stage) {
    let has = |routes: &Value, wanted: &str| {
        routes.as_array().unwrap().iter().any(|route| route["destination"] == wanted)
    };
    let before = stage.json("network routes web");
    assert!(before.as_array().unwrap().iter().any(|route| route["gateway"] == "10.91.0.1"), "{before}");
    let words = ["--add", "10.99.0.0/16 via 10.91.0.1 dev eth0"];
    let added = stage.start("--json network routes web", &words).end(crate::stage::LONG);
    assert_eq!(added.code, 0, "{added:?}");
    assert!(has(&serde_json::from_str(&added.stdout).unwrap(), "10.99.0.0/16"), "{added:?}");
    assert!(stage.well("exec web -- busybox ip route").contains("10.99.0.0/16"));
    let file = stage.file("routes.json", before.to_string());
    let after = stage.json(&format!("network routes web --set {}", file.display()));
    assert!(!has(&after, "10.99.0.0/16"), "{after}");
}

#[test]
fn vm_interfaces_of_a_running_guest() {
    let host = Host::new();
    let stage = &host.stage;
    let own = stage.files().join("own");
    let own_ns = NetNs::create(&own).unwrap();
    let ip = |words: &str| {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", own.display())).arg("ip").args(words.split_whitespace());
        assert!(command.status().unwrap().success(), "ip {words}");
    };
    let line =
        format!("{CONFIG} run --rootfs {{rootfs}} -d --name own --net netns:{} --netmon", own.display());
    assert_eq!(stage.start(&line, &["--", "sleep", "1000"]).end(crate::stage::LONG).code, 0);

    ip("link add eth7 type veth peer name peer7");
    ip("addr add 10.92.0.2/24 dev eth7");
    ip("link set peer7 up");
    ip("link set eth7 up");
    // Nobody is asked: the monitor sees it.
    until("the monitor has plugged the link in", || stage.well("network list own").contains("10.92.0.2/24"));
    stage.well("network remove own eth7");
    assert!(!stage.well("network list own").contains("eth7"));
    assert_eq!(stage.well("network add own eth7").trim(), "eth7");
    assert!(stage.well("network list own").contains("10.92.0.2/24"));
    let twice = stage.virtc("network add own eth7");
    assert_eq!(twice.code, 125);
    twice.says(&["eth7"]);
    stage.virtc("network add own eth9").says(&["eth9"]);

    stage.well("rm -f own");
    stage.assert_clean();
    drop(own_ns);
    NetNs::remove(&own).unwrap();
}

/// Boards with another way to their interfaces: bridges of PCI, and no PCI at all.
#[test]
fn vm_other_machines_have_networks() {
    let host = Host::new();
    let stage = &host.stage;
    for machine in ["pc", "microvm"] {
        let ping = "busybox ip -o addr show eth0; busybox ping -c 3 -W 5 10.91.0.1";
        let line =
            format!("{CONFIG} run --rootfs {{rootfs}} --rm --name m --machine {machine} --net cni:web");
        let done = stage.shell(&line, ping);
        assert_eq!(done.code, 0, "{machine}: {done:?}");
        assert!(
            done.stdout.contains("10.91.0.") && done.stdout.contains(" 0% packet loss"),
            "{machine}: {done:?}"
        );
        assert_eq!(host.leases(), Vec::<String>::new(), "{machine}");
    }
    stage.assert_clean();
}
