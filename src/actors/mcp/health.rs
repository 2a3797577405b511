//! What is known of the connection, published so that nobody has to ask.

use serde::Serialize;

use super::RuntimeKind;
use crate::domain::Timestamp;

/// Whether the runtime can be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum McpState {
    /// No attempt has ended yet.
    Connecting,
    /// A connection stands.
    Connected,
    /// The last attempt failed, or the connection was lost; the next attempt comes by itself.
    Down,
}

/// The connection as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct McpHealth {
    /// Whether the runtime can be called.
    pub state: McpState,
    /// Since when; `None` before the first attempt has ended.
    pub since: Option<Timestamp>,
    /// Where the runtime should be.
    pub at: String,
    /// What the server calls itself.
    pub server: Option<String>,
    /// Its version, in its own words, which need not be true.
    pub server_version: Option<String>,
    /// The protocol that was agreed on.
    pub protocol: Option<String>,
    /// Which runtime it seems to be by its tools.
    pub runtime: Option<RuntimeKind>,
    /// Tools that we need and it lacks, by our names.
    pub missing_tools: Vec<&'static str>,
    /// Connections that stand now.
    pub sockets: usize,
    /// Connections made since the start.
    pub connects: u64,
    /// Connections lost since the start.
    pub losses: u64,
    /// Calls in flight when the health was read.
    pub in_flight: usize,
    /// Why the last connection or attempt ended.
    pub last_error: Option<String>,
}

impl McpHealth {
    /// Nothing known yet.
    #[must_use]
    pub const fn new(at: String) -> Self {
        Self {
            state: McpState::Connecting,
            since: None,
            at,
            server: None,
            server_version: None,
            protocol: None,
            runtime: None,
            missing_tools: Vec::new(),
            sockets: 0,
            connects: 0,
            losses: 0,
            in_flight: 0,
            last_error: None,
        }
    }
}
