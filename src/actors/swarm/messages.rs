//! What a swarm's actor can be asked. Every command is persisted before it acts and before it is answered.

use actix::prelude::*;

use crate::actors::CommandError;
use crate::domain::{Agent, AgentId, NewAgent, NewTask, Task, TaskId};
use crate::runtime::Deadline;

/// Adds an agent. The answer's `stage` says how far it came until the deadline.
#[derive(Message, Debug)]
#[rtype(result = "Result<Agent, CommandError>")]
pub(crate) struct SpawnAgent {
    pub(crate) id: AgentId,
    pub(crate) new: NewAgent,
    pub(crate) actor: String,
    pub(crate) deadline: Deadline,
}

/// Ends an agent. The answer shows it as terminating; it is gone once the runtime no longer lists it.
#[derive(Message, Debug)]
#[rtype(result = "Result<Agent, CommandError>")]
pub(crate) struct RemoveAgent {
    pub(crate) id: AgentId,
    pub(crate) actor: String,
    pub(crate) deadline: Deadline,
}

/// Gives the swarm a task.
#[derive(Message, Debug)]
#[rtype(result = "Result<Task, CommandError>")]
pub(crate) struct SubmitTask {
    pub(crate) id: TaskId,
    pub(crate) new: NewTask,
    pub(crate) actor: String,
    pub(crate) deadline: Deadline,
}

/// Ends a task.
#[derive(Message, Debug)]
#[rtype(result = "Result<Task, CommandError>")]
pub(crate) struct CancelTask {
    pub(crate) id: TaskId,
    pub(crate) actor: String,
    pub(crate) deadline: Deadline,
}

/// What became of a deletion by its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// Gone, here and in the runtime.
    Gone,
    /// Persisted; the runtime can't be reached and is told when it is back.
    Accepted,
}

/// Ends the swarm.
#[derive(Message, Debug)]
#[rtype(result = "Result<Deleted, CommandError>")]
pub(crate) struct DeleteSwarm {
    pub(crate) actor: String,
    pub(crate) deadline: Deadline,
}

/// Notes that somebody uses the swarm, so that it is not put to sleep.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct Used;
