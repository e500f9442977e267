//! What the tests share: a host that is a network namespace, containers that are further ones, descriptions of networks,
//! and plugins that are scripts.

use std::{
    cell::RefCell,
    fs,
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::Value;
use virtcontainers_network::{
    NetNs,
    cni::{Attachment, Cni},
};

/// Debian's plugins.
pub(crate) const PLUGINS: &str = "/usr/lib/cni";
/// More than any connection takes here.
const LONG: Duration = Duration::from_secs(10);

/// A host of its own.
pub(crate) struct World {
    dir: tempfile::TempDir,
    spaces: RefCell<Vec<PathBuf>>,
    pub(crate) host: NetNs,
}

impl World {
    pub(crate) async fn new() -> Self {
        assert!(
            Path::new(PLUGINS).join("bridge").exists(),
            "no {PLUGINS}/bridge: `apt-get install containernetworking-plugins`"
        );
        let dir = tempfile::tempdir().unwrap();
        for name in ["conf", "plugins", "ns", "ipam"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let path = dir.path().join("ns/host");
        let host = NetNs::create(&path).unwrap();
        // The plugins do not wait until the host's own new address is known to be nobody else's, which takes seconds.
        let no_detection = async |_: &_| fs::write("/proc/sys/net/ipv6/conf/default/accept_dad", "0");
        host.run(no_detection).await.unwrap().unwrap();
        Self { dir, spaces: RefCell::new(vec![path]), host }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A client that knows only what is here, and Debian's plugins.
    pub(crate) fn cni(&self) -> Cni {
        Cni {
            host_netns: Some(self.path("ns/host")),
            ..Cni::new(self.path("conf"), vec![self.path("plugins"), PLUGINS.into()], self.path("cache"))
        }
    }

    /// A container's namespace, and the attachment of its `eth0`.
    pub(crate) async fn container(&self, name: &str) -> (NetNs, Attachment) {
        let path = self.path("ns").join(name);
        let ns = NetNs::create(&path).unwrap();
        self.spaces.borrow_mut().push(path.clone());
        (ns, Attachment::new(name, path))
    }

    /// Describes a network; `{dir}` stands for the directory of the test.
    pub(crate) fn describe(&self, file: &str, conf: &Value) {
        let text = conf.to_string().replace("{dir}", self.dir.path().to_str().unwrap());
        let path = self.path("conf").join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A plugin that is a shell script. It appends its command to `<name>.log`, and what it was told is
    /// `<name>.<command>`.
    pub(crate) fn plugin(&self, name: &str, script: &str) {
        let dir = self.dir.path().display();
        let text = format!(
            "#!/bin/sh\necho $CNI_COMMAND >> {dir}/{name}.log\ncat > {dir}/{name}.$CNI_COMMAND\n{script}\n"
        );
        let path = self.path("plugins").join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// The commands that a script was called with.
    pub(crate) fn log(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// What a script was told at its last call with this command.
    pub(crate) fn told(&self, name: &str, command: &str) -> Value {
        serde_json::from_slice(&fs::read(self.path(&format!("{name}.{command}"))).unwrap()).unwrap()
    }

    /// The addresses that host-local has given away in a network.
    pub(crate) fn leases(&self, network: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path("ipam").join(network)) else { return Vec::new() };
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != "lock" && !name.starts_with("last_reserved")).collect()
    }

    /// What is noted as attached.
    pub(crate) fn notes(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path("cache")) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Runs a program in a namespace of this world, well; what it prints.
    #[track_caller]
    pub(crate) fn inside(&self, space: &str, words: &str) -> String {
        inside(&self.path("ns").join(space), words)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for path in self.spaces.borrow().iter() {
            NetNs::remove(path).unwrap();
        }
    }
}

/// Runs a program in a namespace, well; what it prints.
#[track_caller]
pub(crate) fn inside(space: &Path, words: &str) -> String {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", space.display())).args(words.split_whitespace());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{words}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Sends `bytes` from one namespace to an address that a listener in another one has, and compares what arrives.
pub(crate) async fn carries(from: &NetNs, to: SocketAddr, at: &NetNs, listen: SocketAddr) {
    let listener =
        at.run(async move |_: &_| TcpListener::bind(listen)).await.unwrap().unwrap_or_else(|error| {
            panic!("cannot listen on {listen}: {error}");
        });
    let bytes: Vec<u8> =
        (0..1_000_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let sent = bytes.clone();
    let sender = from.run(async move |_: &_| {
        let mut stream = TcpStream::connect_timeout(&to, LONG)?;
        std::io::Write::write_all(&mut stream, &sent)
    });
    let receiver = std::thread::spawn(move || {
        let mut got = Vec::new();
        std::io::Read::read_to_end(&mut listener.accept().unwrap().0, &mut got).unwrap();
        got
    });
    sender.await.unwrap().unwrap_or_else(|error| panic!("cannot reach {to}: {error}"));
    assert!(receiver.join().unwrap() == bytes, "what arrives at {to} is not what was sent");
}

/// Whether nobody answers there.
pub(crate) async fn refuses(from: &NetNs, to: SocketAddr) -> bool {
    let connect = async move |_: &_| TcpStream::connect_timeout(&to, Duration::from_secs(2)).is_err();
    from.run(connect).await.unwrap()
}

/// The first address of this family.
pub(crate) fn address(result: &virtcontainers_network::cni::CniResult, v6: bool) -> IpAddr {
    result.ips.iter().map(|ip| ip.address.addr()).find(|ip| ip.is_ipv6() == v6).unwrap()
}
