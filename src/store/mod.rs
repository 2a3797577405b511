//! The only part that touches the database: SQLite or PostgreSQL, one set of queries.
//!
//! [`Store`] is what others hold. Its methods are async and run their queries on blocking threads, at most
//! as many at a time as there are connections, each under a deadline. Beneath it, one file holds the
//! queries of one table as plain functions of a connection; `rows` turns rows into the domain's types and
//! back. It is not for rules: those are in [`crate::domain`].
//!
//! The agents and tasks of v1 live on in the same tables, see `migrations/README.md`.

mod agents;
mod calls;
mod change;
mod connection;
mod error;
mod events;
mod handle;
mod idempotency;
pub mod inspect;
pub mod migrate;
mod rows;
mod schema;
mod snapshots;
mod swarms;
mod tasks;
mod tokens;
mod types;
mod v1;

#[cfg(test)]
mod tests;

pub use calls::{CorruptSwarm, LoadedAll, LoadedSwarm};
pub use change::Change;
pub use connection::{AnyConnection, Backend, connect};
pub use error::{BoxError, StoreError, StoreResult};
pub use events::EVENTS_KEPT_MAX;
pub use handle::{Store, StoreConfig};
pub use idempotency::{
    Claim, KEPT_HOURS, KEY_BYTES_MAX, KeyedCall, LOST_AFTER_S, OUTCOME_UNKNOWN, RESPONSE_BYTES_MAX,
    UNKNOWN_KEPT_MINUTES,
};
pub use snapshots::{SNAPSHOT_POSITIONS_MAX, Snapshot};
pub use swarms::SwarmFilter;
pub use tokens::TOKEN_ID_BYTES_MAX;

use crate::domain::SwarmId;

/// Where agents and tasks of v1 belong; the default of `swarm_id` in both migrations.
pub const LEGACY_SWARM: SwarmId = SwarmId(uuid::uuid!("00000000-0000-7000-8000-000000000000"));
/// Who owns the legacy swarm.
pub const LEGACY_OWNER: &str = "v1";
/// Most rows that one call lists.
pub const LIST_MAX: usize = 1_000;

/// Rows of one INSERT: 500 of 23 columns stay below SQLite's 32,766 and PostgreSQL's 65,535 parameters.
const ROWS_PER_STATEMENT: usize = 500;
