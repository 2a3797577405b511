//! What may be asked of the world between two ticks, and what came of it.

use crate::layout::{ForceParams, GraphError, LayoutGraph, Vec3};

/// A change to one swarm's layout. Every edit may be repeated: the second time nothing differs and nothing
/// wakes.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    /// Sets who is in the swarm, who is linked and how forces act. Known slots keep their positions, others
    /// get a place.
    SetGraph {
        /// The swarm's key; also the seed of its placement.
        swarm: u128,
        /// Carried out unchanged with the positions, so that readers know which graph they belong to.
        revision: u32,
        /// The whole graph, not a difference.
        graph: LayoutGraph,
        /// How forces act.
        params: ForceParams,
        /// Positions by slot for slots that the world does not know, such as from a snapshot; unsound ones
        /// are not used.
        start: Option<Vec<(u32, Vec3)>>,
    },
    /// Forgets a swarm.
    Remove {
        /// The swarm's key.
        swarm: u128,
    },
    /// Fixes a node at a point, or frees it with `None`.
    Pin {
        /// The swarm's key.
        swarm: u128,
        /// The node's slot.
        slot: u32,
        /// Where to hold it, layout units.
        at: Option<Vec3>,
    },
    /// Changes how forces act and leaves the graph as it is.
    SetParams {
        /// The swarm's key.
        swarm: u128,
        /// How forces act.
        params: ForceParams,
    },
    /// Wakes a swarm although nothing changed. The one edit that is never without effect.
    Wake {
        /// The swarm's key.
        swarm: u128,
    },
}

/// What an edit did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The swarm is new.
    Created,
    /// The swarm changed and is awake.
    Changed,
    /// Only the revision differed: it is published once, nothing wakes.
    Relabelled,
    /// The swarm is gone.
    Removed,
    /// Nothing differed.
    Unchanged,
}

/// Why an edit was refused; the world is as before.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// No such swarm in the world.
    #[error("swarm {swarm:032x} has no layout")]
    UnknownSwarm {
        /// The swarm's key.
        swarm: u128,
    },
    /// No node with that slot.
    #[error("swarm {swarm:032x} has no node in slot {slot}")]
    UnknownSlot {
        /// The swarm's key.
        swarm: u128,
        /// The slot.
        slot: u32,
    },
    /// The edit would break the graph.
    #[error("editing the graph of swarm {swarm:032x}")]
    Graph {
        /// The swarm's key.
        swarm: u128,
        /// What is wrong with it.
        source: GraphError,
    },
    /// All swarms together would have more nodes than the world holds.
    #[error("the layout world holds {max} nodes, {wanted} are wanted")]
    Full {
        /// Nodes that the edit would lead to.
        wanted: usize,
        /// Most nodes allowed.
        max: usize,
    },
}
