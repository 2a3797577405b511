//! The composition root: from settings to a running server and back down again. The only file that knows all.
//!
//! Order of the start: data directory and secrets, store (with its migrations), threads, the embedded agent
//! runtime, its client, layout, frames, swarms, HTTP. The drain goes the other way round. Actors get plain
//! values and handles, never the settings.

pub mod cli;
mod demo;
mod error;
mod health;
mod keys;
mod link;
mod parts;
mod revocation;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use demo::populate;
pub use error::AppError;
pub use link::{sign_in_link, viewer_url};

use crate::actors::session::Sessions;
use crate::actors::swarms::SwarmsHandle;
use crate::identity::TokenIssuer;
use crate::mcp_runtime::RunningRuntime;
use crate::runtime::{Arbiters, Deadline, Drain, Shutdown, Watchdog};
use crate::settings::Settings;
use crate::store::Store;
use crate::web::RunningServer;
use crate::wire::CloseCode;

/// Longest time for the whole drain.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// When clients of a server that shuts down should come back, ms.
const RETRY_MS: u64 = 2_000;

/// A running server.
#[derive(Debug)]
pub struct App {
    server: RunningServer,
    runtime: Option<RunningRuntime>,
    sessions: Sessions,
    swarms: SwarmsHandle,
    frames: crate::actors::frames::FramesHandle,
    compute: crate::actors::compute::ComputeGuard,
    store: Store,
    arbiters: Arc<Arbiters>,
    draining: Arc<AtomicBool>,
    shutdown: Shutdown,
    gave_up: Arc<AtomicBool>,
    issuer: TokenIssuer,
    watchdog: Watchdog,
}

impl App {
    /// Starts everything that `settings` ask for, within the current actix system.
    ///
    /// # Errors
    /// [`AppError`] names the part that could not be started, and the variable to change where there is one.
    pub async fn start(settings: &Settings) -> Result<Self, AppError> {
        parts::start(settings).await
    }

    /// Where the server listens.
    #[must_use]
    pub fn http_addr(&self) -> SocketAddr {
        self.server.address()
    }

    /// Where the embedded agent runtime speaks MCP; `None` when another runtime is used.
    #[must_use]
    pub fn mcp_addr(&self) -> Option<SocketAddr> {
        self.runtime.as_ref().map(RunningRuntime::mcp_addr)
    }

    /// Where the embedded agent runtime answers health checks.
    #[must_use]
    pub fn health_addr(&self) -> Option<SocketAddr> {
        self.runtime.as_ref().map(RunningRuntime::health_addr)
    }

    /// Issues tokens that this server takes.
    #[must_use]
    pub const fn issuer(&self) -> &TokenIssuer {
        &self.issuer
    }

    /// The swarms.
    #[must_use]
    pub const fn swarms(&self) -> &SwarmsHandle {
        &self.swarms
    }

    /// The wish to shut down; a part that gave up for good wishes so too.
    #[must_use]
    pub const fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    /// Whether a part gave up, so that the process should end with code 70.
    #[must_use]
    pub fn gave_up(&self) -> bool {
        self.gave_up.load(Ordering::Acquire)
    }

    /// Stops taking work, tells the sessions, keeps positions, and ends every part in order, within 10 s.
    pub async fn stop(self) -> crate::runtime::DrainReport {
        self.draining.store(true, Ordering::Release);
        let (sessions, server, frames) = (self.sessions.clone(), self.server, self.frames.clone());
        let (runtime, store, arbiters) = (self.runtime, self.store.clone(), Arc::clone(&self.arbiters));
        let waiting = self.sessions.clone();
        let report = Drain::within(DRAIN_MAX)
            .step("sessions", Duration::from_secs(2), move |deadline| async move {
                sessions.close_all(CloseCode::GoingAway, RETRY_MS);
                until_empty(&waiting, deadline).await;
                Ok::<(), AppError>(())
            })
            .step("http", Duration::from_secs(4), move |_| async move {
                server.stop().await;
                Ok::<(), AppError>(())
            })
            .step("positions", Duration::from_secs(2), move |deadline| async move {
                frames.save_all(deadline).await.map_err(|error| AppError::Drain(error.to_string()))
            })
            .step("agent runtime", Duration::from_secs(2), move |deadline| async move {
                if let Some(runtime) = runtime {
                    runtime.shutdown(deadline.remaining()).await;
                }
                Ok::<(), AppError>(())
            })
            .step("store", Duration::from_secs(2), move |deadline| async move {
                store.close(deadline.remaining()).await.map_err(AppError::Store)
            })
            .step("threads", Duration::from_secs(2), move |deadline| async move {
                let report = arbiters.stop_all(deadline).await;
                if report.stuck.is_empty() {
                    Ok(())
                } else {
                    Err(AppError::Drain(format!("{:?}", report.stuck)))
                }
            })
            .run(&self.shutdown)
            .await;
        drop((self.compute, self.watchdog));
        report
    }
}

/// Waits until every session has ended, or the deadline has passed.
async fn until_empty(sessions: &Sessions, deadline: Deadline) {
    const LOOK: Duration = Duration::from_millis(20);
    while sessions.count() > 0 && !deadline.expired() {
        tokio::time::sleep(LOOK.min(deadline.remaining())).await;
    }
}
