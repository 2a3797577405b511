//! Force-directed layout of one swarm, as pure arithmetic.
//!
//! A [`LayoutGraph`] says who is in the swarm and who is linked; [`ForceParams`] say how strongly things push
//! and pull; [`placement`] gives starting points and the targets that make a topology visible; [`step`] moves
//! one swarm by one tick and [`Motion`] says when it is at rest. No clock, no threads, no randomness but
//! seeded hashes: the same input gives the same bits. Positions are in layout units, x to the right, y up, z
//! towards the viewer. Not for many swarms at once (that is `compute`) and not for the meaning of agents and
//! links (that is `domain`).

mod field;
mod force;
mod graph;
mod hash;
mod integrate;
#[cfg(test)]
mod oracle_tests;
mod params;
pub mod placement;
#[cfg(any(test, feature = "testkit"))]
pub mod quality;
#[cfg(any(test, feature = "testkit"))]
pub mod reference;
#[cfg(test)]
mod tests;

pub use field::{AxisPull, Field, Springs};
pub use force::{LANES, Scratch};
pub use graph::{
    GraphDiff, GraphError, LINKS_MAX, LayoutGraph, LinkSpec, NODES_MAX, NodeSpec, Shape, WEIGHT_MAX,
};
pub use integrate::{
    ALPHA_JOIN, ALPHA_RESHAPE, ALPHA_RESUME, ALPHA_START, ALPHA_TUNE, Body, CALM_TICKS, Motion,
    POSITION_LIMIT, SETTLE_TICKS_MAX, StepReport, is_sound, step,
};
pub use params::{ForceParams, ForceSettings, ParamError, ParamRange, RANGES};

/// A point or a vector in layout units: x to the right, y up, z towards the viewer.
pub type Vec3 = [f32; 3];
