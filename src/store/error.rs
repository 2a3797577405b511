//! Why the store could not do something: a variant for each decision that a caller can make.

use diesel::result::{DatabaseErrorKind, Error as DieselError};

/// The cause of an error, whatever library it comes from.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// The result of anything that the store does.
pub type StoreResult<T> = Result<T, StoreError>;

/// What went wrong in the store. Unless a variant says otherwise, nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database's address can't be used.
    #[error("reading the database url: {why}")]
    Url {
        /// What is wrong and what is allowed; never holds the password.
        why: String,
    },
    /// The database can't be reached, is locked by another process, is full or went away.
    #[error("reaching the database")]
    Unavailable {
        /// What the database or the network said.
        #[source]
        source: BoxError,
    },
    /// No connection became free in time. Nothing was started.
    #[error("waiting for a database connection for {what}")]
    PoolTimeout {
        /// The call that waited.
        what: &'static str,
    },
    /// Too many calls wait already. Nothing was started.
    #[error("queueing {what}: {waiting} database calls wait already")]
    Overloaded {
        /// The call that was refused.
        what: &'static str,
        /// How many wait.
        waiting: usize,
    },
    /// The deadline passed while the call ran: it may yet take effect.
    #[error("waiting for the database to answer {what}")]
    Deadline {
        /// The call whose outcome is unknown.
        what: &'static str,
    },
    /// The call ended by a panic; its transaction was rolled back.
    #[error("running {what}: it panicked")]
    Panicked {
        /// The call.
        what: &'static str,
    },
    /// The store has been closed.
    #[error("running {what}: the store is closed")]
    Closed {
        /// The call that was refused.
        what: &'static str,
    },
    /// Another row, or a newer writer, is in the way.
    #[error("{what}")]
    Conflict {
        /// What is in the way.
        what: String,
    },
    /// The owner has as many live swarms as allowed.
    #[error("the owner has {live} live swarms; allowed: {max}")]
    SwarmLimit {
        /// Swarms of the owner that are not being deleted.
        live: usize,
        /// The limit that was given.
        max: usize,
    },
    /// There is no such row.
    #[error("no {what} {id} in the database")]
    NotFound {
        /// What kind of row.
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// A row holds what this version can't read.
    #[error("reading {table} {id}: {why}")]
    Corrupt {
        /// The row's table.
        table: &'static str,
        /// The row's id.
        id: String,
        /// What is wrong with it.
        why: String,
    },
    /// A value is larger than the store keeps.
    #[error("{what} has {size} {unit}; allowed: {max}")]
    TooLarge {
        /// Which value.
        what: &'static str,
        /// Its size.
        size: usize,
        /// The unit of `size` and `max`.
        unit: &'static str,
        /// Greatest size.
        max: usize,
    },
    /// The schema could not be brought to where it should be.
    #[error("migrating the database: {what}")]
    Migration {
        /// Which step, and what is wrong.
        what: String,
        /// What the database said, if it said something.
        #[source]
        source: Option<BoxError>,
    },
    /// The database refused a statement, for none of the reasons above.
    #[error("querying the database")]
    Query {
        /// What the database said.
        #[source]
        source: DieselError,
    },
}

impl StoreError {
    /// Whether the same call may well succeed later.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        matches!(
            self,
            Self::Unavailable { .. }
                | Self::PoolTimeout { .. }
                | Self::Overloaded { .. }
                | Self::Deadline { .. }
                | Self::Closed { .. }
        )
    }

    /// The error and all its causes in one line.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut line = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            line.push_str(": ");
            line.push_str(error.to_string().trim());
            cause = error.source();
        }
        line
    }

    /// The label under which the error is counted.
    pub(crate) const fn label(&self) -> &'static str {
        match self {
            Self::Url { .. } => "url",
            Self::Unavailable { .. } => "unavailable",
            Self::PoolTimeout { .. } => "pool_timeout",
            Self::Overloaded { .. } => "overloaded",
            Self::Deadline { .. } => "deadline",
            Self::Panicked { .. } => "panicked",
            Self::Closed { .. } => "closed",
            Self::Conflict { .. } => "conflict",
            Self::SwarmLimit { .. } => "swarm_limit",
            Self::NotFound { .. } => "not_found",
            Self::Corrupt { .. } => "corrupt",
            Self::TooLarge { .. } => "too_large",
            Self::Migration { .. } => "migration",
            Self::Query { .. } => "query",
        }
    }

    pub(crate) fn conflict(what: impl Into<String>) -> Self {
        Self::Conflict { what: what.into() }
    }

    pub(crate) fn corrupt(table: &'static str, id: impl ToString, why: impl ToString) -> Self {
        Self::Corrupt { table, id: id.to_string(), why: why.to_string() }
    }
}

/// What SQLite and PostgreSQL say of a database that is there but can't serve now.
const UNAVAILABLE: &[&str] = &[
    "database is locked",
    "database table is locked",
    "database or disk is full",
    "disk I/O error",
    "unable to open database file",
    "No space left on device",
    "canceling statement due to statement timeout",
    "canceling statement due to lock timeout",
    "terminating connection",
    "connection to server",
    "server closed the connection",
    "the database system is",
    "too many clients",
];

impl From<DieselError> for StoreError {
    fn from(error: DieselError) -> Self {
        if let DieselError::DatabaseError(kind, info) = &error {
            let message = info.message();
            if matches!(kind, DatabaseErrorKind::UniqueViolation) {
                return Self::conflict(format!("a row is there already: {message}"));
            }
            if matches!(kind, DatabaseErrorKind::ForeignKeyViolation) {
                return Self::conflict(format!("what the row belongs to is not there: {message}"));
            }
            if is_unavailable(kind) || UNAVAILABLE.iter().any(|words| message.contains(words)) {
                return Self::Unavailable { source: error.into() };
            }
        }
        if matches!(error, DieselError::BrokenTransactionManager) {
            return Self::Unavailable { source: error.into() };
        }
        Self::Query { source: error }
    }
}

const fn is_unavailable(kind: &DatabaseErrorKind) -> bool {
    matches!(
        kind,
        DatabaseErrorKind::ClosedConnection
            | DatabaseErrorKind::UnableToSendCommand
            | DatabaseErrorKind::SerializationFailure
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(kind: DatabaseErrorKind, words: &str) -> StoreError {
        DieselError::DatabaseError(kind, Box::new(words.to_owned())).into()
    }

    #[test]
    fn what_the_database_says_decides_what_a_caller_can_do() {
        for words in
            ["database is locked", "database or disk is full", "FATAL: sorry, too many clients already"]
        {
            assert!(said(DatabaseErrorKind::Unknown, words).is_temporary(), "{words}");
        }
        assert!(said(DatabaseErrorKind::ClosedConnection, "").is_temporary());
        let refused = said(DatabaseErrorKind::CheckViolation, "CHECK constraint failed: slot");
        assert!(matches!(refused, StoreError::Query { .. }) && !refused.is_temporary());
        assert_eq!(refused.chain(), "querying the database: CHECK constraint failed: slot");
        let there = said(DatabaseErrorKind::UniqueViolation, "agents.id");
        assert!(matches!(there, StoreError::Conflict { .. }));
    }
}
