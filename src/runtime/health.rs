//! Finds threads that are stuck: no supervisor on the same thread can stop a handler that loops.
//!
//! Every watched arbiter counts its progress: its guardians after each poll, and a heartbeat task, so that an idle one
//! counts as alive. A plain thread looks at the counters, marks [`Readiness`] false when one stands still for
//! [`Thresholds::unready_after`], and calls an abort hook after [`Thresholds::abort_after`]. Silence is measured by the
//! watchdog alone, in steps of at most twice its own period: a process that was frozen as a whole and goes on is not
//! taken for a stuck one.

use std::{
    cell::RefCell,
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use parking_lot::{Condvar, Mutex};
use tokio::{
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval},
};

use super::caught;

#[cfg(test)]
mod tests;

/// How often an idle arbiter shows that it lives.
pub const HEARTBEAT: Duration = Duration::from_millis(500);

thread_local! {
    static HERE: RefCell<Option<Arc<Beats>>> = const { RefCell::new(None) };
}

/// Records progress of the watched arbiter that this thread belongs to; does nothing elsewhere.
pub(crate) fn beat() {
    // a beat during the end of the thread, when the slot is gone, is of no use to anybody
    let _gone = HERE.try_with(|here| {
        if let Some(beats) = &*here.borrow() {
            beats.count.fetch_add(1, Ordering::Relaxed);
        }
    });
}

/// The name of the watched arbiter that this thread belongs to, for logs.
pub fn current_arbiter() -> Option<String> {
    HERE.try_with(|here| here.borrow().as_ref().map(|beats| beats.name.clone())).ok().flatten()
}

/// The progress of one thread.
#[derive(Debug)]
pub(crate) struct Beats {
    name: String,
    count: AtomicU64,
    retired: AtomicBool,
}

impl Beats {
    /// From now on silence is intended.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }
}

/// The threads that a [`Watchdog`] looks at. Clones are the same board.
#[derive(Clone, Debug, Default)]
pub struct Board(Arc<Mutex<Vec<Arc<Beats>>>>);

impl Board {
    /// Watches the current thread under `name` until the guard is dropped (or its runtime ends with the thread).
    ///
    /// Spawns the heartbeat, so it must be called within the actix or tokio `LocalSet` context of the thread.
    pub fn attach_current_thread(&self, name: &str) -> HeartGuard {
        let beats = self.add(name);
        let task = beats.live_here();
        HeartGuard { beats, task }
    }

    pub(crate) fn add(&self, name: &str) -> Arc<Beats> {
        let beats = Arc::new(Beats {
            name: name.to_owned(),
            count: AtomicU64::new(0),
            retired: AtomicBool::new(false),
        });
        self.0.lock().push(Arc::clone(&beats));
        beats
    }

    fn watched(&self) -> Vec<Arc<Beats>> {
        let mut all = self.0.lock();
        all.retain(|beats| !beats.retired.load(Ordering::Relaxed));
        all.clone()
    }
}

impl Beats {
    /// Makes the current thread the one that beats here, and starts its heartbeat.
    pub(crate) fn live_here(self: &Arc<Self>) -> JoinHandle<()> {
        HERE.with(|here| here.replace(Some(Arc::clone(self))));
        tokio::task::spawn_local(async {
            let mut heart = interval(HEARTBEAT);
            heart.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while current_arbiter().is_some() {
                heart.tick().await;
                beat();
            }
        })
    }
}

/// Keeps a thread watched; see [`Board::attach_current_thread`].
#[derive(Debug)]
#[must_use = "dropping it ends the watch"]
pub struct HeartGuard {
    beats: Arc<Beats>,
    task: JoinHandle<()>,
}

impl Drop for HeartGuard {
    fn drop(&mut self) {
        self.beats.retire();
        self.task.abort();
    }
}

/// How much silence means what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Not ready from here on.
    pub unready_after: Duration,
    /// The abort hook is called from here on.
    pub abort_after: Duration,
    /// How often the watchdog looks; not under a millisecond.
    pub period: Duration,
}

impl Default for Thresholds {
    /// 5 s, 30 s, every second.
    fn default() -> Self {
        Self {
            unready_after: Duration::from_secs(5),
            abort_after: Duration::from_secs(30),
            period: Duration::from_secs(1),
        }
    }
}

/// What a duration of silence means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Alive,
    Stuck,
    Lost,
}

impl Thresholds {
    fn judge(&self, silence: Duration) -> Verdict {
        if silence >= self.abort_after {
            Verdict::Lost
        } else if silence >= self.unready_after {
            Verdict::Stuck
        } else {
            Verdict::Alive
        }
    }
}

/// The silence of one thread, as the watchdog has seen it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Silence {
    last: u64,
    lasted: Duration,
}

impl Silence {
    /// Takes a look: `count` is the progress counter, `elapsed` the time since the look before, counted up to `most`.
    fn look(self, count: u64, elapsed: Duration, most: Duration) -> Self {
        let lasted = if count == self.last { self.lasted + elapsed.min(most) } else { Duration::ZERO };
        Self { last: count, lasted }
    }
}

/// Whether every watched thread makes progress. Clones are the same value.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<Vec<String>>>);

impl Readiness {
    /// True while no watched thread is stuck.
    pub fn is_ready(&self) -> bool {
        self.0.lock().is_empty()
    }

    /// The names of the threads that are stuck now.
    pub fn stuck(&self) -> Vec<String> {
        self.0.lock().clone()
    }

    fn set(&self, stuck: Vec<String>) {
        *self.0.lock() = stuck;
    }
}

/// A thread that made no progress for [`Thresholds::abort_after`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The name of its arbiter.
    pub arbiter: String,
    /// How long it has been silent.
    pub silence: Duration,
}

#[derive(Debug, Default)]
struct Stop {
    asked: Mutex<bool>,
    changed: Condvar,
}

/// The watching thread; ends, and is joined, when this is dropped.
#[derive(Debug)]
#[must_use = "dropping it ends the watch"]
pub struct Watchdog {
    stop: Arc<Stop>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Watchdog {
    /// Starts the thread. `on_lost` is called on it, once, for the first thread that is lost; a server aborts there.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        board: Board,
        thresholds: Thresholds,
        readiness: Readiness,
        on_lost: impl FnOnce(Lost) + Send + 'static,
    ) -> io::Result<Self> {
        let stop = Arc::new(Stop::default());
        let asked = Arc::clone(&stop);
        let mut watch = Watch { board, thresholds, readiness, on_lost: Some(on_lost), seen: Vec::new() };
        let thread = thread::Builder::new().name("watchdog".to_owned()).spawn(move || watch.run(&asked))?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        *self.stop.asked.lock() = true;
        self.stop.changed.notify_all();
        // the hook may own the last guard, and no thread can join itself
        let other = self.thread.take().filter(|thread| thread.thread().id() != thread::current().id());
        if other.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the watchdog thread panicked");
        }
    }
}

struct Watch<F> {
    board: Board,
    thresholds: Thresholds,
    readiness: Readiness,
    on_lost: Option<F>,
    seen: Vec<(Arc<Beats>, Silence, Verdict)>,
}

impl<F: FnOnce(Lost)> Watch<F> {
    fn run(&mut self, stop: &Stop) {
        let period = self.thresholds.period.max(Duration::from_millis(1));
        let mut before = Instant::now();
        loop {
            let mut asked = stop.asked.lock();
            if !*asked {
                stop.changed.wait_for(&mut asked, period);
            }
            if *asked {
                return;
            }
            drop(asked);
            let now = Instant::now();
            self.look(now.saturating_duration_since(before), period * 2);
            before = now;
        }
    }

    fn look(&mut self, elapsed: Duration, most: Duration) {
        let old = std::mem::take(&mut self.seen);
        for beats in self.board.watched() {
            let count = beats.count.load(Ordering::Relaxed);
            let known = old.iter().find(|(known, ..)| Arc::ptr_eq(known, &beats));
            let (silence, was) = known.map_or_else(
                || (Silence { last: count, lasted: Duration::ZERO }, Verdict::Alive),
                |(_, silence, was)| (silence.look(count, elapsed, most), *was),
            );
            let is = self.thresholds.judge(silence.lasted);
            report(&beats.name, silence.lasted, was, is);
            self.seen.push((beats, silence, is));
        }
        let stuck = self.seen.iter().filter(|(.., is)| *is != Verdict::Alive);
        self.readiness.set(stuck.map(|(beats, ..)| beats.name.clone()).collect());
        if let Some((beats, silence, _)) = self.seen.iter().find(|(.., is)| *is == Verdict::Lost)
            && let Some(hook) = self.on_lost.take()
        {
            let lost = Lost { arbiter: beats.name.clone(), silence: silence.lasted };
            if let Err(panic) = caught::call(|| hook(lost)) {
                tracing::error!(panic, "the hook for a lost arbiter panicked");
            }
        }
    }
}

/// Logs and counts a change of `arbiter` from `was` to `is`.
fn report(arbiter: &str, silence: Duration, was: Verdict, is: Verdict) {
    match (was, is) {
        (Verdict::Stuck | Verdict::Lost, Verdict::Alive) => {
            tracing::warn!(arbiter, "an arbiter makes progress again");
        }
        (Verdict::Alive, Verdict::Stuck | Verdict::Lost) => {
            metrics::counter!("visionflow_arbiter_stuck_total", "arbiter" => arbiter.to_owned()).increment(1);
            complain(arbiter, silence);
        }
        (Verdict::Stuck, Verdict::Lost) => complain(arbiter, silence),
        (Verdict::Alive, Verdict::Alive)
        | (Verdict::Stuck | Verdict::Lost, Verdict::Stuck | Verdict::Lost) => {}
    }
}

fn complain(arbiter: &str, silence: Duration) {
    tracing::error!(arbiter, ?silence, "an arbiter makes no progress");
}

impl<F> fmt::Debug for Watch<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("thresholds", &self.thresholds).finish_non_exhaustive()
    }
}
