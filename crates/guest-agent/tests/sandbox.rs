//! What containers of one sandbox share, what happens around their lives, and what the host learns of them; outside of a
//! virtual machine, as in `host.rs`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at the first surprise"
)]

mod fixture;

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::Path,
    time::Duration,
};

use ttrpc::Code;
use virtcontainers_agent_protocol::api::{
    GuestServiceClient,
    agent::*,
    oci,
    virtcontainers::{ListProcessesRequest, ListProcessesResponse},
};

use fixture::{Fixture, code, connect, context, creation, process, specification};

const CONTAINER: &str = "sandboxed";

#[tokio::test]
async fn containers_of_a_sandbox_share_what_they_shall_and_are_watched() {
    let fixture = Fixture::start(CONTAINER).await;
    let log = fixture.directory.path().join("hooks.log");
    hooks_of_the_guest(&fixture, &log).await;
    namespaces(&fixture).await;
    shared_process_ids(&fixture).await;
    the_specification_holds(&fixture).await;
    listing(&fixture).await;
    a_dead_container_is_killed_again(&fixture).await;
    a_flood_blocks(&fixture).await;
    limits_and_statistics(&fixture).await;
    ephemeral_mounts(&fixture).await;
    names_are_resolved_as_the_sandbox_says(&fixture).await;
    refusals(&fixture).await;
    fixture.end().await;
}

fn with_namespaces(fixture: &Fixture, kinds: &[&str], args: &[&str]) -> oci::Spec {
    let mut spec = specification(&fixture.root(), args);
    let mut linux = oci::Linux::new();
    for kind in kinds {
        linux.Namespaces.push(oci::LinuxNamespace { Type: (*kind).into(), ..Default::default() });
    }
    spec.Linux = Some(linux).into();
    spec
}

async fn run(fixture: &Fixture, id: &str, spec: oci::Spec) -> (i32, String) {
    fixture.create(id, spec).await.unwrap();
    fixture.start_container(id).await;
    let output = fixture.output_in(id, "").await;
    let code = fixture.wait_in(id, "").await;
    fixture.remove(id).await.unwrap();
    (code, output)
}

fn script(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("#!/bin/busybox sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Those of the sandbox's directory and of the specification, in their order.
async fn hooks_of_the_guest(fixture: &Fixture, log: &Path) {
    let directory = fixture.directory.path().join("hooks");
    for kind in ["prestart", "poststart", "poststop"] {
        script(&directory.join(kind).join("10-first"), &format!("echo {kind} >> {}", log.display()));
    }
    fs::write(directory.join("poststop").join("20-no-program"), "").unwrap();
    let mut sandbox = CreateSandboxRequest { sandbox_id: "s".into(), ..Default::default() };
    sandbox.guest_hook_path = "/no/such".into();
    assert_eq!(
        code(fixture.client.create_sandbox(context(), &sandbox).await.map(drop)),
        Code::INVALID_ARGUMENT
    );
    sandbox.guest_hook_path = directory.to_str().unwrap().into();
    sandbox.hostname = "pod".into();
    sandbox.dns = vec!["nameserver 10.9.8.7".into(), "search example.org".into()];
    fixture.client.create_sandbox(context(), &sandbox).await.unwrap();
    assert_eq!(
        code(fixture.client.create_sandbox(context(), &sandbox).await.map(drop)),
        Code::ALREADY_EXISTS
    );

    let state = fixture.directory.path().join("state.json");
    let own = fixture.directory.path().join("own");
    script(&own, &format!("cat > {}; echo $WORD >> {}", state.display(), log.display()));
    let hook = oci::Hook {
        Path: own.to_str().unwrap().into(),
        Env: vec!["PATH=/bin".into(), "WORD=own".into()],
        ..Default::default()
    };
    script(&fixture.directory.path().join("cat"), "exec /bin/busybox cat");
    let mut spec = specification(&fixture.root(), &["true"]);
    spec.Annotations.insert("note".into(), "kept".into());
    spec.Hooks = Some(oci::Hooks { Poststart: vec![hook], ..Default::default() }).into();
    run(fixture, "hooked", spec).await;
    assert_eq!(fs::read_to_string(log).unwrap(), "prestart\nown\npoststart\npoststop\n");
    let state = fs::read_to_string(state).unwrap();
    assert!(state.contains("\"id\":\"hooked\"") && state.contains("\"note\":\"kept\""), "{state}");

    let fails = fixture.directory.path().join("fails");
    script(&fails, "exit 3");
    let hook = oci::Hook { Path: fails.to_str().unwrap().into(), ..Default::default() };
    let mut spec = specification(&fixture.root(), &["sleep", "1000"]);
    spec.Hooks = Some(oci::Hooks { Poststart: vec![hook], ..Default::default() }).into();
    fixture.create("unlucky", spec).await.unwrap();
    let start = StartContainerRequest { container_id: "unlucky".into(), ..Default::default() };
    assert_eq!(code(fixture.client.start_container(context(), &start).await.map(drop)), Code::INTERNAL);
    assert_eq!(fixture.wait_in("unlucky", "").await, 128 + 9, "such a container does not go on");
    fixture.remove("unlucky").await.unwrap();
}

/// IPC and UTS are the sandbox's, unless a container wants another hostname; mounts and process ids are its own.
async fn namespaces(fixture: &Fixture) {
    let kinds = ["ipc", "uts", "pid", "mount"];
    let links = "for kind in ipc uts pid mnt; do readlink /proc/self/ns/$kind; done";
    let spec = || with_namespaces(fixture, &kinds, &["sh", "-c", links]);
    let (_, first) = run(fixture, "first", spec()).await;
    let (_, second) = run(fixture, "second", spec()).await;
    let mut other = spec();
    other.Hostname = "other".into();
    let (_, other) = run(fixture, "other", other).await;
    let [first, second, other] = [&first, &second, &other].map(|text| text.lines().collect::<Vec<_>>());
    assert_eq!((first.len(), &first[..2]), (4, &second[..2]), "ipc and uts are shared");
    fixture.exec("pids", "", process(&["readlink", "/proc/self/ns/pid"])).await.unwrap();
    // The numbers of namespaces that have ended are used again, so the other one is one that lives.
    assert_ne!(first[2], fixture.output("pids").await.trim(), "process ids are not");
    assert_eq!(first[0], other[0]);
    assert_ne!(first[1], other[1], "another hostname is another namespace");
    let own = fs::read_link("/proc/self/ns/ipc").unwrap();
    assert_ne!(first[0], own.to_str().unwrap(), "the guest's own are not the containers'");
}

async fn create_sharing(fixture: &Fixture, id: &str, args: &[&str]) {
    let mut request = creation(id, with_namespaces(fixture, &["pid", "mount"], args));
    request.sandbox_pidns = true;
    fixture.client.create_container(context(), &request).await.unwrap();
    fixture.start_container(id).await;
}

/// Containers see each other's processes; the end of one ends none of the other's; orphans are collected.
async fn shared_process_ids(fixture: &Fixture) {
    create_sharing(fixture, "left", &["sleep", "1000"]).await;
    create_sharing(fixture, "right", &["sleep", "2000"]).await;
    let look = "cat /proc/[0-9]*/cmdline | tr '\\0' ' '";
    fixture.exec_in("right", "look", "", process(&["sh", "-c", look])).await.unwrap();
    let seen = fixture.output_in("right", "look").await;
    assert!(seen.contains("sleep 1000") && seen.contains("sleep 2000"), "{seen}");

    let orphan = "sh -c 'exit 5' & exec sleep 0.2";
    fixture.exec_in("right", "parent", "", process(&["sh", "-c", orphan])).await.unwrap();
    assert_eq!(fixture.wait_in("right", "parent").await, 0);
    // The first process of the namespace collects it: none is left dead.
    let zombies = "sleep 0.3; cat /proc/[0-9]*/stat | grep -c ') Z '";
    fixture.exec_in("right", "zombies", "", process(&["sh", "-c", zombies])).await.unwrap();
    assert_eq!(fixture.output_in("right", "zombies").await, "0\n");

    fixture.terminate("left").await.unwrap();
    assert_eq!(
        fixture.wait_in("left", "").await,
        128 + 15,
        "nothing is withheld from it: it is not the first one"
    );
    fixture.remove("left").await.unwrap();
    let alive = tokio::time::timeout(Duration::from_millis(300), fixture.wait_in("right", "")).await;
    assert!(alive.is_err(), "the other container goes on: {alive:?}");
    fixture.remove("right").await.unwrap();
}

/// What the specification says of files, limits of the kernel and calls to it is so inside.
async fn the_specification_holds(fixture: &Fixture) {
    let root = fixture.root();
    fs::create_dir_all(root.join("etc/hidden")).unwrap();
    fs::write(root.join("etc/hidden/file"), "x").unwrap();
    let script = "cat /proc/self/oom_score_adj; ls /etc/hidden; touch /etc/ro/new || echo read-only; \
        cat /proc/sys/kernel/msgmax; busybox stat -c '%F %t %T %a' /dev/nothing; ulimit -n; \
        busybox mkdir /tmp2 || echo denied; busybox head -c 3 /dev/given/x | busybox wc -c; \
        grep -E 'NoNewPrivs|CapEff' /proc/self/status";
    fs::create_dir_all(root.join("etc/ro")).unwrap();
    let mut spec = with_namespaces(fixture, &["ipc", "pid", "mount"], &["sh", "-c", script]);
    let process = spec.Process.mut_or_insert_default();
    process.OOMScoreAdj = 77;
    process.NoNewPrivileges = true;
    process.Capabilities = Some(oci::LinuxCapabilities::new()).into();
    process.Rlimits =
        vec![oci::POSIXRlimit { Type: "RLIMIT_NOFILE".into(), Hard: 99, Soft: 99, ..Default::default() }];
    let linux = spec.Linux.mut_or_insert_default();
    linux.MaskedPaths = vec!["/etc/hidden".into()];
    linux.ReadonlyPaths = vec!["/etc/ro".into()];
    linux.RootfsPropagation = "rprivate".into();
    linux.Sysctl.insert("kernel.msgmax".into(), "4242".into());
    linux.Devices = vec![oci::LinuxDevice {
        Path: "/dev/nothing".into(),
        Type: "c".into(),
        Major: 1,
        Minor: 3,
        FileMode: 0o640,
        ..Default::default()
    }];
    let mkdir = ["mkdir", "mkdirat"].map(str::to_owned).to_vec();
    let denied = oci::LinuxSyscall { Names: mkdir, Action: "SCMP_ACT_ERRNO".into(), ..Default::default() };
    linux.Seccomp = Some(oci::LinuxSeccomp {
        DefaultAction: "SCMP_ACT_ALLOW".into(),
        Syscalls: vec![denied],
        ..Default::default()
    })
    .into();
    let mut request = creation("strict", spec);
    // A device that the machine has had all along: the host says where it is to be, the guest which it is.
    request.devices = vec![Device {
        type_: "mmioblk".into(),
        vm_path: "/dev/zero".into(),
        container_path: "/dev/given/x".into(),
        ..Default::default()
    }];
    fixture.client.create_container(context(), &request).await.unwrap();
    fixture.start_container("strict").await;
    let output = fixture.output_in("strict", "").await;
    let lines: Vec<&str> = output.lines().collect();
    let expected = ["77", "read-only", "4242", "character special file 1 3 640", "99", "denied", "3"];
    assert_eq!(lines[..7], expected, "{output}");
    assert!(lines[7..].contains(&"CapEff:\t0000000000000000"), "{output}");
    assert!(lines[7..].contains(&"NoNewPrivs:\t1"), "{output}");
    fixture.remove("strict").await.unwrap();
}

async fn list(fixture: &Fixture, id: &str) -> ttrpc::Result<ListProcessesResponse> {
    let client = GuestServiceClient::new(fixture::dial(fixture.directory.path()).await);
    let request = ListProcessesRequest { container_id: id.into(), ..Default::default() };
    client.list_processes(context(), &request).await
}

async fn listing(fixture: &Fixture) {
    let mut parent = process(&["sh", "-c", "sleep 500; true"]);
    parent.Terminal = true;
    fixture.exec("tree", "ann", parent).await.unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    let processes = loop {
        let processes = list(fixture, CONTAINER).await.unwrap().processes;
        if processes.iter().any(|process| process.args.last().is_some_and(|arg| arg == "500")) {
            break processes;
        }
        assert!(tokio::time::Instant::now() < deadline, "{processes:?}");
    };
    let of =
        |word: &str| processes.iter().find(|process| process.args.iter().any(|arg| arg == word)).unwrap();
    let (first, shell, sleep) = (of("1000"), of("-c"), of("500"));
    assert_eq!((first.container_pid, first.uid, first.args.len()), (1, 0, 2));
    assert_eq!((shell.uid, shell.gid, sleep.ppid), (7, 8, shell.pid));
    assert_eq!(sleep.container_ppid, shell.container_pid);
    assert_eq!((first.tty.as_str(), sleep.tty.starts_with("pts/")), ("", true));
    assert!(shell.rss_bytes > 0 && shell.vsize_bytes >= shell.rss_bytes && shell.threads == 1);
    let age = now_ms() - sleep.start_time_ms;
    assert!(age < 60_000, "started {age} ms ago");
    let kill = SignalProcessRequest {
        container_id: CONTAINER.into(),
        exec_id: "tree".into(),
        signal: 9,
        ..Default::default()
    };
    fixture.client.signal_process(context(), &kill).await.unwrap();
    assert_eq!(code(list(fixture, "nobody").await.map(drop)), Code::NOT_FOUND);
}

fn now_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

async fn a_dead_container_is_killed_again(fixture: &Fixture) {
    fixture.create("dead", specification(&fixture.root(), &["true"])).await.unwrap();
    fixture.start_container("dead").await;
    assert_eq!(fixture.wait_in("dead", "").await, 0);
    let mut all = SignalProcessRequest { container_id: "dead".into(), signal: 9, ..Default::default() };
    fixture.client.signal_process(context(), &all).await.expect("killing the dead is no error");
    all.signal = 15;
    assert_eq!(code(fixture.client.signal_process(context(), &all).await.map(drop)), Code::NOT_FOUND);
    let update = UpdateContainerRequest {
        container_id: "dead".into(),
        resources: Some(oci::LinuxResources::new()).into(),
        ..Default::default()
    };
    assert_eq!(
        code(fixture.client.update_container(context(), &update).await.map(drop)),
        Code::FAILED_PRECONDITION
    );
    fixture.remove("dead").await.unwrap();
}

/// A container that prints 1 GiB which nobody reads waits, and the agent does not grow.
async fn a_flood_blocks(fixture: &Fixture) {
    let flood = ["sh", "-c", "yes | head -c 1073741824; exit 6"];
    fixture.create("flood", specification(&fixture.root(), &flood)).await.unwrap();
    let before = fixture.resident();
    fixture.start_container("flood").await;
    let ended = tokio::time::timeout(Duration::from_secs(3), fixture.wait_in("flood", "")).await;
    assert!(ended.is_err(), "a container that nobody reads must block: {ended:?}");
    assert!(fixture.resident() < before + 2048, "{before} KiB before, {} after", fixture.resident());
    fixture.remove("flood").await.unwrap();
}

/// The host of a test may have no controllers for cgroup v2: then a limit is refused, naming the file.
async fn limits_and_statistics(fixture: &Fixture) {
    let stats = StatsContainerRequest { container_id: CONTAINER.into(), ..Default::default() };
    let used = fixture.client.stats_container(context(), &stats).await.unwrap();
    let cpu = &used.cgroup_stats.cpu_stats.cpu_usage;
    assert!(cpu.total_usage > 0 && cpu.total_usage >= cpu.usage_in_usermode);
    let has_pids = used.cgroup_stats.pids_stats.is_some();
    let update = UpdateContainerRequest {
        container_id: CONTAINER.into(),
        resources: Some(oci::LinuxResources {
            Pids: Some(oci::LinuxPids { Limit: 50, ..Default::default() }).into(),
            ..Default::default()
        })
        .into(),
        ..Default::default()
    };
    match fixture.client.update_container(context(), &update).await {
        Ok(_) => {
            assert!(has_pids);
            let used = fixture.client.stats_container(context(), &stats).await.unwrap();
            assert_eq!(used.cgroup_stats.pids_stats.limit, 50);
        }
        Err(ttrpc::Error::RpcStatus(status)) => {
            assert!(!has_pids, "{status:?}");
            assert_eq!(status.code(), Code::FAILED_PRECONDITION);
            assert!(status.message().contains("/pids.max"), "{status:?}");
        }
        Err(other) => panic!("{other:?}"),
    }
    let nobody = StatsContainerRequest { container_id: "nobody".into(), ..Default::default() };
    assert_eq!(code(fixture.client.stats_container(context(), &nobody).await.map(drop)), Code::NOT_FOUND);
    let nothing = UpdateContainerRequest { container_id: CONTAINER.into(), ..Default::default() };
    assert_eq!(
        code(fixture.client.update_container(context(), &nothing).await.map(drop)),
        Code::INVALID_ARGUMENT
    );
    // Nothing happens, so this waits; and it ends with the connection.
    let host = connect(fixture.directory.path()).await;
    let (question, limit) = (GetOOMEventRequest::new(), Duration::from_millis(200));
    let event = tokio::time::timeout(limit, host.get_oom_event(context(), &question));
    assert!(event.await.is_err());
}

fn memory_storage(size: &str) -> Storage {
    Storage {
        driver: "ephemeral".into(),
        source: "tmpfs".into(),
        fstype: "tmpfs".into(),
        options: vec![format!("size={size}")],
        mount_point: "/run/kata-containers/sandbox/ephemeral/vc-test".into(),
        ..Default::default()
    }
}

async fn ephemeral_mounts(fixture: &Fixture) {
    let mut local = memory_storage("1m");
    (local.driver, local.source, local.options) = ("local".into(), String::new(), vec!["mode=0700".into()]);
    local.mount_point = "/run/kata-containers/sandbox/local/vc-test".into();
    local.fs_group = Some(FSGroup { group_id: 55, ..Default::default() }).into();
    let mut spec = specification(&fixture.root(), &["sleep", "1000"]);
    spec.Mounts.push(oci::Mount {
        type_: "bind".into(),
        source: memory_storage("").mount_point,
        destination: "/memory".into(),
        options: vec!["rbind".into()],
        ..Default::default()
    });
    let mut request = creation("storing", spec);
    request.storages = vec![memory_storage("1m"), local.clone()];
    fixture.client.create_container(context(), &request).await.unwrap();
    fixture.start_container("storing").await;
    let metadata = fs::metadata(&local.mount_point).unwrap();
    assert_eq!((metadata.gid(), metadata.mode() & 0o7777), (55, 0o2770));
    let size = || async {
        let exec = format!("size{}", now_ms());
        let df = ["sh", "-c", "busybox df -k /memory | busybox awk 'END{print $2}'"];
        fixture.exec_in("storing", &exec, "", process(&df)).await.unwrap();
        fixture.output_in("storing", &exec).await
    };
    assert_eq!(size().await, "1024\n");
    let update = |storages| UpdateEphemeralMountsRequest { storages, ..Default::default() };
    fixture.client.update_ephemeral_mounts(context(), &update(vec![memory_storage("3m")])).await.unwrap();
    assert_eq!(size().await, "3072\n");
    let broken = update(vec![memory_storage("4m"), memory_storage("much")]);
    assert!(fixture.client.update_ephemeral_mounts(context(), &broken).await.is_err());
    assert_eq!(size().await, "3072\n", "all or nothing");
    let unknown =
        update(vec![Storage { mount_point: "/run/kata-containers/x".into(), ..memory_storage("1m") }]);
    assert_eq!(
        code(fixture.client.update_ephemeral_mounts(context(), &unknown).await.map(drop)),
        Code::NOT_FOUND
    );
    fixture.remove("storing").await.unwrap();
    assert!(!Path::new(&local.mount_point).exists(), "a local storage goes with its last user");
}

/// A container gets a resolv.conf of its own, unless its specification mounts one or its root cannot take it.
async fn names_are_resolved_as_the_sandbox_says(fixture: &Fixture) {
    let file = fixture.root().join("etc/resolv.conf");
    let reads = |readonly| {
        let mut spec = specification(&fixture.root(), &["cat", "/etc/resolv.conf"]);
        spec.Root.mut_or_insert_default().Readonly = readonly;
        spec
    };
    let told = "nameserver 10.9.8.7\nsearch example.org\n";
    fs::remove_file(&file).ok();
    let (code, output) = run(fixture, "names", reads(true)).await;
    assert_eq!((code, output.as_str()), (1, ""), "such a root cannot take it");
    symlink("../run/absent", &file).unwrap();
    assert_eq!(run(fixture, "names", reads(false)).await.0, 1, "neither can this one");
    fs::remove_file(&file).unwrap();
    assert_eq!(run(fixture, "names", reads(false)).await, (0, told.to_owned()));

    let mut writes = reads(false);
    writes.Process.mut_or_insert_default().Args =
        ["sh", "-c", "echo '# mine' >> /etc/resolv.conf"].map(str::to_owned).into();
    assert_eq!(run(fixture, "names", writes).await.0, 0);
    fs::write(&file, "nameserver 192.0.2.1\n").unwrap();
    assert_eq!(run(fixture, "names", reads(true)).await, (0, told.to_owned()), "others do not see it");

    let mut own = reads(false);
    let (type_, destination) = ("bind".into(), "/etc/resolv.conf".into());
    let source = file.to_str().unwrap().into();
    let options = vec!["bind".into()];
    own.Mounts.push(oci::Mount { type_, source, destination, options, ..Default::default() });
    assert_eq!(run(fixture, "names", own).await, (0, "nameserver 192.0.2.1\n".to_owned()));
}

async fn refusals(fixture: &Fixture) {
    let create = |change: fn(&mut CreateContainerRequest)| async move {
        let mut request = creation("refused", specification(&fixture.root(), &["true"]));
        change(&mut request);
        code(fixture.client.create_container(context(), &request).await.map(drop))
    };
    fn linux(request: &mut CreateContainerRequest) -> &mut oci::Linux {
        request.OCI.mut_or_insert_default().Linux.mut_or_insert_default()
    }
    assert_eq!(
        create(|request| linux(request).IntelRdt.mut_or_insert_default().L3CacheSchema = "L3:0=1".into())
            .await,
        Code::UNIMPLEMENTED
    );
    assert_eq!(
        create(|request| request.devices = vec![Device { type_: "vfio".into(), ..Default::default() }]).await,
        Code::UNIMPLEMENTED
    );
    assert_eq!(
        create(|request| {
            let (vm_path, container_path) = ("/dev/../etc".into(), "/dev/x".into());
            request.devices =
                vec![Device { type_: "mmioblk".into(), vm_path, container_path, ..Default::default() }];
        })
        .await,
        Code::INVALID_ARGUMENT
    );
    assert_eq!(
        create(|request| {
            let (vm_path, container_path) = ("/dev/no-such-device".into(), "/dev/x".into());
            request.devices =
                vec![Device { type_: "nvdimm".into(), vm_path, container_path, ..Default::default() }];
        })
        .await,
        Code::NOT_FOUND
    );
    assert_eq!(
        create(|request| {
            let memory = oci::LinuxMemory { Limit: -5, ..Default::default() };
            linux(request).Resources.mut_or_insert_default().Memory = Some(memory).into();
        })
        .await,
        Code::INVALID_ARGUMENT
    );
    assert_eq!(
        create(|request| linux(request).RootfsPropagation = "far".into()).await,
        Code::INVALID_ARGUMENT
    );
    assert_eq!(
        create(|request| {
            let mount = oci::Mount { destination: "/x".into(), ..Default::default() };
            request.OCI.mut_or_insert_default().Mounts = vec![mount; 5000];
        })
        .await,
        Code::RESOURCE_EXHAUSTED
    );
    let (_, output) =
        run(fixture, "refused", specification(&fixture.root(), &["sh", "-c", "echo still usable"])).await;
    assert_eq!(output, "still usable\n");
}
