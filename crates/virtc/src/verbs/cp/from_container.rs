//! Copies out of a container.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

use virtcontainers::Container;

use super::{
    Copied, CopyError,
    place::{Inside, has_slash, means_contents},
    tool::{Tool, name},
    unpack::{self, Keep, Landing, UnpackError, Unpacked},
    warn,
};
use crate::{cli::CpArgs, error::CliError, terminal};

pub(super) async fn to_host(
    container: &Container,
    from: &Inside,
    to: &Path,
    args: &CpArgs,
) -> Result<Copied, CliError> {
    let landing = landing(from, to)?;
    let source = source(container, from, args).await?;
    let tar = archive(container, &source).await?;
    let (top, keep) = (source.name.clone(), Keep { owners: args.archive, all_links: args.all_links });
    let (done, end) = tar.read_by(move |stream| take(&stream, top.as_deref(), &landing, keep)).await?;
    let done = match done {
        // A stream that ended early, or is none: the command's own words say more.
        Err(error @ UnpackError::Read(_)) => {
            return Err(tar.done(end).err().unwrap_or(CopyError::Unpack(error)).into());
        }
        Err(error) => return Err(CopyError::Unpack(error).into()),
        Ok(done) => done,
    };
    warn(&done.warnings, done.left_out);
    tar.done(end)?;
    if done.entries == done.left_out && source.name.is_some() {
        return Err(CopyError::Unfit(format!(
            "nothing was copied of {}:{}{}",
            name(container),
            source.path(),
            if done.left_out > 0 { ": -L copies what a symbolic link points to" } else { "" }
        ))
        .into());
    }
    Ok(Copied { entries: done.entries - done.left_out, bytes: done.bytes, left_out: done.left_out })
}

pub(super) async fn to_stream(container: &Container, from: &Inside, args: &CpArgs) -> Result<(), CliError> {
    if terminal::is_on_stdout() {
        return Err(CliError::Usage(
            "a tar stream is nothing for a terminal: send it to a file or a pipe".to_owned(),
        ));
    }
    let source = source(container, from, args).await?;
    let tar = archive(container, &source).await?;
    let end = tar.read_to_stdout().await?;
    Ok(tar.done(end)?)
}

/// What is to be copied: with -L what a link points to.
async fn source(container: &Container, from: &Inside, args: &CpArgs) -> Result<Inside, CliError> {
    if !args.follow_link || from.name.is_none() {
        return Ok(from.clone());
    }
    let readlink = Tool::start(container, "readlink", &["-f", &from.path()], false).await?;
    let (said, end) = readlink.output().await?;
    readlink.done(end)?;
    let said = String::from_utf8_lossy(&said).into_owned();
    Inside::parse(said.trim_end_matches('\n'))
        .map_err(|why| CopyError::Unfit(format!("{}: {why}", from.path())).into())
}

async fn archive(container: &Container, source: &Inside) -> Result<Tool, CliError> {
    Tool::start(container, "tar", &["-c", "-f", "-", "-C", &source.parent, &source.member()], false).await
}

/// Unpacks the stream, and reads on to its end, so that the container's tar can end well.
fn take(
    stream: &UnixStream,
    top: Option<&str>,
    landing: &Landing,
    keep: Keep,
) -> Result<Unpacked, UnpackError> {
    let mut stream = io::BufReader::with_capacity(128 * 1024, stream);
    let done = unpack::unpack(&mut stream, top, landing, keep)?;
    io::copy(&mut stream, &mut io::sink()).map_err(UnpackError::Read)?;
    Ok(done)
}

/// Where it goes on the host.
fn landing(from: &Inside, to: &Path) -> Result<Landing, CliError> {
    let unfit = |why: String| CliError::from(CopyError::Unfit(why));
    let base = from.name.as_ref().map(OsString::from);
    match fs::metadata(to) {
        Ok(about) if about.is_dir() => Ok(Landing {
            dir: to.to_owned(),
            name: base,
            want_directory: from.must_be_directory,
            want_file: false,
        }),
        Ok(about) if !about.is_file() => Err(unfit(format!(
            "{} is neither a file nor a directory: nothing is copied over it",
            to.display()
        ))),
        Ok(_) if base.is_none() || from.must_be_directory => Err(unfit(format!(
            "cannot copy a directory over the file {}: name a directory, or a name that is not taken",
            to.display()
        ))),
        Ok(_) => {
            // A link that the user names is followed, as cp does; those in an archive never are.
            let to = fs::canonicalize(to).map_err(|error| unfit(format!("{}: {error}", to.display())))?;
            let (dir, name) = split(&to)?;
            Ok(Landing { dir, name: Some(name), want_directory: false, want_file: true })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && !means_contents(to) => {
            let (dir, name) = split(to)?;
            if !dir.is_dir() {
                return Err(unfit(format!("no directory {}: make it first", dir.display())));
            }
            let want_directory = has_slash(to) || from.must_be_directory;
            Ok(Landing { dir, name: Some(name), want_directory, want_file: false })
        }
        Err(error) => Err(unfit(format!("cannot copy to {}: {error}", to.display()))),
    }
}

/// A path's directory and its name in there.
fn split(path: &Path) -> Result<(PathBuf, OsString), CliError> {
    let whole = std::path::absolute(path)
        .map_err(|source| CliError::Io { what: format!("cannot use {}", path.display()), source })?;
    match (whole.parent(), whole.file_name()) {
        (Some(dir), Some(name)) => Ok((dir.to_owned(), name.to_owned())),
        _ => Err(CopyError::Unfit(format!("{} is no name for a copy", path.display())).into()),
    }
}
