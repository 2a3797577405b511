//! Brings the schema to where this version needs it, and back to v1.
//!
//! One migrator works at a time: on PostgreSQL under an advisory lock, on SQLite within one transaction.
//! Everything here blocks.

use std::time::Duration;

use diesel::backend::Backend as DieselBackend;
use diesel::migration::{MigrationSource, MigrationVersion};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::connection::{AnyConnection, write_tx};
use super::{BoxError, StoreError, StoreResult, agents, tasks};

const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");
const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");

/// The version of the migration that is v1's own database: `down` stops there.
pub const V1_VERSION: &str = "20250918000001";
/// How long a migrator waits for another one.
pub(crate) const LOCK_WAIT: Duration = Duration::from_secs(60);

/// One migration and whether the database has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationStatus {
    /// Digits that sort in the order of application.
    pub version: String,
    /// Name of its folder.
    pub name: String,
    /// Whether the database has it.
    pub applied: bool,
}

/// What [`up`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpReport {
    /// Names of the migrations that were applied, in order.
    pub applied: Vec<String>,
    /// Agents of v1 that were taken over.
    pub adopted_agents: usize,
    /// Tasks of v1 that were taken over.
    pub adopted_tasks: usize,
}

/// Applies what is pending and takes over rows that v1 wrote. A second call does nothing.
///
/// # Errors
/// [`StoreError::Migration`] names the migration and what the database said; it is undone then.
/// [`StoreError::Unavailable`] when the connection is lost.
pub fn up(conn: &mut AnyConnection) -> StoreResult<UpReport> {
    check_known(conn)?;
    let applied = locked(conn, |conn| match conn {
        AnyConnection::Pg(c) => up_on(c, POSTGRES),
        AnyConnection::Sqlite(c) => up_on(c, SQLITE),
    })?;
    let adopted_agents = agents::adopt(conn)?;
    let adopted_tasks = tasks::adopt(conn)?;
    Ok(UpReport { applied, adopted_agents, adopted_tasks })
}

/// Takes everything of v2 away again; agents and tasks stay as v1 knows them. Returns what was reverted.
///
/// # Errors
/// As [`up`].
pub fn down_to_v1(conn: &mut AnyConnection) -> StoreResult<Vec<String>> {
    down(conn, V1_VERSION)
}

/// Takes everything away, v1's tables too.
///
/// # Errors
/// As [`up`].
#[cfg(any(test, feature = "testkit"))]
pub fn down_to_nothing(conn: &mut AnyConnection) -> StoreResult<Vec<String>> {
    down(conn, "")
}

fn down(conn: &mut AnyConnection, keep: &str) -> StoreResult<Vec<String>> {
    check_known(conn)?;
    if applied(conn)?.is_none() {
        return Ok(Vec::new());
    }
    locked(conn, |conn| match conn {
        AnyConnection::Pg(c) => down_on(c, POSTGRES, keep),
        AnyConnection::Sqlite(c) => down_on(c, SQLITE, keep),
    })
}

/// Every migration that this version knows, in order. Changes nothing.
///
/// # Errors
/// [`StoreError::Migration`] when the database holds migrations that this version does not know.
pub fn status(conn: &mut AnyConnection) -> StoreResult<Vec<MigrationStatus>> {
    check_known(conn)?;
    let applied = applied(conn)?.unwrap_or_default();
    let known = known(conn)?.into_iter();
    Ok(known
        .map(|(version, name)| MigrationStatus { applied: applied.contains(&version), version, name })
        .collect())
}

/// The tuple (version, name) of each migration of this version.
fn known(conn: &AnyConnection) -> StoreResult<Vec<(String, String)>> {
    fn of<DB: DieselBackend>(source: EmbeddedMigrations) -> StoreResult<Vec<(String, String)>>
    where
        EmbeddedMigrations: MigrationSource<DB>,
    {
        let mut list: Vec<(String, String)> = MigrationSource::<DB>::migrations(&source)
            .map_err(|error| failed("reading the migrations", error))?
            .iter()
            .map(|migration| (migration.name().version().to_string(), migration.name().to_string()))
            .collect();
        list.sort();
        Ok(list)
    }
    match conn {
        AnyConnection::Pg(_) => of::<diesel::pg::Pg>(POSTGRES),
        AnyConnection::Sqlite(_) => of::<diesel::sqlite::Sqlite>(SQLITE),
    }
}

#[derive(QueryableByName)]
struct OneText {
    #[diesel(sql_type = Text)]
    value: String,
}

#[derive(QueryableByName)]
struct OneNumber {
    #[diesel(sql_type = BigInt)]
    value: i64,
}

/// The versions that the database has; `None` when nobody ever migrated it.
fn applied(conn: &mut AnyConnection) -> StoreResult<Option<Vec<String>>> {
    let found: OneNumber = diesel::sql_query(match conn {
        AnyConnection::Pg(_) => {
            "SELECT count(*) AS value FROM pg_class WHERE oid = to_regclass('__diesel_schema_migrations')"
        }
        AnyConnection::Sqlite(_) => {
            "SELECT count(*) AS value FROM sqlite_master WHERE name = '__diesel_schema_migrations'"
        }
    })
    .get_result(conn)?;
    if found.value == 0 {
        return Ok(None);
    }
    let rows: Vec<OneText> = diesel::sql_query(
        "SELECT CAST(version AS text) AS value FROM __diesel_schema_migrations ORDER BY version",
    )
    .load(conn)?;
    Ok(Some(rows.into_iter().map(|row| row.value).collect()))
}

/// Refuses a database that a newer version has migrated.
fn check_known(conn: &mut AnyConnection) -> StoreResult<()> {
    let known = known(conn)?;
    let applied = applied(conn)?.unwrap_or_default();
    match applied.iter().find(|version| known.iter().all(|(one, _)| one != *version)) {
        None => Ok(()),
        Some(version) => {
            let what = format!("the database has migration {version}, which this version does not know");
            Err(StoreError::Migration { what, source: None })
        }
    }
}

fn failed(what: impl Into<String>, source: BoxError) -> StoreError {
    StoreError::Migration { what: what.into(), source: Some(source) }
}

/// Runs `f` while no other migrator works.
fn locked<T>(
    conn: &mut AnyConnection,
    f: impl FnOnce(&mut AnyConnection) -> StoreResult<T>,
) -> StoreResult<T> {
    match conn {
        AnyConnection::Pg(_) => locked_postgres(conn, f),
        AnyConnection::Sqlite(_) => locked_sqlite(conn, f),
    }
}

fn locked_postgres<T>(
    conn: &mut AnyConnection,
    f: impl FnOnce(&mut AnyConnection) -> StoreResult<T>,
) -> StoreResult<T> {
    conn.batch(&format!(
        "SET statement_timeout = 0; SET lock_timeout = {}; SELECT pg_advisory_lock(x'5646'::int, 1)",
        LOCK_WAIT.as_millis()
    ))
    .map_err(|error| StoreError::Unavailable {
        source: format!("waiting for another migrator: {error}").into(),
    })?;
    let result = f(conn);
    // also when it failed; a lost connection gives the lock back by itself
    let unlocked = conn.batch("SELECT pg_advisory_unlock(x'5646'::int, 1); RESET lock_timeout");
    let value = result?;
    unlocked?;
    Ok(value)
}

/// One transaction with foreign keys off: only so can a column with REFERENCES and a default be added.
fn locked_sqlite<T>(
    conn: &mut AnyConnection,
    f: impl FnOnce(&mut AnyConnection) -> StoreResult<T>,
) -> StoreResult<T> {
    // the pragma does nothing within a transaction
    conn.batch("PRAGMA foreign_keys = OFF")?;
    let result = write_tx(conn, |conn| {
        let before = broken_references(conn)?;
        let value = f(conn)?;
        let after = broken_references(conn)?;
        if after > before {
            let what = format!("{} rows would refer to nothing", after - before);
            return Err(StoreError::Migration { what, source: None });
        }
        Ok(value)
    });
    conn.batch("PRAGMA foreign_keys = ON")?;
    result
}

/// Rows that refer to nothing: v1 on SQLite may hold such, since it did not enforce its foreign key.
fn broken_references(conn: &mut AnyConnection) -> StoreResult<i64> {
    let found: OneNumber =
        diesel::sql_query("SELECT count(*) AS value FROM pragma_foreign_key_check").get_result(conn)?;
    Ok(found.value)
}

fn up_on<C, DB>(conn: &mut C, source: EmbeddedMigrations) -> StoreResult<Vec<String>>
where
    DB: DieselBackend,
    C: MigrationHarness<DB>,
    EmbeddedMigrations: MigrationSource<DB>,
{
    let mut names = Vec::new();
    let pending =
        conn.pending_migrations(source).map_err(|error| failed("reading what is pending", error))?;
    for migration in pending {
        let name = migration.name().to_string();
        conn.run_migration(&migration).map_err(|error| failed(format!("applying {name}"), error))?;
        tracing::info!(migration = %name, "a migration was applied");
        names.push(name);
    }
    Ok(names)
}

fn down_on<C, DB>(conn: &mut C, source: EmbeddedMigrations, keep: &str) -> StoreResult<Vec<String>>
where
    DB: DieselBackend,
    C: MigrationHarness<DB>,
    EmbeddedMigrations: MigrationSource<DB>,
{
    let applied = conn.applied_migrations().map_err(|error| failed("reading what is applied", error))?;
    let migrations = source.migrations().map_err(|error| failed("reading the migrations", error))?;
    let mut names = Vec::new();
    // newest first, as the harness gives them
    for version in applied.iter().filter(|version| **version > MigrationVersion::from(keep)) {
        let Some(migration) = migrations.iter().find(|one| one.name().version() == *version) else {
            continue;
        };
        let name = migration.name().to_string();
        conn.revert_migration(&**migration).map_err(|error| failed(format!("reverting {name}"), error))?;
        tracing::info!(migration = %name, "a migration was reverted");
        names.push(name);
    }
    Ok(names)
}
