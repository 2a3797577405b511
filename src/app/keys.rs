//! Calls that clients may repeat under an `Idempotency-Key`: kept in the store, forgotten after a day.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::store::{Claim, KeyedCall, OUTCOME_UNKNOWN, Store, StoreError, StoreResult};
use crate::telemetry::clock;
use crate::web::{Asked, Keys, KeysFailed, Repeatable, Seen};

/// How often keys whose time is over are looked for, at most; without new keys, never.
const PURGE_INTERVAL: Duration = Duration::from_secs(3_600);

/// Keys in the store.
#[derive(Debug, Clone)]
pub(super) struct StoredKeys {
    store: Store,
    purged_at: Arc<Mutex<Option<Instant>>>,
}

impl StoredKeys {
    pub(super) fn new(store: Store) -> Self {
        Self { store, purged_at: Arc::default() }
    }

    /// Forgets old keys from time to time, so that the table stays as small as a day.
    async fn purge_if_due(&self) {
        let now = Instant::now();
        {
            let mut purged_at = self.purged_at.lock();
            if purged_at.is_some_and(|at| now.duration_since(at) < PURGE_INTERVAL) {
                return;
            }
            *purged_at = Some(now);
        }
        match self.store.purge(clock::now()).await {
            Ok(rows) => tracing::debug!(rows, "forgot old idempotency keys and revocations"),
            Err(error) => tracing::warn!(%error, "forgetting old idempotency keys"),
        }
    }
}

fn keyed(call: &Repeatable) -> KeyedCall {
    KeyedCall {
        subject: call.subject.clone(),
        key: call.key.clone(),
        route: call.route.clone(),
        body_hash: call.body_digest.clone(),
    }
}

fn logged<T>(done: StoreResult<T>, what: &'static str) -> Result<T, KeysFailed> {
    done.map_err(|error| {
        tracing::error!(%error, what, "keeping an idempotency key");
        KeysFailed
    })
}

impl Keys for StoredKeys {
    fn claim<'a>(&'a self, call: &'a Repeatable) -> Asked<'a, Seen> {
        Box::pin(async move {
            self.purge_if_due().await;
            Ok(match logged(self.store.claim(keyed(call), clock::now()).await, "claim")? {
                Claim::New => Seen::New,
                Claim::InProgress { .. } => Seen::InProgress,
                Claim::Done { status, response } => Seen::Done { status, answer: response },
                Claim::Mismatch => Seen::Reused,
            })
        })
    }

    fn keep<'a>(&'a self, call: &'a Repeatable, status: u16, answer: String) -> Asked<'a, ()> {
        Box::pin(async move {
            match self.store.finish(keyed(call), status, answer).await {
                // it was done but can't be told again: at least it is not done again soon
                Err(error @ StoreError::TooLarge { .. }) => {
                    tracing::error!(%error, "keeping the answer to a call with an idempotency key");
                    self.leave_open(call).await
                }
                kept => logged(kept, "keep"),
            }
        })
    }

    fn release<'a>(&'a self, call: &'a Repeatable) -> Asked<'a, ()> {
        Box::pin(async move { logged(self.store.release(keyed(call)).await, "release") })
    }

    fn leave_open<'a>(&'a self, call: &'a Repeatable) -> Asked<'a, ()> {
        let left = self.store.finish(keyed(call), OUTCOME_UNKNOWN, String::new());
        Box::pin(async move { logged(left.await, "leave open") })
    }
}
