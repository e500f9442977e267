//! The kernel's command line.

use std::{fs, io};

use virtcontainers_agent_protocol::{kernel_parameters, ports};

/// Where the kernel shows it.
pub const PATH: &str = "/proc/cmdline";

/// How the host reaches the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transports {
    /// `vc.transport=vsock`.
    Vsock,
    /// `vc.transport=serial`.
    Serial,
    /// Not said, or not understood: whatever is there.
    Any,
}

/// The parameters, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cmdline {
    parameters: Vec<(String, Option<String>)>,
}

impl Cmdline {
    /// That of the running kernel.
    ///
    /// # Errors
    /// When `/proc` is not mounted.
    pub fn read() -> io::Result<Self> {
        Ok(Self::parse(&fs::read_to_string(PATH)?))
    }

    /// Takes a command line apart; double quotes protect blanks, `--` ends what is the kernel's and ours.
    #[must_use]
    pub fn parse(line: &str) -> Self {
        let mut words = vec![String::new()];
        let mut quoted = false;
        for character in line.trim().chars() {
            match character {
                '"' => quoted = !quoted,
                blank if blank.is_whitespace() && !quoted => words.push(String::new()),
                other => words.extend_last(other),
            }
        }
        let parameters = words
            .into_iter()
            .filter(|word| !word.is_empty())
            .take_while(|word| word != "--")
            .map(|word| match word.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (word, None),
            })
            .collect();
        Self { parameters }
    }

    /// The last value given to `name`.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.parameters.iter().rev().find(|(other, _)| other == name).and_then(|(_, value)| value.as_deref())
    }

    /// Whether `name` is there, with or without a value.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.parameters.iter().any(|(other, _)| other == name)
    }

    /// How the host reaches the agent.
    #[must_use]
    pub fn transports(&self) -> Transports {
        match self.value(kernel_parameters::TRANSPORT) {
            Some(kernel_parameters::TRANSPORT_VSOCK) => Transports::Vsock,
            Some(kernel_parameters::TRANSPORT_SERIAL) => Transports::Serial,
            Some(_) | None => Transports::Any,
        }
    }

    /// The host's port for the announcement, if it wants one.
    #[must_use]
    pub fn announce(&self) -> Option<u32> {
        self.value(kernel_parameters::ANNOUNCE)?.parse().ok()
    }

    /// Whether the agent is to log more.
    #[must_use]
    pub fn debug(&self) -> bool {
        self.has(kernel_parameters::DEBUG)
    }

    /// The level from which on the agent is to log, as it was given.
    #[must_use]
    pub fn log_level(&self) -> Option<&str> {
        self.value(kernel_parameters::KATA_LOG)
    }

    /// The vsock port of the log.
    #[must_use]
    pub fn log_port(&self) -> u32 {
        self.port(kernel_parameters::KATA_LOG_PORT).unwrap_or(ports::AGENT_LOG)
    }

    /// The vsock port of the debug console, if there shall be one.
    #[must_use]
    pub fn debug_console_port(&self) -> Option<u32> {
        let asked =
            self.has(kernel_parameters::DEBUG_CONSOLE) || self.has(kernel_parameters::KATA_DEBUG_CONSOLE);
        asked.then(|| self.port(kernel_parameters::KATA_DEBUG_CONSOLE_PORT).unwrap_or(ports::DEBUG_CONSOLE))
    }

    /// The size of the pipes of a container's processes in bytes, if it is chosen; zero is no choice.
    #[must_use]
    pub fn container_pipe_size(&self) -> Option<usize> {
        self.value(kernel_parameters::KATA_CONTAINER_PIPE_SIZE)?.parse().ok().filter(|size| *size != 0)
    }

    /// A port other than 0, which says that there is none of one's own.
    fn port(&self, name: &str) -> Option<u32> {
        self.value(name)?.parse().ok().filter(|port| *port != 0)
    }

    /// The parameters of module `name` (`<module>.<parameter>=<value>`), as finit_module(2) wants them. Dashes and
    /// underscores in a module's name are the same.
    #[must_use]
    pub fn of_module(&self, name: &str) -> String {
        let same = |other: &str| other.replace('-', "_") == name.replace('-', "_");
        let mut text = String::new();
        for (key, value) in &self.parameters {
            let Some((module, parameter)) = key.split_once('.') else { continue };
            if !same(module) {
                continue;
            }
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(parameter);
            if let Some(value) = value {
                text.push('=');
                text.push_str(value);
            }
        }
        text
    }
}

trait ExtendLast {
    fn extend_last(&mut self, character: char);
}

impl ExtendLast for Vec<String> {
    fn extend_last(&mut self, character: char) {
        if let Some(last) = self.last_mut() {
            last.push(character);
        }
    }
}
