//! Blocking calls (the database, files) away from the arbiters, with a deadline and a bound.
//!
//! Every arbiter has a tokio runtime with a blocking pool of its own, of 512 threads and an endless queue. A
//! [`Blocking`] is shared by all of them and bounds how many closures run and how many wait.

use std::sync::{
    Arc,
    atomic::{AtomicU8, AtomicUsize, Ordering},
};

use tokio::{runtime::Handle, sync::Semaphore, time::timeout_at};

use super::{Deadline, caught};

/// Why a blocking call brought no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockingError {
    /// Too many calls wait already; it was not started.
    #[error("running {pool} work: too many calls wait")]
    Full {
        /// The name of the [`Blocking`].
        pool: &'static str,
    },
    /// Not done in time.
    #[error("running {pool} work: not done in time")]
    Deadline {
        /// The name of the [`Blocking`].
        pool: &'static str,
        /// True: it had begun, goes on, and its outcome is unknown. False: it did not begin and never will.
        started: bool,
    },
    /// It panicked. The outcome is unknown.
    #[error("running {pool} work: it panicked: {text}")]
    Panicked {
        /// The name of the [`Blocking`].
        pool: &'static str,
        /// The text of the panic.
        text: String,
    },
    /// The runtime is shutting down; it was not started.
    #[error("running {pool} work: the runtime shuts down")]
    Shutdown {
        /// The name of the [`Blocking`].
        pool: &'static str,
    },
}

const QUEUED: u8 = 0;
const STARTED: u8 = 1;
const CANCELLED: u8 = 2;

/// Runs blocking closures on the blocking pool of the current runtime, within bounds. Clones share the bounds.
#[derive(Clone, Debug)]
pub struct Blocking {
    name: &'static str,
    running: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    waiting_max: usize,
}

impl Blocking {
    /// At most `running_max` closures (at least one) run at once, and `waiting_max` more wait for their turn.
    pub fn new(name: &'static str, running_max: usize, waiting_max: usize) -> Self {
        let running = Arc::new(Semaphore::new(running_max.clamp(1, Semaphore::MAX_PERMITS)));
        Self { name, running, waiting: Arc::default(), waiting_max }
    }

    /// Runs `f`, and waits for it at most until `deadline`.
    ///
    /// A closure cannot be stopped once it has begun: after the deadline it runs on and keeps its place among the
    /// running ones. Dropping the returned future does not stop it either, but one that waits never begins.
    ///
    /// # Errors
    /// See [`BlockingError`].
    pub async fn run<T, F>(&self, deadline: Deadline, f: F) -> Result<T, BlockingError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let pool = self.name;
        let late = |started| BlockingError::Deadline { pool, started };
        let permit = {
            let _waiting = self.wait()?;
            match timeout_at(deadline.instant(), Arc::clone(&self.running).acquire_owned()).await {
                Ok(Ok(permit)) if !deadline.expired() => permit,
                Ok(Ok(_)) | Err(_) => return Err(late(false)),
                Ok(Err(_closed)) => return Err(BlockingError::Shutdown { pool }),
            }
        };
        let runtime = Handle::try_current().map_err(|_no_runtime| BlockingError::Shutdown { pool })?;
        let state = Arc::new(AtomicU8::new(QUEUED));
        let cancel = CancelOnDrop(Arc::clone(&state));
        let work = runtime.spawn_blocking(move || {
            let _permit = permit;
            let begun = state.compare_exchange(QUEUED, STARTED, Ordering::AcqRel, Ordering::Acquire);
            begun.ok().map(|_queued| caught::call(f))
        });
        match timeout_at(deadline.instant(), work).await {
            Ok(Ok(Some(Ok(value)))) => Ok(value),
            Ok(Ok(Some(Err(text)))) => Err(BlockingError::Panicked { pool, text }),
            Ok(Ok(None)) => Err(late(false)),
            Ok(Err(_cancelled)) => Err(BlockingError::Shutdown { pool }),
            Err(_elapsed) => Err(late(!cancel.now())),
        }
    }

    /// How many calls wait for their turn now.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    fn wait(&self) -> Result<Waiting<'_>, BlockingError> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting(&self.waiting);
        if before >= self.waiting_max && self.running.available_permits() == 0 {
            metrics::counter!("visionflow_blocking_refused_total", "pool" => self.name).increment(1);
            return Err(BlockingError::Full { pool: self.name });
        }
        Ok(waiting)
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Keeps a closure that nobody waits for any more from beginning.
struct CancelOnDrop(Arc<AtomicU8>);

impl CancelOnDrop {
    /// Whether the closure had not begun; it never will.
    fn now(&self) -> bool {
        self.0.compare_exchange(QUEUED, CANCELLED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.now();
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use super::*;

    fn soon() -> Deadline {
        Deadline::within(Duration::from_secs(10))
    }

    #[tokio::test]
    async fn brings_the_result_or_the_panic() {
        let blocking = Blocking::new("test", 2, 2);
        assert_eq!(blocking.run(soon(), || 6 * 7).await, Ok(42));
        let panicked = BlockingError::Panicked { pool: "test", text: "no".to_owned() };
        assert_eq!(blocking.run(soon(), || panic!("no")).await, Err::<(), _>(panicked));
        assert_eq!(blocking.run(soon(), || 1).await, Ok(1));
    }

    #[tokio::test]
    async fn works_under_a_paused_clock() {
        tokio::time::pause();
        assert_eq!(Blocking::new("test", 1, 0).run(soon(), || 1).await, Ok(1));
    }

    /// Lets the other tasks and the blocking threads work until `state` holds.
    async fn until(mut state: impl FnMut() -> bool) {
        let give_up = std::time::SystemTime::now() + Duration::from_secs(20);
        while !state() {
            assert!(std::time::SystemTime::now() < give_up, "state not reached");
            tokio::task::yield_now().await;
        }
    }

    // While a blocking closure runs, a paused clock only moves by `advance`.
    #[tokio::test(start_paused = true)]
    async fn tells_a_late_call_from_one_that_never_began() {
        let blocking = Blocking::new("test", 1, 1);
        let second = Duration::from_secs(1);
        let (release, released) = mpsc::channel::<()>();
        let (begun, began) = mpsc::channel();
        let (one, two) = (blocking.clone(), blocking.clone());
        let slow = tokio::spawn(async move {
            let work = move || {
                begun.send(()).unwrap();
                released.recv().unwrap_err()
            };
            one.run(Deadline::within(second), work).await
        });
        until(|| began.try_recv().is_ok()).await;
        tokio::time::advance(second).await;
        assert_eq!(slow.await.unwrap(), Err(BlockingError::Deadline { pool: "test", started: true }));
        // the slow one still holds the only place
        let (touched, touch) = mpsc::channel();
        let queued = tokio::spawn(async move {
            two.run(Deadline::within(second), move || touched.send(()).unwrap()).await
        });
        until(|| blocking.waiting() == 1).await;
        tokio::time::advance(second).await;
        assert_eq!(queued.await.unwrap(), Err(BlockingError::Deadline { pool: "test", started: false }));
        drop(release);
        assert_eq!(blocking.run(soon(), || 1).await, Ok(1));
        assert_eq!(touch.try_recv(), Err(mpsc::TryRecvError::Disconnected));
    }

    #[tokio::test]
    async fn an_expired_deadline_starts_nothing() {
        let blocking = Blocking::new("test", 1, 1);
        let past = Deadline::within(Duration::ZERO);
        let (touched, touch) = mpsc::channel();
        let late = blocking.run(past, move || touched.send(())).await;
        assert_eq!(late, Err(BlockingError::Deadline { pool: "test", started: false }));
        assert_eq!(touch.try_recv(), Err(mpsc::TryRecvError::Disconnected));
    }

    #[tokio::test]
    async fn refuses_when_too_many_wait() {
        let blocking = Blocking::new("test", 1, 1);
        let (release, released) = mpsc::channel::<()>();
        let (first, second) = (blocking.clone(), blocking.clone());
        let first = tokio::spawn(async move { first.run(soon(), move || released.recv().is_err()).await });
        until(|| blocking.running.available_permits() == 0).await;
        let second = tokio::spawn(async move { second.run(soon(), || 2).await });
        until(|| blocking.waiting() == 1).await;
        assert_eq!(blocking.run(soon(), || 3).await, Err(BlockingError::Full { pool: "test" }));
        drop(release);
        assert_eq!(first.await.unwrap(), Ok(true));
        assert_eq!(second.await.unwrap(), Ok(2));
        assert_eq!(blocking.waiting(), 0);
    }

    #[test]
    fn reports_the_end_of_the_runtime() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let entered = runtime.handle().clone();
        let blocking = Blocking::new("test", 1, 1);
        runtime.shutdown_background();
        let _inside = entered.enter();
        let call = blocking.run(Deadline::at(tokio::time::Instant::now() + Duration::from_secs(5)), || 1);
        let mut call = std::pin::pin!(call);
        let waker = std::task::Waker::noop();
        let polled = call.as_mut().poll(&mut std::task::Context::from_waker(waker));
        let shutdown = BlockingError::Shutdown { pool: "test" };
        assert_eq!(polled, std::task::Poll::Ready(Err(shutdown)));
    }
}
