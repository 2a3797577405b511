//! Why a call to the agent runtime brought no result: a variant for each decision that a caller can make.

use std::time::Duration;

use crate::wire::jsonrpc::RpcError;
use crate::wire::mcp::ToolFailure;

/// What a call to the agent runtime ended with. `tool` is our name of the tool that was called.
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
    /// A bound is reached; nothing was sent.
    #[error("the connection to the agent runtime takes no more {limit} now")]
    Busy {
        /// What there is too much of.
        limit: &'static str,
    },
    /// The arguments make a longer line than is ever sent; nothing was sent.
    #[error("calling {tool}: its {bytes} bytes are more than the {max} that are sent to an agent runtime")]
    TooLarge {
        /// The tool that was called.
        tool: &'static str,
        /// Bytes of the line.
        bytes: usize,
        /// Most bytes of a line.
        max: usize,
    },
    /// The connection was lost after the call was sent: it may have taken effect.
    #[error("the connection to the agent runtime was lost during {tool}; its outcome is unknown")]
    OutcomeUnknown {
        /// The tool that was called.
        tool: &'static str,
    },
    /// Not answered in time. When it was sent it may have taken effect.
    #[error("the agent runtime did not answer {tool} in time")]
    Deadline {
        /// The tool that was called.
        tool: &'static str,
        /// Whether it was written to the runtime.
        sent: bool,
    },
    /// The runtime answered with a JSON-RPC error.
    #[error("the agent runtime refused {tool}: {message}")]
    Refused {
        /// The tool that was called.
        tool: &'static str,
        /// The error's code.
        code: i64,
        /// The runtime's words.
        message: String,
    },
    /// The tool itself reported a failure.
    #[error("{tool} failed in the agent runtime: {message}")]
    Tool {
        /// The tool that was called.
        tool: &'static str,
        /// The runtime's words.
        message: String,
    },
    /// The runtime knows no such swarm, agent or task.
    #[error("{tool}: the agent runtime does not know it: {message}")]
    NotFound {
        /// The tool that was called.
        tool: &'static str,
        /// The runtime's words.
        message: String,
    },
    /// The runtime said success without what was asked for.
    #[error("the agent runtime answered {tool} without {what}")]
    MissingIdentity {
        /// The tool that was called.
        tool: &'static str,
        /// What the answer lacks, and what it has.
        what: String,
    },
    /// The runtime has no such tool, or answers it without doing anything.
    #[error("the agent runtime does not support {tool}")]
    UnsupportedByRuntime {
        /// The tool that was asked for.
        tool: &'static str,
    },
    /// The connection's actor crashed before the call had any effect, and recovers.
    #[error("the connection to the agent runtime is restarted; {tool} was not carried out")]
    Crashed {
        /// The tool that was called.
        tool: &'static str,
    },
    /// The connection's actor has ended for good; nothing was sent.
    #[error("the connection to the agent runtime has ended")]
    Ended,
}

impl McpError {
    /// Whether a call that changes something may have taken effect all the same.
    #[must_use]
    pub const fn outcome_unknown(&self) -> bool {
        match self {
            Self::OutcomeUnknown { .. }
            | Self::MissingIdentity { .. }
            | Self::Deadline { sent: true, .. } => true,
            Self::Unavailable { .. }
            | Self::Busy { .. }
            | Self::TooLarge { .. }
            | Self::Deadline { sent: false, .. }
            | Self::Refused { .. }
            | Self::Tool { .. }
            | Self::NotFound { .. }
            | Self::UnsupportedByRuntime { .. }
            | Self::Crashed { .. }
            | Self::Ended => false,
        }
    }

    /// The reason when the answer is no for good, so that asking again would bring the same.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        match self {
            Self::Refused { message, .. } | Self::Tool { message, .. } | Self::NotFound { message, .. } => {
                Some(message.clone())
            }
            Self::UnsupportedByRuntime { .. } | Self::TooLarge { .. } => Some(self.to_string()),
            Self::Unavailable { .. }
            | Self::Busy { .. }
            | Self::OutcomeUnknown { .. }
            | Self::Deadline { .. }
            | Self::MissingIdentity { .. }
            | Self::Crashed { .. }
            | Self::Ended => None,
        }
    }

    /// What a failure inside an answer means for the caller.
    pub(super) fn from_failure(tool: &'static str, failure: ToolFailure) -> Self {
        match failure {
            ToolFailure::Failed { message } => Self::Tool { tool, message },
            ToolFailure::NotFound { message } => Self::NotFound { tool, message },
            ToolFailure::Unsupported { .. } => Self::UnsupportedByRuntime { tool },
            ToolFailure::Missing { what, has } => {
                Self::MissingIdentity { tool, what: format!("{what} (it has {has})") }
            }
            ToolFailure::Malformed { what } => {
                Self::MissingIdentity { tool, what: format!("a result: {what}") }
            }
        }
    }

    /// What a JSON-RPC error means for the caller.
    pub(super) fn from_rpc_error(tool: &'static str, error: &RpcError) -> Self {
        match ToolFailure::from_rpc_error(error) {
            ToolFailure::Failed { message } => Self::Refused { tool, code: error.code, message },
            other @ (ToolFailure::NotFound { .. }
            | ToolFailure::Unsupported { .. }
            | ToolFailure::Missing { .. }
            | ToolFailure::Malformed { .. }) => Self::from_failure(tool, other),
        }
    }
}
