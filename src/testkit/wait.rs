//! Waiting for a state, with a bound: tests never sleep for a guessed time.

use std::time::Duration;

use tokio::time::Instant;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// Asks `probe` again and again until it gives something, and gives that.
///
/// # Panics
/// When it gave nothing for `within`; the message says what was waited for.
pub fn wait_for<T>(what: &str, within: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(begun.elapsed() < within, "{what}: not within {within:?}");
        std::thread::park_timeout(LOOK);
    }
}

/// [`wait_for`] something that is true or not.
///
/// # Panics
/// When it stayed false for `within`.
pub fn wait_until(what: &str, within: Duration, mut probe: impl FnMut() -> bool) {
    wait_for(what, within, || probe().then_some(()));
}
