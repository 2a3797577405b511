//! What a processor that steps swarms must offer.
//!
//! A backend may keep state of its own. The CPU steps the world's columns in place. A device keeps its copy
//! resident and brings it up to date from three numbers: [`super::World::layout_version`] (columns were moved
//! or grown: upload all), each segment's [`super::AwakeSegment::edition`] (this swarm was edited: upload its
//! span, springs and field) and [`super::AwakeSegment::offset`] (where it lies); it then launches once per
//! batch, copies positions back into the segments' bodies and stores heat and rest in their motion. One call
//! may do several steps ([`super::Batch::steps`]), so that launches need not be as frequent as steps.

use super::{Batch, World};

/// What one call of [`ForceBackend::step`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepStats {
    /// Swarms that were stepped; sleeping ones are not.
    pub swarms: u32,
    /// Nodes in them.
    pub nodes: u64,
    /// Pairs of nodes that were evaluated, over all steps.
    pub pairs: u64,
    /// Nodes that were put back to their seed because a number was broken.
    pub repaired: u32,
    /// Swarms that fell asleep.
    pub fell_asleep: u32,
    /// Swarms among them that were put to sleep while still moving, because their time to settle was used up.
    pub cut_short: u32,
}

/// A backend cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// The device is gone for the life of this process: step on the CPU from now on. The world is intact.
    #[error("stepping on {backend}: device lost: {reason}")]
    DeviceLost {
        /// The backend's name.
        backend: &'static str,
        /// What the driver said.
        reason: String,
    },
}

/// A processor that moves swarms by one tick.
///
/// `Send` but not `Sync`: it lives on the compute thread. Object-safe, so that the backend is chosen at run time.
pub trait ForceBackend: Send {
    /// Short stable name, as in `/health`: `cpu`.
    fn name(&self) -> &'static str;

    /// The processor in words, for people.
    fn describe(&self) -> String;

    /// Steps the awake swarms of a batch and blocks until their positions are in the world.
    ///
    /// Swarms that were removed or fell asleep since the batch was planned are passed over.
    ///
    /// # Errors
    /// [`BackendError::DeviceLost`] when the caller must go on with another backend.
    fn step(&mut self, world: &mut World, batch: &Batch<'_>) -> Result<StepStats, BackendError>;
}
