//! `virtc guest …`.

use std::path::{Path, PathBuf};

use virtcontainers_guest_image::{Ability, Builder, GuestImage, KernelSource, default_locations};

use crate::{
    cli::{BuildArgs, Global, GuestVerb, InfoArgs},
    config::HostConfig,
    defaults,
    error::CliError,
    exit::Exit,
    output,
    progress::BuildBars,
};

pub(super) fn run(global: &Global, verb: GuestVerb) -> Result<Exit, CliError> {
    match verb {
        GuestVerb::Build(args) => build(global, args),
        GuestVerb::Info(args) => info(global, &args),
    }
}

fn build(global: &Global, args: BuildArgs) -> Result<Exit, CliError> {
    let agent = args.agent.map_or_else(find_agent, Ok)?;
    let source = match (args.deb, args.kernel, args.modules) {
        (Some(path), _, _) => KernelSource::Deb { path },
        (None, Some(kernel), modules_dir) => KernelSource::Paths { kernel, modules_dir },
        (None, None, _) => KernelSource::DebianPackage { name: args.package },
    };
    let output = args.output.or_else(|| default_locations().into_iter().next());
    let mut builder = Builder::new(source, agent).progress(BuildBars::new());
    if let Some(shell) = args.shell {
        builder = builder.shell(shell);
    }
    if let Some(dir) = output {
        builder = builder.output(dir);
    }
    if let Some(dir) = args.cache {
        builder = builder.cache(dir);
    }
    show(global, &builder.build()?)?;
    Ok(Exit::Done)
}

fn info(global: &Global, args: &InfoArgs) -> Result<Exit, CliError> {
    let host = HostConfig::load(global.config.as_deref())?;
    let image = defaults::guest_image(args.dir.as_deref(), host.guest.as_deref())?;
    if args.verify {
        image.verify()?;
    }
    show(global, &image)?;
    Ok(Exit::Done)
}

/// The agent beside this program, or where a checkout's build leaves it.
fn find_agent() -> Result<PathBuf, CliError> {
    let this = std::env::current_exe().ok();
    let beside = this.as_deref().and_then(Path::parent).map(|dir| dir.join("vc-agent"));
    let places = [beside, defaults::beside_the_build("vc-agent")];
    places.into_iter().flatten().find(|path| path.exists()).ok_or_else(|| {
        CliError::Usage(
            "no guest agent found: build it with `make agent`, or name it with --agent".to_owned(),
        )
    })
}

fn show(global: &Global, image: &GuestImage) -> Result<(), CliError> {
    let manifest = image.manifest();
    if global.json {
        return output::json(&serde_json::json!({ "dir": image.dir(), "manifest": manifest }));
    }
    output::fact("image", image.dir().display().to_string())?;
    output::fact("kernel", manifest.kernel.release.clone())?;
    if let Some(package) = &manifest.kernel.package {
        output::fact("package", format!("{} {}", package.name, package.version))?;
    }
    for (role, ability) in &manifest.abilities {
        let text = match ability {
            Ability::BuiltIn => "built in".to_owned(),
            Ability::Modules { modules } => modules.join(", "),
            Ability::Absent { lacks } => format!("absent (lacks {})", lacks.join(", ")),
        };
        output::fact(&role.to_string(), text)?;
    }
    for (name, file) in &manifest.outputs {
        output::fact(name, format!("{} bytes, SHA-512 {}", file.size, file.sha512))?;
    }
    Ok(())
}
