//! Listings of processes in the manner of ps(1): what is asked for, and how it is shown.
//!
//! Everything that is shown comes from a guest: control characters are taken out of a table, and JSON escapes them.

mod column;
mod read;
#[cfg(test)]
mod tests;
mod time;

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use virtcontainers_agent_client::GuestProcess;

use self::column::Column;
use crate::{
    config::{ConfigError, Problem},
    time::Timestamp,
};

pub(crate) use read::read;

/// How a listing is written (the reference document's `Format`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProcessListFormat {
    /// A JSON array with one object a process, all that is known of it in each.
    Json,
    /// A table with a head, as ps(1) prints it.
    #[default]
    Table,
}

/// What to list (the reference document's `ProcessListOptions`).
///
/// `args` are words of ps(1): `-ef` (as when there are none), `aux`, `-e -o LIST` with columns such as `pid,ppid,args`.
/// All processes of the container are listed in any case. JSON has all columns, whatever is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProcessListOptions {
    /// How it is written.
    pub format: ProcessListFormat,
    /// Words of ps(1).
    pub args: Vec<String>,
}

/// A listing of processes (the reference document's `ProcessList`): JSON or a table, as asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProcessList(pub Vec<u8>);

impl AsRef<[u8]> for ProcessList {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for ProcessList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

/// What a listing needs to know beside the processes.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) now: Timestamp,
    /// The guest's memory, in bytes.
    pub(crate) memory: u64,
    /// Names of the container's users.
    pub(crate) users: BTreeMap<u32, String>,
}

/// A listing that is known to be possible.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct View {
    format: ProcessListFormat,
    columns: Vec<Column>,
}

const SUPPORTED: &str = "ps is served with -ef, aux, or -e and -o followed by a list of: pid, ppid, gpid, uid, user, \
                         gid, stat, s, tty, stime, start, etime, time, pcpu, pmem, c, rss, vsz, nlwp, comm, args";

impl ProcessListOptions {
    /// Reads the words of ps.
    pub(crate) fn view(&self) -> Result<View, ConfigError> {
        let unserved = |word: &str| {
            ConfigError::one("args", Problem::Invalid { found: word.to_owned(), expected: SUPPORTED })
        };
        let (mut full, mut user, mut chosen) = (false, false, Vec::new());
        let mut words = self.args.iter().map(String::as_str);
        while let Some(word) = words.next() {
            let (dash, letters) = word.strip_prefix('-').map_or((false, word), |letters| (true, letters));
            let (flags, list) = match letters.split_once('o') {
                Some((flags, "")) => (flags, Some(words.next().ok_or_else(|| unserved(word))?)),
                Some((flags, list)) => (flags, Some(list)),
                None => (letters, None),
            };
            if letters.is_empty() {
                return Err(unserved(word));
            }
            for flag in flags.chars() {
                match (dash, flag) {
                    (true, 'e' | 'A') | (_, 'a' | 'x' | 'w') => {}
                    (true, 'f') => full = true,
                    (_, 'u') => user = true,
                    _ => return Err(unserved(word)),
                }
            }
            for name in list.into_iter().flat_map(|list| list.split([',', ' '])) {
                chosen.push(Column::named(name).ok_or_else(|| unserved(name))?);
            }
        }
        let columns = match (chosen.is_empty(), full || self.args.is_empty(), user) {
            (false, ..) => chosen,
            (true, true, _) => Column::FULL.to_vec(),
            (true, false, true) => Column::USER.to_vec(),
            (true, false, false) => Column::SHORT.to_vec(),
        };
        Ok(View { format: self.format, columns })
    }
}

impl View {
    /// Writes the listing.
    pub(crate) fn show(&self, processes: &[GuestProcess], setting: &Setting) -> ProcessList {
        match self.format {
            // Numbers and texts only: it cannot fail.
            ProcessListFormat::Json => ProcessList(serde_json::to_vec(processes).unwrap_or_default()),
            ProcessListFormat::Table => ProcessList(self.table(processes, setting).into_bytes()),
        }
    }

    fn table(&self, processes: &[GuestProcess], setting: &Setting) -> String {
        let head = self.columns.iter().map(|column| column.title().to_owned()).collect::<Vec<_>>();
        let row = |process| self.columns.iter().map(|column| plain(&column.show(process, setting))).collect();
        let rows: Vec<Vec<String>> = std::iter::once(head).chain(processes.iter().map(row)).collect();
        let width = |index: usize| {
            let cells = rows.iter().filter_map(|row| row.get(index));
            cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<_> = (0..self.columns.len()).map(width).collect();
        let mut table = String::new();
        for row in &rows {
            let cells = row.iter().zip(&widths).zip(&self.columns).enumerate();
            for (index, ((cell, &width), column)) in cells {
                if index > 0 {
                    table.push(' ');
                }
                match (index + 1 == row.len(), column.is_number()) {
                    (true, false) => table.push_str(cell),
                    (_, true) => table.push_str(&format!("{cell:>width$}")),
                    (false, false) => table.push_str(&format!("{cell:<width$}")),
                }
            }
            table.push('\n');
        }
        table
    }
}

/// Without what could steer a terminal or forge a line.
fn plain(cell: &str) -> String {
    cell.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
