//! Network namespaces of a test: made, filled with `ip` and `tc`, looked at before and after.

use std::{
    collections::BTreeSet,
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

use virtcontainers_sys::mount;

/// A network namespace for one test, with `lo` up, and its path. It ends with this.
#[derive(Debug)]
pub struct TestNetNs {
    /// Taken away last.
    _dir: tempfile::TempDir,
    path: PathBuf,
}

impl TestNetNs {
    /// Makes one.
    ///
    /// # Panics
    /// Without root, util-linux or iproute2.
    #[must_use]
    #[track_caller]
    pub fn new() -> Self {
        let dir = match tempfile::Builder::new().prefix("vc-netns-").tempdir() {
            Ok(dir) => dir,
            Err(error) => panic!("cannot make a directory: {error}"),
        };
        let path = dir.path().join("ns");
        if let Err(error) = fs::write(&path, "") {
            panic!("cannot write {}: {error}", path.display());
        }
        run("unshare", &[&format!("--net={}", path.display()), "ip", "link", "set", "lo", "up"]);
        Self { _dir: dir, path }
    }

    /// Its path, which the library takes.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `ip` in it, with these words.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn ip(&self, words: &str) -> String {
        self.run(&format!("ip {words}"))
    }

    /// Runs a program in it, with these words, and returns what it says.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn run(&self, words: &str) -> String {
        let net = format!("--net={}", self.path.display());
        let words: Vec<_> = [net.as_str()].into_iter().chain(words.split_whitespace()).collect();
        run("nsenter", &words)
    }

    /// A program to be run in it, with more to be said about how.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path.display())).arg(program);
        command
    }

    /// Joins it with another by a pair of links: `here` in this one, `there` in the other; both up.
    ///
    /// # Panics
    /// When the kernel refuses.
    #[track_caller]
    pub fn join(&self, here: &str, other: &Self, there: &str) {
        // The name of a file, of which `ip` wants a process or a name below /run/netns.
        let keeper = other.command("sleep").arg("60").spawn();
        let mut keeper = match keeper {
            Ok(keeper) => keeper,
            Err(error) => panic!("cannot run nsenter: {error}"),
        };
        let pid = keeper.id();
        while fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() != "sleep") {
            std::thread::yield_now();
        }
        self.ip(&format!("link add {here} type veth peer name {there} netns {pid}"));
        self.ip(&format!("link set {here} up"));
        other.ip(&format!("link set {there} up"));
        // It is of no use any more.
        keeper.kill().ok();
        keeper.wait().ok();
    }

    /// What is in it now.
    ///
    /// # Panics
    /// When it cannot be looked at.
    #[must_use]
    #[track_caller]
    pub fn snapshot(&self) -> NetSnapshot {
        let mut found = BTreeSet::new();
        let text = |words: &str| self.run(words);
        found.extend(lines("link", &text("ip -d -o link show")));
        found.extend(lines("address", &text("ip -o addr show")));
        found.extend(lines("route", &text("ip route show table all")));
        found.extend(lines("route", &text("ip -6 route show table all")));
        found.extend(lines("neighbour", &text("ip neigh show nud permanent")));
        found.extend(lines("qdisc", &text("tc qdisc show")));
        for link in self.links() {
            for hook in ["ingress", "egress"] {
                let shown = self.command("tc").args(["filter", "show", "dev", &link, hook]).output();
                let shown = shown.map(|shown| String::from_utf8_lossy(&shown.stdout).into_owned());
                found.extend(lines(&format!("filter {link} {hook}"), &shown.unwrap_or_default()));
            }
        }
        NetSnapshot { found }
    }

    /// The names of its links.
    ///
    /// # Panics
    /// When it cannot be looked at.
    #[must_use]
    #[track_caller]
    pub fn links(&self) -> Vec<String> {
        let name = |line: &str| {
            let name = line.split(": ").nth(1)?;
            Some(name.split('@').next().unwrap_or(name).to_owned())
        };
        self.run("ip -o link show").lines().filter_map(name).collect()
    }
}

impl Default for TestNetNs {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for TestNetNs {
    fn drop(&mut self) {
        // What is left goes with the host's boot, and the directory tells that it is there.
        mount::unmount(&self.path).ok();
    }
}

/// Links, addresses, routes, permanent neighbours, queueing disciplines and filters of a namespace, a line each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetSnapshot {
    found: BTreeSet<String>,
}

impl NetSnapshot {
    /// What has come (`+`) and gone (`-`) since.
    #[must_use]
    pub fn changes_since(&self, before: &Self) -> Vec<String> {
        let come = self.found.difference(&before.found).map(|line| format!("+ {line}"));
        let gone = before.found.difference(&self.found).map(|line| format!("- {line}"));
        come.chain(gone).collect()
    }
}

impl NetSnapshot {
    /// The same without the numbers of links, which a link that goes and comes again does not keep.
    #[must_use]
    pub fn without_numbers(&self) -> Self {
        let numbered = |line: &str| {
            let (what, rest) = line.split_once(": ")?;
            let (number, rest) = rest.split_once(": ")?;
            number.bytes().all(|byte| byte.is_ascii_digit()).then(|| format!("{what}: {rest}"))
        };
        let found = self.found.iter().map(|line| numbered(line).unwrap_or_else(|| line.clone()));
        Self { found: found.collect() }
    }
}

impl fmt::Display for NetSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.found.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// What a tool says, without what changes by itself.
fn lines(what: &str, text: &str) -> Vec<String> {
    // A link's state and an address's go through stages.
    const RESTLESS: [&str; 7] =
        ["UP", "DOWN", "UNKNOWN", "LOWERLAYERDOWN", "tentative", "NO-CARRIER", "linkdown"];
    let steady = |word: &&str| !RESTLESS.contains(word);
    let line = |line: &str| {
        let line = line.replace("NO-CARRIER,", "").replace(",LOWER_UP", "").replace(",M-DOWN", "");
        // A tap has the header that whoever opened it last has asked for.
        let line = line.replace(" vnet_hdr on", "").replace(" vnet_hdr off", "");
        let words: Vec<_> = line.split_whitespace().filter(steady).collect();
        let line = words.join(" ");
        // A bridge has timers, and its ports states.
        let line = [" bridge_slave ", " bridge forward_delay "]
            .iter()
            .fold(line.as_str(), |line, details| line.split_once(details).map_or(line, |(head, _)| head));
        format!("{what}: {line}")
    };
    // The kernel makes link-local ones when a link gets its carrier, some time later.
    text.lines().filter(|line| !line.contains("fe80:") && !line.contains("ff00::/8")).map(line).collect()
}

#[track_caller]
fn run(program: &str, words: &[&str]) -> String {
    match Command::new(program).args(words).output() {
        Ok(done) if done.status.success() => String::from_utf8_lossy(&done.stdout).into_owned(),
        Ok(done) => {
            panic!("{program} {}: {}", words.join(" "), String::from_utf8_lossy(&done.stderr).trim())
        }
        Err(error) => panic!("cannot run {program}: {error}; `apt-get install util-linux iproute2`"),
    }
}
