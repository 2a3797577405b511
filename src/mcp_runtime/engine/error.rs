//! Why the engine refuses something.

use crate::domain::{DomainError, UnknownWord, limits};

/// A refusal. Nothing has changed when one is returned. The texts are what clients of MCP read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum EngineError {
    /// There is no such swarm, or not any more.
    #[error("swarm {id} not found")]
    SwarmNotFound { id: String },
    /// There is no such agent, or not any more.
    #[error("agent {id} not found")]
    AgentNotFound { id: String },
    /// There is no such task, or it ended so long ago that it is no longer kept.
    #[error("task {id} not found")]
    TaskNotFound { id: String },
    /// A late repetition of a spawn whose agent has been terminated since.
    #[error("the agent with the key {key:?} was terminated; a new agent needs a new key")]
    AgentEnded { key: String },
    /// A late repetition of a task that is no longer kept.
    #[error("the task with the key {key:?} has ended and is no longer kept; a new task needs a new key")]
    TaskEnded { key: String },
    /// The task's end has come already.
    #[error("task {id} is {status} and can no longer be cancelled")]
    TaskOver { id: String, status: &'static str },
    /// Too many swarms.
    #[error("the runtime has {live} swarms; allowed: {max}")]
    SwarmLimit { live: usize, max: usize },
    /// The swarm is full.
    #[error("the swarm has {agents} agents; allowed: {max}")]
    AgentLimit { agents: usize, max: u32 },
    /// The runtime is full.
    #[error("the runtime has {agents} agents; allowed: {max}")]
    RuntimeAgentLimit { agents: usize, max: usize },
    /// Too many open tasks.
    #[error("the swarm has {open} open tasks; allowed: {max}")]
    TaskLimit { open: usize, max: usize },
    /// An argument breaks a rule.
    #[error(transparent)]
    Argument(#[from] DomainError),
}

impl From<UnknownWord> for EngineError {
    fn from(error: UnknownWord) -> Self {
        Self::Argument(error.into())
    }
}

impl EngineError {
    /// The stable word for it, for programs and metrics.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::SwarmNotFound { .. } => "swarm_not_found",
            Self::AgentNotFound { .. } => "agent_not_found",
            Self::TaskNotFound { .. } => "task_not_found",
            Self::AgentEnded { .. } => "agent_ended",
            Self::TaskEnded { .. } => "task_ended",
            Self::TaskOver { .. } => "task_over",
            Self::SwarmLimit { .. } => "swarm_limit_reached",
            Self::AgentLimit { .. } => "agent_limit_reached",
            Self::RuntimeAgentLimit { .. } => "runtime_agent_limit_reached",
            Self::TaskLimit { .. } => "task_limit_reached",
            Self::Argument(_) => "invalid_arguments",
        }
    }

    pub(super) fn swarm_not_found(id: &str) -> Self {
        Self::SwarmNotFound { id: shown(id) }
    }

    pub(super) fn agent_not_found(id: &str) -> Self {
        Self::AgentNotFound { id: shown(id) }
    }

    pub(super) fn task_not_found(id: &str) -> Self {
        Self::TaskNotFound { id: shown(id) }
    }
}

/// An id as given, cut so that an error is never as large as its cause.
fn shown(id: &str) -> String {
    limits::cut(id, limits::AGENT_ID_CHARS_MAX)
}
