use std::{fs, path::Path};

use crate::metrics::{collect, count};

#[test]
fn kernel_files_become_kata_agents_metrics() {
    let proc = tempfile::tempdir().unwrap();
    let file = |path: &str, text: &str| {
        let path = proc.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    file("self/stat", "1 (a) b) S 0 1 1 0 -1 4194560 11 22 33 44 150 50 7 8 20 0 3 0 5 8192000 600 1 1\n");
    file("self/status", "Name:\tvc-agent\nVmRSS:\t 4 kB\nvoluntary_ctxt_switches:\t9\nPid:\t1\n");
    file("loadavg", "0.50 0.25 0.10 1/80 100\n");
    file("stat", "cpu  100 0 30 4 5 6 7 8 9 10\ncpu0 100 0 30 4 5 6 7 8 9 10\nintr 1\ncpu1 9\n");
    file("meminfo", "MemTotal:        1024 kB\nActive(anon):       2 kB\nHugePages_Total:       3\n");
    file("vmstat", "nr_free_pages 12\nbad\n");
    file("net/dev", "Inter-|   Receive\n face |bytes\n  lo: 10 1 0 0 0 0 0 0 20 2 0 0 0 0 0 0\n");
    file("diskstats", " 254 0 vda 1 2 3 4 5 6 7 8 9 10 11\n");
    count("TestCall", true);
    count("TestCall", false);
    let text = collect(proc.path());
    for line in [
        "# TYPE kata_agent_scrape_count counter",
        r#"kata_agent_calls_total{call="TestCall",result="ok"} 1"#,
        r#"kata_agent_calls_total{call="TestCall",result="error"} 1"#,
        "kata_agent_total_time 2",
        "kata_agent_total_vm 8192000",
        "kata_agent_total_rss 4096",
        "kata_agent_threads 3",
        r#"kata_agent_proc_stat{item="majflt"} 33"#,
        r#"kata_agent_proc_status{item="voluntary_ctxt_switches"} 9"#,
        r#"kata_guest_load{item="load5"} 0.25"#,
        r#"kata_guest_tasks{item="max"} 80"#,
        r#"kata_guest_cpu_time{cpu="total",item="user"} 1000"#,
        r#"kata_guest_cpu_time{cpu="0",item="guest_nice"} 100"#,
        r#"kata_guest_meminfo{item="mem_total"} 1048576"#,
        r#"kata_guest_meminfo{item="active_anon"} 2048"#,
        r#"kata_guest_meminfo{item="huge_pages_total"} 3"#,
        r#"kata_guest_vm_stat{item="nr_free_pages"} 12"#,
        r#"kata_guest_netdev_stat{interface="lo",item="sent_bytes"} 20"#,
        r#"kata_guest_diskstat{disk="vda",item="weighted_time_in_progress"} 11"#,
    ] {
        assert!(text.lines().any(|other| other == line), "{line}\nis not in\n{text}");
    }
    assert!(!text.contains(r#"cpu="1""#), "what follows other lines is none of the list");
    assert!(!text.contains("kata_agent_io_stat"), "a family without a file is left out");
}

#[test]
fn the_real_files_are_understood() {
    let text = collect(Path::new("/proc"));
    for name in [
        "kata_agent_total_rss ",
        "kata_guest_meminfo{",
        "kata_guest_cpu_time{cpu=\"total\"",
        "kata_guest_vm_stat{",
    ] {
        assert!(text.lines().any(|line| line.starts_with(name)), "{name}");
    }
}
