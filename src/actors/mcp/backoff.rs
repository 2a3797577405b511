//! How long to wait before the next attempt to connect: jittered, exponential, for ever.

use std::time::Duration;

/// First pause.
pub(super) const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Longest pause.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(10);

/// The pause after `failures` attempts in a row; `chance` is 0 to 1 and spreads it over its upper half.
#[must_use]
pub(super) fn pause(failures: u32, chance: f64) -> Duration {
    let doubled = PAUSE_MIN.saturating_mul(2u32.saturating_pow(failures.min(16)));
    doubled.min(PAUSE_MAX).mul_f64(0.5 + 0.5 * chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_limit_and_stay_within_their_half() {
        assert_eq!(pause(0, 1.0), PAUSE_MIN);
        assert_eq!(pause(1, 1.0), PAUSE_MIN * 2);
        for failures in [0, 3, 7, 40, u32::MAX] {
            for chance in [0.0, 0.3, 1.0, 7.0, -1.0] {
                let pause = pause(failures, chance);
                assert!(pause >= PAUSE_MIN / 2 && pause <= PAUSE_MAX, "{failures} {chance}: {pause:?}");
            }
        }
    }
}
