//! Our own agent runtime: the *server* side of MCP, newline-delimited JSON-RPC over TCP, with a health endpoint.
//!
//! It runs inside of the server or alone as the binary `mcp-runtime`. Swarms, agents and tasks live in memory alone:
//! after a restart clients make them again, by their keys. The work of agents is simulated and says so. It is not a
//! client of anything; that side is in `actors::mcp`.
//!
//! ```text
//! server ── connection (one a client) ── protocol ── tools ──┐
//! executor (ends steps in time) ────────────────────────── engine (mutex, pure)
//! health  (GET /health) ─────────────────────────────────────┘
//! ```

mod config;
mod connection;
mod engine;
mod error;
mod executor;
#[cfg(any(test, feature = "testkit"))]
pub mod faults;
mod health;
mod protocol;
mod server;
mod shared;
mod stop;
mod tools;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

pub use self::config::{RuntimeConfig, WireLimits};
pub use self::engine::EngineLimits;
pub use self::error::RuntimeError;
pub use self::executor::{EXECUTOR, WorkTiming};
use self::shared::Shared;
use self::stop::Stop;

/// Time that ending the health endpoint may take when the deadline has passed already.
const HEALTH_GRACE: Duration = Duration::from_millis(200);

/// Starts agent runtimes.
#[derive(Debug, Clone, Copy)]
pub struct McpRuntime;

impl McpRuntime {
    /// Binds both ports and serves on the tokio runtime (or arbiter) that this is called on; returns at once.
    ///
    /// # Errors
    /// [`RuntimeError`] when a port can't be bound; nothing is left running then.
    #[expect(clippy::unused_async, reason = "must be called within a tokio runtime")]
    pub async fn start(config: RuntimeConfig) -> Result<RunningRuntime, RuntimeError> {
        let (mcp, mcp_addr) = listen(config.mcp_addr, "MCP_PORT")?;
        let (health, health_addr) = listen(config.health_addr, "MCP_HEALTH_PORT")?;
        let listener = tokio::net::TcpListener::from_std(mcp)
            .map_err(|source| RuntimeError::bind(mcp_addr, "MCP_PORT", source))?;
        let shared = Arc::new(Shared::new(config));
        let (http, http_handle) = health::serve(health, &shared)?;
        let (stop, stopped) = watch::channel(Stop::Run);
        let (end, ended) = watch::channel(());
        let working = tokio::spawn(async move {
            tokio::select! {
                () = server::run(listener, Arc::clone(&shared), stopped) => {}
                () = executor::drive(&shared) => {}
            }
        });
        let serving = tokio::spawn(async move {
            if let Err(error) = working.await {
                tracing::error!(%error, "the agent runtime ends");
            }
            // Nothing may say "healthy" when nothing works. Nobody waits for more than one small answer.
            http_handle.stop(false).await;
            drop(end);
        });
        let health = tokio::spawn(async move {
            if let Err(error) = http.await {
                tracing::error!(%error, "serving the agent runtime's health endpoint");
            }
        });
        tracing::info!(%mcp_addr, %health_addr, executor = EXECUTOR, "the agent runtime is ready");
        Ok(RunningRuntime { mcp_addr, health_addr, stop, ended, serving, health })
    }
}

fn listen(addr: SocketAddr, variable: &'static str) -> Result<(TcpListener, SocketAddr), RuntimeError> {
    let failed = |source| RuntimeError::bind(addr, variable, source);
    let listener = server::bind(addr).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// A runtime that serves. Dropping it ends it without waiting; [`RunningRuntime::shutdown`] waits.
#[derive(Debug)]
pub struct RunningRuntime {
    mcp_addr: SocketAddr,
    health_addr: SocketAddr,
    stop: watch::Sender<Stop>,
    ended: watch::Receiver<()>,
    serving: JoinHandle<()>,
    health: JoinHandle<()>,
}

impl RunningRuntime {
    /// Where it speaks MCP, with the port that was really bound.
    #[must_use]
    pub const fn mcp_addr(&self) -> SocketAddr {
        self.mcp_addr
    }

    /// Where it answers health checks, with the port that was really bound.
    #[must_use]
    pub const fn health_addr(&self) -> SocketAddr {
        self.health_addr
    }

    /// Waits until it has ended, which it does by itself only when a part of it panicked.
    pub async fn ended(&self) {
        let mut ended = self.ended.clone();
        while ended.changed().await.is_ok() {}
    }

    /// Takes no more requests, sends the answers that wait, and closes everything, within `deadline`.
    ///
    /// Returns false when clients did not take their answers in time and were cut off.
    pub async fn shutdown(mut self, deadline: Duration) -> bool {
        let until = Instant::now() + deadline;
        self.stop.send_replace(Stop::Drain);
        let drained = timeout_at(until, &mut self.serving).await.is_ok();
        self.stop.send_replace(Stop::Now);
        let ended = timeout_at(until.max(Instant::now() + HEALTH_GRACE), &mut self.health).await.is_ok();
        if !ended {
            self.health.abort();
        }
        drained && ended
    }
}
