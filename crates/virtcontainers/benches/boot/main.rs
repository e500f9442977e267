//! What a whole sandbox costs: `cargo bench -p virtcontainers --bench boot [-- OPTIONS]`, or `make bench`. As root.
//!
//! For each configuration a sandbox is started and looked at while it idles: the command lines of its processes, and the
//! memory that they hold. Then these are done in turn, so that a machine that grows slower or faster treats all alike:
//!
//! - **(a) raw**: the processes of that sandbox, started by hand with the very same command lines, until the agent
//!   answers its Check. No records, no library. See [`raw`].
//! - **(b) run**: `virtc run --rm … -- true`, from its start to its exit: everything of (a), and a container created in the
//!   guest, its command, its streams, the end of the guest and of all processes, and the deletion.
//! - **(c) create**: `Runtime::create_sandbox` without containers, until it returns: the agent answers and has mounted
//!   the shared directory.
//!
//! Nothing is kept warm for one side only: each run starts every process anew, and kernel and initrd are in the page
//! cache for all of them since the sandbox that was looked at.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "../by_hand/mod.rs"]
mod by_hand;
#[path = "../figures/mod.rs"]
mod figures;
mod idle;
mod options;
mod raw;
mod whole;

use std::error::Error;

use by_hand::Recipe;
use figures::{Sample, Table, ratio, show};
use idle::Idle;
use options::{Options, Shape};

/// Why a benchmark came to nothing.
pub(crate) type Failure = Box<dyn Error>;

/// What the whole of (b) may take of (a).
const RATIO: f64 = 1.15;
/// What the processes of an idle sandbox other than QEMU may hold, in KiB.
const RESIDENT: u64 = 8 << 10;

fn main() -> Result<(), Failure> {
    let options = Options::parse()?;
    if !rustix::process::geteuid().is_root() {
        return Err("run it as root: virtc binds mounts".into());
    }
    // A run that fails leaves it: while a sandbox lives, its mounts show the root filesystem there, and to remove the one
    // would remove the other.
    let dir = tempfile::Builder::new().prefix("vc-bench-").tempdir_in(&options.dir)?.keep();
    let dir = dir.canonicalize()?;
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for &shape in &options.shapes {
        println!("\n{shape}");
        let idle = Idle::start(&options, shape, &dir.join("root"))?;
        let recipe = Recipe::of(&idle.dir, &idle.processes)?;
        print_memory(&idle)?;
        let config = idle.hypervisor_config.clone();
        idle.delete()?;
        let (mut raw, mut run, mut create) = (Sample::default(), Sample::default(), Sample::default());
        for number in 0..options.runs {
            raw.add(tokio.block_on(raw::boot(&recipe, &dir.join(format!("raw-{number}"))))?);
            run.add(whole::run(&options, shape, &dir.join("root"))?);
            create.add(tokio.block_on(whole::create(&options, &config, &dir.join("root")))?);
        }
        print_times(&raw, &run, &create);
    }
    Ok(std::fs::remove_dir_all(dir)?)
}

fn print_times(raw: &Sample, run: &Sample, create: &Sample) {
    println!("  boot, {} runs in turn", raw.len());
    let mut table = Table::new(["", "median", "min", "max", "of (a)"]);
    for (name, sample) in [
        ("(a) raw processes, until the agent answers", raw),
        ("(b) virtc run --rm -- true, start to exit", run),
        ("(c) create_sandbox, until it returns", create),
    ] {
        let of_raw = format!("{:.3}", ratio(sample.median(), raw.median()));
        table.line([name.to_owned(), show(sample.median()), show(sample.min()), show(sample.max()), of_raw]);
    }
    table.print();
    let reached = ratio(run.median(), raw.median());
    let verdict = if reached <= RATIO { "reached" } else { "missed" };
    println!("  b/a = {reached:.3}, target {RATIO}: {verdict}");
}

fn print_memory(idle: &Idle) -> Result<(), Failure> {
    println!("  memory of the host's processes of one idle sandbox, in KiB");
    let mut table = Table::new(["", "resident", "of it the guest's", "proportional"]);
    let mut sum = idle::Memory::default();
    let mut vmm = None;
    for process in &idle.processes {
        let memory = idle::Memory::of(process)?;
        if process.is_vmm() {
            vmm = Some(memory);
            continue;
        }
        sum = sum + memory;
        table.line(cells(&process.role, memory));
    }
    table.line(cells("all but QEMU", sum));
    if let Some(memory) = vmm {
        table.line(cells("QEMU", memory));
    }
    table.print();
    let ours = sum.resident - sum.shared;
    let verdict = if ours <= RESIDENT { "reached" } else { "missed" };
    println!("  {ours} KiB resident without the guest's own memory, target {RESIDENT}: {verdict}");
    Ok(())
}

fn cells(name: &str, memory: idle::Memory) -> [String; 4] {
    let idle::Memory { resident, shared, proportional } = memory;
    [name.to_owned(), resident.to_string(), shared.to_string(), proportional.to_string()]
}
