//! The one table of settings: variable, key, kind, unit, default, meaning.
//!
//! It drives the mapping of variables to keys, the range checks, the hints in error messages,
//! `visionflow config`, `config/default.toml` and `config/env.example`. A setting that is not here does
//! not exist. Parsing is in `read.rs`, layering in `layers.rs`.

/// What a value may be; also how it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A whole number within `min..=max` that is a multiple of `step`.
    Whole {
        /// Smallest value allowed.
        min: u64,
        /// Largest value allowed.
        max: u64,
        /// The value must be a multiple of this.
        step: u64,
    },
    /// `true` or `false`.
    Flag,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// An IP address to listen on.
    Address,
    /// A folder.
    Folder,
    /// Web origins, separated by commas.
    Origins,
    /// A database URL; its password is masked.
    Database,
    /// Where the agent runtime is.
    Runtime,
    /// A filter in the syntax of the `tracing` crates.
    Filter,
    /// A secret of at least `min_bytes`; always masked.
    Secret {
        /// Shortest secret accepted, in bytes.
        min_bytes: usize,
    },
    /// The profile; comes from variables only.
    Profile,
}

impl Kind {
    /// True if the value must never be shown in full.
    #[must_use]
    pub fn is_secret(self) -> bool {
        matches!(self, Self::Secret { .. } | Self::Database)
    }

    /// What is allowed, in words, for messages and documents.
    #[must_use]
    pub fn allowed(self, unit: &str) -> String {
        match self {
            Self::Whole { min, max, step } => {
                let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
                let multiple = if step > 1 { format!(", a multiple of {step}") } else { String::new() };
                format!("a whole number from {min} to {max}{unit}{multiple}")
            }
            Self::Flag => "true or false".to_owned(),
            Self::Choice(words) => words.join(", "),
            Self::Address => "an IP address, such as 127.0.0.1 or 0.0.0.0".to_owned(),
            Self::Folder => "a path of a folder".to_owned(),
            Self::Origins => "origins such as https://example.org, separated by commas, never *".to_owned(),
            Self::Database => {
                "sqlite://<file> (sqlite:///<file> for an absolute path) or postgres://user:password@host/name"
                    .to_owned()
            }
            Self::Runtime => "embedded, tcp://<host>:<port> or stdio:<command>".to_owned(),
            Self::Filter => "a tracing filter, such as info or visionflow=debug,info".to_owned(),
            Self::Secret { min_bytes } => format!("a secret of at least {min_bytes} bytes"),
            Self::Profile => "development, production, test, or the name of a file config/<profile>.toml".to_owned(),
        }
    }
}

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The documented variable; without one, only `VISIONFLOW__SECTION__KEY` works.
    pub variable: Option<&'static str>,
    /// The dotted key in the files.
    pub key: &'static str,
    /// What the value may be.
    pub kind: Kind,
    /// The unit of a number, such as `ms`; empty if it has none.
    pub unit: &'static str,
    /// The value when nothing sets it; empty if there is none.
    pub default: &'static str,
    /// What it means, one or more sentences.
    pub doc: &'static str,
}

impl Row {
    /// The section of the key: all before the dot.
    #[must_use]
    pub fn section(&self) -> &'static str {
        self.key.split_once('.').map_or(self.key, |(section, _)| section)
    }

    /// The name that users see: the documented variable, or the `VISIONFLOW__` one.
    #[must_use]
    pub fn name(&self) -> String {
        self.variable.map_or_else(|| self.prefixed_name(), str::to_owned)
    }

    /// The name that works for every key: `VISIONFLOW__SECTION__KEY`.
    #[must_use]
    pub fn prefixed_name(&self) -> String {
        format!("{PREFIX}{}", self.key.replace('.', "__").to_uppercase())
    }

    /// What is allowed, in words.
    #[must_use]
    pub fn allowed(&self) -> String {
        self.kind.allowed(self.unit)
    }
}

/// Starts the variables that set a key by its path.
pub(super) const PREFIX: &str = "VISIONFLOW__";

/// Ends the variables that name a file which holds a secret, as container platforms mount them.
pub(super) const FILE_SUFFIX: &str = "_FILE";

/// Variables that start so are ours: one that is not in the table is reported.
pub(super) const OUR_PREFIXES: &[&str] = &[
    "MCP_",
    "SWARM_",
    "CLIENT_",
    "JWT_",
    "GPU_",
    "FORCE_",
    "POSITION_",
    "MAX_SWARM",
    "MAX_AGENT",
    "DEFAULT_SWARM",
    "CORS_",
    "METRICS_",
    "DATABASE_",
    "DATA_DIR",
    "LOG_FORMAT",
    "VISIONFLOW_",
];

/// Shortest signing secret, in bytes: HS256 has 256 bits.
pub(super) const JWT_SECRET_BYTES_MIN: usize = 32;

const fn whole(min: u64, max: u64) -> Kind {
    Kind::Whole { min, max, step: 1 }
}

const fn row(
    variable: &'static str,
    key: &'static str,
    kind: Kind,
    unit: &'static str,
    default: &'static str,
    doc: &'static str,
) -> Row {
    let variable = if variable.is_empty() { None } else { Some(variable) };
    Row { variable, key, kind, unit, default, doc }
}

/// Every setting, in the order in which documents show them.
#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    row("APP_ENV", "profile", Kind::Profile, "", "development",
        "Which profile applies. production listens on all addresses, logs JSON and demands JWT_SECRET; \
         test takes free ports. A name of your own needs config/<profile>.toml and is as strict as production."),

    row("BIND", "server.bind", Kind::Address, "", "127.0.0.1",
        "Address that the server listens on; 0.0.0.0 in the production profile. \
         Setting it also moves the embedded agent runtime there; the profile's own value does not."),
    row("PORT", "server.port", whole(0, 65_535), "", "3001",
        "Port of the server; 0 takes a free one."),
    row("", "server.workers", whole(0, 256), "threads", "0",
        "HTTP worker threads; 0 takes one per core."),
    row("", "server.drain_timeout_ms", whole(0, 600_000), "ms", "10000",
        "How long a stopping server lets requests and sessions finish."),

    row("JWT_SECRET", "security.jwt_secret", Kind::Secret { min_bytes: JWT_SECRET_BYTES_MIN }, "", "",
        "Secret that signs access tokens (HS256), for instance from: openssl rand -base64 48. \
         Unset in the development and test profiles: one is generated and kept in DATA_DIR/jwt_secret, \
         readable by its owner only. Unset in production: no start. JWT_SECRET_FILE names a file that holds it."),
    row("JWT_SECRET_PREVIOUS", "security.jwt_secret_previous", Kind::Secret { min_bytes: JWT_SECRET_BYTES_MIN }, "", "",
        "The secret before the current one: while it is set, tokens that it signed are still accepted."),
    row("CORS_ALLOWED_ORIGINS", "security.cors_allowed_origins", Kind::Origins, "", "http://localhost:3001",
        "Origins whose pages may call the API and open WebSockets, separated by commas."),

    row("METRICS_PUBLIC", "metrics.public", Kind::Flag, "", "false",
        "Whether /metrics answers without a token."),
    row("METRICS_TOKEN", "metrics.token", Kind::Secret { min_bytes: 16 }, "", "",
        "Bearer token for /metrics alone, for a scraper that has no account."),

    row("DATABASE_URL", "database.url", Kind::Database, "", "",
        "SQLite file or PostgreSQL database; unset: the SQLite file DATA_DIR/visionflow.db. \
         DATABASE_URL_FILE names a file that holds it."),
    row("", "database.pool_size", whole(1, 64), "connections", "8",
        "Database connections at most."),

    row("MCP_SERVER", "mcp.server", Kind::Runtime, "", "embedded",
        "Where the agent runtime is: embedded runs it in this process, tcp://multi-agent-container:9500 \
         connects to another one, stdio:<command> starts a child process per pool slot."),
    row("MCP_CONNECTION_POOL_SIZE", "mcp.connection_pool_size", whole(1, 256), "sockets", "10",
        "Persistent sockets to the agent runtime at most; requests are multiplexed over them. \
         Opened as load asks, at least 2 (1 if this says 1)."),
    row("MCP_CONNECTION_TIMEOUT", "mcp.connection_timeout_ms", whole(50, 600_000), "ms", "30000",
        "Deadline for connecting to the agent runtime and for each call to it."),
    row("MCP_KEEPALIVE_INTERVAL", "mcp.keepalive_interval_ms", whole(50, 600_000), "ms", "5000",
        "An idle socket is probed this often; a missed answer replaces it."),
    row("", "mcp.bind", Kind::Address, "", "",
        "Address that the embedded agent runtime and mcp-runtime listen on; unset: BIND if somebody set it, \
         else 127.0.0.1. The runtime has no authentication: keep it on a private network."),
    row("MCP_PORT", "mcp.port", whole(0, 65_535), "", "9500",
        "Port of the embedded agent runtime and of mcp-runtime; 0 takes a free one."),
    row("MCP_HEALTH_PORT", "mcp.health_port", whole(0, 65_535), "", "9501",
        "Port of the agent runtime's GET /health; 0 takes a free one."),

    row("CLIENT_POLL_RATE_MS", "client.poll_rate_ms", whole(50, 600_000), "ms", "1000",
        "How often the agent runtime is polled for each active swarm, and the metadata poll rate told to clients."),
    row("MAX_SWARMS_PER_CLIENT", "client.max_swarms", whole(1, 1_000), "swarms", "5",
        "Live swarms that a subject may own, and subscriptions that a session may hold."),
    row("POSITION_UPDATE_FPS", "client.position_update_fps", whole(1, 240), "frames per second", "60",
        "Layout and frame rate."),

    row("DEFAULT_SWARM_TOPOLOGY", "swarm.default_topology", Kind::Choice(&["mesh", "hierarchical", "ring", "star"]), "", "mesh",
        "Topology of a swarm that is created without one."),
    row("MAX_AGENTS_PER_SWARM", "swarm.max_agents", whole(1, 100_000), "agents", "200",
        "Hard cap for a swarm's max_agents and for spawns."),
    row("SWARM_IDLE_TIMEOUT", "swarm.idle_timeout_ms", whole(100, 2_592_000_000), "ms", "3600000",
        "No command, task, subscriber or agent change for this long puts a swarm to sleep; any use wakes it."),

    row("GPU_COMPUTE_BATCH_SIZE", "compute.batch_size", whole(1, 4_096), "swarms", "64",
        "Swarms per compute launch."),
    row("FORCE_CALCULATION_THREADS", "compute.threads_per_block", Kind::Whole { min: 32, max: 1_024, step: 32 }, "threads", "256",
        "Threads per CUDA block."),

    row("DATA_DIR", "data.dir", Kind::Folder, "", "data",
        "Folder for the SQLite file and the generated secret, relative to the working directory; created when missing."),

    row("LOG_FORMAT", "log.format", Kind::Choice(&["pretty", "json"]), "", "pretty",
        "Log lines for people or for machines; json in the production profile."),
    row("RUST_LOG", "log.filter", Kind::Filter, "", "info",
        "Which log lines are written."),
];

/// The row of a key.
#[must_use]
pub(super) fn by_key(key: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.key == key)
}

/// The row of a documented variable.
#[must_use]
pub(super) fn by_variable(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.variable == Some(name))
}
