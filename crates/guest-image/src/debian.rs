//! Kernel packages from Debian's archive (and those of its derivatives), through the host's apt.
//!
//! Nothing is installed and nothing outside the cache directory is written; no privilege is needed. A package that is in the
//! cache already, and still has the digest that apt's index promises, is not downloaded again.

use std::{
    collections::{BTreeSet, VecDeque},
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use sha2::{Digest as _, Sha256};

use crate::{
    deb::field,
    decompress::read_bounded,
    error::BuildError,
    manifest::hex,
    progress::{Progress, Stage},
};

/// Packages that a kernel may be divided into.
const MAX_PACKAGES: usize = 16;
/// Bytes that apt may say about one package.
const MAX_ANSWER: u64 = 1 << 20;

/// What the index says about a package.
#[derive(Debug)]
struct Indexed {
    name: String,
    version: String,
    /// Its file's name in the cache.
    file_name: String,
    sha256: String,
    size: Option<u64>,
    /// Names that it depends on and that hold a part of a kernel.
    kernel_parts: Vec<String>,
    /// It only points to the image package of the present version.
    is_pointer: bool,
}

/// Resolves `name` to the packages that hold kernel and modules, and fetches them into `cache`.
pub(crate) fn fetch(
    name: &str,
    cache: &Path,
    progress: &mut dyn Progress,
) -> Result<Vec<PathBuf>, BuildError> {
    let mut pending = VecDeque::from([name.to_owned()]);
    let mut seen = BTreeSet::new();
    let mut packages = Vec::new();
    while let Some(name) = pending.pop_front() {
        if seen.len() == MAX_PACKAGES || !seen.insert(name.clone()) {
            continue;
        }
        let package = lookup(&name)?;
        pending.extend(package.kernel_parts.iter().cloned());
        if !package.is_pointer {
            packages.push(package);
        }
    }
    packages.iter().map(|package| download(package, cache, progress)).collect()
}

/// Asks apt's index.
fn lookup(name: &str) -> Result<Indexed, BuildError> {
    if !is_package_name(name) {
        return Err(BuildError::InvalidPackageName { name: name.to_owned() });
    }
    let unknown = || BuildError::UnknownPackage { name: name.to_owned() };
    let mut command = Command::new("apt-cache");
    command.args(["--no-all-versions", "show", name]).env("LC_ALL", "C").stdin(Stdio::null());
    let output = command.output();
    let output = output.map_err(|source| BuildError::AptMissing { command: "apt-cache", source })?;
    if !output.status.success() {
        return Err(unknown());
    }
    parse(&String::from_utf8_lossy(&output.stdout)).ok_or_else(unknown)
}

/// Reads the first paragraph of `apt-cache show`.
fn parse(text: &str) -> Option<Indexed> {
    let paragraph = text.split("\n\n").next()?;
    let file_name = field(paragraph, "Filename")?.rsplit('/').next()?.to_owned();
    let depends = field(paragraph, "Depends").unwrap_or_default();
    // `a (>= 1) | b, c`: of alternatives the first is the one the archive prefers.
    let names = depends.split(',').filter_map(|one| one.trim().split([' ', '|', ':']).next());
    let part = |name: &&str| {
        ["linux-image-", "linux-binary-", "linux-modules-"].iter().any(|prefix| name.starts_with(prefix))
    };
    let kernel_parts: Vec<String> = names.filter(part).map(str::to_owned).collect();
    let is_pointer = kernel_parts.iter().any(|name| !name.starts_with("linux-modules-"));
    Some(Indexed {
        name: field(paragraph, "Package")?.to_owned(),
        version: field(paragraph, "Version")?.to_owned(),
        file_name,
        sha256: field(paragraph, "SHA256")?.to_owned(),
        size: field(paragraph, "Size").and_then(|size| size.parse().ok()),
        kernel_parts,
        is_pointer,
    })
}

/// Policy manual, section 5.6.7: at least two of these characters, the first alphanumeric.
fn is_package_name(name: &str) -> bool {
    (2..=128).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '+' | '-' | '.'))
}

fn download(package: &Indexed, cache: &Path, progress: &mut dyn Progress) -> Result<PathBuf, BuildError> {
    let path = cache.join(&package.file_name);
    if path.is_file() && sha256(&path)? == package.sha256 {
        tracing::debug!(path = %path.display(), "kernel package is cached");
        return Ok(path);
    }
    fs::create_dir_all(cache).map_err(BuildError::io("create", cache))?;
    let room = tempfile::Builder::new().prefix(".download-").tempdir_in(cache);
    let room = room.map_err(BuildError::io("create a directory in", cache))?;
    progress.begin(Stage::Download, package.size);
    run_apt_get(package, room.path(), progress)?;
    // apt escapes the epoch's colon in the name of the file that it writes; there is just the one.
    let mut files = fs::read_dir(room.path()).map_err(BuildError::io("list", room.path()))?;
    let file = files.find_map(|entry| entry.ok().map(|entry| entry.path()));
    let file = file.unwrap_or_else(|| room.path().join(&package.file_name));
    if sha256(&file)? != package.sha256 {
        return Err(BuildError::Download { path: file, expected: package.sha256.clone() });
    }
    fs::rename(&file, &path).map_err(BuildError::io("move the package to", &path))?;
    Ok(path)
}

fn run_apt_get(package: &Indexed, into: &Path, progress: &mut dyn Progress) -> Result<(), BuildError> {
    let mut stderr =
        tempfile::tempfile().map_err(BuildError::io("create a file in", &std::env::temp_dir()))?;
    let mut command = Command::new("apt-get");
    // Status-Fd=1: progress lines on the pipe. Sandbox::User: root would otherwise hand the download to a user who may not write here.
    command
        .args(["-q", "-o", "APT::Status-Fd=1", "-o", "Acquire::Retries=3", "-o", "Acquire::http::Timeout=30"])
        .args(["-o", "Acquire::https::Timeout=30", "-o", "APT::Sandbox::User=root", "download"])
        .arg(format!("{}={}", package.name, package.version))
        .current_dir(into)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(stderr.try_clone().map_err(BuildError::io("share a file in", &std::env::temp_dir()))?);
    let missing = |source| BuildError::AptMissing { command: "apt-get", source };
    let mut child = command.spawn().map_err(missing)?;
    if let Some(stdout) = child.stdout.take() {
        let mut done = 0;
        for line in BufReader::new(stdout).lines() {
            let (Ok(line), Some(size)) = (line, package.size) else { continue };
            let Some(percent) = percent(&line) else { continue };
            // Bytes so far; a float is exact enough for a bar.
            let now = (size as f64 * percent / 100.0) as u64;
            progress.advance(now.saturating_sub(done));
            done = done.max(now);
        }
    }
    let status = child.wait().map_err(missing)?;
    if status.success() {
        return Ok(());
    }
    let said = stderr.rewind().and_then(|()| read_bounded((&mut stderr).take(MAX_ANSWER), MAX_ANSWER));
    let said = said.unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    let last: Vec<&str> = said.lines().rev().filter(|line| !line.trim().is_empty()).take(3).collect();
    Err(BuildError::AptFailed {
        command: format!("apt-get download {}={}", package.name, package.version),
        status,
        stderr: last.into_iter().rev().collect::<Vec<_>>().join("; "),
    })
}

/// The percentage in a line `dlstatus:<n>:<percent>:<text>` of apt's status protocol.
fn percent(line: &str) -> Option<f64> {
    let percent = line.strip_prefix("dlstatus:")?.split(':').nth(1)?;
    percent.parse().ok().filter(|percent| (0.0..=100.0).contains(percent))
}

fn sha256(path: &Path) -> Result<String, BuildError> {
    let mut file = File::open(path).map_err(BuildError::io("open", path))?;
    let mut digest = Sha256::new();
    io::copy(&mut file, &mut digest).map_err(BuildError::io("read", path))?;
    Ok(hex(&digest.finalize()))
}

#[cfg(test)]
mod tests;
