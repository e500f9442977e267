//! Counts the rows of docs/parity.tsv. That the table is complete and true is proved by the library's `parity` test.

use std::{collections::BTreeMap, fmt::Write, fs, io, path::Path};

#[cfg(test)]
mod tests;

/// Why the table cannot be counted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ParityError {
    #[error("cannot read docs/parity.tsv: {0}")]
    Read(#[from] io::Error),
    #[error("docs/parity.tsv:{0}: a row is kind, symbol, status, item, note, separated by tabs")]
    Row(usize),
}

/// Reads the table of the workspace and counts it.
pub(crate) fn summary(root: &Path) -> Result<String, ParityError> {
    count(&fs::read_to_string(root.join("docs/parity.tsv"))?)
}

/// Rows by status, and the planned ones by the area that their note names.
fn count(table: &str) -> Result<String, ParityError> {
    let (mut statuses, mut areas) = (BTreeMap::new(), BTreeMap::new());
    for (number, line) in table.lines().enumerate().skip(1) {
        let [_, _, status, _, note] = line.split('\t').collect::<Vec<_>>()[..] else {
            return Err(ParityError::Row(number + 1));
        };
        *statuses.entry(status).or_insert(0) += 1;
        if status == "planned" {
            *areas.entry(note.split(':').next().unwrap_or(note)).or_insert(0) += 1;
        }
    }
    let mut report = String::new();
    for (name, rows) in statuses.into_iter().chain([("all", table.lines().count().saturating_sub(1))]) {
        // Writing to a String does not fail.
        writeln!(report, "{rows:>4}  {name}").ok();
    }
    for (area, rows) in areas {
        writeln!(report, "{rows:>10}  planned: {area}").ok();
    }
    Ok(report)
}
