//! For tests: asserts at the end that no guarded actor is left running and that only the planned panics happened.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use super::scope::Scope;

/// How long [`LeakCheck::finish`] waits for the last actor to end, in the (possibly paused) clock of the test.
const END_MAX: Duration = Duration::from_secs(60);

/// Watches the guarded actors of the actix `System` that the test runs in.
///
/// Make it first in an `#[actix::test]`, drop every handle, then call [`finish`](Self::finish).
#[derive(Debug)]
#[must_use = "call finish() at the end of the test"]
pub struct LeakCheck {
    scope: Arc<Scope>,
    planned: usize,
    finished: bool,
}

impl LeakCheck {
    /// Starts watching; no panic is expected.
    pub fn new() -> Self {
        Self::expecting_panics(0)
    }

    /// Starts watching; exactly `planned` panics are expected in guarded actors.
    pub fn expecting_panics(planned: usize) -> Self {
        Self { scope: Scope::current(), planned, finished: false }
    }

    /// How many guarded actors of this test run now.
    pub fn running(&self) -> usize {
        *self.scope.running().borrow()
    }

    /// Waits until every guarded actor has ended, then compares the number of panics with the plan.
    ///
    /// # Panics
    /// When an actor still runs after 60 seconds, or when more or fewer panics happened than planned.
    pub async fn finish(mut self) {
        self.finished = true;
        let mut running = self.scope.running();
        let ended = timeout(END_MAX, running.wait_for(|n| *n == 0)).await.is_ok();
        assert!(ended, "{} guarded actor(s) left running", self.running());
        assert_eq!(self.scope.panics(), self.planned, "panics in guarded actors (seen, planned)");
    }
}

impl Default for LeakCheck {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for LeakCheck {
    fn drop(&mut self) {
        assert!(self.finished || std::thread::panicking(), "LeakCheck::finish was not awaited");
    }
}

/// Waits until `state` holds, looking once a (possibly paused) millisecond and whenever other tasks had their turn.
///
/// # Panics
/// When it does not hold within `bound`; the text names `what`.
pub async fn eventually(what: &str, bound: Duration, mut state: impl FnMut() -> bool) {
    let reached = timeout(bound, async {
        while !state() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    assert!(reached.await.is_ok(), "not reached within {bound:?}: {what}");
}
