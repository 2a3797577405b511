//! The ids that stay the same for the life of what they name.

use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

use super::{DomainError, limits};

macro_rules! uuid_id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { self.0.fmt(f) }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> { Uuid::parse_str(text).map(Self) }
        }
    };
}

uuid_id! {
    /// Names a swarm. New ones are version 7, so that they sort by the time of creation.
    SwarmId
}
uuid_id! {
    /// Names a task. New ones are version 7.
    TaskId
}

impl SwarmId {
    /// The id as a number: the seed of the swarm's layout, and what spreads swarms over threads.
    #[must_use]
    pub const fn seed(self) -> u128 {
        self.0.as_u128()
    }
}

/// Names an agent: a version 7 UUID when new, any text of 1 to 128 characters when it comes from v1.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct AgentId(String);

impl AgentId {
    /// Takes any text that v1 could have held.
    ///
    /// # Errors
    /// [`DomainError::Length`] when `text` is empty or longer than [`limits::AGENT_ID_CHARS_MAX`].
    pub fn parse(text: impl Into<String>) -> Result<Self, DomainError> {
        let text = text.into();
        limits::check_chars("agent id", &text, 1, limits::AGENT_ID_CHARS_MAX)?;
        Ok(Self(text))
    }

    /// The id of a new agent.
    #[must_use]
    pub fn from_uuid(id: Uuid) -> Self {
        Self(id.to_string())
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for AgentId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
