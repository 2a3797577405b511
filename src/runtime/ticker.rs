//! A fixed-rate ticker that skips what it missed. actix's `run_interval` catches up in a burst, and thereby starves
//! the mailbox just when there is most to do.
//!
//! Ticks lie on a grid `first + n * period`. A tick that comes late is run once; grid points that passed meanwhile are
//! skipped and counted; the next tick waits for the next grid point, so at most one step is in flight and there is a
//! pause after each. [`Ticker`] is a plain local task; [`every`] runs inside a guarded actor, where a panic of the step
//! is a restart of the actor.

use std::{future::Future, ops::ControlFlow, pin::Pin, task, task::Poll, time::Duration};

use actix::{Actor, AsyncContext, Context, fut::ActorFuture};
use tokio::{
    task::JoinHandle,
    time::{Instant, Sleep, sleep_until},
};

use super::caught;

#[cfg(test)]
mod tests;

/// The shortest period; shorter ones are stretched to it.
pub const TICK_PERIOD_MIN: Duration = Duration::from_millis(1);

/// One tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TickInfo {
    /// Its number on the grid, from 0; skipped grid points have numbers too.
    pub n: u64,
    /// How many grid points were skipped since the tick before.
    pub missed: u64,
}

/// The grid. Pure: time is an argument.
#[derive(Clone, Copy, Debug)]
struct Grid {
    first: Instant,
    period: Duration,
    /// The number of the next tick that has not been run or skipped.
    next: u64,
}

impl Grid {
    fn new(first: Instant, period: Duration) -> Self {
        Self { first, period: period.max(TICK_PERIOD_MIN), next: 0 }
    }

    /// When to wake up, after a step that ended at `now`: the first grid point that is not over yet.
    fn wake_at(&self, now: Instant) -> Instant {
        let since = nanos(now.saturating_duration_since(self.first));
        let n = since.div_ceil(nanos(self.period).max(1)).max(self.next);
        self.first + nanos(self.period).checked_mul(n).map_or(Duration::MAX / 4, Duration::from_nanos)
    }

    /// The tick to run when awake at `now`.
    fn tick(&mut self, now: Instant) -> TickInfo {
        let n = self.latest(now).unwrap_or(0).max(self.next);
        let missed = n - self.next;
        self.next = n + 1;
        TickInfo { n, missed }
    }

    /// The number of the latest grid point up to `now`.
    fn latest(&self, now: Instant) -> Option<u64> {
        now.checked_duration_since(self.first).map(|since| nanos(since) / nanos(self.period).max(1))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn count_missed(name: &'static str, tick: TickInfo) {
    if tick.missed > 0 {
        metrics::counter!("visionflow_ticks_missed_total", "ticker" => name).increment(tick.missed);
    }
}

/// A running ticker; stops when dropped, also in the middle of an asynchronous step.
#[derive(Debug)]
#[must_use = "dropping it stops the ticker"]
pub struct Ticker {
    task: JoinHandle<()>,
}

impl Ticker {
    /// Calls `step` every `period` from now on (first after one period) until it breaks.
    ///
    /// Runs as a local task of the current thread, which must be in an actix or tokio `LocalSet` context. A panic in
    /// `step` is logged and counted and ends the ticker; inside a guarded actor use [`every`].
    pub fn start(
        name: &'static str,
        period: Duration,
        mut step: impl FnMut(TickInfo) -> ControlFlow<()> + 'static,
    ) -> Self {
        let first = Instant::now() + period.max(TICK_PERIOD_MIN);
        Self::start_async(name, first, period, move |tick| std::future::ready(step(tick)))
    }

    /// Like [`start`](Self::start), with steps that are awaited before the next tick, and the moment of the first.
    ///
    /// The first moments of tickers with the same period may be spread over it, so that their work is.
    pub fn start_async<F>(
        name: &'static str,
        first: Instant,
        period: Duration,
        mut step: impl FnMut(TickInfo) -> F + 'static,
    ) -> Self
    where
        F: Future<Output = ControlFlow<()>> + 'static,
    {
        let mut grid = Grid::new(first, period);
        let steps = async move {
            loop {
                sleep_until(grid.wake_at(Instant::now())).await;
                let tick = grid.tick(Instant::now());
                count_missed(name, tick);
                if step(tick).await.is_break() {
                    return;
                }
            }
        };
        let task = tokio::task::spawn_local(async move {
            if let Err(panic) = caught::future(steps).await {
                metrics::counter!("visionflow_ticker_panics_total", "ticker" => name).increment(1);
                tracing::error!(ticker = name, panic, "a step of a ticker panicked, it is stopped");
            }
        });
        Self { task }
    }

    /// Whether it has stopped by itself: its step broke, or panicked.
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Calls `step` with the actor every `period` (first after one period) until it breaks, or the actor restarts or ends.
///
/// It does not keep alive an actor whose last handle was dropped. Call it in `started()`. Steps are delayed while the
/// actor waits (`ctx.wait`); those delays are skipped like any other.
pub fn every<A: Actor<Context = Context<A>>>(
    context: &mut Context<A>,
    name: &'static str,
    period: Duration,
    step: impl FnMut(&mut A, &mut Context<A>, TickInfo) -> ControlFlow<()> + Unpin + 'static,
) {
    let grid = Grid::new(Instant::now() + period.max(TICK_PERIOD_MIN), period);
    let sleep = Box::pin(sleep_until(grid.wake_at(Instant::now())));
    context.spawn(Every { name, grid, sleep, step });
}

struct Every<F> {
    name: &'static str,
    grid: Grid,
    sleep: Pin<Box<Sleep>>,
    step: F,
}

impl<A, F> ActorFuture<A> for Every<F>
where
    A: Actor<Context = Context<A>>,
    F: FnMut(&mut A, &mut Context<A>, TickInfo) -> ControlFlow<()> + Unpin,
{
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        actor: &mut A,
        context: &mut Context<A>,
        cx: &mut task::Context<'_>,
    ) -> Poll<()> {
        let this = self.get_mut();
        // bounded: after a step the sleep is pending until a later grid point, unless the step lasted just as long
        loop {
            if !context.connected() {
                return Poll::Ready(());
            }
            task::ready!(this.sleep.as_mut().poll(cx));
            let tick = this.grid.tick(Instant::now());
            count_missed(this.name, tick);
            if (this.step)(actor, context, tick).is_break() {
                return Poll::Ready(());
            }
            this.sleep.as_mut().reset(this.grid.wake_at(Instant::now()));
            if context.waiting() {
                // the wait comes first; this future is polled again after it
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }
}
