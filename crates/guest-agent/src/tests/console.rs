use std::{path::Path, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};

use crate::{console, reaper::Reaper};

/// In a process of its own under nextest: the reaper takes every child.
#[tokio::test]
async fn a_connection_is_a_shell_on_a_terminal_and_ends_with_either() {
    let (reaper, _collecting) = Reaper::start().unwrap();
    let (mut host, guest) = UnixStream::pair().unwrap();
    let served = console::serve(&reaper, guest);
    let used = async {
        host.write_all(b"tty && echo $((6*7))-answer; exit\n").await.unwrap();
        let mut output = String::new();
        host.read_to_string(&mut output).await.unwrap();
        output
    };
    let (served, output) = tokio::time::timeout(Duration::from_secs(30), futures::future::join(served, used))
        .await
        .expect("the shell ends, and the connection with it");
    served.unwrap();
    assert!(output.contains("/dev/pts/") && output.contains("42-answer"), "{output}");

    let (mut host, guest) = UnixStream::pair().unwrap();
    let used = async {
        host.write_all(b"echo pid=$$=; trap '' HUP; sleep 1000\n").await.unwrap();
        let mut output = String::new();
        let mut buffer = [0; 256];
        loop {
            let count = host.read(&mut buffer).await.unwrap();
            output.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
            // The command itself is echoed first.
            let pid =
                output.split("pid=").skip(1).find_map(|rest| rest.split_once('=')?.0.parse::<u32>().ok());
            if let Some(pid) = pid {
                drop(host);
                return pid;
            }
        }
    };
    let served = console::serve(&reaper, guest);
    let (served, pid) = tokio::time::timeout(Duration::from_secs(30), futures::future::join(served, used))
        .await
        .expect("a shell does not outlive its connection");
    served.unwrap();
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "{pid}");
}
