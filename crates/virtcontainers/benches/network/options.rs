//! What is to be measured, from the command line.

use std::path::{Path, PathBuf};

use virtcontainers::MachineType;

use crate::Failure;

const HELP: &str = "\
  --only PART     only this: throughput, plug or create; may be given again [all]
  --rounds N      how often each side of the throughput is run [5]
  --seconds N     how long each of them sends [3]
  --plugs N       how many interfaces are plugged in [20]
  --creates N     how many sandboxes are created with and without a network [50]
  --machine TYPE  machine type [q35]
  --helper FILE   the program that serves as helper processes [target/release/virtc]
  --guest DIR     guest image [build/guest]
  --dir DIR       where the state of the sandboxes goes [the system's directory for temporary files]";

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Throughput,
    Plug,
    Create,
}

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) parts: Vec<Part>,
    pub(crate) rounds: usize,
    pub(crate) seconds: u32,
    pub(crate) plugs: usize,
    pub(crate) creates: usize,
    pub(crate) machine: MachineType,
    pub(crate) helper: PathBuf,
    pub(crate) guest: PathBuf,
    pub(crate) dir: PathBuf,
}

impl Options {
    pub(crate) fn parse() -> Result<Self, Failure> {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
        let mut options = Self {
            parts: Vec::new(),
            rounds: 5,
            seconds: 3,
            plugs: 20,
            creates: 50,
            machine: MachineType::Q35,
            helper: workspace.join("target/release/virtc"),
            guest: workspace.join("build/guest"),
            dir: std::env::temp_dir(),
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word}: a value is missing"));
            match word.as_str() {
                "--only" => options.parts.push(match value()?.as_str() {
                    "throughput" => Part::Throughput,
                    "plug" => Part::Plug,
                    "create" => Part::Create,
                    other => {
                        return Err(format!("--only {other}: there are throughput, plug and create").into());
                    }
                }),
                "--rounds" => options.rounds = value()?.parse::<usize>()?.max(1),
                "--seconds" => options.seconds = value()?.parse::<u32>()?.max(1),
                "--plugs" => options.plugs = value()?.parse::<usize>()?.max(1),
                "--creates" => options.creates = value()?.parse::<usize>()?.max(1),
                "--machine" => options.machine = value()?.parse()?,
                "--helper" => options.helper = value()?.into(),
                "--guest" => options.guest = value()?.into(),
                "--dir" => options.dir = value()?.into(),
                // What cargo itself passes.
                "--bench" => {}
                _ => return Err(format!("{word}: there are\n{HELP}").into()),
            }
        }
        if options.parts.is_empty() {
            options.parts = vec![Part::Create, Part::Plug, Part::Throughput];
        }
        for path in [&options.helper, &options.guest] {
            if !path.exists() {
                return Err(format!("{} is not there: `make bench` makes it", path.display()).into());
            }
        }
        Ok(options)
    }
}
