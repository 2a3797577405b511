//! When the next attempt to connect comes: jittered, exponential, for ever. Pure.

use std::time::Duration;

/// First pause.
pub(super) const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Longest pause.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(10);
/// A connection that stood this long was a good one, even if nothing was asked of it.
pub(super) const GOOD_AFTER: Duration = Duration::from_secs(5);

/// Counts the failures in a row and says how long to wait.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The pause after a failed attempt or a lost connection. `good`: it answered a call, or stood for
    /// [`GOOD_AFTER`]; then the next attempt comes at once. (A server that takes connections and closes them again is
    /// not asked ten times a second.) `chance`, 0 to 1, spreads the pause over its upper half.
    pub(super) fn pause(&mut self, good: bool, chance: f64) -> Duration {
        if good {
            self.failures = 0;
        }
        let doubled = PAUSE_MIN.saturating_mul(2u32.saturating_pow(self.failures.min(16)));
        self.failures = self.failures.saturating_add(1);
        doubled.min(PAUSE_MAX).mul_f64(0.5 + 0.5 * chance.clamp(0.0, 1.0))
    }
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LossReason {
    /// The runtime closed it.
    Closed,
    /// Reading failed: reset, unreachable.
    Read,
    /// Writing failed.
    Write,
    /// It answered nothing any more.
    Keepalive,
    /// One of our own tasks ended.
    Task,
    /// We dropped it.
    Dropped,
}

impl LossReason {
    /// The label for metrics.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Read => "read",
            Self::Write => "write",
            Self::Keepalive => "keepalive",
            Self::Task => "task",
            Self::Dropped => "dropped",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_limit_and_start_over_after_a_good_connection() {
        let mut backoff = Backoff::default();
        let pauses: Vec<u128> = (0..9).map(|_| backoff.pause(false, 1.0).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        assert_eq!(backoff.pause(true, 1.0), PAUSE_MIN);
        assert_eq!(backoff.pause(false, 1.0), PAUSE_MIN * 2);
    }

    #[test]
    fn chance_spreads_a_pause_over_its_upper_half() {
        for chance in [0.0, 0.3, 1.0, 7.0, -1.0] {
            let pause = Backoff { failures: u32::MAX }.pause(false, chance);
            assert!(pause >= PAUSE_MAX / 2 && pause <= PAUSE_MAX, "{chance}: {pause:?}");
        }
        assert_eq!(Backoff::default().pause(false, 0.0), PAUSE_MIN / 2);
    }
}
