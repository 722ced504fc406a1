//! How burstable types are charged.

use serde::Serialize;

/// How instances of burstable types are charged for what they use beyond their baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum CpuCredits {
    /// Not at all: without credits they are slowed down.
    Standard,
    /// By the hour.
    Unlimited,
}

impl CpuCredits {
    /// Every way.
    pub const ALL: [Self; 2] = [Self::Standard, Self::Unlimited];

    /// As EC2 spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Unlimited => "unlimited",
        }
    }

    /// Reads EC2's word.
    pub fn read(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|credits| credits.as_str() == word)
    }
}
