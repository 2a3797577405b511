//! A point in time after which nobody waits for the answer any more.

use std::time::Duration;

use tokio::time::Instant;

/// Longer waits are cut to this: one year. It keeps the arithmetic of instants from overflowing.
const WAIT_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// When a caller stops waiting. Handed on unchanged, so that a chain of calls shares one budget of time.
///
/// `a.min(b)` (from [`Ord`]) is the earlier of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Deadline(Instant);

impl Deadline {
    /// The deadline `wait` from now; at most one year away.
    pub fn within(wait: Duration) -> Self {
        Self(Instant::now() + wait.min(WAIT_MAX))
    }

    /// The deadline at `instant`.
    pub const fn at(instant: Instant) -> Self {
        Self(instant)
    }

    /// The moment itself, for `timeout_at` and `sleep_until`.
    pub const fn instant(self) -> Instant {
        self.0
    }

    /// The time left; zero once it has passed.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether it has passed.
    pub fn expired(self) -> bool {
        self.remaining().is_zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn counts_down_and_expires() {
        let deadline = Deadline::within(Duration::from_secs(2));
        assert_eq!(deadline.remaining(), Duration::from_secs(2));
        tokio::time::advance(Duration::from_millis(1500)).await;
        assert_eq!(deadline.remaining(), Duration::from_millis(500));
        assert!(!deadline.expired());
        tokio::time::advance(Duration::from_millis(500)).await;
        assert!(deadline.expired());
        assert_eq!(deadline.remaining(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn takes_the_earlier_and_survives_absurd_waits() {
        let soon = Deadline::within(Duration::from_millis(1));
        let late = Deadline::within(Duration::MAX);
        assert_eq!(late.min(soon), soon);
        assert_eq!(late.remaining(), WAIT_MAX);
        assert_eq!(Deadline::at(soon.instant()), soon);
    }
}
