//! What one decision of a swarm's actor changes, written as a whole or not at all.

use super::connection::AnyConnection;
use super::{StoreError, StoreResult, agents, events, swarms, tasks};
use crate::domain::{Agent, AgentId, Event, EventKind, Swarm, SwarmId, Task, Timestamp};

/// Any mix of changes to one swarm.
#[derive(Debug, Clone)]
pub struct Change {
    /// The swarm in question.
    pub swarm_id: SwarmId,
    /// Its row, when that changed.
    pub swarm: Option<Swarm>,
    /// Agents that are new or changed.
    pub agents: Vec<Agent>,
    /// Agents that are gone: their rows go, their history is in the events.
    pub removed_agents: Vec<AgentId>,
    /// Tasks that are new or changed.
    pub tasks: Vec<Task>,
    /// What happened, by whom, when.
    pub events: Vec<(EventKind, String, Timestamp)>,
}

impl Change {
    /// Nothing yet.
    #[must_use]
    pub const fn new(swarm_id: SwarmId) -> Self {
        Self {
            swarm_id,
            swarm: None,
            agents: Vec::new(),
            removed_agents: Vec::new(),
            tasks: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { swarm_id: _, swarm, agents, removed_agents, tasks, events } = self;
        swarm.is_none()
            && agents.is_empty()
            && removed_agents.is_empty()
            && tasks.is_empty()
            && events.is_empty()
    }

    /// Whether everything is of the one swarm.
    fn check(&self) -> StoreResult<()> {
        let foreign = self.swarm.iter().any(|swarm| swarm.id != self.swarm_id)
            || self.agents.iter().any(|agent| agent.swarm_id != self.swarm_id)
            || self.tasks.iter().any(|task| task.swarm_id != self.swarm_id);
        if foreign { Err(StoreError::conflict("a change mixes two swarms")) } else { Ok(()) }
    }
}

/// Writes a change and returns its events with their numbers; within a write transaction.
pub(crate) fn save(conn: &mut AnyConnection, change: &Change) -> StoreResult<Vec<Event>> {
    change.check()?;
    // the swarm's row first: every writer of a swarm queues there, so none waits in a circle
    if let Some(swarm) = &change.swarm {
        swarms::update(conn, swarm)?;
    }
    let events = events::append(conn, change.swarm_id, &change.events)?;
    agents::delete(conn, change.swarm_id, &change.removed_agents)?;
    agents::upsert(conn, &change.agents)?;
    tasks::upsert(conn, &change.tasks)?;
    Ok(events)
}
