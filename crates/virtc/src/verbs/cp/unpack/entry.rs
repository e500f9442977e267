//! What describes an entry of an archive: its header, and the GNU and PAX entries before it that say what does not fit
//! there. All of it is bounded, which is why the tar crate's own reading of those is not used.

use std::{
    ffi::{OsStr, OsString},
    io::Read,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::PathBuf,
};

use tar::{Entry, EntryType, Header, PaxExtensions};

use super::UnpackError;

/// The longest name that Linux takes, with room for what tools put around it.
const NAME: u64 = 8 * 1024;
/// The longest PAX description: a name, a link and some attributes.
const PAX: u64 = 64 * 1024;

/// An entry, described.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) kind: EntryType,
    /// The components of its name: never empty ones, `.` or `..`.
    pub(super) name: Vec<OsString>,
    pub(super) link: PathBuf,
    pub(super) size: u64,
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
    pub(super) mtime: u64,
}

/// What has been said of the next entry before it comes.
#[derive(Debug, Default)]
pub(super) struct Descriptions {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

impl Descriptions {
    /// Takes the next raw entry: none when it only describes another.
    pub(super) fn take(
        &mut self,
        entry: &mut Entry<'_, impl Read>,
    ) -> Result<Option<Described>, UnpackError> {
        let kind = entry.header().entry_type();
        if kind.is_gnu_longname() {
            self.name = Some(until_nul(read(entry, NAME)?));
        } else if kind.is_gnu_longlink() {
            self.link = Some(until_nul(read(entry, NAME)?));
        } else if kind.is_pax_local_extensions() {
            self.pax(&read(entry, PAX)?)?;
        } else if kind.is_pax_global_extensions() {
            drop(read(entry, PAX)?);
        } else {
            return std::mem::take(self).describe(entry.header()).map(Some);
        }
        Ok(None)
    }

    fn pax(&mut self, text: &[u8]) -> Result<(), UnpackError> {
        for record in PaxExtensions::new(text) {
            let record = record.map_err(UnpackError::Read)?;
            match record.key_bytes() {
                b"path" => self.name = Some(record.value_bytes().to_vec()),
                b"linkpath" => self.link = Some(record.value_bytes().to_vec()),
                b"size" => {
                    let size =
                        std::str::from_utf8(record.value_bytes()).ok().and_then(|text| text.parse().ok());
                    self.size = Some(
                        size.ok_or_else(|| UnpackError::Refused("a size that is no number".to_owned()))?,
                    );
                }
                // Times to the nanosecond, names of owners, attributes: the header says enough.
                _ => {}
            }
        }
        Ok(())
    }

    fn describe(self, header: &Header) -> Result<Described, UnpackError> {
        let read = UnpackError::Read;
        let size = header.entry_size().map_err(read)?;
        if self.size.is_some_and(|said| said != size) {
            return Err(UnpackError::Refused(
                "a file of 8 GiB or more in the PAX format: let the container's tar use --format=gnu"
                    .to_owned(),
            ));
        }
        let name = self.name.unwrap_or_else(|| header.path_bytes().into_owned());
        let link = match self.link {
            Some(link) => link,
            None => header.link_name_bytes().map(std::borrow::Cow::into_owned).unwrap_or_default(),
        };
        Ok(Described {
            kind: header.entry_type(),
            name: components(OsStr::from_bytes(&name))?,
            link: OsString::from_vec(link).into(),
            size,
            mode: header.mode().map_err(read)?,
            uid: header.uid().map_err(read)?,
            gid: header.gid().map_err(read)?,
            mtime: header.mtime().map_err(read)?,
        })
    }
}

/// The components of a name in an archive.
pub(super) fn components(name: &OsStr) -> Result<Vec<OsString>, UnpackError> {
    let bytes = name.as_bytes();
    let refused = |why: &str| Err(UnpackError::Refused(format!("{why}: {name:?}")));
    if bytes.len() as u64 > NAME {
        return refused("a name that is too long");
    }
    if bytes.starts_with(b"/") {
        return refused("an absolute name");
    }
    if bytes.contains(&0) {
        return refused("a name with a zero byte");
    }
    let mut components = Vec::new();
    for component in bytes.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => return refused("a name that leads out of the copy"),
            name => components.push(OsString::from_vec(name.to_vec())),
        }
    }
    Ok(components)
}

/// Reads an entry's whole content, which describes another.
fn read(entry: &mut Entry<'_, impl Read>, most: u64) -> Result<Vec<u8>, UnpackError> {
    let size = entry.header().entry_size().map_err(UnpackError::Read)?;
    if size > most {
        return Err(UnpackError::Refused(format!(
            "{size} bytes of description for one entry, where {most} are enough"
        )));
    }
    let mut content = Vec::new();
    entry.take(most).read_to_end(&mut content).map_err(UnpackError::Read)?;
    Ok(content)
}

fn until_nul(mut text: Vec<u8>) -> Vec<u8> {
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    text.truncate(end);
    text
}
