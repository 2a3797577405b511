//! What all connections, the executor and the health endpoint share.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::config::RuntimeConfig;
use super::engine::{Engine, Moment};
use super::executor;
use crate::telemetry::clock;

/// Counts for `/health`; the same go to the metrics.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) connections: AtomicUsize,
    pub(super) connections_refused: AtomicU64,
    pub(super) requests: AtomicU64,
    pub(super) lines_refused: AtomicU64,
    pub(super) writers_stalled: AtomicU64,
}

impl Counters {
    pub(super) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// One agent runtime.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: RuntimeConfig,
    pub(super) engine: Mutex<Engine>,
    /// Tells the executor that something may be due earlier than it thought.
    pub(super) wake: Notify,
    pub(super) counters: Counters,
    pub(super) started: Instant,
}

impl Shared {
    pub(super) fn new(config: RuntimeConfig) -> Self {
        Self {
            engine: Mutex::new(Engine::new(config.engine, config.work)),
            config,
            wake: Notify::new(),
            counters: Counters::default(),
            started: executor::start_of_time(),
        }
    }

    /// Now, by both clocks.
    pub(super) fn moment(&self) -> Moment {
        Moment { at: clock::now(), elapsed: self.started.elapsed() }
    }

    /// Counts a connection for as long as what is returned lives.
    pub(super) fn connected(&self) -> Connected<'_> {
        self.counters.connections.fetch_add(1, Ordering::Relaxed);
        metrics::gauge!("mcp_runtime_connections").increment(1);
        Connected { counters: &self.counters }
    }
}

/// One open connection, counted.
#[derive(Debug)]
pub(super) struct Connected<'a> {
    counters: &'a Counters,
}

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.counters.connections.fetch_sub(1, Ordering::Relaxed);
        metrics::gauge!("mcp_runtime_connections").decrement(1);
    }
}
