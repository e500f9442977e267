//! Writes the seeds of each target to `corpus/`: `cargo run --bin seeds`, after the protocol has changed.

use std::{fs, io, path::Path};

use protobuf::{Message, MessageField};
use virtcontainers_agent_protocol::api::{agent::*, csi, health, oci, virtcontainers as own};

fn main() -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    requests(&corpus.join("agent_requests"))?;
    replies(&corpus.join("agent_replies"))?;
    frames(&corpus.join("mux"))?;
    handshakes(&corpus.join("handshake"))?;
    records(&corpus.join("records"))?;
    configs(&corpus.join("config"))?;
    monitors(&corpus.join("qmp"))
}

/// A seed of a target whose first byte chooses the message.
fn chosen(directory: &Path, choice: u8, name: &str, message: &impl Message) -> io::Result<()> {
    let mut bytes = vec![choice];
    bytes.extend(message.write_to_bytes()?);
    plain(directory, name, &bytes)
}

fn plain(directory: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    fs::write(directory.join(name), bytes)
}

fn strings<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).into()
}

fn process() -> oci::Process {
    oci::Process {
        Args: strings(["sh", "-c", "true"]),
        Env: strings(["PATH=/bin", "HOME=/root"]),
        Cwd: "/".into(),
        Terminal: true,
        ConsoleSize: MessageField::some(oci::Box { Height: 24, Width: 80, ..Default::default() }),
        User: MessageField::some(oci::User { UID: 7, AdditionalGids: vec![8, 9], ..Default::default() }),
        Capabilities: MessageField::some(oci::LinuxCapabilities {
            Bounding: strings(["CAP_KILL", "CAP_CHOWN"]),
            ..Default::default()
        }),
        Rlimits: vec![oci::POSIXRlimit {
            Type: "RLIMIT_NOFILE".into(),
            Hard: 10,
            Soft: 5,
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn resources() -> oci::LinuxResources {
    oci::LinuxResources {
        Memory: MessageField::some(oci::LinuxMemory { Limit: 1 << 28, Swap: 1 << 29, ..Default::default() }),
        CPU: MessageField::some(oci::LinuxCPU {
            Shares: 512,
            Quota: 50_000,
            Period: 100_000,
            Cpus: "0-1".into(),
            ..Default::default()
        }),
        Pids: MessageField::some(oci::LinuxPids { Limit: 100, ..Default::default() }),
        HugepageLimits: vec![oci::LinuxHugepageLimit {
            Pagesize: "2MB".into(),
            Limit: 4,
            ..Default::default()
        }],
        BlockIO: MessageField::some(oci::LinuxBlockIO { Weight: 100, ..Default::default() }),
        ..Default::default()
    }
}

fn spec() -> oci::Spec {
    let namespaces = ["pid", "mount", "uts", "ipc", "network"];
    let namespaces =
        namespaces.map(|kind| oci::LinuxNamespace { Type: kind.into(), ..Default::default() }).into();
    let hook =
        oci::Hook { Path: "/bin/true".into(), Args: strings(["true"]), Timeout: 5, ..Default::default() };
    oci::Spec {
        Version: "1.0.2".into(),
        Process: MessageField::some(process()),
        Root: MessageField::some(oci::Root { Path: "/".into(), Readonly: true, ..Default::default() }),
        Hostname: "fuzz".into(),
        Mounts: vec![oci::Mount {
            destination: "/proc".into(),
            source: "proc".into(),
            type_: "proc".into(),
            options: strings(["nosuid", "noexec"]),
            ..Default::default()
        }],
        Hooks: MessageField::some(oci::Hooks { CreateRuntime: vec![hook], ..Default::default() }),
        Annotations: [("key".to_owned(), "value".to_owned())].into(),
        Linux: MessageField::some(oci::Linux {
            Namespaces: namespaces,
            Resources: MessageField::some(resources()),
            Sysctl: [("net.ipv4.ip_forward".to_owned(), "1".to_owned())].into(),
            Devices: vec![oci::LinuxDevice {
                Path: "/dev/null".into(),
                Type: "c".into(),
                Major: 1,
                Minor: 3,
                FileMode: 0o666,
                ..Default::default()
            }],
            Seccomp: MessageField::some(oci::LinuxSeccomp {
                DefaultAction: "SCMP_ACT_ERRNO".into(),
                Architectures: strings(["SCMP_ARCH_X86_64"]),
                Syscalls: vec![oci::LinuxSyscall {
                    Names: strings(["read", "write"]),
                    Action: "SCMP_ACT_ALLOW".into(),
                    ..Default::default()
                }],
                ..Default::default()
            }),
            MaskedPaths: strings(["/proc/kcore"]),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn requests(to: &Path) -> io::Result<()> {
    let storage = Storage {
        driver: "virtio-fs".into(),
        source: "kataShared".into(),
        fstype: "virtiofs".into(),
        options: strings(["ro", "nosuid,nodev"]),
        mount_point: "/run/kata-containers/shared".into(),
        ..Default::default()
    };
    let create = CreateContainerRequest {
        container_id: "c1".into(),
        exec_id: "c1".into(),
        OCI: MessageField::some(spec()),
        storages: vec![storage.clone()],
        ..Default::default()
    };
    chosen(to, 0, "create_container", &create)?;
    let exec = ExecProcessRequest {
        container_id: "c1".into(),
        exec_id: "e1".into(),
        process: MessageField::some(process()),
        ..Default::default()
    };
    chosen(to, 1, "exec_process", &exec)?;
    let update = UpdateContainerRequest {
        container_id: "c1".into(),
        resources: MessageField::some(resources()),
        ..Default::default()
    };
    chosen(to, 2, "update_container", &update)?;
    let mut copy = CopyFileRequest {
        path: "/run/kata-containers/shared/a/file".into(),
        file_size: 9,
        file_mode: 0o100_644,
        dir_mode: 0o755,
        uid: -1,
        offset: 4,
        data: b"piece".to_vec(),
        ..Default::default()
    };
    chosen(to, 3, "copy_file", &copy)?;
    (copy.file_mode, copy.offset, copy.data) = (0o120_777, 0, b"../target".to_vec());
    chosen(to, 3, "copy_link", &copy)?;
    copy.file_mode = 0o040_755;
    chosen(to, 3, "copy_directory", &copy)?;
    let sandbox = CreateSandboxRequest {
        hostname: "h".into(),
        sandbox_id: "s1".into(),
        dns: strings(["nameserver 1.1.1.1"]),
        storages: vec![storage],
        kernel_modules: vec![KernelModule {
            name: "fuse".into(),
            parameters: strings(["a=b"]),
            ..Default::default()
        }],
        ..Default::default()
    };
    chosen(to, 9, "create_sandbox", &sandbox)
}

fn replies(to: &Path) -> io::Result<()> {
    let memory = MemoryData { usage: 5, max_usage: 6, limit: u64::MAX, ..Default::default() };
    let entry = BlkioStatsEntry { major: 8, op: "Read".into(), value: 4096, ..Default::default() };
    let cgroup = CgroupStats {
        cpu_stats: MessageField::some(CpuStats {
            cpu_usage: MessageField::some(CpuUsage {
                total_usage: 9,
                percpu_usage: vec![4, 5],
                ..Default::default()
            }),
            ..Default::default()
        }),
        memory_stats: MessageField::some(MemoryStats {
            usage: MessageField::some(memory),
            stats: [("anon".to_owned(), 1)].into(),
            ..Default::default()
        }),
        pids_stats: MessageField::some(PidsStats { current: 2, limit: 10, ..Default::default() }),
        blkio_stats: MessageField::some(BlkioStats {
            io_service_bytes_recursive: vec![entry],
            ..Default::default()
        }),
        hugetlb_stats: [("2MB".to_owned(), HugetlbStats::default())].into(),
        ..Default::default()
    };
    let network = NetworkStats { name: "eth0".into(), rx_bytes: 7, tx_errors: 1, ..Default::default() };
    let stats = StatsContainerResponse {
        cgroup_stats: MessageField::some(cgroup),
        network_stats: vec![network],
        ..Default::default()
    };
    chosen(to, 0, "stats", &stats)?;
    let process =
        own::Process { pid: 7, comm: "sh".into(), args: strings(["sh", "-c"]), ..Default::default() };
    chosen(
        to,
        1,
        "processes",
        &own::ListProcessesResponse { processes: vec![process], ..Default::default() },
    )?;
    chosen(to, 2, "read", &ReadStreamResponse { data: b"output".to_vec(), ..Default::default() })?;
    chosen(to, 3, "write", &WriteStreamResponse { len: 5, ..Default::default() })?;
    chosen(to, 4, "wait", &WaitProcessResponse { status: 137, ..Default::default() })?;
    chosen(to, 5, "oom", &OOMEvent { container_id: "c1".into(), ..Default::default() })?;
    chosen(to, 6, "metrics", &Metrics { metrics: "# TYPE a gauge\na 1\n".into(), ..Default::default() })?;
    chosen(to, 7, "diagnostic", &GetDiagnosticDataResponse { data: "why".into(), ..Default::default() })?;
    let usage = csi::VolumeUsage { total: 9, used: 4, available: 5, ..Default::default() };
    let usage = vec![
        csi::VolumeUsage { unit: csi::volume_usage::Unit::BYTES.into(), ..usage.clone() },
        csi::VolumeUsage { unit: csi::volume_usage::Unit::INODES.into(), ..usage },
    ];
    chosen(to, 8, "volume", &csi::VolumeStatsResponse { usage, ..Default::default() })?;
    let details = AgentDetails {
        version: "0.1.0".into(),
        storage_handlers: strings(["9p", "virtio-fs"]),
        ..Default::default()
    };
    let details = GuestDetailsResponse {
        mem_block_size_bytes: 1 << 27,
        agent_details: MessageField::some(details),
        ..Default::default()
    };
    chosen(to, 9, "details", &details)?;
    let mut health = health::HealthCheckResponse::new();
    health.status = health::health_check_response::ServingStatus::SERVING.into();
    chosen(to, 10, "health", &health)?;
    plain(to, "text", "\u{b}an error \u{1b}[31mof\u{202e} the guest\n\t\u{fffd}".as_bytes())
}

/// yamux's header: version 0, type, flags, stream, length; type 0 is data, 1 a window, 2 a ping, 3 the end.
fn frame(kind: u8, flags: u16, stream: u32, length: u32, data: &[u8]) -> Vec<u8> {
    let mut frame = vec![0, kind];
    frame.extend(flags.to_be_bytes());
    frame.extend(stream.to_be_bytes());
    frame.extend(length.to_be_bytes());
    frame.extend(data);
    frame
}

fn frames(to: &Path) -> io::Result<()> {
    const SYN: u16 = 1;
    const ACK: u16 = 2;
    const FIN: u16 = 4;
    const RST: u16 = 8;
    let session = |side: u8, frames: &[Vec<u8>]| {
        let mut bytes = vec![side];
        frames.iter().for_each(|frame| bytes.extend(frame));
        bytes
    };
    let opened = [frame(1, SYN, 1, 0, b""), frame(0, 0, 1, 5, b"hello"), frame(0, FIN, 1, 0, b"")];
    plain(to, "server_stream", &session(0, &opened))?;
    let many = [1, 3, 5].map(|stream| frame(0, SYN, stream, 2, b"hi"));
    plain(to, "server_streams", &session(0, &many))?;
    let other = [
        frame(2, SYN, 0, 7, b""),
        frame(0, SYN, 1, 0, b""),
        frame(1, 0, 1, u32::MAX, b""),
        frame(0, RST, 1, 0, b""),
    ];
    plain(to, "server_ping_window_reset", &session(0, &other))?;
    plain(to, "server_end", &session(0, &[frame(3, 0, 0, 0, b"")]))?;
    let answered = [frame(1, ACK, 1, 0, b""), frame(0, 0, 1, 5, b"world"), frame(0, FIN, 1, 0, b"")];
    plain(to, "client_stream", &session(1, &answered))?;
    plain(to, "client_is_opened_to", &session(1, &[frame(0, SYN, 2, 1, b"x"), frame(3, 0, 0, 1, b"")]))
}

fn handshakes(to: &Path) -> io::Result<()> {
    for (name, answer) in [
        ("ok", "OK 1073741824\nand what follows"),
        ("closed", ""),
        ("other", "ERR no such port\n"),
        ("endless", "OK 00000000000000000000000000000000000000000000"),
        ("empty", "OK \n"),
    ] {
        plain(to, name, answer.as_bytes())?;
    }
    Ok(())
}

fn records(to: &Path) -> io::Result<()> {
    plain(to, "plain", br#"{"schema":1,"kind":"sandbox","body":{"a":[1]}}"#)?;
    let line = "\n{\"schema\":1,\"kind\":\"sandbox\",\"sum\":\"00000000\",\"body\":7}\n";
    plain(to, "wrong-sum", line.as_bytes())?;
    plain(to, "newer", br#"{"schema":2,"kind":"sandbox","payload":[7]}"#)?;
    plain(to, "torn", format!("{}{}", line, &line[..30]).as_bytes())
}

fn configs(to: &Path) -> io::Result<()> {
    let text = |config: &virtcontainers::SandboxConfig| serde_json::to_vec(config).map_err(io::Error::from);
    let mut config = virtcontainers::SandboxConfig { id: "web".into(), ..Default::default() };
    config.annotations.insert("io.example/key".into(), "value".into());
    plain(to, "small", &text(&config)?)?;
    config.containers = vec![virtcontainers::ContainerConfig::new("c", "/", ["/bin/sh"])];
    config.dns = vec!["10.0.0.1".into()];
    plain(to, "container", &text(&config)?)
}

fn monitors(to: &Path) -> io::Result<()> {
    let greeting =
        r#"{"QMP":{"version":{"qemu":{"micro":0,"minor":2,"major":7},"package":""},"capabilities":["oob"]}}"#;
    let answers = r#"{"return":{},"id":1}
{"timestamp":{"seconds":1,"microseconds":2},"event":"STOP"}
{"timestamp":{"seconds":1,"microseconds":2},"event":"VSERPORT_CHANGE","data":{"id":"agent","open":true}}
{"timestamp":{"seconds":1,"microseconds":2},"event":"SHUTDOWN","data":{"guest":true,"reason":"guest-reset"}}
{"return":{"status":"running","singlestep":false,"running":true},"id":2}
"#;
    plain(to, "greeting", format!("{greeting}\n").as_bytes())?;
    plain(to, "conversation", format!("{greeting}\n{answers}").as_bytes())?;
    plain(
        to,
        "refusal",
        format!("{greeting}\n{{\"error\":{{\"class\":\"GenericError\",\"desc\":\"no\"}},\"id\":1}}\n")
            .as_bytes(),
    )
}
