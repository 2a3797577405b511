//! The demo executor: it decides how long simulated work takes and how many agents share it, and ends steps in time.
//!
//! It calls no model and changes nothing outside of this process, and says so wherever its results are seen. What
//! agents do with the steps (who is busy, who goes on, what happens to a lost step) is real state of the engine.

use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::shared::Shared;
use crate::domain::{TaskStrategy, limits};

/// Its name, as told to clients.
pub const EXECUTOR: &str = "demo";

/// Bounds of the simulated work of one task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkTiming {
    /// Least steps of a task, at least 1.
    pub steps_min: u32,
    /// Most steps.
    pub steps_max: u32,
    /// Shortest step.
    pub step_min: Duration,
    /// Longest step.
    pub step_max: Duration,
}

impl Default for WorkTiming {
    fn default() -> Self {
        Self {
            steps_min: 4,
            steps_max: 9,
            step_min: Duration::from_millis(400),
            step_max: Duration::from_millis(1_500),
        }
    }
}

/// The time of each step of a task: always the same for the same id.
pub(super) fn plan(task: Uuid, timing: &WorkTiming) -> Vec<Duration> {
    let (high, low) = task.as_u64_pair();
    let mut seed = high ^ low.rotate_left(32);
    let steps_min = timing.steps_min.max(1);
    let count =
        u64::from(steps_min) + between(&mut seed, u64::from(timing.steps_max.saturating_sub(steps_min)));
    let spread =
        u64::try_from(timing.step_max.saturating_sub(timing.step_min).as_micros()).unwrap_or(u64::MAX);
    (0..count).map(|_| timing.step_min + Duration::from_micros(between(&mut seed, spread))).collect()
}

/// The next of a sequence of numbers from 0 to `max` (splitmix64).
const fn between(seed: &mut u64, max: u64) -> u64 {
    *seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    if max == u64::MAX { z } else { z % (max + 1) }
}

/// How many agents may work on a task at the same time.
pub(super) fn agents_at_once(strategy: TaskStrategy, agents: usize, open_tasks: usize) -> usize {
    match strategy {
        TaskStrategy::Sequential => 1,
        TaskStrategy::Parallel => limits::TASK_AGENTS_MAX,
        // A fair share of the swarm; it grows as other tasks end.
        TaskStrategy::Adaptive => (agents / open_tasks.max(1)).clamp(1, limits::TASK_AGENTS_MAX),
    }
}

/// What a completed task says of itself.
pub(super) fn result_text(steps: usize, agents: usize, took_ms: Option<i64>) -> String {
    let took = took_ms.map(|ms| format!(" in {ms} ms")).unwrap_or_default();
    format!(
        "simulated work: {steps} steps by {agents} agents{took}; no model was called and nothing was changed"
    )
}

/// Ends steps as they fall due, for as long as it is polled.
pub(super) async fn drive(shared: &Shared) {
    loop {
        let next = shared.engine.lock().advance(shared.moment());
        let woken = shared.wake.notified();
        match next.and_then(|due| shared.started.checked_add(due)) {
            Some(due) => tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                () = woken => {}
            },
            None => woken.await,
        }
    }
}

/// The start from which the engine's `elapsed` counts; tests may pause it.
pub(super) fn start_of_time() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_task_always_takes_the_same_time_within_the_bounds() {
        let timing = WorkTiming::default();
        let mut counts = std::collections::BTreeSet::new();
        for n in 0..500u128 {
            let id = Uuid::from_u128(n << 70 | n);
            let steps = plan(id, &timing);
            assert_eq!(steps, plan(id, &timing));
            assert!((4..=9).contains(&steps.len()));
            assert!(steps.iter().all(|step| (timing.step_min..=timing.step_max).contains(step)));
            counts.insert(steps.len());
        }
        assert_eq!(counts.len(), 6, "every count of steps comes up");
        let fixed =
            WorkTiming { steps_min: 0, steps_max: 0, step_min: timing.step_min, step_max: timing.step_min };
        assert_eq!(plan(Uuid::nil(), &fixed), [timing.step_min], "at least one step");
    }

    #[test]
    fn strategies_differ_in_how_many_work_at_once() {
        assert_eq!(agents_at_once(TaskStrategy::Sequential, 10, 1), 1);
        assert_eq!(agents_at_once(TaskStrategy::Parallel, 10, 5), 32);
        assert_eq!(agents_at_once(TaskStrategy::Adaptive, 10, 1), 10);
        assert_eq!(agents_at_once(TaskStrategy::Adaptive, 10, 5), 2);
        assert_eq!(agents_at_once(TaskStrategy::Adaptive, 2, 5), 1, "everybody gets somebody in turn");
    }
}
