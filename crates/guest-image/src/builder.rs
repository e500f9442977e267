//! The build, step by step.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fmt,
    fs::File,
    path::{Path, PathBuf},
};

use crate::{
    catalog::Catalog,
    decompress::read_bounded,
    elf,
    error::{BuildError, ProgramError},
    image::{GuestImage, INITRD, KERNEL, MANIFEST, default_locations},
    initrd,
    manifest::{Ability, FileRecord, Kernel, Manifest, ModuleRecord, SCHEMA},
    modules::{self, Role},
    output::Staged,
    progress::{Progress, Stage},
    source::{KernelSource, KernelTree},
    vmlinux::Vmlinux,
};

/// Bytes that a program of the initrd may have.
const MAX_PROGRAM: u64 = 256 << 20;

/// Builds a [`GuestImage`].
///
/// ```no_run
/// use virtcontainers_guest_image::{Builder, KernelSource};
///
/// let image = Builder::new(KernelSource::default(), "target/agent/vc-agent").output("/tmp/guest").build()?;
/// println!("boots Linux {}", image.manifest().kernel.release);
/// # Ok::<(), virtcontainers_guest_image::BuildError>(())
/// ```
pub struct Builder {
    source: KernelSource,
    agent: PathBuf,
    shell: Option<PathBuf>,
    output: Option<PathBuf>,
    cache: Option<PathBuf>,
    progress: Box<dyn Progress>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("source", &self.source)
            .field("agent", &self.agent)
            .field("shell", &self.shell)
            .field("output", &self.output)
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}

impl Builder {
    /// An image of this kernel with this agent as PID 1.
    #[must_use]
    pub fn new(source: KernelSource, agent: impl Into<PathBuf>) -> Self {
        let progress = Box::new(());
        Self { source, agent: agent.into(), shell: None, output: None, cache: None, progress }
    }

    /// A statically linked shell for the guest's debug console, put at `/bin/sh`: busybox, for example. Default: none.
    #[must_use]
    pub fn shell(mut self, shell: impl Into<PathBuf>) -> Self {
        self.shell = Some(shell.into());
        self
    }

    /// The image's directory: absent, empty, or an image to be replaced. Default: the first of [`default_locations`].
    #[must_use]
    pub fn output(mut self, dir: impl Into<PathBuf>) -> Self {
        self.output = Some(dir.into());
        self
    }

    /// Where packages are kept, packed and unpacked. Default: [`default_cache`].
    #[must_use]
    pub fn cache(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cache = Some(dir.into());
        self
    }

    /// Who is told about progress.
    #[must_use]
    pub fn progress(mut self, progress: impl Progress + 'static) -> Self {
        self.progress = Box::new(progress);
        self
    }

    /// Builds the image and publishes it.
    ///
    /// # Errors
    /// [`BuildError`]; the output directory is then as it was before.
    pub fn build(self) -> Result<GuestImage, BuildError> {
        let Self { source, agent, shell, output, cache, mut progress } = self;
        let progress = progress.as_mut();
        let agent = read_program(&agent).map_err(|failed| failed.of_agent(&agent))?;
        let shell =
            shell.map(|path| read_program(&path).map_err(|failed| failed.of_shell(&path))).transpose()?;
        let output = output.or_else(|| default_locations().into_iter().next());
        let staged = Staged::new(&output.unwrap_or_default())?;
        let tree = KernelTree::obtain(&source, &cache.unwrap_or_else(default_cache), progress)?;

        let file = tree.read_kernel()?;
        progress.begin(Stage::UnpackKernel, Some(file.len() as u64));
        let kernel_record = FileRecord::of(&file);
        let refuse = |source| BuildError::Kernel { path: tree.kernel.clone(), source };
        let kernel = Vmlinux::from_image(file).map_err(refuse)?;
        progress.advance(kernel_record.size);

        progress.begin(Stage::PackInitrd, None);
        let config = tree.read_config()?;
        let options = config.as_ref().map(|config| config.missing_essentials()).unwrap_or_default();
        if !options.is_empty() {
            return Err(BuildError::KernelOptions { release: kernel.release, options });
        }
        let mut catalog = tree.catalog()?;
        let abilities = modules::abilities(&mut catalog, config.as_ref(), &kernel.release)?;
        let initrd = initrd::pack(&agent, shell.as_deref(), &kernel.release, &abilities, &catalog);
        let initrd = initrd.map_err(BuildError::io("pack", Path::new(INITRD)))?;
        progress.advance(initrd.len() as u64);

        let mut inputs = BTreeMap::from([
            ("kernel".to_owned(), kernel_record),
            ("agent".to_owned(), FileRecord::of(&agent)),
        ]);
        if let Some(shell) = &shell {
            inputs.insert("shell".to_owned(), FileRecord::of(shell));
        }
        let manifest = Manifest {
            schema: SCHEMA,
            builder: concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")).to_owned(),
            architecture: "x86_64".to_owned(),
            kernel: Kernel { release: kernel.release, package: tree.package },
            modules: module_records(&abilities, &catalog),
            abilities,
            inputs,
            outputs: BTreeMap::from([
                (KERNEL.to_owned(), FileRecord::of(&kernel.elf)),
                (INITRD.to_owned(), FileRecord::of(&initrd)),
            ]),
        };
        publish(staged, &kernel.elf, &initrd, &manifest, progress)
    }
}

fn publish(
    staged: Staged,
    kernel: &[u8],
    initrd: &[u8],
    manifest: &Manifest,
    progress: &mut dyn Progress,
) -> Result<GuestImage, BuildError> {
    let mut text = serde_json::to_vec_pretty(manifest).map_err(|source| BuildError::Io {
        action: "encode",
        path: MANIFEST.into(),
        source: source.into(),
    })?;
    text.push(b'\n');
    let files: [(&str, &[u8]); 3] = [(KERNEL, kernel), (INITRD, initrd), (MANIFEST, &text)];
    progress.begin(Stage::Write, Some(files.iter().map(|(_, bytes)| bytes.len() as u64).sum()));
    for (name, bytes) in files {
        staged.write(name, bytes)?;
        progress.advance(bytes.len() as u64);
    }
    Ok(GuestImage::open(staged.publish()?)?)
}

/// Why a program cannot be in the initrd.
enum Refused {
    Unread(std::io::Error),
    Unfit(ProgramError),
}

impl Refused {
    fn of_agent(self, path: &Path) -> BuildError {
        match self {
            Self::Unread(source) => {
                BuildError::Io { action: "read the agent", path: path.to_owned(), source }
            }
            Self::Unfit(source) => BuildError::Agent { path: path.to_owned(), source },
        }
    }

    fn of_shell(self, path: &Path) -> BuildError {
        match self {
            Self::Unread(source) => {
                BuildError::Io { action: "read the shell", path: path.to_owned(), source }
            }
            Self::Unfit(source) => BuildError::Shell { path: path.to_owned(), source },
        }
    }
}

/// Reads a program, if it can run where there is nothing but itself.
fn read_program(path: &Path) -> Result<Vec<u8>, Refused> {
    let bytes = File::open(path).and_then(|file| read_bounded(file, MAX_PROGRAM));
    let bytes = bytes.map_err(|source| {
        if source.kind() == std::io::ErrorKind::FileTooLarge {
            Refused::Unfit(ProgramError::TooLarge { limit: MAX_PROGRAM })
        } else {
            Refused::Unread(source)
        }
    })?;
    let facts = elf::program(&bytes)
        .map_err(|source| Refused::Unfit(ProgramError::NotExecutable(source.to_string())))?;
    if facts.machine != elf::X86_64 {
        Err(Refused::Unfit(ProgramError::Machine { machine: facts.machine }))
    } else if !facts.executable {
        Err(Refused::Unfit(ProgramError::NotExecutable("it has nothing to run".to_owned())))
    } else if facts.dynamic {
        Err(Refused::Unfit(ProgramError::Dynamic))
    } else {
        Ok(bytes)
    }
}

fn module_records(abilities: &BTreeMap<Role, Ability>, catalog: &Catalog) -> Vec<ModuleRecord> {
    let names: BTreeSet<&String> = abilities.values().flat_map(Ability::modules).collect();
    let record = |name: &String| {
        Some(ModuleRecord { name: name.clone(), file: FileRecord::of(&catalog.get(name)?.bytes) })
    };
    names.into_iter().filter_map(record).collect()
}

/// Where packages are kept: `/var/cache/virtcontainers` for root, `$XDG_CACHE_HOME/virtcontainers` (by default under
/// `~/.cache`) for others.
#[must_use]
pub fn default_cache() -> PathBuf {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = if rustix::process::geteuid().is_root() {
        PathBuf::from("/var/cache")
    } else {
        absolute("XDG_CACHE_HOME")
            .or_else(|| Some(absolute("HOME")?.join(".cache")))
            .unwrap_or_else(env::temp_dir)
    };
    base.join("virtcontainers")
}

#[cfg(test)]
mod tests;
