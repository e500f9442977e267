//! `virtc events`: what happens to sandboxes and containers, as it happens.

use std::time::SystemTime;

use virtcontainers::{Event, EventKind, EventOptions};

use super::open;
use crate::{
    cli::{EventsArgs, Global},
    error::CliError,
    exit::Exit,
    moment, output,
    signals::Heard,
};

pub(super) async fn run(global: &Global, args: EventsArgs) -> Result<Exit, CliError> {
    let filter = Filter::parse(&args.filter)?;
    let (_, runtime) = open(global)?;
    let mut events = runtime.events(EventOptions { oom: true, existing: args.existing })?;
    let mut heard = Heard::ending()?;
    loop {
        let event = tokio::select! {
            event = events.next() => event?,
            // Leaving is how this ends.
            _ = heard.next() => return Ok(Exit::Done),
        };
        if !filter.admits(&event) {
            continue;
        }
        if global.json {
            output::json_line(&event)?;
        } else {
            output::line(told(&event))?;
        }
    }
}

fn told(event: &Event) -> String {
    let time = moment::in_utc(SystemTime::from(event.time));
    let whose = match (&event.sandbox, &event.container) {
        (Some(sandbox), Some(container)) => format!("container {sandbox}/{container}"),
        (Some(sandbox), None) => format!("sandbox {sandbox}"),
        (None, _) => "-".to_owned(),
    };
    let more = if let EventKind::Stopped { code: Some(code) } = &event.kind {
        format!(" code={code}")
    } else {
        String::new()
    };
    format!("{time} {whose} {}{more}", event.kind.as_str())
}

/// Which events are told: for each key any of its values, when there are some.
#[derive(Debug, Default)]
struct Filter {
    sandboxes: Vec<String>,
    containers: Vec<String>,
    kinds: Vec<String>,
}

/// The names of the kinds.
const KINDS: [&str; 8] = ["created", "started", "paused", "resumed", "updated", "stopped", "deleted", "oom"];

impl Filter {
    fn parse(texts: &[String]) -> Result<Self, CliError> {
        let mut filter = Self::default();
        for text in texts {
            let wrong = |why: &str| CliError::Usage(format!("{text:?} is no filter: {why}"));
            let place = match text.split_once('=') {
                Some((_, "")) => return Err(wrong("write a value after the =")),
                Some(("sandbox", _)) => &mut filter.sandboxes,
                Some(("container", _)) => &mut filter.containers,
                Some(("event", kind)) if KINDS.contains(&kind) => &mut filter.kinds,
                Some(("event", _)) => return Err(wrong(&format!("the events are {}", KINDS.join(", ")))),
                Some(_) | None => return Err(wrong("write sandbox=NAME, container=NAME or event=KIND")),
            };
            place.extend(text.split_once('=').map(|(_, value)| value.to_owned()));
        }
        Ok(filter)
    }

    fn admits(&self, event: &Event) -> bool {
        fn any(wanted: &[String], found: Option<&str>) -> bool {
            wanted.is_empty() || found.is_some_and(|found| wanted.iter().any(|wanted| wanted == found))
        }
        // That some may have been missed concerns everybody.
        matches!(event.kind, EventKind::Lost)
            || any(&self.sandboxes, event.sandbox.as_ref().map(|id| id.as_str()))
                && any(&self.containers, event.container.as_ref().map(|id| id.as_str()))
                && any(&self.kinds, Some(event.kind.as_str()))
    }
}
