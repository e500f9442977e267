//! The form of a record: `{"schema":1,"kind":"sandbox","sum":"1a2b3c4d","body":{…}}`.
//!
//! The sum is the CRC-32 of all else, so that a record in which a bit has changed is read as damaged and never as another
//! one. Records of before there were sums are read as well.
//!
//! A record of an older schema is turned into one of this version's when it is read (`STEPS`), and written as such the
//! next time.

use std::{borrow::Cow, path::PathBuf};

use serde::{Deserialize, Serialize, de::Error as _};
use serde_json::value::RawValue;

use crate::StoreError;

/// The schema that this version writes, and the newest that it reads.
pub const SCHEMA: u32 = 1;

/// The largest record, in bytes.
pub const MAX_RECORD_BYTES: u64 = 16 << 20;

/// Turns the body of a record of one schema into the next one's. What it cannot turn is damaged.
type Step = fn(Kind, serde_json::Value) -> Result<serde_json::Value, serde_json::Error>;

/// The way from each older schema to the next, from schema 1 on: with a new [`SCHEMA`] comes the step to it, and a kept
/// record of the old one in `crates/virtcontainers/tests/records`.
const STEPS: [Step; SCHEMA as usize - 1] = [];

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
#[serde(deny_unknown_fields)]
struct Envelope<'text> {
    schema: u32,
    #[serde(borrow)]
    kind: Cow<'text, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    sum: Option<Cow<'text, str>>,
    #[serde(borrow)]
    body: &'text RawValue,
}

impl Envelope<'_> {
    fn right_sum(&self) -> String {
        let mut sum = crc32fast::Hasher::new();
        sum.update(&self.schema.to_le_bytes());
        sum.update(self.kind.as_bytes());
        sum.update(&[0]);
        sum.update(self.body.get().as_bytes());
        format!("{:08x}", sum.finalize())
    }
}

/// All that is certain of a record of any schema.
#[derive(Deserialize)]
struct Head {
    schema: u64,
}

/// One line of a log: an empty line before it ends what another writer may have left in part.
pub(crate) fn seal(kind: Kind, path: impl Fn() -> PathBuf, body: &RawValue) -> Result<Vec<u8>, StoreError> {
    let failed = |source| StoreError::Encode { what: path().display().to_string(), source };
    // Between values a line feed is white space, and within texts it does not occur.
    let one_line = body.get().contains('\n').then(|| RawValue::from_string(body.get().replace('\n', " ")));
    let one_line = one_line.transpose().map_err(failed)?;
    let body = one_line.as_deref().unwrap_or(body);
    let mut envelope = Envelope { schema: SCHEMA, kind: Cow::Borrowed(kind.as_str()), sum: None, body };
    envelope.sum = Some(envelope.right_sum().into());
    let mut line = Vec::with_capacity(body.get().len() + 80);
    line.push(b'\n');
    serde_json::to_writer(&mut line, &envelope).map_err(failed)?;
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
    open_by(&STEPS, kind, path, bytes)
}

/// [`open`] for a version that knows these steps, and so the schema after the last of them.
fn open_by(
    steps: &[Step],
    kind: Kind,
    path: impl Fn() -> PathBuf,
    bytes: &[u8],
) -> Result<Box<RawValue>, StoreError> {
    let supported = u32::try_from(steps.len()).unwrap_or(u32::MAX).saturating_add(1);
    let newer = |found| StoreError::NewerSchema { path: path(), found, supported };
    let envelope: Envelope<'_> = serde_json::from_slice(bytes).map_err(|source| {
        // A newer schema may have another form altogether, but for this one field.
        match serde_json::from_slice::<Head>(bytes) {
            Ok(head) if head.schema > u64::from(supported) => newer(head.schema),
            Ok(_) | Err(_) => StoreError::Corrupt { path: path(), source },
        }
    })?;
    if envelope.schema > supported {
        return Err(newer(envelope.schema.into()));
    }
    if envelope.sum.as_ref().is_some_and(|sum| **sum != envelope.right_sum()) {
        let source = serde_json::Error::custom("its sum is of something else");
        return Err(StoreError::Corrupt { path: path(), source });
    }
    if envelope.kind != kind.as_str() {
        let found = envelope.kind.chars().take(64).collect();
        return Err(StoreError::WrongKind { path: path(), expected: kind.as_str(), found });
    }
    // There is no schema 0; what says so was never migrated from one.
    let behind = steps.iter().skip(usize::try_from(envelope.schema).unwrap_or(0).saturating_sub(1));
    migrate(behind, kind, envelope.body).map_err(|source| StoreError::Corrupt { path: path(), source })
}

fn migrate<'step>(
    steps: impl ExactSizeIterator<Item = &'step Step>,
    kind: Kind,
    body: &RawValue,
) -> Result<Box<RawValue>, serde_json::Error> {
    if steps.len() == 0 {
        return Ok(body.to_owned());
    }
    let body =
        steps.into_iter().try_fold(serde_json::from_str(body.get())?, |body, step| step(kind, body))?;
    serde_json::value::to_raw_value(&body)
}

/// Whether these bytes can be the beginning of a line that its writer did not end.
pub(crate) fn may_be_torn(bytes: &[u8]) -> bool {
    match serde_json::from_slice::<serde::de::IgnoredAny>(bytes) {
        Ok(_) => true,
        Err(error) => error.is_eof(),
    }
}

#[cfg(test)]
mod tests;
