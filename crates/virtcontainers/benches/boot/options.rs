//! What is to be measured, from the command line.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use virtcontainers::{MachineType, SharedFs, Transport};

use crate::Failure;

const HELP: &str = "\
  --runs N           how often each side is run [5]
  --machine TYPE     machine type [q35]
  --transport WHICH  stream to the agent [hybrid-vsock]
  --shared-fs WHICH  how the guest sees its files [virtio-fs]
  --all              both transports that need no device of the host with both shared file systems
  --virtc FILE       the program under test [target/release/virtc]
  --guest DIR        guest image [build/guest]
  --rootfs DIR       root filesystem with /bin/true [build/rootfs]
  --dir DIR          where the state of the sandboxes goes [the system's directory for temporary files]";

/// One configuration of a sandbox.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) machine: MachineType,
    pub(crate) transport: Transport,
    pub(crate) shared_fs: SharedFs,
}

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) runs: usize,
    pub(crate) shapes: Vec<Shape>,
    pub(crate) virtc: PathBuf,
    pub(crate) guest: PathBuf,
    pub(crate) rootfs: PathBuf,
    pub(crate) dir: PathBuf,
}

impl Options {
    pub(crate) fn parse() -> Result<Self, Failure> {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
        let mut options = Self {
            runs: 5,
            shapes: Vec::new(),
            virtc: workspace.join("target/release/virtc"),
            guest: workspace.join("build/guest"),
            rootfs: workspace.join("build/rootfs"),
            dir: std::env::temp_dir(),
        };
        let first = (MachineType::Q35, Transport::HybridVsock, SharedFs::VirtioFs);
        let (mut machine, mut transport, mut shared_fs) = first;
        let mut all = false;
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word}: a value is missing"));
            match word.as_str() {
                "--runs" => options.runs = value()?.parse::<usize>()?.max(1),
                "--machine" => machine = value()?.parse()?,
                "--transport" => transport = value()?.parse()?,
                "--shared-fs" => shared_fs = value()?.parse()?,
                "--all" => all = true,
                "--virtc" => options.virtc = value()?.into(),
                "--guest" => options.guest = value()?.into(),
                "--rootfs" => options.rootfs = value()?.into(),
                "--dir" => options.dir = value()?.into(),
                // What cargo itself passes.
                "--bench" => {}
                _ => return Err(format!("{word}: there are\n{HELP}").into()),
            }
        }
        let wanted = |transport, shared_fs| Shape { machine, transport, shared_fs };
        options.shapes = if all {
            let transports = [Transport::HybridVsock, Transport::VirtioSerial];
            let of = |transport| [SharedFs::VirtioFs, SharedFs::Virtio9p].map(|fs| wanted(transport, fs));
            transports.into_iter().flat_map(of).collect()
        } else {
            vec![wanted(transport, shared_fs)]
        };
        for (what, path) in
            [("virtc", &options.virtc), ("guest", &options.guest), ("rootfs", &options.rootfs)]
        {
            if !path.exists() {
                return Err(
                    format!("--{what}: {} is not there: `make bench` makes it", path.display()).into()
                );
            }
        }
        Ok(options)
    }
}

impl Shape {
    /// The options of `virtc` that ask for it.
    pub(crate) fn arguments(self) -> [&'static str; 6] {
        let Self { machine, transport, shared_fs } = self;
        ["--machine", machine.as_str(), "--transport", transport.as_str(), "--shared-fs", shared_fs.as_str()]
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine, transport, shared_fs } = self;
        write!(f, "{machine}, {transport}, {shared_fs}")
    }
}
