//! What a client polls of a swarm, the same over REST and over the WebSocket: state, counts and limits.
//!
//! It holds no time stamps, so that it stays the same, byte by byte, while nothing happens.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::domain::{
    Agent, AgentState, CommandStage, Swarm, SwarmId, SwarmState, Task, TaskState, Topology, limits,
};

/// Counts and limits of a swarm at one version of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SwarmMetadata<'a> {
    /// The swarm.
    pub id: SwarmId,
    /// Its name.
    pub name: &'a str,
    /// What it is up to.
    pub status: SwarmState,
    /// Why it failed or is degraded.
    pub reason: Option<&'a str>,
    /// How its agents are linked.
    pub topology: Topology,
    /// Rises with every start of the swarm.
    pub epoch: u32,
    /// Rises with every change.
    pub version: i64,
    /// Agents that count against the limit.
    pub agent_count: usize,
    /// Agents by their last known state; every state is there.
    pub agents_by_state: BTreeMap<&'static str, usize>,
    /// Agents without news for three poll periods.
    pub stale_agents: usize,
    /// Agents whose last command was acknowledged and never seen to have an effect.
    pub unverified_agents: usize,
    /// Unfinished and recently finished tasks by state; every state is there.
    pub task_counts: BTreeMap<&'static str, usize>,
    /// What bounds it.
    pub limits: MetadataLimits,
    /// How often metadata should be polled, ms.
    pub poll_rate_ms: u64,
}

/// What bounds a swarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MetadataLimits {
    /// Most agents.
    pub max_agents: u32,
    /// Most tasks that are not finished.
    pub max_open_tasks: usize,
}

impl<'a> SwarmMetadata<'a> {
    /// Counts the agents and tasks of a swarm.
    #[must_use]
    pub fn of(swarm: &'a Swarm, agents: &[Agent], tasks: &[Task], poll_rate_ms: u64) -> Self {
        let unverified = |agent: &&Agent| agent.stage == CommandStage::Unverified;
        Self {
            id: swarm.id,
            name: &swarm.name,
            status: swarm.status,
            reason: swarm.reason.as_deref(),
            topology: swarm.topology,
            epoch: swarm.epoch,
            version: swarm.version,
            agent_count: agents.len(),
            agents_by_state: counts(AgentState::WORDS, agents.iter().map(|agent| agent.state.as_str())),
            stale_agents: agents.iter().filter(|agent| agent.stale).count(),
            unverified_agents: agents.iter().filter(unverified).count(),
            task_counts: task_counts(tasks),
            limits: MetadataLimits { max_agents: swarm.max_agents, max_open_tasks: limits::OPEN_TASKS_MAX },
            poll_rate_ms,
        }
    }
}

/// Tasks by state; every state is there.
#[must_use]
pub fn task_counts(tasks: &[Task]) -> BTreeMap<&'static str, usize> {
    counts(TaskState::WORDS, tasks.iter().map(|task| task.status.as_str()))
}

fn counts(words: &[&'static str], seen: impl Iterator<Item = &'static str>) -> BTreeMap<&'static str, usize> {
    let mut counts: BTreeMap<_, _> = words.iter().map(|word| (*word, 0)).collect();
    for word in seen {
        *counts.entry(word).or_default() += 1;
    }
    counts
}
