//! Why the server could not be started, in words that name what to change.

use crate::identity::IssueError;
use crate::mcp_runtime::RuntimeError;
use crate::runtime::ArbiterError;
use crate::settings::SettingsError;
use crate::store::StoreError;
use crate::telemetry::TelemetryError;
use crate::web::ServerError;

/// A part that did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppError {
    /// The settings, the data directory or the secret.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Log or metrics.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The secret can't sign tokens.
    #[error("preparing to sign tokens [JWT_SECRET]: {0}")]
    Identity(#[from] IssueError),
    /// The database.
    #[error("opening the database [DATABASE_URL]: {0}")]
    Store(#[from] StoreError),
    /// Threads.
    #[error(transparent)]
    Arbiters(#[from] ArbiterError),
    /// The watchdog's thread.
    #[error("starting the watchdog: {0}")]
    Watchdog(#[source] std::io::Error),
    /// The embedded agent runtime.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The HTTP server.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// A part is missing that should have been started before.
    #[error("starting the server: {0}")]
    Internal(&'static str),
    /// A step of the shutdown.
    #[error("shutting down: {0}")]
    Drain(String),
}
