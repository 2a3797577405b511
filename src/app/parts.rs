//! Starts the parts in order and ties them together.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::web;
use tokio::time::Instant;

use super::keys::StoredKeys;
use super::revocation::RevokedTokens;
use super::{App, AppError, health};
use crate::actors::compute::{ComputeActor, ComputeConfig, ComputeGuard, ComputeHandle};
use crate::actors::directory::SwarmDirectory;
use crate::actors::frames::{FrameHub, FramesHandle};
use crate::actors::mcp::{AgentRuntime, McpActor, McpConfig, McpHandle, McpTarget};
use crate::actors::session::{Revoked, SessionParts, Sessions};
use crate::actors::swarm::SwarmConfig;
use crate::actors::swarms::{SwarmParts, SwarmSupervisor, SwarmsHandle, boot};
use crate::domain::Topology;
use crate::identity::{TicketBook, TokenIssuer, TokenVerifier};
use crate::mcp_runtime::{McpRuntime, RunningRuntime, RuntimeConfig};
use crate::runtime::health::Lost;
use crate::runtime::{Arbiters, Board, ChildEvent, ParentSink, Readiness, Shutdown, Thresholds, Watchdog};
use crate::settings::{McpServer, Settings};
use crate::store::{Store, StoreConfig};
use crate::telemetry;
use crate::web::{self as http, AppState, Gate, OriginPolicy, RunningServer, ServerOptions, WebLimits};

/// Threads that swarm actors share; they wait more than they work.
const SWARM_THREADS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);
/// Most WebSocket clients of one server.
const SESSIONS_MAX: usize = 10_000;
/// Longest time for a command of a client; then its answer is 202 or `outcome_unknown`.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time for a whole request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest time for a session to wake a sleeping swarm.
const WAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long requests may take to finish when the server ends.
const HTTP_DRAIN_MAX: Duration = Duration::from_secs(3);
/// Calls to the store that may wait for a connection.
const STORE_WAITING_MAX: usize = 4_096;

/// What a part that gave up for good leads to: the process drains and ends with code 70.
#[derive(Debug, Clone)]
struct Root {
    shutdown: Shutdown,
    gave_up: Arc<AtomicBool>,
}

impl Root {
    fn sink(&self) -> ParentSink<&'static str> {
        let root = self.clone();
        ParentSink::new(move |event| match event {
            ChildEvent::Restarting { id, why, delay } => {
                let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
                tracing::error!(actor = id, %why, delay_ms, "a part failed and is restarted");
            }
            ChildEvent::GaveUp { id, why } => {
                tracing::error!(actor = id, %why, "a part failed too often: the server ends");
                root.gave_up.store(true, Ordering::Release);
                root.shutdown.request();
            }
            ChildEvent::Finished { id } => tracing::debug!(actor = id, "a part ended"),
        })
    }
}

/// What is there before the first actor.
struct Ground {
    root: Root,
    store: Store,
    arbiters: Arc<Arbiters>,
    readiness: Readiness,
    watchdog: Watchdog,
    runtime: Option<RunningRuntime>,
}

/// The actors' handles.
struct Actors {
    mcp: McpHandle,
    compute: ComputeHandle,
    guard: ComputeGuard,
    frames: FramesHandle,
    swarms: SwarmsHandle,
}

pub(super) async fn start(settings: &Settings) -> Result<App, AppError> {
    settings.prepare_data_dir()?;
    let secrets = settings.signing_secrets()?;
    let issuer = TokenIssuer::new(&secrets.current)?;
    let verifier = Arc::new(TokenVerifier::new(&secrets.current, secrets.previous.as_ref())?);
    let ground = ground(settings).await?;
    let actors = actors(settings, &ground).await?;
    let revocations = RevokedTokens::load(ground.store.clone()).await?;
    let sessions = Sessions::new(SESSIONS_MAX);
    let draining = Arc::new(AtomicBool::new(false));
    let gate = Gate {
        verifier: Arc::clone(&verifier),
        tickets: TicketBook::default(),
        revocations: Arc::new(revocations.clone()),
        origins: OriginPolicy::new(&settings.security.cors_allowed_origins, settings.server.bind),
        metrics_public: settings.metrics.public,
        metrics_token: settings.metrics.token.clone(),
        draining: Arc::clone(&draining),
    };
    let session = SessionParts {
        swarms: actors.swarms.clone(),
        frames: actors.frames.clone(),
        verifier,
        revoked: Revoked(Arc::new(move |id| revocations.contains(id))),
        sessions: sessions.clone(),
        fps: settings.client.position_update_fps,
        swarm_limit: settings.client.max_swarms,
        poll_rate: settings.client.poll_rate,
        deadline: WAKE_TIMEOUT,
    };
    let server = serve(settings, gate, session, &actors, &ground)?;
    Ok(App {
        server,
        runtime: ground.runtime,
        sessions,
        swarms: actors.swarms,
        frames: actors.frames,
        compute: actors.guard,
        store: ground.store,
        arbiters: ground.arbiters,
        draining,
        shutdown: ground.root.shutdown,
        gave_up: ground.root.gave_up,
        issuer,
        watchdog: ground.watchdog,
    })
}

async fn ground(settings: &Settings) -> Result<Ground, AppError> {
    let store = open_store(settings).await?;
    let root = Root { shutdown: Shutdown::new(), gave_up: Arc::default() };
    let board = Board::default();
    let arbiters =
        Arc::new(Arbiters::start(&["control", "mcp", "compute", "frames"], SWARM_THREADS, &board)?);
    let readiness = Readiness::default();
    let watchdog = Watchdog::start(board, Thresholds::default(), readiness.clone(), abort)
        .map_err(AppError::Watchdog)?;
    let runtime = embedded_runtime(settings).await?;
    Ok(Ground { root, store, arbiters, readiness, watchdog, runtime })
}

/// Starts the actors and loads every swarm.
async fn actors(settings: &Settings, ground: &Ground) -> Result<Actors, AppError> {
    let (root, store, arbiters) = (&ground.root, &ground.store, &ground.arbiters);
    let mcp = start_mcp(settings, ground.runtime.as_ref(), arbiters, root)?;
    let fps = settings.client.position_update_fps;
    let config = ComputeConfig { fps, batch_size: settings.compute.batch_size };
    let (compute, guard) = ComputeActor::start(&arbiter(arbiters, "compute")?, config, root.sink());
    let directory = Arc::new(SwarmDirectory::default());
    let on = arbiter(arbiters, "frames")?;
    let frames = FrameHub::start(&on, Arc::clone(&directory), store.clone(), compute.clone(), root.sink());
    if !guard.publish_to(frames.clone()) {
        return Err(AppError::Internal("the compute actor did not start"));
    }
    let parts = SwarmParts {
        directory,
        store: store.clone(),
        runtime: AgentRuntime::new(mcp.clone()),
        compute: compute.clone(),
        frames: frames.clone(),
        arbiters: Arc::clone(arbiters),
        config: SwarmConfig {
            poll_interval: settings.client.poll_rate,
            call_timeout: settings.mcp.connection_timeout,
            idle_timeout: settings.swarm.idle_timeout,
        },
        max_swarms_per_owner: settings.client.max_swarms,
    };
    let swarms = SwarmSupervisor::start(&arbiter(arbiters, "control")?, parts.clone(), root.sink());
    let count = boot(&parts).await?;
    tracing::info!(swarms = count, "swarms were loaded");
    Ok(Actors { mcp, compute, guard, frames, swarms })
}

/// Starts the HTTP server.
fn serve(
    settings: &Settings,
    gate: Gate,
    session: SessionParts,
    actors: &Actors,
    ground: &Ground,
) -> Result<RunningServer, AppError> {
    let state = AppState {
        swarms: actors.swarms.clone(),
        compute: actors.compute.clone(),
        mcp_health: health::mcp(actors.mcp.clone()),
        gate: web::Data::new(gate),
        keys: Arc::new(StoredKeys::new(ground.store.clone())),
        session,
        limits: limits(settings)?,
        metrics: telemetry::install_metrics()?,
        started_at: Instant::now(),
        database: http::DatabaseProbe::default(),
        readiness: ground.readiness.clone(),
    };
    let options = ServerOptions {
        workers: settings.server.workers,
        shutdown_timeout: settings.server.drain_timeout.min(HTTP_DRAIN_MAX),
        ..ServerOptions::new(settings.server.address())
    };
    Ok(http::start(web::Data::new(state), &options)?)
}

fn arbiter(arbiters: &Arbiters, name: &str) -> Result<actix::ArbiterHandle, AppError> {
    arbiters.get(name).ok_or(AppError::Internal("an arbiter is missing"))
}

/// A thread that does not come back can't be stopped by anybody: the process ends, and its supervisor starts it again.
fn abort(lost: Lost) {
    tracing::error!(
        arbiter = lost.arbiter,
        silence_s = lost.silence.as_secs(),
        "a thread is stuck: aborting"
    );
    std::process::abort();
}

/// Opens the database and brings its schema up to date, on a thread that may block.
async fn open_store(settings: &Settings) -> Result<Store, AppError> {
    let config = StoreConfig {
        pool_size: settings.database.pool_size,
        waiting_max: STORE_WAITING_MAX,
        ..StoreConfig::new(settings.database.url.expose())
    };
    let opened = tokio::task::spawn_blocking(move || Store::open(&config)).await;
    Ok(opened.map_err(|_panicked| AppError::Internal("opening the database panicked"))??)
}

async fn embedded_runtime(settings: &Settings) -> Result<Option<RunningRuntime>, AppError> {
    if !matches!(settings.mcp.server, McpServer::Embedded) {
        return Ok(None);
    }
    let bind = settings.mcp.bind;
    let mut config = RuntimeConfig::new(
        SocketAddr::new(bind, settings.mcp.port),
        SocketAddr::new(bind, settings.mcp.health_port),
    );
    config.engine.agents_per_swarm = settings.swarm.max_agents;
    Ok(Some(McpRuntime::start(config).await?))
}

fn start_mcp(
    settings: &Settings,
    runtime: Option<&RunningRuntime>,
    arbiters: &Arbiters,
    root: &Root,
) -> Result<McpHandle, AppError> {
    let target = match (&settings.mcp.server, runtime) {
        (McpServer::Tcp { host, port }, _) => McpTarget::Tcp { host: host.clone(), port: *port },
        (McpServer::Stdio { program, args }, _) => {
            McpTarget::Stdio { program: program.clone(), args: args.clone() }
        }
        (McpServer::Embedded, Some(runtime)) => {
            let address = runtime.mcp_addr();
            // a runtime that listens everywhere is reached on this machine
            let host =
                if address.ip().is_unspecified() { "127.0.0.1".into() } else { address.ip().to_string() };
            McpTarget::Tcp { host, port: address.port() }
        }
        (McpServer::Embedded, None) => return Err(AppError::Internal("the agent runtime did not start")),
    };
    let config = McpConfig {
        timeout: settings.mcp.connection_timeout,
        keepalive_interval: settings.mcp.keepalive_interval,
        ..McpConfig::new(target)
    };
    McpActor::start(config, &arbiter(arbiters, "mcp")?, root.sink())
        .map_err(|_no_random| AppError::Internal("the system gave no random bytes"))
}

fn limits(settings: &Settings) -> Result<WebLimits, AppError> {
    let default_topology: Topology = settings
        .swarm
        .default_topology
        .parse()
        .map_err(|_unknown| AppError::Internal("DEFAULT_SWARM_TOPOLOGY is unknown"))?;
    Ok(WebLimits {
        max_swarms_per_client: settings.client.max_swarms,
        max_agents_per_swarm: settings.swarm.max_agents,
        default_topology,
        poll_rate: settings.client.poll_rate,
        position_update_fps: settings.client.position_update_fps,
        command_timeout: COMMAND_TIMEOUT,
        request_timeout: REQUEST_TIMEOUT,
    })
}
