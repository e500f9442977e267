//! `virtc logs`: what a command, the guest or its hypervisor has printed.

use std::io::{self, Write as _};

use virtcontainers::{
    Container, KillScope, LogLine, LogOptions, LogSource, Logs, OutputStream, Signal, Timestamp,
};

use super::open;
use crate::{
    cli::{Global, LogsArgs, Source},
    error::CliError,
    exit::Exit,
    moment, output,
    signals::Heard,
};

pub(super) async fn run(global: &Global, args: LogsArgs) -> Result<Exit, CliError> {
    if args.exec.is_some() && args.source != Source::Container {
        return Err(CliError::Usage(
            "--exec goes with the logs of a container only: leave --source out".to_owned(),
        ));
    }
    let (_, runtime) = open(global)?;
    let options = LogOptions {
        exec: args.exec.clone(),
        follow: args.follow,
        since: args.since.map(Timestamp::from),
        tail: args.tail,
    };
    let source = match args.source {
        Source::Container => None,
        Source::Agent => Some(LogSource::Agent),
        Source::Console => Some(LogSource::Console),
        Source::Vmm => Some(LogSource::Vmm),
    };
    let logs = match source {
        None => args.target.find(&runtime).await?.logs(options).await?,
        Some(source) => runtime.fetch_sandbox(&args.target.sandbox).await?.logs(source, options).await?,
    };
    show(global, logs, args.timestamps).await
}

/// Shows what a container's command prints until it ends, passes signals on, and exits with its code.
pub(super) async fn follow(global: &Global, container: &Container) -> Result<Exit, CliError> {
    let logs = container.logs(LogOptions { follow: true, ..LogOptions::default() }).await?;
    let signals = async {
        let mut heard = Heard::for_the_command()?;
        loop {
            let number = heard.next().await;
            let Some(signal) = u32::try_from(number).ok().and_then(Signal::from_number) else { continue };
            if let Err(error) = container.kill(signal, KillScope::Init).await {
                tracing::debug!(%error, %signal, "the command did not take a signal");
            }
        }
    };
    let ended = async {
        show(global, logs, false).await?;
        Ok(Exit::Code(container.wait().await?))
    };
    tokio::select! {
        ended = ended => ended,
        never = signals => never,
    }
}

async fn show(global: &Global, mut logs: Logs, timestamps: bool) -> Result<Exit, CliError> {
    // Whether a line was begun on each stream: a time belongs before its first part only.
    let mut begun = [false; 2];
    while let Some(line) = logs.next().await? {
        if global.json {
            output::json_line(&as_json(&line))?;
            continue;
        }
        let to_stderr = line.stream == Some(OutputStream::Stderr);
        let begun = &mut begun[usize::from(to_stderr)];
        let text = text(&line, timestamps && !*begun);
        *begun = line.partial;
        if to_stderr {
            // As with the command itself: nobody who reads standard output need be there for this.
            io::stderr().lock().write_all(&text).ok();
        } else {
            output::bytes(&text)?;
        }
    }
    Ok(Exit::Done)
}

fn text(line: &LogLine, timestamp: bool) -> Vec<u8> {
    let mut text = match line.time {
        Some(time) if timestamp => format!("{} ", moment::in_utc(time)).into_bytes(),
        Some(_) | None => Vec::new(),
    };
    text.extend_from_slice(&line.text);
    if !line.partial {
        text.push(b'\n');
    }
    text
}

fn as_json(line: &LogLine) -> serde_json::Value {
    let stream = line.stream.map(|stream| match stream {
        OutputStream::Stdout => "stdout",
        OutputStream::Stderr => "stderr",
    });
    serde_json::json!({
        "time": line.time.map(moment::in_utc),
        "stream": stream,
        "partial": line.partial,
        "text": String::from_utf8_lossy(&line.text),
    })
}
