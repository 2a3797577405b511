//! What the parts of one swarm actor share: the model, what is to be saved, what is under way.
//!
//! Commands and the follow loop are local futures of the actor's own thread; each borrows this for a few
//! lines and never across a wait. A restart of the actor drops all of it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::{Notify, oneshot};

use super::{SwarmSeed, graph};
use crate::actors::CommandError;
use crate::actors::directory::SwarmView;
use crate::actors::frames::Roster;
use crate::domain::{
    Agent, AgentId, EventKind, ObservedDiff, Swarm, SwarmModel, SwarmState, Task, TaskId, Timestamp,
};
use crate::layout::{LayoutGraph, Vec3};
use crate::runtime::Deadline;
use crate::store::{Change, StoreError};
use crate::telemetry::clock;

/// Told when a change is persisted, or why it was not.
pub(super) type Saved = oneshot::Sender<Result<(), Arc<StoreError>>>;

/// Positions by slot, layout units.
pub(super) type Places = Vec<(u32, Vec3)>;

#[derive(Debug)]
pub(super) struct State {
    pub(super) model: SwarmModel,
    pub(super) pending: Change,
    pub(super) waiters: Vec<Saved>,
    /// Agents and tasks that a command is calling the runtime for right now.
    pub(super) agents_under_way: BTreeSet<AgentId>,
    pub(super) tasks_under_way: BTreeSet<TaskId>,
    /// Whether the runtime must be made to agree with the model before it is polled.
    pub(super) reconcile: bool,
    pub(super) attempted: bool,
    /// Places to start from after a restart of the process; given to the layout once.
    pub(super) start: Places,
    /// The graph that the layout has, to leave it alone when nothing differs.
    pub(super) graph_key: Option<Vec<u32>>,
    pub(super) ended: bool,
    /// Whether a command is ending the swarm in the runtime right now.
    pub(super) destroying: bool,
    /// Commands that have not ended.
    pub(super) commands: usize,
}

/// Shared by the futures of one swarm actor.
#[derive(Debug, Clone)]
pub(super) struct Live {
    pub(super) seed: Rc<SwarmSeed>,
    state: Rc<RefCell<State>>,
    /// Something is to be saved.
    pub(super) save: Rc<Notify>,
    /// The follow loop is to look now.
    pub(super) poke: Rc<Notify>,
}

impl Live {
    pub(super) fn new(seed: SwarmSeed, model: SwarmModel, start: Places) -> Self {
        let state = State {
            model,
            pending: Change::new(seed.entry.id),
            waiters: Vec::new(),
            agents_under_way: BTreeSet::new(),
            tasks_under_way: BTreeSet::new(),
            reconcile: true,
            attempted: false,
            start,
            graph_key: None,
            ended: false,
            destroying: false,
            commands: 0,
        };
        Self {
            seed: Rc::new(seed),
            state: Rc::new(RefCell::new(state)),
            save: Rc::default(),
            poke: Rc::default(),
        }
    }

    /// Borrows the state for the length of `f`.
    pub(super) fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.borrow_mut())
    }

    pub(super) fn swarm(&self) -> Swarm {
        self.with(|state| state.model.swarm.clone())
    }

    pub(super) fn used(&self) {
        self.with(|state| state.model.swarm.last_used_at = clock::now());
    }

    /// Adds to the next save what `change` names, and waits until it is persisted.
    ///
    /// # Errors
    /// [`CommandError::Store`]; the actor is then restarted from what is persisted.
    pub(super) async fn persist(&self, change: impl FnOnce(&mut State)) -> Result<(), CommandError> {
        let (told, saved) = oneshot::channel();
        self.with(|state| {
            change(state);
            state.waiters.push(told);
        });
        self.save.notify_one();
        match saved.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(CommandError::Store(error)),
            Err(_restarted) => Err(CommandError::Busy(crate::runtime::CallError::Crashed)),
        }
    }

    /// Adds to the next save what `change` names, and waits for nothing.
    pub(super) fn note(&self, change: impl FnOnce(&mut State)) {
        self.with(change);
        self.save.notify_one();
    }

    /// Moves the swarm to another state, when that may follow, and tells why.
    pub(super) fn advance(&self, to: SwarmState, reason: Option<String>) {
        self.with(|state| state.advance(to, reason, "server"));
        self.save.notify_one();
    }

    /// The deadline of a call that no client waits for.
    pub(super) fn own_deadline(&self) -> Deadline {
        Deadline::within(self.seed.config.call_timeout)
    }

    /// Publishes the view, and gives layout and sessions the graph and the roster when they changed.
    pub(super) fn publish(&self) {
        let (view, graph, roster) = self.with(|state| {
            let view = SwarmView {
                swarm: state.model.swarm.clone(),
                agents: state.model.agents().cloned().collect(),
                tasks: state.model.tasks().cloned().collect(),
                attempted: state.attempted,
            };
            (view, state.changed_graph(), state.roster())
        });
        let entry = &self.seed.entry;
        // the roster first: no frame may name a slot that a session can't look up
        entry.channel.set_roster(roster);
        if let Some((revision, graph, start)) = graph {
            self.seed.compute.set_graph(entry.id, revision, graph, start);
        }
        entry.publish(view);
        entry.channel.changed();
    }
}

impl State {
    /// Counts a change of the swarm's own row.
    pub(super) fn save_swarm(&mut self) {
        self.pending.swarm = Some(self.model.swarm.clone());
    }

    pub(super) fn save_agent(&mut self, agent: Agent) {
        self.pending.agents.retain(|other| other.id != agent.id);
        self.pending.agents.push(agent);
        self.save_swarm();
    }

    pub(super) fn remove_agent(&mut self, id: AgentId) {
        self.pending.agents.retain(|other| other.id != id);
        self.pending.removed_agents.push(id);
        self.save_swarm();
    }

    pub(super) fn save_task(&mut self, task: Task) {
        self.pending.tasks.retain(|other| other.id != task.id);
        self.pending.tasks.push(task);
        self.save_swarm();
    }

    pub(super) fn tell(&mut self, kind: EventKind, actor: &str, at: Timestamp) {
        self.pending.events.push((kind, actor.to_owned(), at));
    }

    pub(super) fn take_diff(&mut self, diff: ObservedDiff, now: Timestamp) {
        for agent in diff.changed {
            self.save_agent(agent);
        }
        for id in diff.removed {
            self.remove_agent(id);
        }
        for event in diff.events {
            self.tell(event, "runtime", now);
        }
    }

    pub(super) fn advance(&mut self, to: SwarmState, reason: Option<String>, actor: &str) {
        let (from, now) = (self.model.swarm.status, clock::now());
        if self.model.swarm.advance(to, reason.clone(), now) {
            self.tell(EventKind::SwarmStateChanged { from, to, reason }, actor, now);
            self.save_swarm();
        }
    }

    /// Version of roster and graph: the swarm's own, which is persisted, so it rises over restarts too.
    fn version(&self) -> u32 {
        u32::try_from(self.model.swarm.version).unwrap_or(u32::MAX)
    }

    fn roster(&self) -> Roster {
        Roster {
            epoch: self.model.swarm.epoch,
            version: self.version(),
            agents: self.model.agents().cloned().collect(),
        }
    }

    /// The graph for the layout with its revision and places to start from, unless the layout has that already.
    fn changed_graph(&mut self) -> Option<(u32, LayoutGraph, Places)> {
        // slots and topology decide the graph; types decide the leader and never change
        let mut key: Vec<u32> = self.model.agents().map(|agent| agent.slot).collect();
        key.push(u32::MAX - self.model.swarm.topology as u32);
        if self.graph_key.as_ref() == Some(&key) {
            return None;
        }
        self.graph_key = Some(key);
        match graph::build(&self.model) {
            Ok(graph) => Some((self.version(), graph, std::mem::take(&mut self.start))),
            Err(error) => {
                tracing::error!(swarm.id = %self.model.swarm.id, %error, "building the layout graph");
                None
            }
        }
    }
}
