//! Processes executed in a running container, by the agent's binary outside of a virtual machine: they are what the request
//! says and no more than the container may be, and nothing of them stays. Needs what `host.rs` needs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at the first surprise"
)]

mod fixture;

use std::{fs, os::unix::fs::PermissionsExt as _};

use virtcontainers_agent_protocol::api::oci;

use fixture::{Fixture, code, process, specification};

fn shell(script: &str) -> oci::Process {
    process(&["sh", "-c", script])
}

/// Why a request was refused, in words.
fn reason(result: ttrpc::Result<()>) -> String {
    match result {
        Err(ttrpc::Error::RpcStatus(status)) => status.message().to_owned(),
        other => panic!("expected a status, got {other:?}"),
    }
}

#[tokio::test]
async fn a_process_is_what_the_request_says() {
    let fixture = Fixture::start("enter").await;
    places_and_users(&fixture).await;
    rights(&fixture).await;
    terminals(&fixture).await;
    refusals(&fixture).await;
    fixture.end().await;
}

async fn run(fixture: &Fixture, id: &str, process: oci::Process) -> String {
    fixture.exec(id, "", process).await.unwrap();
    let output = fixture.output(id).await;
    assert_eq!(fixture.wait(id).await, 0, "{output}");
    output
}

async fn places_and_users(fixture: &Fixture) {
    // The same namespaces and cgroup as the first process, which is not the agent's.
    let namespaces =
        "for n in mnt pid uts ipc cgroup; do readlink /proc/$P/ns/$n; done; grep ^0:: /proc/$P/cgroup";
    let own = run(fixture, "own", shell(&format!("P=self; {namespaces}"))).await;
    let first = run(fixture, "first", shell(&format!("P=1; {namespaces}"))).await;
    assert_eq!(own, first);
    // The root of its cgroup namespace is the cgroup of the container.
    assert!(own.ends_with("0::/\n"), "{own}");
    let mut placed = shell("pwd; id -u; id -g; id -G; umask; echo $A$PATH");
    placed.Cwd = "/etc".into();
    placed.Env = vec!["PATH=/bin".into(), "A=b:".into()];
    placed.User =
        Some(oci::User { UID: 7, GID: 8, AdditionalGids: vec![9, 11], ..Default::default() }).into();
    assert_eq!(run(fixture, "placed", placed).await, "/etc\n7\n8\n8 9 11\n0022\nb:/bin\n");
    // A user opens the streams by their names, and a broken pipe ends a program.
    let mut user = shell("echo named > /proc/self/fd/1; grep SigIgn /proc/self/status | cut -f 2");
    user.User = Some(oci::User { UID: 7, GID: 8, ..Default::default() }).into();
    let said = run(fixture, "user", user).await;
    assert!(!ignores_broken_pipes(said.strip_prefix("named\n").unwrap()), "{said}");
    let script = ["sh", "-c", "grep SigIgn /proc/self/status | cut -f 2"];
    fixture.create("first", specification(&fixture.root(), &script)).await.unwrap();
    fixture.start_container("first").await;
    assert!(!ignores_broken_pipes(&fixture.output_in("first", "first").await), "nor to a first process");
    fixture.remove("first").await.unwrap();
    let descriptors = run(fixture, "fds", process(&["ls", "/proc/self/fd"])).await;
    assert_eq!(descriptors, "0\n1\n2\n3\n", "the streams, and the directory that is being listed");
}

/// Whether a broken pipe does nothing to a process with that mask of ignored signals.
fn ignores_broken_pipes(mask: &str) -> bool {
    u64::from_str_radix(mask.trim(), 16).unwrap() & (1 << 12) != 0
}

async fn rights(fixture: &Fixture) {
    let mut limited =
        shell("ulimit -n; grep -E 'Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs' /proc/self/status | tr -d '\\n\\t '");
    limited.Rlimits =
        vec![oci::POSIXRlimit { Type: "RLIMIT_NOFILE".into(), Hard: 99, Soft: 88, ..Default::default() }];
    let kill = vec!["CAP_KILL".to_owned()];
    let capabilities = oci::LinuxCapabilities {
        Bounding: kill.clone(),
        Effective: kill.clone(),
        Permitted: kill,
        ..Default::default()
    };
    limited.Capabilities = Some(capabilities).into();
    limited.NoNewPrivileges = true;
    let said = run(fixture, "limited", limited).await;
    let (none, kill) = ("0000000000000000", "0000000000000020");
    assert_eq!(
        said,
        format!("88\nCapInh:{none}CapPrm:{kill}CapEff:{kill}CapBnd:{kill}CapAmb:{none}NoNewPrivs:1")
    );
}

async fn terminals(fixture: &Fixture) {
    let mut terminal = shell("stty size; tty; echo x > /dev/tty");
    terminal.Terminal = true;
    terminal.ConsoleSize = Some(oci::Box { Height: 33, Width: 77, ..Default::default() }).into();
    let said = run(fixture, "terminal", terminal).await;
    // The size is there before the program is.
    assert_eq!(said, "33 77\r\n/dev/pts/0\r\nx\r\n");
}

async fn refusals(fixture: &Fixture) {
    let mut lost = process(&["true"]);
    lost.Cwd = "/no/such".into();
    let result = fixture.exec("lost", "", lost).await;
    assert!(reason(result).contains("working directory `/no/such`"));
    let mut lost = specification(&fixture.root(), &["true"]);
    lost.Process.as_mut().unwrap().Cwd = "/no/such".into();
    let result = fixture.create("lost", lost).await;
    assert!(reason(result).contains("working directory `/no/such`"), "of a first process, too");
    let file = fixture.root().join("bin/plain");
    fs::write(&file, "text").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(code(fixture.exec("no", "", process(&["none"])).await), ttrpc::Code::NOT_FOUND);
    assert_eq!(code(fixture.exec("plain", "", process(&["plain"])).await), ttrpc::Code::PERMISSION_DENIED);
    // What is there but lacks its interpreter is not absent.
    let script = fixture.root().join("bin/script");
    fs::write(&script, "#!/no/interpreter\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(code(fixture.exec("no", "", process(&["script"])).await), ttrpc::Code::INTERNAL);
    // Their names are free again.
    assert_eq!(run(fixture, "lost", process(&["true"])).await, "");
}

#[tokio::test]
async fn the_containers_filter_holds_for_all_its_processes() {
    let fixture = Fixture::start("unfiltered").await;
    let mut spec = specification(&fixture.root(), &["sleep", "1000"]);
    let denied = oci::LinuxSyscall {
        Names: vec!["chmod".into(), "fchmodat".into()],
        Action: "SCMP_ACT_ERRNO".into(),
        ..Default::default()
    };
    let filter = oci::LinuxSeccomp {
        DefaultAction: "SCMP_ACT_ALLOW".into(),
        Architectures: vec!["SCMP_ARCH_X86_64".into()],
        Syscalls: vec![denied],
        ..Default::default()
    };
    spec.Linux = Some(oci::Linux { Seccomp: Some(filter).into(), ..Default::default() }).into();
    fixture.create("filtered", spec).await.unwrap();
    fixture.start_container("filtered").await;
    for (id, no_new_privileges) in [("late", true), ("early", false)] {
        let mut script = shell("touch /etc/f; /bin/busybox chmod 600 /etc/f");
        script.NoNewPrivileges = no_new_privileges;
        fixture.exec_in("filtered", id, "", script.clone()).await.unwrap();
        assert_ne!(fixture.wait_in("filtered", id).await, 0, "the filter denies it");
        fixture.exec_in("unfiltered", id, "", script).await.unwrap();
        assert_eq!(fixture.wait_in("unfiltered", id).await, 0);
    }
    fixture.remove("filtered").await.unwrap();
    fixture.end().await;
}

#[tokio::test]
async fn many_at_once_and_in_a_row_leave_nothing() {
    let fixture = Fixture::start("many").await;
    let one = |index: usize| {
        let fixture = &fixture;
        async move {
            let id = format!("one-{index}");
            fixture.exec(&id, "", shell(&format!("echo {index}; exit {}", index % 100))).await.unwrap();
            (fixture.wait(&id).await, fixture.output(&id).await)
        }
    };
    let results = futures::future::join_all((0..200).map(one)).await;
    for (index, (code, output)) in results.into_iter().enumerate() {
        assert_eq!((code, output), (i32::try_from(index % 100).unwrap(), format!("{index}\n")));
    }
    for index in 0..300 {
        one(index).await;
    }
    let before = (fixture.resident(), fixture.descriptors());
    for index in 0..700 {
        one(index).await;
    }
    let after = (fixture.resident(), fixture.descriptors());
    assert!(after.0 < before.0 + 512, "KiB resident: {} before, {} after", before.0, after.0);
    assert_eq!(after.1, before.1, "descriptors");
    assert_eq!(fixture.zombies(), 0);
    fixture.end().await;
}
