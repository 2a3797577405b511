//! Every swarm that is alive, outside of the actors: its last published view, its frame channel, its actor.
//!
//! Reads (`GET`, sessions) take the published view and ask no actor, so they cost no queue and go on while
//! a swarm recovers. Only a swarm's own actor publishes its view; only the swarms' supervisor adds and
//! removes entries.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;
use tokio::sync::watch;

use super::frames::FrameChannel;
use super::swarm::SwarmActor;
use crate::domain::{Agent, AgentId, Swarm, SwarmId, Task, TaskId};
use crate::runtime::Handle;

/// What is known of a swarm at one moment, as it was persisted.
#[derive(Debug, Clone)]
pub struct SwarmView {
    /// The swarm.
    pub swarm: Swarm,
    /// Its agents in the order of slots.
    pub agents: Vec<Agent>,
    /// Its open and recent tasks in the order of creation.
    pub tasks: Vec<Task>,
    /// Whether its actor has tried to reach the runtime since the start, with or without success.
    pub attempted: bool,
}

impl SwarmView {
    /// The agent with this id.
    #[must_use]
    pub fn agent(&self, id: &AgentId) -> Option<&Agent> {
        self.agents.iter().find(|agent| agent.id == *id)
    }

    /// The task with this id, if it is open or recent.
    #[must_use]
    pub fn task(&self, id: TaskId) -> Option<&Task> {
        self.tasks.iter().find(|task| task.id == id)
    }
}

/// One swarm's place in the directory.
#[derive(Debug)]
pub struct SwarmEntry {
    /// The swarm.
    pub id: SwarmId,
    /// Its owner, who never changes.
    pub owner: String,
    /// Where its frames, roster and events are picked up.
    pub channel: Arc<FrameChannel>,
    view: watch::Sender<Arc<SwarmView>>,
    actor: RwLock<Option<Handle<SwarmActor>>>,
}

impl SwarmEntry {
    /// An entry for a swarm without an actor.
    #[must_use]
    pub fn new(view: SwarmView) -> Self {
        let (id, owner) = (view.swarm.id, view.swarm.owner.clone());
        let channel = Arc::new(FrameChannel::new(id));
        Self { id, owner, channel, view: watch::Sender::new(Arc::new(view)), actor: RwLock::new(None) }
    }

    /// The last published view.
    #[must_use]
    pub fn view(&self) -> Arc<SwarmView> {
        Arc::clone(&self.view.borrow())
    }

    /// Follows the published views.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<SwarmView>> {
        self.view.subscribe()
    }

    /// Replaces the view.
    pub(super) fn publish(&self, view: SwarmView) {
        self.view.send_replace(Arc::new(view));
    }

    /// The swarm's actor, unless it sleeps.
    pub(super) fn actor(&self) -> Option<Handle<SwarmActor>> {
        self.actor.read().clone().filter(Handle::connected)
    }

    pub(super) fn set_actor(&self, actor: Option<Handle<SwarmActor>>) {
        *self.actor.write() = actor;
    }
}

/// The swarms that are alive, in the order of their ids, that is of their creation.
#[derive(Debug, Default)]
pub struct SwarmDirectory {
    entries: RwLock<BTreeMap<SwarmId, Arc<SwarmEntry>>>,
}

impl SwarmDirectory {
    /// The entry of a swarm.
    #[must_use]
    pub fn get(&self, id: SwarmId) -> Option<Arc<SwarmEntry>> {
        self.entries.read().get(&id).cloned()
    }

    /// Every entry in the order of creation.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<SwarmEntry>> {
        self.entries.read().values().cloned().collect()
    }

    /// At most `limit` entries of `owner` (`None`: of everybody) after the swarm `after`.
    #[must_use]
    pub fn page(&self, owner: Option<&str>, after: Option<SwarmId>, limit: usize) -> Vec<Arc<SwarmEntry>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        let entries = self.entries.read();
        let visible = entries.range((from, Unbounded)).map(|(_, entry)| entry);
        visible.filter(|entry| owner.is_none_or(|owner| entry.owner == owner)).take(limit).cloned().collect()
    }

    /// Adds an entry, or gives the one that is there.
    pub(super) fn add(&self, view: SwarmView) -> Arc<SwarmEntry> {
        let mut entries = self.entries.write();
        Arc::clone(entries.entry(view.swarm.id).or_insert_with(|| Arc::new(SwarmEntry::new(view))))
    }

    pub(super) fn remove(&self, id: SwarmId) -> Option<Arc<SwarmEntry>> {
        self.entries.write().remove(&id)
    }
}
