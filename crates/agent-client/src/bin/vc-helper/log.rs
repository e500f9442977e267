//! Warnings and errors as lines on standard error, which is the log of the helper's role. A subscriber of its own,
//! because the usual ones would be most of this program.

use std::{
    error::Error,
    fmt::{self, Write as _},
    io::Write as _,
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

/// From now on warnings are written.
pub(crate) fn start() {
    // It is the only subscriber, and set once.
    tracing::subscriber::set_global_default(Lines).ok();
}

/// Writes an error with all that is behind it.
pub(crate) fn complain(error: &dyn Error) {
    write(Level::ERROR, &chain(error));
}

fn chain(error: &dyn Error) -> String {
    let mut told = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        told.push_str(": ");
        told.push_str(&error.to_string());
        source = error.source();
    }
    told
}

fn write(level: Level, told: &str) {
    let line = format!("{level} {} {told}\n", std::process::id());
    // Where it cannot be told there is nobody to tell that to.
    std::io::stderr().write_all(line.as_bytes()).ok();
}

struct Lines;

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN && metadata.is_event()
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(tracing::level_filters::LevelFilter::WARN)
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields(String::new());
        event.record(&mut fields);
        write(*event.metadata().level(), fields.0.trim());
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// The fields of an event, in words.
struct Fields(String);

impl Fields {
    fn add(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        match field.name() {
            "message" => write!(self.0, " {value}").ok(),
            name => write!(self.0, " {name}={value}").ok(),
        };
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, format_args!("{value}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.add(field, format_args!("{}", chain(value)));
    }
}
