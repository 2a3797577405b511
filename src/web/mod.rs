//! HTTP: routes, who may call them, what they take and what they answer.
//!
//! Handlers are thin: a request becomes a value of `domain`, a handle of `actors` does the work, the result
//! becomes JSON. Nothing here knows the database. Every refusal is a row of [`Code`]; the layers of
//! [`app`] see to it that each error answer, also one of the framework's own, is a problem body.
//!
//! ```text
//! observe   request id, access line, metrics, security headers, panics and errors become problems
//! └ screen  Host header, Accept header
//!   └ cors  pages of the configured origins may read the answers
//!     └ take_body   reads at most 1 MiB, so that nothing is left unread on the connection
//!       └ in_time   ends a handler that takes too long
//!         └ routes  token, role, fields, handler
//! ```

mod accept;
mod agents;
mod auth;
mod body;
mod cursor;
mod dto;
mod error;
mod etag;
mod fields;
mod gate;
mod health;
mod identity_calls;
mod keyed;
mod limits;
mod metrics;
mod middleware;
mod old_calls;
mod origin;
mod problem;
mod refusals;
mod routes;
mod server;
mod state;
mod swarms;
mod tasks;
#[cfg(test)]
mod tests;
mod viewer;
pub mod ws;

pub use auth::{Caller, Writer};
pub use error::{Code, Retry, Row};
pub use gate::{Gate, RevocationFailed, Revocations};
pub use health::{Checks, DatabaseProbe, Overall};
pub use keyed::{Asked, Keys, KeysFailed, Repeatable, Seen};
pub use origin::OriginPolicy;
pub use problem::{ApiError, FieldError};
pub use routes::configure;
pub use server::{Layered, RunningServer, ServerError, ServerOptions, app, start};
pub use state::{AppState, McpHealth, WebLimits};
