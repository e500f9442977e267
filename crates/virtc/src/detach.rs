//! The keys that leave an attached command without ending it, as docker has them: `ctrl-p,ctrl-q` unless told.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// A sequence of keys; empty when none detaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DetachKeys(Vec<u8>);

/// A text that names no keys.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0:?} is no key: write single characters or ctrl-X, where X is a letter or one of @ [ \\ ] ^ _, separated by \
     commas, for example ctrl-p,ctrl-q; an empty text turns detaching off"
)]
pub(crate) struct UnknownKey(String);

impl FromStr for DetachKeys {
    type Err = UnknownKey;
    fn from_str(text: &str) -> Result<Self, UnknownKey> {
        if text.is_empty() {
            return Ok(Self(Vec::new()));
        }
        text.split(',')
            .map(|word| key(word).ok_or_else(|| UnknownKey(word.to_owned())))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// The byte that a key sends.
fn key(word: &str) -> Option<u8> {
    if let [byte] = word.as_bytes() {
        return byte.is_ascii_graphic().then_some(*byte);
    }
    match word.strip_prefix("ctrl-")?.as_bytes() {
        [letter] if letter.is_ascii_alphabetic() => Some(letter.to_ascii_uppercase() & 0x1f),
        [sign @ (b'@' | b'[' | b'\\' | b']' | b'^' | b'_')] => Some(sign & 0x1f),
        _ => None,
    }
}

impl fmt::Display for DetachKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { "," })?;
            match byte {
                0..0x20 => write!(f, "ctrl-{}", char::from(byte | 0x40).to_ascii_lowercase())?,
                _ => write!(f, "{}", char::from(*byte))?,
            }
        }
        Ok(())
    }
}

/// Looks for the keys in what is typed. What may be their beginning is held back until the next key decides.
#[derive(Debug)]
pub(crate) struct DetachWatch {
    keys: Vec<u8>,
    /// How many of the keys have been typed in a row.
    typed: usize,
}

impl DetachWatch {
    pub(crate) fn new(keys: &DetachKeys) -> Self {
        Self { keys: keys.0.clone(), typed: 0 }
    }

    /// Takes what was typed: what is to be passed on, and whether the keys are complete. What follows them is dropped.
    pub(crate) fn take(&mut self, input: &[u8]) -> (Vec<u8>, bool) {
        let mut on = Vec::with_capacity(input.len() + self.typed);
        for &byte in input {
            while self.typed > 0 && self.keys[self.typed] != byte {
                self.give_way(&mut on);
            }
            if self.keys.get(self.typed) != Some(&byte) {
                on.push(byte);
                continue;
            }
            self.typed += 1;
            if self.typed == self.keys.len() {
                self.typed = 0;
                return (on, true);
            }
        }
        (on, false)
    }

    /// What is held back, when no more is typed.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let held = self.keys[..self.typed].to_vec();
        self.typed = 0;
        held
    }

    /// Passes on as little of what is held back as leaves a beginning of the keys.
    fn give_way(&mut self, on: &mut Vec<u8>) {
        let held = &self.keys[..self.typed];
        let shorter = (0..self.typed).rev().find(|&len| held.ends_with(&self.keys[..len])).unwrap_or(0);
        on.extend_from_slice(&held[..self.typed - shorter]);
        self.typed = shorter;
    }
}

#[cfg(test)]
mod tests;
