//! What handlers work with: handles of actors, limits, and what the process knows of itself.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web;
use tokio::time::Instant;

use super::auth::Caller;
use super::error::Code;
use super::gate::Gate;
use super::health::DatabaseProbe;
use super::keyed::Keys;
use super::problem::{ApiError, echo};
use crate::actors::compute::ComputeHandle;
use crate::actors::session::SessionParts;
use crate::actors::swarm::SwarmHandle;
use crate::actors::swarms::SwarmsHandle;
use crate::domain::{SwarmId, Topology};
use crate::runtime::{Deadline, Readiness};
use crate::telemetry::MetricsHandle;

/// Says how the agent runtime does: an object with `status` (`ok`, `degraded` or `down`) and details. Must not block.
pub type McpHealth = Arc<dyn Fn() -> serde_json::Value + Send + Sync>;

/// Limits that clients are told of or run into.
#[derive(Debug, Clone)]
pub struct WebLimits {
    /// `MAX_SWARMS_PER_CLIENT`.
    pub max_swarms_per_client: usize,
    /// `MAX_AGENTS_PER_SWARM`.
    pub max_agents_per_swarm: u32,
    /// `DEFAULT_SWARM_TOPOLOGY`.
    pub default_topology: Topology,
    /// `CLIENT_POLL_RATE_MS`: how often clients should poll.
    pub poll_rate: Duration,
    /// `POSITION_UPDATE_FPS`.
    pub position_update_fps: u32,
    /// Longest time that a command may take; then its answer is 202 or `outcome_unknown`.
    pub command_timeout: Duration,
    /// Longest time for a request once its body is there; longer than `command_timeout`.
    pub request_timeout: Duration,
}

/// Shared by all workers of a server.
pub struct AppState {
    /// All swarms.
    pub swarms: SwarmsHandle,
    /// The layout, for its health.
    pub compute: ComputeHandle,
    /// The agent runtime, for its health.
    pub mcp_health: McpHealth,
    /// Who is let in.
    pub gate: web::Data<Gate>,
    /// Calls that clients may repeat.
    pub keys: Arc<dyn Keys>,
    /// What every WebSocket session is given.
    pub session: SessionParts,
    /// Limits.
    pub limits: WebLimits,
    /// What `/metrics` renders.
    pub metrics: &'static MetricsHandle,
    /// When the server started.
    pub started_at: Instant,
    /// The last answer of the database.
    pub database: DatabaseProbe,
    /// Whether the threads of the actors make progress.
    pub readiness: Readiness,
}

impl AppState {
    /// When a command that starts now has to be answered.
    #[must_use]
    pub fn deadline(&self) -> Deadline {
        Deadline::within(self.limits.command_timeout)
    }

    /// The swarm with this id, if the caller may see it.
    ///
    /// # Errors
    /// [`Code::SwarmNotFound`], the same for a foreign swarm, a missing one and a text that is no id.
    pub fn swarm(&self, caller: &Caller, id: &str) -> Result<SwarmHandle, ApiError> {
        id.parse::<SwarmId>()
            .ok()
            .and_then(|id| self.swarms.find(id))
            .filter(|swarm| caller.may_see(swarm.owner()))
            .ok_or_else(|| {
                ApiError::new(Code::SwarmNotFound).detail(format!("there is no swarm {}", echo(id)))
            })
    }
}

impl fmt::Debug for AppState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppState")
            .field("gate", &self.gate)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
