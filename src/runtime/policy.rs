//! When a failed actor is started again, after how long, and when that is given up. Pure: time and chance are arguments.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// The longest `delay_max` that [`RestartPolicy::validate`] takes.
pub const RESTART_DELAY_MAX: Duration = Duration::from_secs(3600);
/// The most restarts that [`RestartPolicy::validate`] takes; also the most failures that are remembered.
pub const RESTARTS_MAX: usize = 1000;
/// The largest jitter that [`RestartPolicy::validate`] takes, as a fraction of the delay.
pub const JITTER_MAX: f64 = 0.9;

/// How often and how fast a guarded actor is restarted.
#[derive(Clone, Debug, PartialEq)]
pub struct RestartPolicy {
    /// So many failures within [`within`](Self::within) are answered by a restart; the next one is given up. 0: none.
    pub max_restarts: usize,
    /// Failures older than this no longer count.
    pub within: Duration,
    /// Delay before the first restart; doubled for each further failure that still counts.
    pub delay_min: Duration,
    /// The delay stops growing here (before jitter).
    pub delay_max: Duration,
    /// The delay is stretched or shortened at random by up to this fraction, `0.0..=0.9`.
    pub jitter: f64,
}

/// Why a [`RestartPolicy`] cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// `max_restarts` is over [`RESTARTS_MAX`].
    #[error("restart policy: more than {RESTARTS_MAX} restarts")]
    Restarts,
    /// `within` is zero: no failure would ever count and restarts would have no end.
    #[error("restart policy: the window is zero")]
    Window,
    /// The delays are zero, in the wrong order, or over [`RESTART_DELAY_MAX`].
    #[error("restart policy: delays must satisfy 0 < min <= max <= {RESTART_DELAY_MAX:?}")]
    Delays,
    /// `jitter` is not in `0.0..=0.9`.
    #[error("restart policy: jitter must be from 0 to {JITTER_MAX}")]
    Jitter,
}

impl RestartPolicy {
    /// For children that the process needs: 5 restarts in 60 s, 100 ms doubling to 5 s, ± 20 %.
    pub const fn permanent() -> Self {
        Self {
            max_restarts: 5,
            within: Duration::from_secs(60),
            delay_min: Duration::from_millis(100),
            delay_max: Duration::from_secs(5),
            jitter: 0.2,
        }
    }

    /// For one child among many alike: 3 restarts in 60 s, 200 ms doubling to 10 s, ± 20 %.
    pub const fn swarm() -> Self {
        Self {
            max_restarts: 3,
            within: Duration::from_secs(60),
            delay_min: Duration::from_millis(200),
            delay_max: Duration::from_secs(10),
            jitter: 0.2,
        }
    }

    /// Checks the ranges named at the fields.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub fn validate(&self) -> Result<(), PolicyError> {
        if self.max_restarts > RESTARTS_MAX {
            return Err(PolicyError::Restarts);
        }
        if self.within.is_zero() {
            return Err(PolicyError::Window);
        }
        let ordered = self.delay_min <= self.delay_max && self.delay_max <= RESTART_DELAY_MAX;
        if self.delay_min.is_zero() || !ordered {
            return Err(PolicyError::Delays);
        }
        if !(0.0..=JITTER_MAX).contains(&self.jitter) {
            return Err(PolicyError::Jitter);
        }
        Ok(())
    }

    /// The delay before the restart that follows `earlier` failures which still count.
    ///
    /// `chance` in `-1.0..=1.0` picks a point of the jitter range: -1 the shortest, 0 the plain delay, 1 the longest.
    /// Total for every input: out-of-range values are clamped, the delay never exceeds twice [`RESTART_DELAY_MAX`].
    pub fn backoff(&self, earlier: usize, chance: f64) -> Duration {
        let doublings = u32::try_from(earlier).unwrap_or(u32::MAX).min(31);
        let ceiling = self.delay_max.min(RESTART_DELAY_MAX);
        let plain = self.delay_min.saturating_mul(1 << doublings).min(ceiling);
        let stretch = 1.0 + unit(self.jitter).min(JITTER_MAX) * unit(chance);
        plain.mul_f64(stretch.max(0.0))
    }
}

/// Clamps to `-1.0..=1.0`; what is not a number becomes 0.
fn unit(x: f64) -> f64 {
    if x.is_nan() { 0.0 } else { x.clamp(-1.0, 1.0) }
}

/// What to do after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Restart; `earlier` failures before this one still count.
    Restart {
        /// Input of [`RestartPolicy::backoff`].
        earlier: usize,
    },
    /// The limit is reached.
    GiveUp,
}

/// The failures that still count against a [`RestartPolicy`].
#[derive(Clone, Debug, Default)]
pub struct FailureWindow {
    failures: VecDeque<Instant>,
}

impl FailureWindow {
    /// Records a failure at `now` and says what follows from it. `now` must not go backwards.
    pub fn record(&mut self, policy: &RestartPolicy, now: Instant) -> Verdict {
        while self.failures.front().is_some_and(|at| now.saturating_duration_since(*at) > policy.within) {
            self.failures.pop_front();
        }
        let earlier = self.failures.len();
        if earlier >= policy.max_restarts.min(RESTARTS_MAX) {
            return Verdict::GiveUp;
        }
        self.failures.push_back(now);
        Verdict::Restart { earlier }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn presets_are_valid_and_as_promised() {
        let permanent = RestartPolicy::permanent();
        permanent.validate().unwrap();
        let delays: Vec<_> = (0..8).map(|n| permanent.backoff(n, 0.0)).collect();
        assert_eq!(delays, [100, 200, 400, 800, 1600, 3200, 5000, 5000].map(ms));
        let swarm = RestartPolicy::swarm();
        swarm.validate().unwrap();
        let delays: Vec<_> = (0..8).map(|n| swarm.backoff(n, 0.0)).collect();
        assert_eq!(delays, [200, 400, 800, 1600, 3200, 6400, 10_000, 10_000].map(ms));
    }

    #[test]
    fn jitter_moves_the_delay_by_its_fraction_both_ways() {
        let policy = RestartPolicy::permanent();
        assert_eq!(policy.backoff(0, -1.0), ms(80));
        assert_eq!(policy.backoff(0, 1.0), ms(120));
        assert_eq!(policy.backoff(20, 1.0), ms(6000));
    }

    #[test]
    fn backoff_is_total() {
        let wild = RestartPolicy {
            max_restarts: usize::MAX,
            within: Duration::MAX,
            delay_min: Duration::MAX,
            delay_max: Duration::MAX,
            jitter: f64::INFINITY,
        };
        for chance in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 0.0, 1.0] {
            for earlier in [0, 1, 31, 32, usize::MAX] {
                assert!(wild.backoff(earlier, chance) <= RESTART_DELAY_MAX * 2);
            }
        }
        let nan = RestartPolicy { jitter: f64::NAN, ..RestartPolicy::permanent() };
        assert_eq!(nan.backoff(0, 1.0), ms(100));
    }

    #[test]
    fn validation_names_the_field() {
        let good = RestartPolicy::permanent;
        let cases = [
            (RestartPolicy { max_restarts: RESTARTS_MAX + 1, ..good() }, PolicyError::Restarts),
            (RestartPolicy { within: Duration::ZERO, ..good() }, PolicyError::Window),
            (RestartPolicy { delay_min: Duration::ZERO, ..good() }, PolicyError::Delays),
            (RestartPolicy { delay_min: ms(6000), ..good() }, PolicyError::Delays),
            (RestartPolicy { delay_max: RESTART_DELAY_MAX + ms(1), ..good() }, PolicyError::Delays),
            (RestartPolicy { jitter: -0.1, ..good() }, PolicyError::Jitter),
            (RestartPolicy { jitter: 1.0, ..good() }, PolicyError::Jitter),
            (RestartPolicy { jitter: f64::NAN, ..good() }, PolicyError::Jitter),
        ];
        for (policy, error) in cases {
            assert_eq!(policy.validate(), Err(error), "{policy:?}");
        }
        RestartPolicy { max_restarts: 0, jitter: 0.0, ..good() }.validate().unwrap();
    }

    #[test]
    fn gives_up_after_the_limit_and_forgets_old_failures() {
        let policy = RestartPolicy { max_restarts: 2, within: ms(100), ..RestartPolicy::permanent() };
        let start = Instant::now();
        let mut window = FailureWindow::default();
        assert_eq!(window.record(&policy, start), Verdict::Restart { earlier: 0 });
        assert_eq!(window.record(&policy, start + ms(50)), Verdict::Restart { earlier: 1 });
        // exactly at the edge the first one still counts
        assert_eq!(window.clone().record(&policy, start + ms(100)), Verdict::GiveUp);
        assert_eq!(window.record(&policy, start + ms(101)), Verdict::Restart { earlier: 1 });
        assert_eq!(window.record(&policy, start + ms(900)), Verdict::Restart { earlier: 0 });
        let never = RestartPolicy { max_restarts: 0, ..policy };
        assert_eq!(FailureWindow::default().record(&never, start), Verdict::GiveUp);
    }
}
