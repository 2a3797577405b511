//! The sections of the settings, as plain checked values.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use super::values::{DatabaseUrl, LogFormat, McpServer};

/// The HTTP server.
#[derive(Debug, Clone)]
pub struct Server {
    /// BIND: address to listen on.
    pub bind: IpAddr,
    /// PORT: port to listen on; 0 takes a free one.
    pub port: u16,
    /// HTTP worker threads; 0 takes one per core.
    pub workers: usize,
    /// How long a stopping server lets requests and sessions finish.
    pub drain_timeout: Duration,
}

impl Server {
    /// Where the server listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.bind, self.port)
    }
}

/// Tokens and origins. The secrets themselves come from [`super::Settings::signing_secrets`].
#[derive(Debug, Clone)]
pub struct Security {
    pub(super) jwt_secret: Option<SecretString>,
    pub(super) jwt_secret_previous: Option<SecretString>,
    /// `CORS_ALLOWED_ORIGINS`: in the form in which browsers send them, such as `http://localhost:3001`.
    pub cors_allowed_origins: Vec<String>,
}

/// Who may read the metrics.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// `METRICS_PUBLIC`: no token needed.
    pub public: bool,
    /// `METRICS_TOKEN`: a bearer token for a scraper.
    pub token: Option<SecretString>,
}

/// The database.
#[derive(Debug, Clone)]
pub struct Database {
    /// `DATABASE_URL`: a SQLite path is already joined to the working directory.
    pub url: DatabaseUrl,
    /// Connections at most.
    pub pool_size: u32,
}

/// The agent runtime, and the sockets to it.
#[derive(Debug, Clone)]
pub struct Mcp {
    /// `MCP_SERVER`: where the runtime is.
    pub server: McpServer,
    /// `MCP_CONNECTION_POOL_SIZE`: sockets at most, 1–256; at least 2 are opened if this allows it.
    pub connection_pool_size: usize,
    /// `MCP_CONNECTION_TIMEOUT`: deadline of a connect and of each call.
    pub connection_timeout: Duration,
    /// `MCP_KEEPALIVE_INTERVAL`: an idle socket is probed this often.
    pub keepalive_interval: Duration,
    /// Address that an embedded or lone runtime listens on.
    pub bind: IpAddr,
    /// `MCP_PORT`: port of an embedded or lone runtime; 0 takes a free one.
    pub port: u16,
    /// `MCP_HEALTH_PORT`: port of its health answer; 0 takes a free one.
    pub health_port: u16,
}

/// What clients may have and get.
#[derive(Debug, Clone)]
pub struct Client {
    /// `CLIENT_POLL_RATE_MS`: how often the runtime is polled, and clients should.
    pub poll_rate: Duration,
    /// `MAX_SWARMS_PER_CLIENT`: live swarms of a subject, subscriptions of a session.
    pub max_swarms: usize,
    /// `POSITION_UPDATE_FPS`: frames per second, 1–240.
    pub position_update_fps: u32,
}

/// Limits of swarms.
#[derive(Debug, Clone)]
pub struct Swarm {
    /// `DEFAULT_SWARM_TOPOLOGY`: mesh, hierarchical, ring or star.
    pub default_topology: &'static str,
    /// `MAX_AGENTS_PER_SWARM`: hard cap.
    pub max_agents: u32,
    /// `SWARM_IDLE_TIMEOUT`: quiet for this long, asleep after it.
    pub idle_timeout: Duration,
}

/// Layout on the GPU or CPU.
#[derive(Debug, Clone)]
pub struct Compute {
    /// `GPU_COMPUTE_BATCH_SIZE`: swarms per launch.
    pub batch_size: usize,
    /// `FORCE_CALCULATION_THREADS`: threads per CUDA block, 32–1024, a multiple of 32.
    pub threads_per_block: u32,
}

/// Files of our own.
#[derive(Debug, Clone)]
pub struct Data {
    /// `DATA_DIR`, joined to the working directory; it may not exist yet.
    pub dir: PathBuf,
}

/// Logging.
#[derive(Debug, Clone)]
pub struct Log {
    /// `LOG_FORMAT`.
    pub format: LogFormat,
    /// `RUST_LOG`: a filter, not yet parsed.
    pub filter: String,
}
