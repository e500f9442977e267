//! The shim itself: one future that ends when its process has ended, or the virtual machine has.

use std::{
    convert::Infallible,
    io,
    os::{fd::AsFd as _, unix::net::UnixStream as Control},
    sync::Arc,
    time::Duration,
};

use futures::{
    FutureExt as _,
    future::{FusedFuture as _, join},
};
use tokio::{
    net::UnixListener,
    signal::unix::{Signal, SignalKind, signal},
    time::timeout,
};

use super::{
    ExitRecord, ShimError, ShimOptions,
    attach::{self, Desk},
    frame::Event,
    keep,
    link::Link,
    process,
    record::{Recorder, told},
};
use crate::{
    connector::{AgentConnector, KataConnector},
    error::AgentError,
    io::{CHUNK, OutputStream},
};

/// How long the beginning of a line waits for its end before it is written as a piece.
const LINE_TIME: Duration = Duration::from_millis(500);
/// How long the outputs may stay silent after the process's end before they are taken to be at theirs: a child that it
/// left behind may hold them open.
const SILENCE: Duration = Duration::from_secs(2);
/// The exit code of a shim whose process's end nobody will learn.
const UNKNOWN: u8 = 255;

/// A shim at work.
#[derive(Debug)]
pub struct Attend {
    options: ShimOptions,
    link: Link,
    recorder: Recorder,
    listener: UnixListener,
    signals: Vec<(SignalKind, Signal)>,
}

impl Attend {
    /// Takes up everything that is needed to attend to the process, but nothing of the process. Within a tokio runtime.
    ///
    /// # Errors
    /// [`ShimError`]: a log that cannot be opened, an agent that cannot be reached.
    pub async fn new(
        options: ShimOptions,
        connector: Arc<dyn AgentConnector>,
        listener: std::os::unix::net::UnixListener,
    ) -> Result<Self, ShimError> {
        listener.set_nonblocking(true).map_err(ShimError::Runtime)?;
        let listener = UnixListener::from_std(listener).map_err(ShimError::Runtime)?;
        let forwarded = [
            SignalKind::terminate(),
            SignalKind::interrupt(),
            SignalKind::hangup(),
            SignalKind::quit(),
            SignalKind::user_defined1(),
            SignalKind::user_defined2(),
        ];
        let signals = forwarded.into_iter().map(|kind| Ok((kind, signal(kind)?))).collect::<io::Result<_>>();
        let signals = signals.map_err(ShimError::Runtime)?;
        let recorder = Recorder::new(&options)?;
        let link = Link::new(connector, options.agent.clone()).await?;
        Ok(Self { options, link, recorder, listener, signals })
    }

    /// Attends to the process until its end: its exit code, which is in its exit file by then.
    ///
    /// # Errors
    /// [`ShimError::MachineGone`]; an agent that does not know the process.
    pub async fn run(mut self) -> Result<i32, ShimError> {
        let mut signals = std::mem::take(&mut self.signals);
        let Self { options, link, recorder, listener, .. } = &self;
        let (input, pieces) = attach::input();
        let desk = Desk { options, link, recorder, input: &input };
        let whole = async {
            let code = self.end().await?;
            told("write the exit file", ExitRecord::now(code).write(&options.dir, &options.exec));
            Ok(code)
        };
        let ended = async {
            let code = tokio::select! {
                biased;
                code = whole => code,
                gone = self.machine_gone() => Err(gone),
                never = forward(options, link, &mut signals) => match never {},
                never = keep::keep(options) => match never {},
            };
            recorder.hub.finish(code.as_ref().ok().map(|code| Event::exit(*code)).as_ref());
            code
        };
        tokio::select! {
            biased;
            code = attach::serve(desk, listener, ended) => code,
            never = attach::feed(options, link, pieces) => match never {},
        }
    }

    /// The process's end, after all of its output.
    async fn end(&self) -> Result<i32, AgentError> {
        let Self { options, link, recorder, .. } = self;
        let (container, exec) = (&options.container, &options.exec);
        let ask = || link.ask(|agent| async move { agent.wait_process(container, exec).await });
        let outputs = join(self.pump(OutputStream::Stdout), self.pump(OutputStream::Stderr)).map(drop);
        let mut outputs = std::pin::pin!(outputs.fuse());
        let code = if options.outputs_first {
            outputs.as_mut().await;
            ask().await
        } else {
            let mut asked = std::pin::pin!(ask());
            loop {
                tokio::select! {
                    biased;
                    () = &mut outputs => {}
                    code = &mut asked => break code,
                }
            }
        };
        while !outputs.is_terminated() {
            let before = recorder.chunks();
            let silent = timeout(SILENCE, &mut outputs).await.is_err();
            if silent && recorder.chunks() == before {
                break;
            }
        }
        recorder.flush(OutputStream::Stdout);
        recorder.flush(OutputStream::Stderr);
        code
    }

    /// Records one output to its end.
    async fn pump(&self, stream: OutputStream) {
        let Self { options, link, recorder, .. } = self;
        let (container, exec) = (&options.container, &options.exec);
        loop {
            let ask = link.ask(|agent| async move {
                match stream {
                    OutputStream::Stdout => agent.read_stdout(container, exec, CHUNK as u32).await,
                    OutputStream::Stderr => agent.read_stderr(container, exec, CHUNK as u32).await,
                }
            });
            let mut ask = std::pin::pin!(ask);
            let read = loop {
                if !recorder.has_begun(stream) {
                    break ask.await;
                }
                match timeout(LINE_TIME, &mut ask).await {
                    Ok(read) => break read,
                    Err(_elapsed) => recorder.flush(stream),
                }
            };
            match read {
                Ok(data) if data.is_empty() => return,
                Ok(data) => recorder.push(stream, &data),
                Err(error) => return tracing::warn!(%error, ?stream, "an output cannot be read"),
            }
        }
    }

    /// Resolves when the virtual machine has ended.
    async fn machine_gone(&self) -> ShimError {
        let Some(vmm) = self.options.vmm else { return std::future::pending().await };
        match vmm.open() {
            Ok(None) => ShimError::MachineGone,
            Ok(Some(pidfd)) => match pidfd.exited().await {
                Ok(()) => ShimError::MachineGone,
                Err(error) => ShimError::Runtime(error),
            },
            Err(error) => ShimError::Runtime(error),
        }
    }
}

/// Passes on the signals that this process receives; never returns.
async fn forward(options: &ShimOptions, link: &Link, signals: &mut [(SignalKind, Signal)]) -> Infallible {
    let (container, exec) = (&options.container, &options.exec);
    loop {
        let next = signals.iter_mut().map(|(kind, heard)| {
            let kind = *kind;
            Box::pin(async move {
                heard.recv().await;
                kind
            })
        });
        let (kind, ..) = futures::future::select_all(next).await;
        let number = u32::try_from(kind.as_raw_value()).unwrap_or(0);
        let sent = link.ask(|agent| async move { agent.signal_process(container, Some(exec), number).await });
        if let Err(error) = sent.await {
            tracing::debug!(%error, number, "the process did not take a signal");
        }
    }
}

/// The whole of a shim process, as [`ShimProcess`](super::ShimProcess) starts it: with the socket for clients as standard
/// input and its starter on standard output. Makes its own runtime on this thread. Gives back the code to exit with.
///
/// # Errors
/// When it cannot begin; its starter is told too.
pub fn run_inherited() -> Result<u8, ShimError> {
    let listener = io::stdin().as_fd().try_clone_to_owned().map_err(ShimError::Runtime)?.into();
    let control = Control::from(io::stdout().as_fd().try_clone_to_owned().map_err(ShimError::Runtime)?);
    control.set_nonblocking(false).map_err(ShimError::Runtime)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ShimError::Runtime)?;
    let begun = process::read_options(&control).and_then(|options| {
        runtime.block_on(Attend::new(options, Arc::new(KataConnector::default()), listener))
    });
    let attend = match begun {
        Ok(attend) => attend,
        Err(error) => {
            process::refuse(&control, &error).ok(); // it hears of the end in any case
            return Err(error);
        }
    };
    process::await_go(&control)?;
    drop(control);
    let ended = runtime.block_on(attend.run());
    runtime.shutdown_background();
    match ended {
        Ok(code) => Ok(u8::try_from(code).unwrap_or(UNKNOWN)),
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "how the process ended is not known");
            Ok(UNKNOWN)
        }
    }
}
