//! What happened to a swarm, in the past tense.

use serde::{Deserialize, Serialize};

use super::{AgentId, AgentState, CommandStage, SwarmId, SwarmState, TaskId, TaskState, Timestamp};

/// One entry of a swarm's history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The swarm in question.
    pub swarm_id: SwarmId,
    /// 1, 2, 3 … within the swarm, for its whole life.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// Who caused it: a subject, `runtime` or `server`.
    pub actor: String,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What can happen to a swarm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "data", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// The swarm was accepted.
    SwarmCreated {
        /// Its name.
        name: String,
    },
    /// The swarm's state changed.
    SwarmStateChanged {
        /// The state before.
        from: SwarmState,
        /// The state now.
        to: SwarmState,
        /// Why.
        reason: Option<String>,
    },
    /// An agent was accepted.
    AgentSpawned {
        /// The agent.
        agent_id: AgentId,
        /// Its slot.
        slot: u32,
    },
    /// An agent's state was seen to differ.
    AgentStateChanged {
        /// The agent.
        agent_id: AgentId,
        /// The state before.
        from: AgentState,
        /// The state now.
        to: AgentState,
    },
    /// A command on an agent has come further, or was found without effect.
    AgentStageChanged {
        /// The agent.
        agent_id: AgentId,
        /// How far.
        stage: CommandStage,
    },
    /// No news of an agent for three poll periods.
    AgentStale {
        /// The agent.
        agent_id: AgentId,
    },
    /// An agent is gone.
    AgentRemoved {
        /// The agent.
        agent_id: AgentId,
        /// Why.
        reason: String,
    },
    /// A task was accepted.
    TaskSubmitted {
        /// The task.
        task_id: TaskId,
    },
    /// A task's state changed.
    TaskStateChanged {
        /// The task.
        task_id: TaskId,
        /// The state before.
        from: TaskState,
        /// The state now.
        to: TaskState,
    },
}

impl EventKind {
    /// The word that stands for the kind in the database and on the wire.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::SwarmCreated { .. } => "swarm_created",
            Self::SwarmStateChanged { .. } => "swarm_state_changed",
            Self::AgentSpawned { .. } => "agent_spawned",
            Self::AgentStateChanged { .. } => "agent_state_changed",
            Self::AgentStageChanged { .. } => "agent_stage_changed",
            Self::AgentStale { .. } => "agent_stale",
            Self::AgentRemoved { .. } => "agent_removed",
            Self::TaskSubmitted { .. } => "task_submitted",
            Self::TaskStateChanged { .. } => "task_state_changed",
        }
    }
}
