//! Random numbers that are good enough to spread restarts in time, and for nothing else.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// A number in `-1.0..=1.0`, different in every process.
pub(crate) fn chance() -> f64 {
    static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let hash = KEYS.hash_one(CALLS.fetch_add(1, Ordering::Relaxed));
    let top = u32::try_from(hash >> 32).unwrap_or(u32::MAX);
    f64::from(top) / f64::from(u32::MAX) * 2.0 - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_in_range_and_spreads() {
        let drawn: Vec<f64> = (0..1000).map(|_| chance()).collect();
        assert!(drawn.iter().all(|x| (-1.0..=1.0).contains(x)));
        assert!(drawn.iter().any(|x| *x > 0.5) && drawn.iter().any(|x| *x < -0.5));
    }
}
