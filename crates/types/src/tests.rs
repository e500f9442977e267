use super::*;

#[test]
fn ids_refuse_what_could_walk_a_path() {
    for bad in ["", ".", "..", "a.b", "a/b", "/a", "-a", "_a", "a b", "a\0", "ä", &"a".repeat(300)] {
        assert!(SandboxId::new(bad).is_err(), "{bad:?} was taken");
        assert!(serde_json_like(bad).is_err(), "{bad:?} was taken from a record");
    }
    for good in ["a", "0", "A-b_c", &"a".repeat(MAX_ID_LEN)] {
        assert_eq!(ContainerId::new(good).unwrap().as_str(), good);
    }
}

fn serde_json_like(text: &str) -> Result<SandboxId, InvalidId> {
    SandboxId::try_from(text.to_owned())
}

#[test]
fn sizes_are_read_with_their_unit() {
    let read = |text| MiB::parse(text).map(|mib| mib.0).ok();
    assert_eq!(read("512"), Some(512));
    assert_eq!(read("512M"), Some(512));
    assert_eq!(read("512MiB"), Some(512));
    assert_eq!(read("2g"), Some(2048));
    assert_eq!(read("2GB"), Some(2048));
    assert_eq!(read("1025k"), Some(2));
    for bad in ["", "M", "-1", "1.5G", "2x", "99999999999999999999", "4194305G"] {
        assert_eq!(read(bad), None, "{bad:?}");
    }
}

#[test]
fn choices_go_through_their_names() {
    for &machine in MachineType::ALL {
        assert_eq!(machine.as_str().parse::<MachineType>(), Ok(machine));
    }
    let error = "q36".parse::<MachineType>().unwrap_err().to_string();
    assert!(error.contains("q36") && error.contains("microvm"), "{error}");
}

#[test]
fn kernel_parameters_keep_their_form() {
    let params = KernelParam::parse_all("  quiet console=ttyS0,115200  a=b=c ");
    let shown: Vec<_> = params.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["quiet", "console=ttyS0,115200", "a=b=c"]);
}

#[test]
fn zero_vcpus_are_refused() {
    assert_eq!(VcpuCount::new(0), Err(InvalidUnit::NoVcpu));
    assert_eq!(VcpuCount::new(4).map(VcpuCount::get), Ok(4));
}

#[test]
fn statistics_have_the_names_of_the_reference_document() {
    use stats::*;
    let entry = BlkioStatEntry { major: 8, minor: 1, op: "Read".into(), value: 9 };
    let stats = ContainerStats {
        cgroup_stats: CgroupStats {
            cpu_stats: CpuStats {
                cpu_usage: CpuUsage { total_usage: 1, usage_in_kernelmode: 2, ..CpuUsage::default() },
                throttling_data: ThrottlingData { throttled_periods: 3, ..ThrottlingData::default() },
            },
            pids_stats: PidsStats { current: 4, limit: 5 },
            blkio_stats: BlkioStats { io_queued_recursive: vec![entry], ..BlkioStats::default() },
            hugetlb_stats: [("2MB".to_owned(), HugetlbStats { failcnt: 6, ..HugetlbStats::default() })]
                .into(),
            ..CgroupStats::default()
        },
        network_stats: vec![NetworkStats { name: "eth0".into(), rx_bytes: 7, ..NetworkStats::default() }],
    };
    let json = serde_json::to_value(&stats).unwrap();
    for (path, value) in [
        ("/cgroup_stats/cpu_stats/cpu_usage/total_usage", 1),
        ("/cgroup_stats/cpu_stats/cpu_usage/usage_in_kernelmode", 2),
        ("/cgroup_stats/cpu_stats/throttling_data/throttled_periods", 3),
        ("/cgroup_stats/memory_stats/usage/failcnt", 0),
        ("/cgroup_stats/memory_stats/kernel_tcp_usage/limit", 0),
        ("/cgroup_stats/pids_stats/limit", 5),
        ("/cgroup_stats/blkio_stats/io_queue_recursive/0/value", 9),
        ("/cgroup_stats/hugetlb_stats/2MB/failcnt", 6),
        ("/network_stats/0/rx_bytes", 7),
    ] {
        assert_eq!(json.pointer(path).and_then(serde_json::Value::as_u64), Some(value), "{path}");
    }
    assert_eq!(serde_json::from_value::<ContainerStats>(json).unwrap(), stats);
    // What an older writer has left out is 0.
    assert_eq!(serde_json::from_str::<ContainerStats>("{}").unwrap(), ContainerStats::default());
}
