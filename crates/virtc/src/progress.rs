//! A sign of life on standard error while something takes long, where somebody looks at a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use virtcontainers_guest_image::{Progress, Stage};

/// A spinner with a message that vanishes when it is dropped; nothing at all when standard error is no terminal.
#[derive(Debug)]
pub(crate) struct Spinner(ProgressBar);

impl Spinner {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        let bar = if rustix::termios::isatty(std::io::stderr()) {
            ProgressBar::new_spinner()
        } else {
            ProgressBar::hidden()
        };
        bar.set_message(message.into());
        bar.enable_steady_tick(Duration::from_millis(120));
        Self(bar)
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Bars of a guest image's build, one a stage.
#[derive(Debug)]
pub(crate) struct BuildBars {
    current: ProgressBar,
    shown: bool,
}

impl BuildBars {
    pub(crate) fn new() -> Self {
        Self { current: ProgressBar::hidden(), shown: rustix::termios::isatty(std::io::stderr()) }
    }
}

impl Progress for BuildBars {
    fn begin(&mut self, stage: Stage, total: Option<u64>) {
        self.current.finish_and_clear();
        if !self.shown {
            return;
        }
        self.current = match total {
            Some(total) => ProgressBar::new(total).with_style(bar_style()),
            None => ProgressBar::new_spinner(),
        };
        self.current.set_message(stage.as_str());
        self.current.enable_steady_tick(Duration::from_millis(120));
    }

    fn advance(&mut self, bytes: u64) {
        self.current.inc(bytes);
    }
}

impl Drop for BuildBars {
    fn drop(&mut self) {
        self.current.finish_and_clear();
    }
}

fn bar_style() -> ProgressStyle {
    ProgressStyle::with_template("{msg:40} {wide_bar} {bytes}/{total_bytes} {eta}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}
