//! One call that changes something at a time: parallel spawns end some runtimes.

use std::cell::Cell;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout_at;

use crate::runtime::Deadline;

/// Calls that wait for their turn; more are refused at once.
pub(super) const WAITING_MAX: usize = 256;

/// Why there is no turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoTurn {
    /// As many wait as may.
    Full,
    /// The deadline passed while waiting.
    Deadline,
}

/// A lane of one runtime process, first come, first served.
#[derive(Debug)]
pub(super) struct Lane {
    turn: Semaphore,
    waiting: Cell<usize>,
}

impl Default for Lane {
    fn default() -> Self {
        Self { turn: Semaphore::new(1), waiting: Cell::new(0) }
    }
}

/// Counts one who waits, also when it goes away meanwhile.
struct Waits<'a>(&'a Cell<usize>);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

impl Lane {
    /// Waits for the turn, at most until `deadline`. It lasts until the permit is dropped.
    pub(super) async fn turn(&self, deadline: Deadline) -> Result<SemaphorePermit<'_>, NoTurn> {
        if let Ok(turn) = self.turn.try_acquire() {
            return Ok(turn);
        }
        if self.waiting.get() >= WAITING_MAX {
            return Err(NoTurn::Full);
        }
        self.waiting.set(self.waiting.get() + 1);
        let _waits = Waits(&self.waiting);
        // the semaphore is never closed
        let turn = timeout_at(deadline.instant(), self.turn.acquire()).await;
        turn.ok().and_then(Result::ok).ok_or(NoTurn::Deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn turns_come_one_after_another_and_waiting_is_bounded_in_number_and_time() {
        let lane = Lane::default();
        let soon = Deadline::within(Duration::from_secs(1));
        let first = lane.turn(soon).await.unwrap();
        let mut waiting: Vec<_> = (0..WAITING_MAX).map(|_| Box::pin(lane.turn(soon))).collect();
        assert!(waiting.iter_mut().all(|turn| turn.now_or_never().is_none()));
        assert_eq!(lane.turn(soon).await.unwrap_err(), NoTurn::Full);
        waiting.truncate(1);
        assert_eq!(lane.waiting.get(), 1, "who goes away no longer counts");
        drop(first);
        let second = waiting.remove(0).await.unwrap();
        assert_eq!(lane.turn(soon).await.unwrap_err(), NoTurn::Deadline);
        drop(second);
        assert!(lane.turn(soon).await.is_ok());
    }
}
