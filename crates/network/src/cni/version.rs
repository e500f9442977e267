//! Versions of the specification, and the choice of one.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A version of the specification that this client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Version {
    /// Lists of plugins, and the result of today's form.
    V0_3_0,
    /// The same.
    V0_3_1,
    /// CHECK, and the result handed to DEL.
    V0_4_0,
    /// Lists only; addresses no longer say their version.
    V1_0_0,
    /// More about interfaces and routes in the result.
    V1_1_0,
}

impl Version {
    /// All of them, the newest first.
    pub const ALL: [Self; 5] = [Self::V1_1_0, Self::V1_0_0, Self::V0_4_0, Self::V0_3_1, Self::V0_3_0];

    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V0_3_0 => "0.3.0",
            Self::V0_3_1 => "0.3.1",
            Self::V0_4_0 => "0.4.0",
            Self::V1_0_0 => "1.0.0",
            Self::V1_1_0 => "1.1.0",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|version| version.as_str() == text)
            .ok_or_else(|| format!("{text:?} is no version of CNI that is spoken here (0.3.0 to 1.1.0)"))
    }
}

impl TryFrom<String> for Version {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}
