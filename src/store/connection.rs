//! One connection type over both databases, how it is opened, and the write transaction.
//!
//! Everything here blocks: it is called on blocking threads alone.

use std::sync::Arc;
use std::time::Duration;

use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::{Connection, PgConnection, SqliteConnection};
use parking_lot::Mutex;

use super::{StoreError, StoreResult};

pub use multi::AnyConnection;
pub(crate) use multi::MultiBackend;

/// Which database it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Backend {
    /// A file, or memory.
    Sqlite,
    /// A server.
    Postgres,
}

#[expect(missing_debug_implementations, reason = "what the derive writes has none")]
mod multi {
    /// A connection to whichever database the URL names.
    #[derive(diesel::MultiConnection)]
    pub enum AnyConnection {
        /// PostgreSQL.
        Pg(diesel::PgConnection),
        /// SQLite.
        Sqlite(diesel::SqliteConnection),
    }
}

impl AnyConnection {
    /// Which database this is.
    #[must_use]
    pub const fn backend(&self) -> Backend {
        match self {
            Self::Pg(_) => Backend::Postgres,
            Self::Sqlite(_) => Backend::Sqlite,
        }
    }

    /// Runs statements that return nothing; never give it text that comes from a row or a client.
    pub(crate) fn batch(&mut self, sql: &str) -> diesel::QueryResult<()> {
        match self {
            Self::Pg(c) => c.batch_execute(sql),
            Self::Sqlite(c) => c.batch_execute(sql),
        }
    }
}

/// Runs one piece of diesel's language on whichever connection this is.
///
/// The body is expanded and checked once for each database, so it may use what their common type does
/// not offer: ON CONFLICT, RETURNING of a row type, inserts of many rows, row locks.
macro_rules! on_each {
    ($conn:expr, |$c:ident| $body:expr) => {
        match $conn {
            $crate::store::connection::AnyConnection::Pg($c) => $body,
            $crate::store::connection::AnyConnection::Sqlite($c) => $body,
        }
    };
}
pub(crate) use on_each;

/// As [`on_each!`] for many rows that may be there already: one statement on PostgreSQL, one for each row on
/// SQLite, for which diesel has no ON CONFLICT of many rows. Gives the number of rows written.
macro_rules! on_rows {
    ($conn:expr, $rows:expr, |$c:ident, $values:ident| $body:expr) => {
        match $conn {
            $crate::store::connection::AnyConnection::Pg($c) => {
                let $values = &$rows;
                $body
            }
            $crate::store::connection::AnyConnection::Sqlite($c) => {
                $rows.iter().try_fold(0, |written, $values| $body.map(|n: usize| written + n))
            }
        }
    };
}
pub(crate) use on_rows;

/// Where the database is, as its URL says.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Postgres(String),
    Sqlite(String),
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Postgres(_) => "Postgres(..)", // may hold a password
            Self::Sqlite(path) => path,
        })
    }
}

impl Target {
    /// Takes `postgres://…`, `postgresql://…`, `sqlite://path`, `sqlite:path`, `:memory:` or a bare path.
    pub(crate) fn parse(url: &str) -> StoreResult<Self> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Self::Postgres(url.to_owned()));
        }
        let path = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:"));
        let path = match (path, url.split_once("://")) {
            (Some(path), _) => path,
            (None, Some((scheme, _))) => {
                let why = format!("unknown scheme {scheme:?}; allowed: sqlite://, postgres://");
                return Err(StoreError::Url { why });
            }
            (None, None) => url,
        };
        if path.is_empty() {
            // SQLite would open a private temporary database, which forgets everything
            return Err(StoreError::Url { why: "the path of the sqlite file is missing".into() });
        }
        Ok(Self::Sqlite(path.to_owned()))
    }

    pub(crate) fn in_memory(&self) -> bool {
        matches!(self, Self::Sqlite(path) if path == ":memory:")
    }

    pub(crate) const fn backend(&self) -> Backend {
        match self {
            Self::Postgres(_) => Backend::Postgres,
            Self::Sqlite(_) => Backend::Sqlite,
        }
    }
}

/// How a connection behaves once it is open.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Session {
    /// How long SQLite waits for another process's lock.
    pub(crate) busy_timeout: Duration,
    /// How long PostgreSQL works on one statement; zero is no limit.
    pub(crate) statement_timeout: Duration,
}

impl Session {
    /// Prepares a fresh connection.
    fn apply(self, conn: &mut AnyConnection) -> diesel::QueryResult<()> {
        match conn {
            AnyConnection::Sqlite(c) => c.batch_execute(&format!(
                // busy_timeout first: turning WAL on needs a lock itself
                "PRAGMA busy_timeout = {};
                 PRAGMA journal_mode = WAL;
                 PRAGMA synchronous = NORMAL;
                 PRAGMA foreign_keys = ON;
                 PRAGMA cache_size = -16000;
                 PRAGMA temp_store = MEMORY;
                 PRAGMA mmap_size = 134217728;
                 PRAGMA wal_autocheckpoint = 1000;
                 PRAGMA journal_size_limit = 67108864;
                 PRAGMA trusted_schema = OFF;",
                self.busy_timeout.as_millis()
            )),
            AnyConnection::Pg(c) => c.batch_execute(&format!(
                "SET application_name = 'visionflow';
                 SET client_min_messages = 'warning';
                 SET statement_timeout = {};
                 SET idle_in_transaction_session_timeout = '30s';
                 SET timezone = 'UTC'",
                self.statement_timeout.as_millis()
            )),
        }
    }
}

/// Why a connection could not be opened or is no longer good.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error(transparent)]
    Connect(#[from] diesel::ConnectionError),
    #[error(transparent)]
    Query(#[from] diesel::result::Error),
}

/// Opens one connection with the database's own words when it fails.
pub(crate) fn open(target: &Target, session: Session) -> Result<AnyConnection, ConnectError> {
    let mut conn = match target {
        Target::Postgres(url) => AnyConnection::Pg(PgConnection::establish(url)?),
        Target::Sqlite(path) => {
            AnyConnection::Sqlite(SqliteConnection::establish(path).map_err(|error| {
                // SQLite's own words do not say which file
                diesel::ConnectionError::BadConnection(format!("{path}: {error}"))
            })?)
        }
    };
    session.apply(&mut conn)?;
    Ok(conn)
}

/// Opens one connection outside of any pool, as for a migration. Blocks.
///
/// # Errors
/// [`StoreError::Url`] or [`StoreError::Unavailable`] with the database's own words.
pub fn connect(url: &str) -> StoreResult<AnyConnection> {
    let session = Session { busy_timeout: super::migrate::LOCK_WAIT, statement_timeout: Duration::ZERO };
    open(&Target::parse(url)?, session).map_err(|error| StoreError::Unavailable { source: error.into() })
}

/// Opens the pool's connections. diesel's own manager would try both databases and drop the real error.
#[derive(Debug)]
pub(crate) struct Manager {
    pub(crate) target: Target,
    pub(crate) session: Session,
    /// What the last failed attempt said; empty while attempts succeed.
    pub(crate) last_error: LastError,
}

/// The words of the last failed connection attempt.
pub(crate) type LastError = Arc<Mutex<Option<String>>>;

impl r2d2::ManageConnection for Manager {
    type Connection = AnyConnection;
    type Error = ConnectError;

    fn connect(&self) -> Result<AnyConnection, ConnectError> {
        let opened = open(&self.target, self.session);
        *self.last_error.lock() = opened.as_ref().err().map(ToString::to_string);
        opened
    }

    fn is_valid(&self, conn: &mut AnyConnection) -> Result<(), ConnectError> {
        Ok(diesel::r2d2::R2D2Connection::ping(conn)?)
    }

    fn has_broken(&self, conn: &mut AnyConnection) -> bool {
        // a panic may have left a transaction open
        std::thread::panicking() || diesel::r2d2::R2D2Connection::is_broken(conn)
    }
}

/// Logs what the pool runs into; the caller gets its own error.
#[derive(Debug)]
pub(crate) struct LogErrors;

impl r2d2::HandleError<ConnectError> for LogErrors {
    fn handle_error(&self, error: ConnectError) {
        metrics::counter!("visionflow_store_connect_errors_total").increment(1);
        tracing::warn!(error = %error, "the database connection failed");
    }
}

/// Runs `f` in a write transaction: BEGIN IMMEDIATE on SQLite, READ COMMITTED on PostgreSQL.
///
/// A plain BEGIN on SQLite fails at once with "database is locked" when it reads, then writes, and another
/// connection wrote in between.
pub(crate) fn write_tx<T>(
    conn: &mut AnyConnection,
    f: impl FnOnce(&mut AnyConnection) -> StoreResult<T>,
) -> StoreResult<T> {
    tx(conn, "BEGIN", "BEGIN IMMEDIATE", f)
}

/// Runs `f` on one state of the database, whatever is written meanwhile.
pub(crate) fn read_tx<T>(
    conn: &mut AnyConnection,
    f: impl FnOnce(&mut AnyConnection) -> StoreResult<T>,
) -> StoreResult<T> {
    tx(conn, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "BEGIN", f)
}

fn tx<T>(
    conn: &mut AnyConnection,
    postgres: &str,
    sqlite: &str,
    f: impl FnOnce(&mut AnyConnection) -> StoreResult<T>,
) -> StoreResult<T> {
    type Tx = <AnyConnection as Connection>::TransactionManager;
    match conn {
        AnyConnection::Pg(c) => AnsiTransactionManager::begin_transaction_sql(c, postgres)?,
        AnyConnection::Sqlite(c) => AnsiTransactionManager::begin_transaction_sql(c, sqlite)?,
    }
    match f(conn) {
        Ok(value) => {
            Tx::commit_transaction(conn)?;
            Ok(value)
        }
        Err(error) => {
            // the first error tells more than a failed rollback, which the pool sees for itself
            if let Err(rollback) = Tx::rollback_transaction(conn) {
                tracing::warn!(error = %rollback, "rolling a transaction back failed");
            }
            Err(error)
        }
    }
}

/// Keeps others from taking over v1 rows until the transaction ends; on SQLite a write transaction does that.
pub(crate) fn one_adopter(conn: &mut AnyConnection) -> StoreResult<()> {
    if let AnyConnection::Pg(_) = conn {
        conn.batch("SELECT pg_advisory_xact_lock(x'5646'::int, 2)")?;
    }
    Ok(())
}
