//! Settings: layered files and variables, checked once, typed from then on.
//!
//! Layers, later wins: embedded defaults, `config/default.toml`, the profile's file, `.env`, the
//! environment, the command line. `env.rs` is the one table of what can be set. [`Settings::load`] takes
//! everything that it depends on as an argument; [`Settings::from_process`] is the only place that looks at
//! the process. Actors get plain values out of this, never a `Settings`.

mod document;
mod dotenv;
mod effective;
mod env;
mod error;
mod layers;
mod read;
mod secret;
mod sections;
#[cfg(test)]
mod tests;
mod unknown;
mod values;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

pub use self::document::{default_toml, env_example};
pub use self::effective::{Effective, render_json, render_text};
pub use self::env::{Kind, ROWS, Row};
pub use self::error::{EXIT_BAD_CONFIGURATION, Problem, SettingsError};
pub use self::secret::SigningSecrets;
pub use self::sections::{Client, Compute, Data, Database, Log, Mcp, Metrics, Security, Server, Swarm};
pub use self::values::{DatabaseUrl, LogFormat, McpServer, Profile};

use self::layers::Parts;
use self::read::Reader;

/// Name of the SQLite file within the data folder.
const SQLITE_FILE: &str = "visionflow.db";

/// What the settings are for: a migration must not fail for a missing signing secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The server, and everything that issues tokens: every setting counts.
    Server,
    /// Tools that only touch the database.
    Database,
    /// The agent runtime on its own.
    AgentRuntime,
}

impl Purpose {
    fn concerns(self, section: &str) -> bool {
        match self {
            Self::Server => true,
            Self::Database => matches!(section, "profile" | "database" | "data" | "log"),
            Self::AgentRuntime => matches!(section, "profile" | "server" | "mcp" | "data" | "log"),
        }
    }
}

/// Everything that loading depends on.
#[derive(Debug, Clone)]
pub struct LoadInput {
    /// The working directory: holds `.env` and `config/`, and relative paths start here.
    pub dir: PathBuf,
    /// The environment.
    pub vars: BTreeMap<String, String>,
    /// Values from the command line by key, such as `database.url`; they win over all.
    pub flags: BTreeMap<String, String>,
    /// The profile, if the command line names one.
    pub profile: Option<String>,
    /// Which settings must be right.
    pub purpose: Purpose,
}

impl LoadInput {
    /// An input for the server in `dir` with nothing set.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            vars: BTreeMap::new(),
            flags: BTreeMap::new(),
            profile: None,
            purpose: Purpose::Server,
        }
    }

    /// Sets a variable of the environment.
    #[must_use]
    pub fn var(mut self, name: &str, value: &str) -> Self {
        self.vars.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Sets a key from the command line.
    #[must_use]
    pub fn flag(mut self, key: &str, value: &str) -> Self {
        self.flags.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Sets what the settings are for.
    #[must_use]
    pub fn purpose(mut self, purpose: Purpose) -> Self {
        self.purpose = purpose;
        self
    }
}

/// All settings, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which profile applies.
    pub profile: Profile,
    /// The HTTP server.
    pub server: Server,
    /// Tokens and origins.
    pub security: Security,
    /// Who may read the metrics.
    pub metrics: Metrics,
    /// The database.
    pub database: Database,
    /// The agent runtime, and the sockets to it.
    pub mcp: Mcp,
    /// What clients may have and get.
    pub client: Client,
    /// Limits of swarms.
    pub swarm: Swarm,
    /// Layout on the GPU or CPU.
    pub compute: Compute,
    /// Files of our own.
    pub data: Data,
    /// Logging.
    pub log: Log,
    /// Things to tell the user at the start that are no errors.
    pub warnings: Vec<String>,
    effective: Vec<Effective>,
}

impl Settings {
    /// Loads and checks all settings. Reads files, so it blocks; makes none.
    ///
    /// # Errors
    /// [`SettingsError::Invalid`] with every problem that concerns the purpose.
    pub fn load(input: &LoadInput) -> Result<Self, SettingsError> {
        let parts = Parts {
            dir: &input.dir,
            vars: &input.vars,
            flags: &input.flags,
            profile: input.profile.as_deref(),
        };
        let mut reader = Reader::new(layers::collect(&parts), input.purpose);
        let mut settings = build(&mut reader, &input.dir);
        check_together(&mut reader, &settings);
        let problems = reader.problems();
        if !problems.is_empty() {
            return Err(SettingsError::Invalid(problems));
        }
        settings.effective = reader.effective(|row| settings.describe_unset(row));
        settings.warnings = std::mem::take(&mut reader.layers.warnings);
        Ok(settings)
    }

    /// Loads from the process: its working directory and environment.
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub fn from_process(
        purpose: Purpose,
        flags: BTreeMap<String, String>,
        profile: Option<String>,
    ) -> Result<Self, SettingsError> {
        // Not UTF-8 becomes U+FFFD, which the checks of a value refuse where it matters.
        let vars = std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
            .collect();
        Self::load(&LoadInput { dir: PathBuf::from("."), vars, flags, profile, purpose })
    }

    /// Every setting with its masked value and source, for `visionflow config`.
    #[must_use]
    pub fn effective(&self) -> &[Effective] {
        &self.effective
    }

    /// Makes the data folder unless it is there.
    ///
    /// # Errors
    /// [`SettingsError::DataDir`] if that fails.
    pub fn prepare_data_dir(&self) -> Result<(), SettingsError> {
        secret::prepare_folder(&self.data.dir)
    }

    /// The secrets that sign tokens; generates and keeps one if none is set. Blocks on the disk.
    ///
    /// All processes that share a data folder get the same one.
    ///
    /// # Errors
    /// [`SettingsError::Invalid`] if none is set and the profile does not generate one (settings that were
    /// loaded for a tool get this far); others if the kept one cannot be written or read.
    pub fn signing_secrets(&self) -> Result<SigningSecrets, SettingsError> {
        let current = match &self.security.jwt_secret {
            Some(secret) => secret.clone(),
            None if self.profile.generates_secret() => secret::kept_secret(&self.data.dir)?,
            None => {
                return Err(SettingsError::Invalid(vec![Problem {
                    name: "JWT_SECRET".to_owned(),
                    key: Some(JWT_SECRET),
                    value: None,
                    origin: String::new(),
                    reason: missing_secret(&self.profile),
                }]));
            }
        };
        Ok(SigningSecrets { current, previous: self.security.jwt_secret_previous.clone() })
    }

    fn describe_unset(&self, row: &Row) -> Option<String> {
        match row.key {
            "database.url" => Some(values::mask_url(&self.database.url.expose())),
            "mcp.bind" => Some(self.mcp.bind.to_string()),
            JWT_SECRET if self.profile.generates_secret() => {
                Some(format!("(generated, kept in {})", self.data.dir.join(secret::SECRET_FILE).display()))
            }
            _ => None,
        }
    }
}

const JWT_SECRET: &str = "security.jwt_secret";

fn missing_secret(profile: &Profile) -> String {
    format!(
        "is not set, and the {} profile generates none; make one with: openssl rand -base64 48",
        profile.as_str()
    )
}

fn build(reader: &mut Reader, dir: &Path) -> Settings {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let profile = reader.layers.profile.clone();
    let bind = reader.address("server.bind").unwrap_or(loopback);
    let data_dir = resolve(dir, reader.folder("data.dir"));
    let url = match reader.database("database.url") {
        Some(DatabaseUrl::Sqlite { path }) => DatabaseUrl::Sqlite { path: resolve(dir, path) },
        Some(url @ DatabaseUrl::Postgres(_)) => url,
        None => DatabaseUrl::Sqlite { path: data_dir.join(SQLITE_FILE) },
    };
    let format = if reader.choice("log.format") == "json" { LogFormat::Json } else { LogFormat::Pretty };
    Settings {
        server: Server {
            bind,
            port: reader.whole("server.port"),
            workers: reader.whole("server.workers"),
            drain_timeout: reader.millis("server.drain_timeout_ms"),
        },
        security: Security {
            jwt_secret: reader.secret(JWT_SECRET),
            jwt_secret_previous: reader.secret("security.jwt_secret_previous"),
            cors_allowed_origins: reader.origins("security.cors_allowed_origins"),
        },
        metrics: Metrics { public: reader.flag("metrics.public"), token: reader.secret("metrics.token") },
        database: Database { url, pool_size: reader.whole("database.pool_size") },
        mcp: Mcp {
            server: reader.runtime("mcp.server"),
            connection_pool_size: reader.whole("mcp.connection_pool_size"),
            connection_timeout: reader.millis("mcp.connection_timeout_ms"),
            keepalive_interval: reader.millis("mcp.keepalive_interval_ms"),
            bind: mcp_bind(reader, bind, &profile),
            port: reader.whole("mcp.port"),
            health_port: reader.whole("mcp.health_port"),
        },
        client: Client {
            poll_rate: reader.millis("client.poll_rate_ms"),
            max_swarms: reader.whole("client.max_swarms"),
            position_update_fps: reader.whole("client.position_update_fps"),
        },
        swarm: Swarm {
            default_topology: reader.choice("swarm.default_topology"),
            max_agents: reader.whole("swarm.max_agents"),
            idle_timeout: reader.millis("swarm.idle_timeout_ms"),
        },
        compute: Compute {
            batch_size: reader.whole("compute.batch_size"),
            threads_per_block: reader.whole("compute.threads_per_block"),
        },
        data: Data { dir: data_dir },
        log: Log { format, filter: reader.text("log.filter") },
        profile,
        warnings: Vec::new(),
        effective: Vec::new(),
    }
}

/// The runtime has no authentication, so it leaves the loopback address only if somebody said so: the
/// address that a profile brings along does not count.
fn mcp_bind(reader: &mut Reader, server_bind: IpAddr, profile: &Profile) -> IpAddr {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let origin = reader.origin("server.bind").to_owned();
    let said = origin != layers::DEFAULT && origin != layers::profile_origin(profile);
    reader.address("mcp.bind").unwrap_or(if said { server_bind } else { loopback })
}

/// Checks that need more than one setting.
fn check_together(reader: &mut Reader, settings: &Settings) {
    if settings.security.jwt_secret.is_none()
        && !reader.layers.found.contains_key(JWT_SECRET)
        && !settings.profile.generates_secret()
    {
        reader.problem(JWT_SECRET, missing_secret(&settings.profile));
    }
    let mcp = &settings.mcp;
    if mcp.port != 0 && mcp.port == mcp.health_port {
        reader.problem("mcp.health_port", format!("is the same port as MCP_PORT, {}", mcp.port));
    }
    if mcp.server == McpServer::Embedded {
        for (key, port) in [("mcp.port", mcp.port), ("mcp.health_port", mcp.health_port)] {
            if port != 0 && port == settings.server.port {
                reader
                    .problem(key, format!("is the same port as PORT, {port}, while MCP_SERVER is embedded"));
            }
        }
    }
}

fn resolve(dir: &Path, path: PathBuf) -> PathBuf {
    if dir == Path::new(".") || dir == Path::new("") { path } else { dir.join(path) }
}
