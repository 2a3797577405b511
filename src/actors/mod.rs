//! The actors: thin shells over the pure parts, each on its own arbiter, each guarded.
//!
//! ```text
//! RootSupervisor (a permanent child gave up: drain, then exit code 70)
//! ├─ mcp      McpActor         permanent  every socket to the agent runtime
//! ├─ compute  ComputeActor     permanent  the layout world, stepped at the frame rate
//! ├─ frames   FrameHub         permanent  encodes what is watched, wakes the sessions
//! └─ swarms   SwarmSupervisor  permanent  starts, wakes and ends swarms
//!    └─ swarm SwarmActor × N   transient  one swarm: its agents, tasks, topology
//! session     SessionActor × M temporary  one WebSocket client, on an HTTP worker
//! ```
//!
//! What must survive a crash of an actor lives outside of it: rows in the store, and in the
//! [`directory`] the last published view, the frame channel and the handle of every swarm.
//! Asks go down this tree only; everything upward is a tell. Others hold typed handles, never an `Addr`.

pub mod compute;
pub mod directory;
mod error;
pub mod frames;
pub mod mcp;
pub mod session;
pub mod swarm;
pub mod swarms;
#[cfg(test)]
mod tests;

pub use error::CommandError;
