//! The layout world of all swarms and the processors that step it.
//!
//! A tick goes: [`World::apply`] the queued [`Edit`]s, [`Batches::plan`] the awake swarms, then per batch
//! [`ForceBackend::step`] and [`Publisher::publish`]. The published [`Tick`] is shared read-only. Nothing
//! here waits, knows actors or reads a clock; a step blocks its thread for as long as the arithmetic takes.

mod backend;
mod batch;
mod columns;
mod cpu;
mod edit;
#[cfg(test)]
mod model_tests;
mod probe;
mod segment;
mod spans;
#[cfg(test)]
mod tests;
mod tick;
mod world;

pub use backend::{BackendError, ForceBackend, StepStats};
pub use batch::{Batch, Batches, Phase, STEPS_MAX, steps_for_rate};
pub use cpu::CpuBackend;
pub use edit::{Applied, Edit, EditError};
pub use probe::{Preference, Probe, probe};
pub use tick::{POOL_MAX, Publisher, Tick, TickSegment};
pub use world::{AwakeSegment, Positions, Status, WORLD_NODES_MAX, World};
