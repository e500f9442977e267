//! Builds a guest image: `cargo run -p virtcontainers-guest-image --example build -- AGENT OUTPUT [PACKAGE | FILE.deb | KERNEL MODULES_DIR]`.

use std::{
    env,
    error::Error,
    io::{self, Write as _},
};

use virtcontainers_guest_image::{Builder, KernelSource, Role};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(agent), Some(output)) = (arguments.next(), arguments.next()) else {
        return Err("usage: build AGENT OUTPUT [PACKAGE | FILE.deb | KERNEL MODULES_DIR]".into());
    };
    let source = match (arguments.next(), arguments.next()) {
        (None, _) => KernelSource::default(),
        (Some(path), None) if path.ends_with(".deb") => KernelSource::Deb { path: path.into() },
        (Some(name), None) => KernelSource::DebianPackage { name },
        (Some(kernel), Some(modules)) => {
            KernelSource::Paths { kernel: kernel.into(), modules_dir: Some(modules.into()) }
        }
    };
    let image = Builder::new(source, agent).output(output).build()?;
    let mut out = io::stdout().lock();
    writeln!(out, "Linux {} in {}", image.manifest().kernel.release, image.dir().display())?;
    for role in Role::ALL {
        writeln!(out, "{role}: {}", if image.has(role) { "yes" } else { "no" })?;
    }
    Ok(())
}
