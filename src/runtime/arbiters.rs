//! The named threads that actors live on. Each is an actix arbiter of the current `System`, watched from its start.
//!
//! On Linux the system shows the name (cut to 15 bytes) in `top`, `perf` and debuggers; logs get it from
//! [`current_arbiter`](super::current_arbiter). Actors started elsewhere, say in an HTTP handler, would die with that
//! thread: whoever starts an actor takes its arbiter from here.

use std::{collections::BTreeMap, io, num::NonZeroUsize, sync::Arc, thread};

use actix::{Arbiter, ArbiterHandle, System};
use parking_lot::Mutex;
use tokio::{sync::oneshot, time::timeout_at};

use super::{
    Deadline,
    health::{Beats, Board},
};

/// The most arbiters of the pool; larger numbers are cut to it.
pub const SWARM_ARBITERS_MAX: usize = 64;

/// Why the arbiters could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArbiterError {
    /// The current thread has no actix `System`.
    #[error("starting arbiters outside of an actix system")]
    NoSystem,
    /// Two arbiters of one name.
    #[error("starting arbiters: {name} is named twice")]
    Twice {
        /// The name.
        name: String,
    },
    /// The system gave no thread, or the runtime on it did not start.
    #[error("starting the thread of arbiter {name}")]
    Thread {
        /// The name.
        name: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// What [`Arbiters::stop_all`] achieved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StopReport {
    /// The arbiters whose thread has ended.
    pub stopped: Vec<String>,
    /// Those whose thread still runs, or ended by a panic.
    pub stuck: Vec<String>,
}

#[derive(Debug)]
struct Running {
    name: String,
    arbiter: Arbiter,
    beats: Arc<Beats>,
}

/// The named arbiters and a pool of alike ones, `swarm-0`, `swarm-1`, ….
#[derive(Debug)]
pub struct Arbiters {
    named: BTreeMap<String, ArbiterHandle>,
    swarms: Vec<ArbiterHandle>,
    running: Mutex<Vec<Running>>,
}

impl Arbiters {
    /// Starts one arbiter per name and `swarms` of the pool (at most [`SWARM_ARBITERS_MAX`]), all watched by `board`.
    ///
    /// # Errors
    /// See [`ArbiterError`]; arbiters that were started before the failure are stopped again.
    pub fn start(names: &[&str], swarms: NonZeroUsize, board: &Board) -> Result<Self, ArbiterError> {
        if System::try_current().is_none() {
            return Err(ArbiterError::NoSystem);
        }
        let mut all = Self { named: BTreeMap::new(), swarms: Vec::new(), running: Mutex::default() };
        let filled = all.fill(names, swarms.get().min(SWARM_ARBITERS_MAX), board);
        if filled.is_err() {
            for running in all.running.lock().drain(..) {
                running.beats.retire();
                running.arbiter.stop();
            }
        }
        filled.map(|()| all)
    }

    fn fill(&mut self, names: &[&str], swarms: usize, board: &Board) -> Result<(), ArbiterError> {
        for name in names {
            if self.named.contains_key(*name) {
                return Err(ArbiterError::Twice { name: (*name).to_owned() });
            }
            let handle = self.add((*name).to_owned(), board)?;
            self.named.insert((*name).to_owned(), handle);
        }
        for n in 0..swarms {
            let name = format!("swarm-{n}");
            if self.named.contains_key(&name) {
                return Err(ArbiterError::Twice { name });
            }
            let handle = self.add(name, board)?;
            self.swarms.push(handle);
        }
        Ok(())
    }

    fn add(&self, name: String, board: &Board) -> Result<ArbiterHandle, ArbiterError> {
        let arbiter =
            Arbiter::try_new().map_err(|source| ArbiterError::Thread { name: name.clone(), source })?;
        let beats = board.add(&name);
        let handle = arbiter.handle();
        let (shown, alive) = (name.clone(), Arc::clone(&beats));
        arbiter.spawn_fn(move || {
            show_name(&shown);
            // detached: the heartbeat ends with the arbiter
            drop(alive.live_here());
        });
        self.running.lock().push(Running { name, arbiter, beats });
        Ok(handle)
    }

    /// The arbiter of that name, if it was started by [`start`](Self::start).
    pub fn get(&self, name: &str) -> Option<ArbiterHandle> {
        self.named.get(name).cloned()
    }

    /// The arbiter of the pool for `hash`; the same one for the same hash as long as the process lives.
    ///
    /// # Panics
    /// Never: the pool has at least one arbiter.
    #[expect(clippy::expect_used, reason = "the pool has at least one arbiter, by the type of `swarms`")]
    pub fn swarm_for(&self, hash: u64) -> ArbiterHandle {
        let pool = u64::try_from(self.swarms.len()).unwrap_or(1).max(1);
        let index = usize::try_from(hash % pool).unwrap_or(0);
        self.swarms.get(index).cloned().expect("index below the length of the pool")
    }

    /// Stops all arbiters and waits for their threads, at most until `deadline`.
    ///
    /// This is not a drain: actors get `stopped()`, what they spawned is dropped. A second call has nothing to do.
    pub async fn stop_all(&self, deadline: Deadline) -> StopReport {
        let all = std::mem::take(&mut *self.running.lock());
        let mut ends = Vec::with_capacity(all.len());
        for Running { name, arbiter, beats } in all {
            beats.retire();
            arbiter.stop();
            ends.push((name, join(arbiter)));
        }
        let mut report = StopReport::default();
        for (name, end) in ends {
            match timeout_at(deadline.instant(), end).await {
                Ok(Ok(())) => report.stopped.push(name),
                Ok(Err(_)) | Err(_) => report.stuck.push(name),
            }
        }
        report
    }
}

/// Tells when the thread of `arbiter` has ended. Joins on a thread of its own, since a join has no deadline and a
/// runtime would wait for one that is stuck in its blocking pool.
fn join(arbiter: Arbiter) -> oneshot::Receiver<()> {
    let (ended, end) = oneshot::channel();
    let joiner = thread::Builder::new().name("join".to_owned()).spawn(move || {
        if arbiter.join().is_ok() && ended.send(()).is_err() {
            tracing::debug!("an arbiter ended after the deadline");
        }
    });
    if let Err(error) = joiner {
        tracing::warn!(%error, "no thread to join an arbiter");
    }
    end
}

/// Gives the current thread a name that the system shows.
fn show_name(name: &str) {
    if cfg!(target_os = "linux")
        && let Err(error) = std::fs::write("/proc/thread-self/comm", name)
    {
        tracing::debug!(name, %error, "naming a thread");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::runtime::current_arbiter;

    async fn on<T: Send + 'static>(arbiter: &ArbiterHandle, f: impl FnOnce() -> T + Send + 'static) -> T {
        let (tx, rx) = oneshot::channel();
        assert!(arbiter.spawn_fn(move || drop(tx.send(f()))));
        rx.await.unwrap()
    }

    fn soon() -> Deadline {
        Deadline::within(Duration::from_secs(10))
    }

    #[actix::test]
    async fn each_name_has_its_thread_and_all_are_joined() {
        let three = NonZeroUsize::new(3).unwrap();
        let arbiters = Arbiters::start(&["control", "compute"], three, &Board::default()).unwrap();
        assert!(arbiters.get("unknown").is_none());
        let mut threads = Vec::new();
        let pool = (0..3).map(|hash| (format!("swarm-{hash}"), arbiters.swarm_for(hash + 30)));
        let named = ["control", "compute"].map(|name| (name.to_owned(), arbiters.get(name).unwrap()));
        for (name, arbiter) in named.into_iter().chain(pool) {
            assert_eq!(on(&arbiter, current_arbiter).await.as_deref(), Some(name.as_str()));
            if cfg!(target_os = "linux") {
                let shown = on(&arbiter, || std::fs::read_to_string("/proc/thread-self/comm").unwrap()).await;
                assert_eq!(shown.trim_end(), name);
            }
            threads.push(on(&arbiter, || thread::current().id()).await);
        }
        let count = threads.len();
        threads.sort_by_key(|id| format!("{id:?}"));
        threads.dedup();
        assert_eq!(threads.len(), count);

        let report = arbiters.stop_all(soon()).await;
        assert_eq!(report.stopped, ["control", "compute", "swarm-0", "swarm-1", "swarm-2"]);
        assert!(report.stuck.is_empty());
        assert_eq!(arbiters.stop_all(soon()).await, StopReport::default());
        assert!(!arbiters.get("control").unwrap().spawn_fn(|| ()));
    }

    #[actix::test]
    async fn a_stuck_arbiter_is_named_at_the_deadline() {
        let arbiters = Arbiters::start(&["good", "bad"], NonZeroUsize::MIN, &Board::default()).unwrap();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let (begun, began) = oneshot::channel();
        arbiters.get("bad").unwrap().spawn_fn(move || {
            begun.send(()).unwrap();
            assert!(released.recv().is_err());
        });
        began.await.unwrap();
        let report = arbiters.stop_all(Deadline::within(Duration::from_millis(300))).await;
        assert_eq!(report.stuck, ["bad"]);
        assert_eq!(report.stopped, ["good", "swarm-0"]);
        drop(release);
    }

    #[actix::test]
    async fn names_are_unique() {
        for names in [["a", "a"], ["a", "swarm-0"]] {
            let error = Arbiters::start(&names, NonZeroUsize::MIN, &Board::default()).unwrap_err();
            assert!(matches!(error, ArbiterError::Twice { .. }), "{error}");
        }
    }

    #[test]
    fn needs_a_system() {
        let error = Arbiters::start(&[], NonZeroUsize::MIN, &Board::default()).unwrap_err();
        assert!(matches!(error, ArbiterError::NoSystem));
    }
}
