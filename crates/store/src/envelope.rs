//! The form of a record: `{"schema":1,"kind":"sandbox","body":{…}}`.

use std::{borrow::Cow, path::PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::StoreError;

/// The schema that this version writes, and the newest that it reads.
pub const SCHEMA: u32 = 1;

/// The largest record, in bytes.
pub const MAX_RECORD_BYTES: u64 = 16 << 20;

/// What a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sandbox,
    Container,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Sandbox => "sandbox",
            Self::Container => "container",
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Envelope<'text> {
    schema: u32,
    #[serde(borrow)]
    kind: Cow<'text, str>,
    #[serde(borrow)]
    body: &'text RawValue,
}

/// All that is certain of a record of any schema.
#[derive(Deserialize)]
struct Head {
    schema: u64,
}

/// One line of a log: an empty line before it ends what another writer may have left in part.
pub(crate) fn seal(kind: Kind, path: impl Fn() -> PathBuf, body: &RawValue) -> Result<Vec<u8>, StoreError> {
    let envelope = Envelope { schema: SCHEMA, kind: Cow::Borrowed(kind.as_str()), body };
    let mut line = Vec::with_capacity(body.get().len() + 64);
    line.push(b'\n');
    serde_json::to_writer(&mut line, &envelope)
        .map_err(|source| StoreError::Encode { what: path().display().to_string(), source })?;
    // Between values it is white space, and within texts it does not occur.
    let body = line.get_mut(1..).unwrap_or_default();
    body.iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = b' ');
    line.push(b'\n');
    if line.len() as u64 > MAX_RECORD_BYTES {
        return Err(StoreError::TooLarge { path: path(), limit: MAX_RECORD_BYTES });
    }
    Ok(line)
}

pub(crate) fn open(
    kind: Kind,
    path: impl Fn() -> PathBuf,
    bytes: &[u8],
) -> Result<Box<RawValue>, StoreError> {
    let newer = |found| StoreError::NewerSchema { path: path(), found, supported: SCHEMA };
    let envelope: Envelope<'_> = serde_json::from_slice(bytes).map_err(|source| {
        // A newer schema may have another form altogether, but for this one field.
        match serde_json::from_slice::<Head>(bytes) {
            Ok(head) if head.schema > u64::from(SCHEMA) => newer(head.schema),
            Ok(_) | Err(_) => StoreError::Corrupt { path: path(), source },
        }
    })?;
    if envelope.schema > SCHEMA {
        return Err(newer(envelope.schema.into()));
    }
    if envelope.kind != kind.as_str() {
        let found = envelope.kind.chars().take(64).collect();
        return Err(StoreError::WrongKind { path: path(), expected: kind.as_str(), found });
    }
    Ok(envelope.body.to_owned())
}
