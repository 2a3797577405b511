//! What others hold of the compute actor: a queue of edits that keeps the newest per swarm.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use serde::Serialize;

use crate::compute::Edit;
use crate::domain::SwarmId;
use crate::layout::{ForceParams, LayoutGraph, Vec3};

/// Which backend computes, and why.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ComputeHealth {
    /// `ok`; empty before the first tick.
    pub status: &'static str,
    /// The processor in words.
    pub backend: String,
    /// Why this one.
    pub why: String,
    /// Swarms in the layout world.
    pub swarms: usize,
    /// Swarms that move.
    pub awake: usize,
    /// Ticks since the start.
    pub ticks: u64,
}

/// What waits for the compute actor, and what it would need after a crash.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Edits since the last tick, newest per swarm.
    pub(super) waiting: Vec<Edit>,
    /// The last graph of every swarm: the world's record outside of the actor.
    pub(super) graphs: BTreeMap<u128, Edit>,
    /// Whether every swarm is to be published with the next tick.
    pub(super) publish_all: bool,
}

/// Sends graph edits to the compute actor. Cloning is cheap; nothing here blocks for more than a few moves.
#[derive(Debug, Clone, Default)]
pub struct ComputeHandle {
    pub(super) queue: Arc<Mutex<Queue>>,
    pub(super) health: Arc<RwLock<Arc<ComputeHealth>>>,
}

impl ComputeHandle {
    /// Sets a swarm's graph: known slots keep their places, those in `start` get theirs, others are placed beside
    /// their neighbours. `revision` comes back with the positions.
    pub fn set_graph(&self, swarm: SwarmId, revision: u32, graph: LayoutGraph, start: Vec<(u32, Vec3)>) {
        let swarm = swarm.seed();
        let edit = |start| Edit::SetGraph {
            swarm,
            revision,
            graph: graph.clone(),
            params: ForceParams::default(),
            start,
        };
        let mut queue = self.queue.lock();
        // places that the world has not taken yet are still to be given with the newer graph
        let waiting = queue.waiting.iter().position(|edit| key(edit) == swarm);
        let earlier = waiting.map(|at| queue.waiting.swap_remove(at));
        let earlier = if let Some(Edit::SetGraph { start, .. }) = earlier { start } else { None };
        let start: Vec<_> = earlier.into_iter().flatten().chain(start).collect();
        queue.graphs.insert(swarm, edit(None));
        queue.waiting.push(edit((!start.is_empty()).then_some(start)));
    }

    /// Takes a swarm out of the world.
    pub fn remove(&self, swarm: SwarmId) {
        let swarm = swarm.seed();
        let mut queue = self.queue.lock();
        queue.waiting.retain(|edit| key(edit) != swarm);
        queue.graphs.remove(&swarm);
        queue.waiting.push(Edit::Remove { swarm });
    }

    /// Asks for the positions of every swarm, also of those at rest, with the next tick.
    pub fn publish_all(&self) {
        self.queue.lock().publish_all = true;
    }

    /// What computes, as of the last second.
    #[must_use]
    pub fn health(&self) -> Arc<ComputeHealth> {
        Arc::clone(&self.health.read())
    }
}

const fn key(edit: &Edit) -> u128 {
    match edit {
        Edit::SetGraph { swarm, .. }
        | Edit::Remove { swarm }
        | Edit::Pin { swarm, .. }
        | Edit::SetParams { swarm, .. }
        | Edit::Wake { swarm } => *swarm,
    }
}
