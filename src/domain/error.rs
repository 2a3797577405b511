//! Why the domain refuses something: a variant for each decision that a caller can make.

use super::{AgentId, SwarmState, TaskId, TaskState, UnknownWord};

/// A rule of the domain that an input or a command breaks. Nothing has changed when one is returned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DomainError {
    /// A text is too short or too long.
    #[error("{field} has {chars} characters; allowed: {min} to {max}")]
    Length {
        /// The field in question.
        field: &'static str,
        /// Its length in characters.
        chars: usize,
        /// Least length.
        min: usize,
        /// Greatest length.
        max: usize,
    },
    /// A text holds characters that do not print.
    #[error("{field} holds a control character")]
    ControlCharacter {
        /// The field in question.
        field: &'static str,
    },
    /// A word is none of an enum's.
    #[error(transparent)]
    UnknownWord(#[from] UnknownWord),
    /// A number is out of its range.
    #[error("{field} is {value}; allowed: {min} to {max}")]
    OutOfRange {
        /// The field in question.
        field: &'static str,
        /// Its value.
        value: u64,
        /// Least value.
        min: u64,
        /// Greatest value.
        max: u64,
    },
    /// A list is too long.
    #[error("{field} has {count} entries; allowed: at most {max}")]
    TooMany {
        /// The field in question.
        field: &'static str,
        /// Its length.
        count: usize,
        /// Greatest length.
        max: usize,
    },
    /// The owner has as many live swarms as allowed.
    #[error("the owner has {live} live swarms; allowed: {max}")]
    SwarmLimit {
        /// Swarms that are alive now.
        live: usize,
        /// `MAX_SWARMS_PER_CLIENT`.
        max: usize,
    },
    /// The swarm has as many agents as allowed.
    #[error("the swarm has {agents} agents; allowed: {max}")]
    AgentLimit {
        /// Agents now.
        agents: usize,
        /// The swarm's `max_agents`.
        max: usize,
    },
    /// The swarm has as many open tasks as allowed.
    #[error("the swarm has {open} open tasks; allowed: {max}")]
    TaskLimit {
        /// Open tasks now.
        open: usize,
        /// [`super::limits::OPEN_TASKS_MAX`].
        max: usize,
    },
    /// The swarm's state forbids the command.
    #[error("a swarm that is {state} takes no {command}")]
    WrongSwarmState {
        /// The state now.
        state: SwarmState,
        /// What was asked.
        command: &'static str,
    },
    /// The task's state forbids the command.
    #[error("a task that is {state} takes no {command}")]
    WrongTaskState {
        /// The state now.
        state: TaskState,
        /// What was asked.
        command: &'static str,
    },
    /// No such agent in this swarm.
    #[error("no agent {0} in this swarm")]
    NoAgent(AgentId),
    /// No such task in this swarm.
    #[error("no task {0} in this swarm")]
    NoTask(TaskId),
}
