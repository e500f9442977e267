//! What is to be measured, from the command line.

use std::path::{Path, PathBuf};

use virtcontainers::{MachineType, SharedFs, Transport};

use crate::Failure;

const HELP: &str = "\
  --runs N           how often each call is measured [30]
  --crowd N          execs at once [200]
  --soak N           execs one after the other, with the memory before and after [0]
  --stream MIB       how much is streamed, in MiB [64]
  --raw-stream FILE  the program that fills a vsock port from the guest; without it streams are not measured
  --machine TYPE     machine type [q35]
  --transport WHICH  stream to the agent [hybrid-vsock]
  --shared-fs WHICH  how the guest sees its files [virtio-fs]
  --cache WHICH      virtio_fs_cache of the sandbox [the library's default]
  --helper FILE      the program that serves as helper processes [target/release/virtc]
  --guest DIR        guest image [build/guest]
  --rootfs DIR       root filesystem with /bin/true and /bin/sh [build/rootfs]
  --dir DIR          where the state of the sandbox goes [the system's directory for temporary files]";

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) runs: usize,
    pub(crate) crowd: usize,
    pub(crate) soak: usize,
    pub(crate) stream: u64,
    pub(crate) raw_stream: Option<PathBuf>,
    pub(crate) machine: MachineType,
    pub(crate) transport: Transport,
    pub(crate) shared_fs: SharedFs,
    pub(crate) cache: Option<String>,
    pub(crate) helper: PathBuf,
    pub(crate) guest: PathBuf,
    pub(crate) rootfs: PathBuf,
    pub(crate) dir: PathBuf,
}

impl Options {
    pub(crate) fn parse() -> Result<Self, Failure> {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
        let mut options = Self {
            runs: 30,
            crowd: 200,
            soak: 0,
            stream: 64,
            raw_stream: None,
            machine: MachineType::Q35,
            transport: Transport::HybridVsock,
            shared_fs: SharedFs::VirtioFs,
            cache: None,
            helper: workspace.join("target/release/virtc"),
            guest: workspace.join("build/guest"),
            rootfs: workspace.join("build/rootfs"),
            dir: std::env::temp_dir(),
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word}: a value is missing"));
            match word.as_str() {
                "--runs" => options.runs = value()?.parse::<usize>()?.max(1),
                "--crowd" => options.crowd = value()?.parse()?,
                "--soak" => options.soak = value()?.parse()?,
                "--stream" => options.stream = value()?.parse::<u64>()?.max(1),
                "--raw-stream" => options.raw_stream = Some(value()?.into()),
                "--machine" => options.machine = value()?.parse()?,
                "--transport" => options.transport = value()?.parse()?,
                "--shared-fs" => options.shared_fs = value()?.parse()?,
                "--cache" => options.cache = Some(value()?),
                "--helper" => options.helper = value()?.into(),
                "--guest" => options.guest = value()?.into(),
                "--rootfs" => options.rootfs = value()?.into(),
                "--dir" => options.dir = value()?.into(),
                // What cargo itself passes.
                "--bench" => {}
                _ => return Err(format!("{word}: there are\n{HELP}").into()),
            }
        }
        if options.raw_stream.is_some() && options.transport != Transport::HybridVsock {
            return Err("--raw-stream needs --transport hybrid-vsock: it fills a vsock port".into());
        }
        for path in [&options.helper, &options.guest, &options.rootfs] {
            if !path.exists() {
                return Err(format!("{} is not there: `make bench` makes it", path.display()).into());
            }
        }
        Ok(options)
    }
}
