//! The form of a record: `{"schema":1,"kind":"sandbox","body":{…}}`.

use std::{borrow::Cow, path::Path};

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

pub(crate) fn seal(kind: Kind, path: &Path, body: &RawValue) -> Result<Vec<u8>, StoreError> {
    let envelope = Envelope { schema: SCHEMA, kind: Cow::Borrowed(kind.as_str()), body };
    let bytes = serde_json::to_vec(&envelope)
        .map_err(|source| StoreError::Encode { what: path.display().to_string(), source })?;
    if bytes.len() as u64 > MAX_RECORD_BYTES {
        return Err(StoreError::TooLarge { path: path.to_owned(), limit: MAX_RECORD_BYTES });
    }
    Ok(bytes)
}

pub(crate) fn open(kind: Kind, path: &Path, bytes: &[u8]) -> Result<Box<RawValue>, StoreError> {
    let newer = |found| StoreError::NewerSchema { path: path.to_owned(), found, supported: SCHEMA };
    let envelope: Envelope<'_> = serde_json::from_slice(bytes).map_err(|source| {
        // A newer schema may have another form altogether, but for this one field.
        match serde_json::from_slice::<Head>(bytes) {
            Ok(head) if head.schema > u64::from(SCHEMA) => newer(head.schema),
            Ok(_) | Err(_) => StoreError::Corrupt { path: path.to_owned(), source },
        }
    })?;
    if envelope.schema > SCHEMA {
        return Err(newer(envelope.schema.into()));
    }
    if envelope.kind != kind.as_str() {
        let found = envelope.kind.chars().take(64).collect();
        return Err(StoreError::WrongKind { path: path.to_owned(), expected: kind.as_str(), found });
    }
    Ok(envelope.body.to_owned())
}
