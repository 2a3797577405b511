//! Databases that belong to one test.
//!
//! A SQLite file in a folder of its own, or a database of its own on the PostgreSQL server that
//! `VISIONFLOW_TEST_POSTGRES` names: the URL of somebody who may create databases there.

use std::path::PathBuf;

use crate::store::{AnyConnection, Backend, Store, StoreConfig, StoreResult, connect};

/// The variable that names the PostgreSQL server.
const SERVER: &str = "VISIONFLOW_TEST_POSTGRES";

/// A database that nobody else uses; it goes when this does.
#[derive(Debug)]
pub struct TestDb {
    url: String,
    backend: Backend,
    cleanup: Cleanup,
}

#[derive(Debug)]
enum Cleanup {
    Folder(PathBuf),
    Database { admin: String, name: String },
}

impl TestDb {
    /// An empty SQLite file.
    ///
    /// # Panics
    /// When its folder can't be made.
    #[must_use]
    pub fn sqlite() -> Self {
        let folder = std::env::temp_dir().join(unique_name());
        make_folder(&folder);
        let url = format!("sqlite://{}", folder.join("test.db").display());
        Self { url, backend: Backend::Sqlite, cleanup: Cleanup::Folder(folder) }
    }

    /// An empty PostgreSQL database; `None`, and a line that says so, when no server is named.
    ///
    /// # Panics
    /// When the server is named and can't be used: a test must not pass for that reason.
    #[must_use]
    pub fn postgres() -> Option<Self> {
        let Some(admin) = std::env::var_os(SERVER).and_then(|url| url.into_string().ok()) else {
            eprintln!("skipped on PostgreSQL: {SERVER} is not set");
            return None;
        };
        let name = unique_name();
        must(admin_sql(&admin, &format!("CREATE DATABASE {name}")), "creating a test database");
        let url = with_database(&admin, &name);
        Some(Self { url, backend: Backend::Postgres, cleanup: Cleanup::Database { admin, name } })
    }

    /// One of each that is at hand.
    ///
    /// # Panics
    /// As [`TestDb::sqlite`] and [`TestDb::postgres`].
    #[must_use]
    pub fn each() -> Vec<Self> {
        let mut all = vec![Self::sqlite()];
        all.extend(Self::postgres());
        all
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Which database it is.
    #[must_use]
    pub const fn backend(&self) -> Backend {
        self.backend
    }

    /// A store on it, migrated.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn store(&self) -> StoreResult<Store> {
        Store::open(&StoreConfig { pool_size: 4, ..StoreConfig::new(&self.url) })
    }

    /// A bare connection to it, as it is.
    ///
    /// # Errors
    /// As [`connect`].
    pub fn connection(&self) -> StoreResult<AnyConnection> {
        connect(&self.url)
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        let result = match &self.cleanup {
            Cleanup::Folder(folder) => std::fs::remove_dir_all(folder).map_err(|error| error.to_string()),
            Cleanup::Database { admin, name } => {
                let sql = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                admin_sql(admin, &sql).map_err(|error| error.chain())
            }
        };
        if let Err(error) = result {
            eprintln!("cleaning a test database up: {error}");
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a test database needs a name that no other process takes")]
fn unique_name() -> String {
    format!("visionflow_test_{}", uuid::Uuid::now_v7().simple())
}

fn make_folder(folder: &std::path::Path) {
    if let Err(error) = std::fs::create_dir_all(folder) {
        panic!("making {}: {error}", folder.display());
    }
}

fn must<T>(result: StoreResult<T>, what: &str) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{what}: {}", error.chain()),
    }
}

fn admin_sql(admin: &str, sql: &str) -> StoreResult<()> {
    Ok(connect(admin)?.batch(sql)?)
}

/// The same server's URL with another database.
fn with_database(url: &str, name: &str) -> String {
    let (base, query) = url.split_once('?').map_or((url, None), |(base, query)| (base, Some(query)));
    let authority = base.find("://").map_or(0, |at| at + 3);
    let end = base.get(authority..).and_then(|rest| rest.find('/')).map_or(base.len(), |at| authority + at);
    let server = base.get(..end).unwrap_or(base);
    query.map_or_else(|| format!("{server}/{name}"), |query| format!("{server}/{name}?{query}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_database_on_the_same_server() {
        let of = |url| with_database(url, "x");
        assert_eq!(of("postgres://a:b@h:1/postgres?sslmode=disable"), "postgres://a:b@h:1/x?sslmode=disable");
        assert_eq!(of("postgres://h"), "postgres://h/x");
        assert_eq!(of("postgres:///old?host=/tmp/s"), "postgres:///x?host=/tmp/s");
    }

    #[test]
    fn a_test_database_leaves_nothing_behind() {
        let db = TestDb::sqlite();
        let folder = match &db.cleanup {
            Cleanup::Folder(folder) => folder.clone(),
            Cleanup::Database { .. } => unreachable!("sqlite has a folder"),
        };
        drop(db.store().unwrap());
        assert!(folder.join("test.db").exists());
        drop(db);
        assert!(!folder.exists());
    }
}
