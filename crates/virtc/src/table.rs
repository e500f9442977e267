//! Rows under headings, for people: aligned, and no wider than their terminal.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::output::printable;

/// Between two columns.
const GAP: usize = 2;
/// A column is not made narrower than this.
const LEAST: usize = 8;

/// The table's lines, the headings first. Where they would be wider than `width`, the widest columns give way and their
/// cells end in an ellipsis.
pub(crate) fn lines<const N: usize>(
    headings: [&str; N],
    rows: &[[String; N]],
    width: Option<usize>,
) -> Vec<String> {
    // What comes from a guest must neither break a line nor steer the terminal.
    let rows: Vec<[String; N]> = rows
        .iter()
        .map(|row| row.each_ref().map(|cell| printable(cell).replace(['\n', '\t'], " ")))
        .collect();
    let mut widths = headings.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    if let Some(width) = width {
        narrow(&mut widths, width);
    }
    let line = |cells: [&str; N]| {
        let padded: Vec<_> =
            cells.iter().zip(widths).map(|(cell, width)| pad(&cut(cell, width), width)).collect();
        padded.join(&" ".repeat(GAP)).trim_end().to_owned()
    };
    std::iter::once(line(headings))
        .chain(rows.iter().map(|row| line(row.each_ref().map(String::as_str))))
        .collect()
}

/// Takes from the widest column until all fit, or none can give any more.
fn narrow(widths: &mut [usize], most: usize) {
    let mut whole: usize = widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
    while whole > most {
        // Of equally wide ones the last: what comes first is the name.
        let Some(widest) = widths.iter_mut().filter(|width| **width > LEAST).max_by_key(|width| **width)
        else {
            return;
        };
        *widest -= 1;
        whole -= 1;
    }
}

/// The text, or its beginning and an ellipsis.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut room = width.saturating_sub(1);
    for char in text.chars() {
        let taken = char.width().unwrap_or(0);
        if taken > room {
            break;
        }
        room -= taken;
        kept.push(char);
    }
    kept.push('…');
    kept
}

fn pad(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(text.width())))
}

#[cfg(test)]
mod tests;
