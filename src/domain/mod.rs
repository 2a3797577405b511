//! What a swarm is: ids, states, limits and the rules between them.
//!
//! Pure: nothing here reads a clock, rolls a die, talks to a socket or a database. Time and new ids come
//! in as arguments, decisions go out as values, so that every rule is tested without a server. It is not
//! for wire shapes (see [`crate::wire`]) nor for rows (see [`crate::store`]).

mod agent;
mod error;
mod event;
mod id;
pub mod limits;
mod link;
mod model;
mod swarm;
mod task;
mod topology;
mod words;

pub use agent::{Agent, AgentState, AgentType, CommandStage, Figures, NewAgent, Observation, Source};
pub use error::DomainError;
pub use event::{Event, EventKind};
pub use id::{AgentId, SwarmId, TaskId};
pub use link::{Link, LinkKind};
pub use model::{AgentReport, ObservedDiff, SwarmModel};
pub use swarm::{NewSwarm, Swarm, SwarmState, SwarmStrategy};
pub use task::{NewTask, Priority, Task, TaskState, TaskStrategy};
pub use topology::{Member, Topology, levels, links};
pub use words::UnknownWord;

/// A moment in UTC, kept to the microsecond, since that is what both databases keep.
pub type Timestamp = chrono::DateTime<chrono::Utc>;
