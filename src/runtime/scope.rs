//! State that the guarded actors of one actix `System` share: who is running, how many panicked, who may recover.
//!
//! A server has exactly one `System`, so for it this is the state of the process. Tests have one each, and thereby
//! neither wait for another test's recoveries (their clocks differ) nor count its actors.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use actix::System;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};

/// How many restarted actors may run their recovery at once, so that a bad deploy does not stampede the store.
pub const RECOVERIES_MAX: usize = 4;

/// Shared by the guarded actors of one `System`.
#[derive(Debug)]
pub(crate) struct Scope {
    /// One permit per running recovery.
    pub(crate) gate: Arc<Semaphore>,
    running: watch::Sender<usize>,
    panics: AtomicUsize,
}

impl Scope {
    /// The scope of the `System` of this thread; threads without one share a scope of their own.
    pub(crate) fn current() -> Arc<Self> {
        static SCOPES: LazyLock<Mutex<BTreeMap<Option<usize>, Arc<Scope>>>> = LazyLock::new(Mutex::default);
        let system = System::try_current().map(|system| system.id());
        Arc::clone(SCOPES.lock().entry(system).or_default())
    }

    pub(crate) fn child_started(&self) {
        self.running.send_modify(|n| *n += 1);
    }

    pub(crate) fn child_ended(&self) {
        self.running.send_modify(|n| *n = n.saturating_sub(1));
    }

    pub(crate) fn panicked(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    /// Panics caught in guarded actors since this scope exists.
    #[cfg(any(test, feature = "testkit"))]
    pub(crate) fn panics(&self) -> usize {
        self.panics.load(Ordering::Relaxed)
    }

    /// Guarded actors that have been started and have not ended.
    #[cfg(any(test, feature = "testkit"))]
    pub(crate) fn running(&self) -> watch::Receiver<usize> {
        self.running.subscribe()
    }
}

impl Default for Scope {
    fn default() -> Self {
        Self {
            gate: Arc::new(Semaphore::new(RECOVERIES_MAX)),
            running: watch::Sender::new(0),
            panics: AtomicUsize::new(0),
        }
    }
}
