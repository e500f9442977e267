//! Copies into a container.

use std::{
    ffi::OsString,
    fs,
    io::BufWriter,
    path::{Path, PathBuf},
};

use virtcontainers::Container;

use super::{
    Copied, CopyError,
    pack::{self, PackError, Parcel},
    place::{Inside, means_contents},
    tool::{Tool, name},
    warn,
};
use crate::{cli::CpArgs, error::CliError, terminal};

/// Prints what a path in the container is: a directory, something else, nothing in a directory, nothing at all.
const PROBE: &str = "\
if [ -d \"$1\" ]; then echo directory
elif [ -e \"$1\" ] || [ -h \"$1\" ]; then echo other
elif [ -d \"$2\" ]; then echo free
else echo nowhere; fi";

/// What a path in the container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum There {
    Directory,
    Other,
    /// Nothing, but the directory that it would be in is there.
    Free,
    Nowhere,
}

pub(super) async fn from_host(
    container: &Container,
    from: &Path,
    to: &Inside,
    args: &CpArgs,
) -> Result<Copied, CliError> {
    let source = Source::look(from, args.follow_link)?;
    let there = probe(container, to).await?;
    let (dir, top) = destination(&source, container, to, there)?;
    let parcel = Parcel { source: source.path, name: top, owners: args.archive };
    let tar = extract(container, &dir, args).await?;
    let (done, end) = tar
        .written_by(move |stream| pack::pack(BufWriter::with_capacity(128 * 1024, stream), &parcel))
        .await?;
    let done = match done {
        // A tar that takes no more says itself why.
        Err(error @ PackError::Write(_)) => {
            return Err(tar.done(end).err().unwrap_or(CopyError::Pack(error)).into());
        }
        Err(error) => return Err(CopyError::Pack(error).into()),
        Ok(done) => done,
    };
    let left_out = done.warnings.len() as u64;
    warn(&done.warnings, left_out);
    tar.done(end)?;
    Ok(Copied { entries: done.entries, bytes: done.bytes, left_out })
}

pub(super) async fn from_stream(container: &Container, to: &Inside, args: &CpArgs) -> Result<(), CliError> {
    if terminal::is_on_stdin() {
        return Err(CliError::Usage(
            "a tar stream does not come from a terminal: give a file or a pipe as standard input".to_owned(),
        ));
    }
    if probe(container, to).await? != There::Directory {
        return Err(CopyError::Unfit(format!(
            "{}:{} is no directory: a tar stream is unpacked in one that exists",
            name(container),
            to.path()
        ))
        .into());
    }
    let tar = extract(container, &to.path(), args).await?;
    let end = tar.fed_from_stdin().await?;
    Ok(tar.done(end)?)
}

/// What is to be copied from the host.
struct Source {
    path: PathBuf,
    is_directory: bool,
    /// Its own name; none when what is in a directory is meant.
    name: Option<OsString>,
}

impl Source {
    fn look(from: &Path, follow_link: bool) -> Result<Self, CliError> {
        let broken =
            |source| CliError::from(CopyError::Pack(PackError::Read { path: from.to_owned(), source }));
        let about =
            if follow_link { fs::metadata(from) } else { fs::symlink_metadata(from) }.map_err(broken)?;
        if means_contents(from) || from == Path::new("/") {
            return Ok(Self { path: from.to_owned(), is_directory: true, name: None });
        }
        let path = if follow_link { fs::canonicalize(from).map_err(broken)? } else { from.to_owned() };
        let name = match from.file_name() {
            Some(name) => Some(name.to_owned()),
            None => fs::canonicalize(from).map_err(broken)?.file_name().map(ToOwned::to_owned),
        };
        Ok(Self { path, is_directory: about.is_dir(), name })
    }
}

/// The container's directory in which to unpack, and what the top of the archive is called.
fn destination(
    source: &Source,
    container: &Container,
    to: &Inside,
    there: There,
) -> Result<(String, Option<OsString>), CliError> {
    let place = format!("{}:{}", name(container), to.path());
    let unfit = |why: String| Err(CopyError::Unfit(why).into());
    let named = || to.name.as_ref().map(OsString::from);
    match there {
        There::Directory => Ok((to.path(), source.name.clone())),
        There::Other if source.is_directory || to.must_be_directory => {
            unfit(format!("{place} is no directory: name one, or a name that is not taken"))
        }
        There::Free if !source.is_directory && to.must_be_directory => {
            unfit(format!("no directory {place}/: make it first, or leave the slash out"))
        }
        There::Other | There::Free => Ok((to.parent.clone(), named())),
        There::Nowhere => unfit(format!("no directory {}:{}: make it first", name(container), to.parent)),
    }
}

async fn probe(container: &Container, to: &Inside) -> Result<There, CliError> {
    let sh = Tool::start(container, "sh", &["-c", PROBE, "sh", &to.path(), &to.parent], false).await?;
    let (said, end) = sh.output().await?;
    sh.done(end)?;
    match said.as_slice() {
        b"directory\n" => Ok(There::Directory),
        b"other\n" => Ok(There::Other),
        b"free\n" => Ok(There::Free),
        b"nowhere\n" => Ok(There::Nowhere),
        _ => {
            Err(CopyError::Unfit(format!("sh in container {} does not work as a shell", name(container)))
                .into())
        }
    }
}

async fn extract(container: &Container, dir: &str, args: &CpArgs) -> Result<Tool, CliError> {
    let mut words = vec!["-x", "-p", "-f", "-", "-C", dir];
    if !args.archive {
        words.push("-o");
    }
    Tool::start(container, "tar", &words, true).await
}
