//! Why a command on a swarm brought no result: a variant for each answer that a caller can give.

use std::sync::Arc;

use crate::domain::{DomainError, SwarmId};
use crate::runtime::CallError;
use crate::store::StoreError;

/// What the handles of this module return when a command fails. Nothing has changed unless it says so.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// A rule of the domain forbids it.
    #[error(transparent)]
    Domain(#[from] DomainError),
    /// No such swarm, or it is on its way out.
    #[error("no swarm {0}")]
    NoSwarm(SwarmId),
    /// The swarm gave up; `restart` clears that.
    #[error("the swarm has failed: {reason}")]
    SwarmFailed {
        /// Why.
        reason: String,
    },
    /// The agent runtime said no, in its own words.
    #[error("the agent runtime refused: {message}")]
    RuntimeRefused {
        /// The runtime's words.
        message: String,
    },
    /// The actor's queue is full, it recovers, or it did not answer in time.
    #[error("the swarm is busy: {0}")]
    Busy(CallError),
    /// The database did not answer.
    #[error("keeping the change: {0}")]
    Store(Arc<StoreError>),
}

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        if let StoreError::SwarmLimit { live, max } = error {
            return Self::Domain(DomainError::SwarmLimit { live, max });
        }
        Self::Store(Arc::new(error))
    }
}

impl From<CallError> for CommandError {
    fn from(error: CallError) -> Self {
        Self::Busy(error)
    }
}
