//! Pieces of a process's and a kernel's command line.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A string that is no environment variable.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no environment variable: write NAME=VALUE, with no NUL and a NAME that is not empty")]
pub struct InvalidEnvVar(pub String);

/// An environment variable of a process (the reference document's `EnvVar`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvVar {
    /// Its name.
    pub var: String,
    /// Its value.
    pub value: String,
}

impl fmt::Display for EnvVar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.var, self.value)
    }
}

impl FromStr for EnvVar {
    type Err = InvalidEnvVar;
    fn from_str(text: &str) -> Result<Self, InvalidEnvVar> {
        match text.split_once('=') {
            Some((var, value)) if !var.is_empty() && !text.contains('\0') => {
                Ok(Self { var: var.to_owned(), value: value.to_owned() })
            }
            _ => Err(InvalidEnvVar(text.to_owned())),
        }
    }
}

/// One parameter of a command line (the reference document's `Param`): `key`, or `key=value`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KernelParam {
    /// The part before `=`.
    pub key: String,
    /// The part after it; empty for a bare key.
    #[serde(default)]
    pub value: String,
}

impl KernelParam {
    /// A parameter with a value; an empty value makes a bare key.
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self { key: key.into(), value: value.into() }
    }

    /// Reads parameters separated by white space (the reference document's `DeserializeParams`).
    #[must_use]
    pub fn parse_all(line: &str) -> Vec<Self> {
        line.split_ascii_whitespace()
            .map(|word| match word.split_once('=') {
                Some((key, value)) => Self::new(key, value),
                None => Self::new(word, ""),
            })
            .collect()
    }
}

impl fmt::Display for KernelParam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value.as_str() {
            "" => f.write_str(&self.key),
            value => write!(f, "{}={value}", self.key),
        }
    }
}
