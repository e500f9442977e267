//! From events to lines.

use std::{
    fmt::{Debug, Write as _},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Map, Value};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

use super::Ring;

/// Bytes of one value.
const MAX_VALUE: usize = 1024;

/// Fields of one line, ours among them.
const MAX_FIELDS: usize = 8;

/// A layer that writes each event into a [`Ring`].
#[derive(Debug)]
pub struct JsonLines {
    ring: Arc<Ring>,
}

impl JsonLines {
    /// Lines go into `ring`.
    #[must_use]
    pub fn new(ring: Arc<Ring>) -> Self {
        Self { ring }
    }
}

impl<S: Subscriber> Layer<S> for JsonLines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        let metadata = event.metadata();
        fields.set("ts", now().into());
        fields.set("level", metadata.level().as_str().into());
        fields.set("target", metadata.target().into());
        event.record(&mut fields);
        self.ring.push(&(Value::Object(fields.values).to_string() + "\n"));
    }
}

/// The time in UTC, as RFC 3339 has it.
fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    timestamp(since.as_secs(), since.subsec_micros())
}

/// `seconds` since the epoch as a date, by the calendar's cycle of 400 years that begin in March.
pub(crate) fn timestamp(seconds: u64, microseconds: u32) -> String {
    const DAYS_TO_MARCH_OF_YEAR_0: u64 = 719_468;
    const DAYS_OF_CYCLE: u64 = 146_097;
    let (days, time) = (seconds / 86_400 + DAYS_TO_MARCH_OF_YEAR_0, seconds % 86_400);
    let (cycle, day) = (days / DAYS_OF_CYCLE, days % DAYS_OF_CYCLE);
    let year_of_cycle = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = cycle * 400 + year_of_cycle + next;
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    format!("{year:04}-{month:02}-{day_of_month:02}T{hour:02}:{minute:02}:{second:02}.{microseconds:06}Z")
}

/// The fields of one event, in their order.
#[derive(Default)]
struct Fields {
    values: Map<String, Value>,
}

impl Fields {
    fn set(&mut self, name: &str, value: Value) {
        if self.values.len() < MAX_FIELDS {
            // What is there first stays: an event's own `level` does not hide the line's.
            self.values.entry(name).or_insert(value);
        }
    }

    fn add(&mut self, field: &Field, value: Value) {
        let name = if field.name() == "message" { "msg" } else { field.name() };
        self.set(name, value);
    }
}

impl Visit for Fields {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let mut text = Bounded::default();
        // Writing to a string ends only by its bound.
        text.write_str(value).ok();
        self.add(field, text.text.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = Bounded::default();
        write!(text, "{value:?}").ok();
        self.add(field, text.text.into());
    }
}

/// A text that takes no more than [`MAX_VALUE`].
#[derive(Default)]
struct Bounded {
    text: String,
}

impl std::fmt::Write for Bounded {
    fn write_str(&mut self, more: &str) -> std::fmt::Result {
        let room = MAX_VALUE - self.text.len();
        let end = (0..=room.min(more.len())).rev().find(|end| more.is_char_boundary(*end)).unwrap_or(0);
        self.text.push_str(&more[..end]);
        if end < more.len() { Err(std::fmt::Error) } else { Ok(()) }
    }
}
