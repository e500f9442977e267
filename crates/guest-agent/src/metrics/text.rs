//! Prometheus' text format.

use std::fmt::Write as _;

/// Bytes of the whole text: it fits one message.
const MAX: usize = 1 << 20;

/// A text under way. A family without samples leaves no trace.
#[derive(Debug, Default)]
pub(super) struct Text {
    text: String,
    name: &'static str,
    /// Written before the family's first sample.
    heading: String,
}

impl Text {
    /// Begins a family; the samples that follow are its.
    pub(super) fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.name = name;
        self.heading = format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// A sample of the family. What goes beyond the text's bound is left out.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: f64) {
        let mut line = std::mem::take(&mut self.heading);
        line.push_str(self.name);
        for (index, (label, text)) in labels.iter().enumerate() {
            line.push(if index == 0 { '{' } else { ',' });
            // Writing to a string does not fail.
            write!(line, "{label}=\"{}\"", escape(text)).ok();
        }
        line.push_str(if labels.is_empty() { "" } else { "}" });
        writeln!(line, " {value}").ok();
        if self.text.len() + line.len() <= MAX {
            self.text.push_str(&line);
        }
    }

    /// A family of one.
    pub(super) fn one(&mut self, name: &'static str, kind: &str, help: &str, value: f64) {
        self.family(name, kind, help);
        self.sample(&[], value);
    }

    pub(super) fn finish(self) -> String {
        self.text
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
