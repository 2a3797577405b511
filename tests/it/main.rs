//! The whole server, over real sockets, on SQLite and (when `VISIONFLOW_TEST_POSTGRES` names a server) PostgreSQL.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test stops at the first surprise; a member of JSON that is missing reads as null"
)]

mod agents;
mod auth;
mod bad_input;
mod degraded;
mod keys;
mod mcp_runtime;
mod restart;
mod steps;
mod streaming;
mod swarms;
mod tasks;
