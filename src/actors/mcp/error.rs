//! Why a call to the agent runtime brought no result: a variant for each decision that a caller can make.

use std::time::Duration;

use crate::runtime::CallError;
use crate::wire::mcp::ToolFailure;

/// What a call to the agent runtime ended with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum McpError {
    /// No connection stands; nothing was sent.
    #[error("the agent runtime at {at} can't be reached: {why}")]
    Unavailable {
        /// Where the runtime should be.
        at: String,
        /// What the last attempt said.
        why: String,
        /// When trying again makes sense.
        retry_after: Duration,
    },
    /// As many calls are under way as allowed; nothing was sent.
    #[error("the agent runtime has {in_flight} calls in flight; no more are sent now")]
    Busy {
        /// Calls in flight.
        in_flight: usize,
    },
    /// The connection was lost after the call was written: it may have taken effect.
    #[error("the connection to the agent runtime was lost during {tool}; its outcome is unknown")]
    OutcomeUnknown {
        /// The tool that was called.
        tool: String,
    },
    /// Not answered in time. When it was sent it may have taken effect.
    #[error("the agent runtime did not answer {tool} in time")]
    Deadline {
        /// The tool that was called.
        tool: String,
        /// Whether it was written to the runtime.
        sent: bool,
    },
    /// The runtime answered with a JSON-RPC error.
    #[error("the agent runtime refused {tool}: {message}")]
    Refused {
        /// The tool that was called.
        tool: String,
        /// The runtime's words.
        message: String,
    },
    /// The tool itself reported a failure.
    #[error("{tool} failed in the agent runtime: {message}")]
    Tool {
        /// The tool that was called.
        tool: String,
        /// The runtime's words.
        message: String,
    },
    /// The runtime knows no such swarm, agent or task.
    #[error("{tool}: the agent runtime does not know it: {message}")]
    NotFound {
        /// The tool that was called.
        tool: String,
        /// The runtime's words.
        message: String,
    },
    /// The runtime said success without what was asked for.
    #[error("the agent runtime answered {tool} without {what}")]
    MissingIdentity {
        /// The tool that was called.
        tool: String,
        /// What the answer lacks.
        what: String,
    },
    /// The runtime has no such tool, or answers it without doing anything.
    #[error("the agent runtime does not support {tool}")]
    UnsupportedByRuntime {
        /// The tool that was asked for.
        tool: String,
    },
    /// The connection's actor did not answer; a call may have taken effect unless its queue was full.
    #[error("calling the agent runtime: {0}")]
    Actor(CallError),
}

impl McpError {
    /// Whether the call may have taken effect all the same.
    #[must_use]
    pub const fn outcome_unknown(&self) -> bool {
        match self {
            Self::OutcomeUnknown { .. }
            | Self::MissingIdentity { .. }
            | Self::Deadline { sent: true, .. } => true,
            Self::Actor(error) => error.outcome_unknown(),
            Self::Unavailable { .. }
            | Self::Busy { .. }
            | Self::Deadline { sent: false, .. }
            | Self::Refused { .. }
            | Self::Tool { .. }
            | Self::NotFound { .. }
            | Self::UnsupportedByRuntime { .. } => false,
        }
    }

    /// The runtime's words when it said no for good, so that asking again would bring the same.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        match self {
            Self::Refused { message, .. } | Self::Tool { message, .. } | Self::NotFound { message, .. } => {
                Some(message.clone())
            }
            Self::UnsupportedByRuntime { .. } => Some(self.to_string()),
            Self::Unavailable { .. }
            | Self::Busy { .. }
            | Self::OutcomeUnknown { .. }
            | Self::Deadline { .. }
            | Self::MissingIdentity { .. }
            | Self::Actor(_) => None,
        }
    }

    /// What a failure inside an answer means for the caller.
    pub(super) fn from_failure(tool: &str, failure: ToolFailure) -> Self {
        let tool = tool.to_owned();
        match failure {
            ToolFailure::Failed { message } => Self::Tool { tool, message },
            ToolFailure::NotFound { message } => Self::NotFound { tool, message },
            ToolFailure::Unsupported { .. } => Self::UnsupportedByRuntime { tool },
            ToolFailure::Missing { what, .. } => Self::MissingIdentity { tool, what: what.to_string() },
            ToolFailure::Malformed { what } => Self::MissingIdentity { tool, what: what.to_string() },
        }
    }
}

impl From<CallError> for McpError {
    fn from(error: CallError) -> Self {
        Self::Actor(error)
    }
}
