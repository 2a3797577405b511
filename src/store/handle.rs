//! The handle: a pool of connections, blocking threads, bounds and deadlines.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::connection::{
    AnyConnection, Backend, ConnectError, LastError, LogErrors, Manager, Session, Target, connect, write_tx,
};
use super::{StoreError, StoreResult, migrate};

/// How to reach the database, and within which bounds.
#[derive(Clone)]
pub struct StoreConfig {
    /// `sqlite://path` or `postgres://…`.
    pub url: String,
    /// Connections, and so calls that run at a time; at least 1. `:memory:` always has one.
    pub pool_size: u32,
    /// Calls that may wait for a connection; more are refused.
    pub waiting_max: usize,
    /// Deadline of every call that does not name its own.
    pub call_deadline: Duration,
    /// How long SQLite waits for another process's lock.
    pub busy_timeout: Duration,
    /// How long PostgreSQL works on one statement.
    pub statement_timeout: Duration,
}

impl StoreConfig {
    /// The defaults for a database at `url`.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            pool_size: 8,
            waiting_max: 1_024,
            call_deadline: Duration::from_secs(5),
            busy_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(15),
        }
    }
}

impl fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // the URL may hold a password
        f.debug_struct("StoreConfig")
            .field("pool_size", &self.pool_size)
            .field("waiting_max", &self.waiting_max)
            .field("call_deadline", &self.call_deadline)
            .finish_non_exhaustive()
    }
}

/// The database, for whoever holds a clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("backend", &self.inner.backend).finish_non_exhaustive()
    }
}

struct Inner {
    backend: Backend,
    pool: r2d2::Pool<Manager>,
    last_error: LastError,
    /// One permit for each connection.
    connections: Arc<Semaphore>,
    connection_count: u32,
    /// SQLite has one writer: its calls queue here in order instead of polling for the file's lock.
    writer: Option<Arc<Semaphore>>,
    waiting: AtomicUsize,
    waiting_max: usize,
    call_deadline: Duration,
}

/// Counts one waiting call for as long as it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a call that runs on a blocking thread holds.
struct Permits {
    _connection: OwnedSemaphorePermit,
    _writer: Option<OwnedSemaphorePermit>,
}

const QUEUED: u8 = 0;
const STARTED: u8 = 1;
const GIVEN_UP: u8 = 2;

impl Store {
    /// Connects, migrates and fills the pool. Blocks: call it before the first actor, or on a blocking thread.
    ///
    /// # Errors
    /// [`StoreError::Url`], [`StoreError::Unavailable`] with the database's own words, or
    /// [`StoreError::Migration`].
    pub fn open(config: &StoreConfig) -> StoreResult<Self> {
        let target = Target::parse(&config.url)?;
        if !target.in_memory() {
            // a connection of its own: a migration may take longer than a statement of the pool
            migrate::up(&mut connect(&config.url)?)?;
        }
        let store = Self::build(config, target)?;
        if store.inner.connection_count == 1 {
            let mut conn =
                store.inner.pool.get().map_err(|error| store.inner.unreachable("opening", &error))?;
            migrate::up(&mut conn)?;
        }
        Ok(store)
    }

    fn build(config: &StoreConfig, target: Target) -> StoreResult<Self> {
        // every connection to :memory: is a database of its own, which dies with it
        let memory = target.in_memory();
        let size = if memory { 1 } else { config.pool_size.max(1) };
        let backend = target.backend();
        let last_error = LastError::default();
        let session =
            Session { busy_timeout: config.busy_timeout, statement_timeout: config.statement_timeout };
        let mut builder = r2d2::Pool::builder()
            .max_size(size)
            .min_idle(Some(1))
            .connection_timeout(config.call_deadline)
            .test_on_check_out(backend == Backend::Postgres)
            .error_handler(Box::new(LogErrors) as Box<dyn r2d2::HandleError<ConnectError>>);
        if memory {
            builder = builder.max_lifetime(None).idle_timeout(None);
        }
        let pool = builder
            .build(Manager { target, session, last_error: Arc::clone(&last_error) })
            .map_err(|error| StoreError::Unavailable { source: error.into() })?;
        let permits = usize::try_from(size).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        let inner = Inner {
            backend,
            pool,
            last_error,
            connections: Arc::new(Semaphore::new(permits)),
            connection_count: size,
            writer: (backend == Backend::Sqlite).then(|| Arc::new(Semaphore::new(1))),
            waiting: AtomicUsize::new(0),
            waiting_max: config.waiting_max,
            call_deadline: config.call_deadline,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Which database it is.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.inner.backend
    }

    /// The deadline of calls that do not name their own.
    #[must_use]
    pub fn call_deadline(&self) -> Duration {
        self.inner.call_deadline
    }

    /// Runs `f` with a connection on a blocking thread. Dropping the future does not stop `f`.
    ///
    /// `what` names the call in metrics and errors.
    ///
    /// # Errors
    /// Whatever `f` says; [`StoreError::Overloaded`], [`StoreError::PoolTimeout`] and
    /// [`StoreError::Unavailable`] when `f` did not start; [`StoreError::Deadline`] when it did and its
    /// outcome is not known.
    pub async fn run<T: Send + 'static>(
        &self,
        what: &'static str,
        deadline: Duration,
        f: impl FnOnce(&mut AnyConnection) -> StoreResult<T> + Send + 'static,
    ) -> StoreResult<T> {
        self.counted(what, deadline, false, f).await
    }

    /// Runs `f` in a write transaction, which is undone when it fails. Otherwise as [`Store::run`].
    ///
    /// # Errors
    /// As [`Store::run`].
    pub async fn write<T: Send + 'static>(
        &self,
        what: &'static str,
        deadline: Duration,
        f: impl FnOnce(&mut AnyConnection) -> StoreResult<T> + Send + 'static,
    ) -> StoreResult<T> {
        self.counted(what, deadline, true, move |conn| write_tx(conn, f)).await
    }

    async fn counted<T: Send + 'static>(
        &self,
        what: &'static str,
        deadline: Duration,
        writes: bool,
        f: impl FnOnce(&mut AnyConnection) -> StoreResult<T> + Send + 'static,
    ) -> StoreResult<T> {
        let begun = Instant::now();
        let result = self.bounded(what, begun + deadline, writes, f).await;
        let outcome = result.as_ref().err().map_or("ok", StoreError::label);
        metrics::counter!("visionflow_store_calls_total", "call" => what, "outcome" => outcome).increment(1);
        metrics::histogram!("visionflow_store_call_duration_seconds", "call" => what)
            .record(begun.elapsed().as_secs_f64());
        result
    }

    async fn bounded<T: Send + 'static>(
        &self,
        what: &'static str,
        deadline: Instant,
        writes: bool,
        f: impl FnOnce(&mut AnyConnection) -> StoreResult<T> + Send + 'static,
    ) -> StoreResult<T> {
        let permits = self.inner.permits(what, deadline, writes).await?;
        let state = Arc::new(AtomicU8::new(QUEUED));
        let task = {
            let (inner, state) = (Arc::clone(&self.inner), Arc::clone(&state));
            tokio::task::spawn_blocking(move || {
                let _permits = permits;
                let mut conn = inner.get(what, deadline)?;
                if state.compare_exchange(QUEUED, STARTED, Ordering::AcqRel, Ordering::Acquire).is_err() {
                    return Err(StoreError::PoolTimeout { what });
                }
                f(&mut conn)
            })
        };
        match timeout_at(deadline, task).await {
            Ok(Ok(result)) => result,
            Ok(Err(join)) => {
                tracing::error!(call = what, error = %join, "a database call panicked");
                Err(StoreError::Panicked { what })
            }
            Err(_elapsed) => {
                let queued = state.compare_exchange(QUEUED, GIVEN_UP, Ordering::AcqRel, Ordering::Acquire);
                Err(match queued {
                    Ok(_) => self.inner.not_started(what),
                    Err(_) => StoreError::Deadline { what },
                })
            }
        }
    }

    /// Refuses new calls, waits for those that run, at most until `deadline`, and folds SQLite's log into
    /// its file.
    ///
    /// # Errors
    /// [`StoreError::Deadline`] when calls still run; they go on by themselves.
    pub async fn close(&self, deadline: Duration) -> StoreResult<()> {
        const WHAT: &str = "close";
        let inner = Arc::clone(&self.inner);
        let all = inner.connections.acquire_many(inner.connection_count);
        match tokio::time::timeout(deadline, all).await {
            Ok(Ok(permits)) => {
                inner.connections.close();
                drop(permits);
            }
            // closed before
            Ok(Err(_)) => return Ok(()),
            Err(_elapsed) => {
                inner.connections.close();
                return Err(StoreError::Deadline { what: WHAT });
            }
        }
        let inner = Arc::clone(&self.inner);
        tokio::task::spawn_blocking(move || inner.checkpoint())
            .await
            .map_err(|_join| StoreError::Panicked { what: WHAT })
    }
}

impl Inner {
    /// Waits for the writer's place and a connection's.
    async fn permits(&self, what: &'static str, deadline: Instant, writes: bool) -> StoreResult<Permits> {
        let waiting = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        if waiting >= self.waiting_max {
            return Err(StoreError::Overloaded { what, waiting });
        }
        let acquire = async |semaphore: &Arc<Semaphore>| match timeout_at(
            deadline,
            Arc::clone(semaphore).acquire_owned(),
        )
        .await
        {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_closed)) => Err(StoreError::Closed { what }),
            Err(_elapsed) => Err(StoreError::PoolTimeout { what }),
        };
        // the writer's first: who waits for it keeps no connection from readers
        let writer = match &self.writer {
            Some(semaphore) if writes => Some(acquire(semaphore).await?),
            Some(_) | None => None,
        };
        Ok(Permits { _connection: acquire(&self.connections).await?, _writer: writer })
    }

    fn get(&self, what: &'static str, deadline: Instant) -> StoreResult<r2d2::PooledConnection<Manager>> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(StoreError::PoolTimeout { what });
        }
        self.pool.get_timeout(left).map_err(|error| self.unreachable(what, &error))
    }

    /// Why there is no connection: the last attempt's own words, if it failed.
    fn unreachable(&self, what: &'static str, error: &r2d2::Error) -> StoreError {
        tracing::debug!(call = what, error = %error, "no connection");
        self.not_started(what)
    }

    fn not_started(&self, what: &'static str) -> StoreError {
        let last_error = self.last_error.lock().clone();
        match last_error {
            Some(words) => StoreError::Unavailable { source: words.into() },
            None => StoreError::PoolTimeout { what },
        }
    }

    /// Folds SQLite's log into its file; a failure costs nothing, the next start reads the log.
    fn checkpoint(&self) {
        if self.backend != Backend::Sqlite {
            return;
        }
        let Some(mut conn) = self.pool.try_get() else { return };
        if let Err(error) = conn.batch("PRAGMA optimize; PRAGMA wal_checkpoint(TRUNCATE)") {
            tracing::warn!(error = %error, "folding the log into the database file failed");
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if !self.connections.is_closed() {
            self.checkpoint();
        }
    }
}
