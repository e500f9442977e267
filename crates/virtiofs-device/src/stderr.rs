//! What virtiofsd and this program have to say, as lines on standard error, which is the log of the daemon's role.

use std::io::Write as _;

use log::{LevelFilter, Log, Metadata, Record};

struct Lines;

impl Log for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let line = format!("{} {}: {}\n", record.level(), record.target(), record.args());
            // Where it cannot be told there is nobody to tell that to.
            std::io::stderr().write_all(line.as_bytes()).ok();
        }
    }

    fn flush(&self) {}
}

/// From now on what matters so much is written.
pub(crate) fn tell(level: LevelFilter) {
    // It is the only one, and set once.
    if log::set_logger(&Lines).is_ok() {
        log::set_max_level(level);
    }
}
