//! The agent's log: JSON lines, `{"ts","level","target","msg",…fields}`, kept in a bounded [`Ring`] from which any
//! number of followers read, each at its own pace.
//!
//! Invariants: writing a line never waits for a follower; all of the log together takes at most [`ring::CAPACITY`].

pub(crate) mod layer;
pub mod ring;

use std::{
    io,
    sync::{Arc, LazyLock},
};

use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{Layer as _, layer::SubscriberExt as _, util::SubscriberInitExt as _};

pub use layer::JsonLines;
pub use ring::Ring;

use crate::init::cmdline::Cmdline;

/// The log of this process.
static RING: LazyLock<Arc<Ring>> = LazyLock::new(Arc::default);

/// The log of this process.
#[must_use]
pub fn ring() -> &'static Arc<Ring> {
    &RING
}

/// Starts the log of this process; panics go into it too. `vc.debug` shows it on the console as well.
pub fn start(cmdline: &Cmdline) {
    let level = level(cmdline);
    let console = cmdline.debug().then(|| {
        let console = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(false);
        console.with_filter(LevelFilter::DEBUG)
    });
    let lines = JsonLines::new(Arc::clone(ring())).with_filter(level);
    // A second log is refused, and then the first one goes on.
    tracing_subscriber::registry().with(lines).with(console).try_init().ok();
    let to_console = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tracing::error!(place = panic.location().map(tracing::field::display), "a panic: {panic}");
        to_console(panic);
    }));
}

/// From which level on lines are kept: `agent.log`, else debug with `vc.debug`, else info.
#[must_use]
pub fn level(cmdline: &Cmdline) -> LevelFilter {
    let asked = cmdline.log_level().and_then(|level| match level {
        // The words of kata-agent that tracing does not have.
        "critical" => Some(LevelFilter::ERROR),
        "warning" => Some(LevelFilter::WARN),
        other => other.parse().ok(),
    });
    asked.unwrap_or(if cmdline.debug() { LevelFilter::DEBUG } else { LevelFilter::INFO })
}

/// Writes the log to `to`, what is kept and then what follows, until `to` is closed. A reader that falls behind so far
/// that lines are gone gets a line that says how many.
///
/// # Errors
/// Those of `to`.
pub async fn follow(ring: &Ring, mut to: impl AsyncWrite + Unpin) -> io::Result<()> {
    let mut next = 0;
    loop {
        let batch = ring.after(next).await;
        if batch.lost > 0 {
            let line = serde_json::json!({ "level": "WARN", "target": module_path!(), "msg": "lines were lost", "lost": batch.lost });
            to.write_all(format!("{line}\n").as_bytes()).await?;
        }
        to.write_all(batch.text.as_bytes()).await?;
        to.flush().await?;
        next = batch.next;
    }
}
