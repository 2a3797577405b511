//! Every migration up, down and up again, with the schema compared and planted rows looked for.

use std::collections::BTreeSet;
use std::path::Path;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::*;
use crate::store::{Backend, StoreError, inspect, migrate};

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

fn lines(conn: &mut AnyConnection, sql: &str) -> Vec<String> {
    let rows: Vec<Line> = diesel::sql_query(sql).load(conn).unwrap_or_else(|error| panic!("{sql}: {error}"));
    rows.into_iter().map(|row| row.line).collect()
}

fn count(conn: &mut AnyConnection, sql: &str) -> i64 {
    diesel::sql_query(sql).get_result::<Number>(conn).unwrap_or_else(|error| panic!("{sql}: {error}")).n
}

/// v1's columns of every row, as text.
fn v1_rows(conn: &mut AnyConnection) -> Vec<String> {
    let text = |column: &str| format!("coalesce(CAST({column} AS text), 'null')");
    let row = |columns: &[&str]| columns.iter().map(|c| text(c)).collect::<Vec<_>>().join(" || '|' || ");
    let agents = row(&[
        "id",
        "type",
        "name",
        "status",
        "capabilities",
        "current_task",
        "cpu_usage",
        "memory_usage",
        "health",
        "workload",
        "x",
        "y",
        "z",
        "created_at",
        "updated_at",
    ]);
    let tasks =
        row(&["id", "agent_id", "description", "status", "priority", "result", "created_at", "completed_at"]);
    let mut all = lines(conn, &format!("SELECT {agents} AS line FROM agents ORDER BY line"));
    all.extend(lines(conn, &format!("SELECT {tasks} AS line FROM tasks ORDER BY line")));
    all
}

/// The tables of v1 as an owner changed them, with the ugly rows of real ones.
fn plant_v1(db: &TestDb) {
    let v1 = match db.backend() {
        Backend::Postgres => include_str!("../../../migrations/postgres/2025-09-18-000001_v1_agents/up.sql"),
        Backend::Sqlite => include_str!("../../../migrations/sqlite/2025-09-18-000001_v1_agents/up.sql"),
    };
    plant(db, v1);
    plant(
        db,
        "ALTER TABLE agents ADD COLUMN owner_note TEXT;
         CREATE INDEX owners_own_idx ON agents (name);
         INSERT INTO agents (id, type, name, capabilities, health, x, owner_note)
           VALUES ('agent_1726650000123_x7k2p9', 'worker', NULL, 'a,b', 97, 1.5, 'mine');
         INSERT INTO agents (id, type, status, created_at) VALUES ('ünï', 'Coder', 'WORKING', '2024-01-01 10:00:00');
         INSERT INTO tasks (id, agent_id, description, status) VALUES ('task-1', 'ünï', 'do', 'done');
         INSERT INTO tasks (id, description, completed_at) VALUES ('task-2', 'x', '2024-05-05 01:02:03');",
    );
    match db.backend() {
        // not a number in PostgreSQL, a dangling reference in SQLite, where v1 did not enforce its key
        Backend::Postgres => {
            plant(db, "UPDATE agents SET y = 'NaN', cpu_usage = 'NaN', workload = 'Infinity'")
        }
        Backend::Sqlite => plant(
            db,
            "PRAGMA foreign_keys = OFF; INSERT INTO tasks (id, agent_id, description) VALUES ('task-3', 'gone', 'x')",
        ),
    }
}

#[test]
fn both_trees_hold_the_same_migrations_each_with_both_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let folders = |tree: &str| -> BTreeSet<String> {
        let entries = std::fs::read_dir(root.join(tree)).unwrap().map(|entry| entry.unwrap());
        entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
    };
    let (postgres, sqlite) = (folders("postgres"), folders("sqlite"));
    assert_eq!(postgres, sqlite);
    for folder in &postgres {
        for file in ["up.sql", "down.sql"] {
            assert!(root.join("postgres").join(folder).join(file).exists(), "{folder}/{file}");
            assert!(root.join("sqlite").join(folder).join(file).exists(), "{folder}/{file}");
        }
    }
    let db = TestDb::sqlite();
    let known = migrate::status(&mut conn(&db)).unwrap();
    assert_eq!(known.len(), postgres.len(), "all are embedded");
    assert_eq!(known[0].version, migrate::V1_VERSION);
}

#[test]
fn every_migration_goes_up_down_and_up_again_to_the_same_schema() {
    for db in TestDb::each() {
        let mut c = conn(&db);
        let empty = inspect::schema(&mut c).unwrap();
        assert_eq!(empty, Vec::<String>::new());
        assert!(migrate::status(&mut c).unwrap().iter().all(|one| !one.applied));
        assert_eq!(inspect::schema(&mut c).unwrap(), empty, "asking changes nothing");
        let first = migrate::up(&mut c).unwrap();
        assert_eq!(first.applied.len(), migrate::status(&mut c).unwrap().len());
        let v2 = inspect::schema(&mut c).unwrap();
        assert!(v2.iter().any(|line| line.contains("agents_swarm_id")), "{v2:#?}");
        assert_eq!(migrate::up(&mut c).unwrap(), migrate::UpReport::default(), "a second run does nothing");

        assert_eq!(migrate::down_to_v1(&mut c).unwrap().len(), first.applied.len() - 1);
        assert_eq!(migrate::down_to_v1(&mut c).unwrap(), Vec::<String>::new());
        let v1 = inspect::schema(&mut c).unwrap();
        assert!(v1.iter().all(|line| !line.contains("swarm")), "{v1:#?}");
        assert_eq!(migrate::down_to_nothing(&mut c).unwrap().len(), 1);
        assert_eq!(inspect::schema(&mut c).unwrap(), empty);

        migrate::up(&mut c).unwrap();
        assert_eq!(inspect::schema(&mut c).unwrap(), v2, "{:?}", db.backend());
        migrate::down_to_v1(&mut c).unwrap();
        assert_eq!(inspect::schema(&mut c).unwrap(), v1);
    }
}

#[test]
fn a_v1_database_keeps_its_rows_columns_and_indices_there_and_back() {
    for db in TestDb::each() {
        plant_v1(&db);
        let mut c = conn(&db);
        let (schema, rows) = (inspect::schema(&mut c).unwrap(), v1_rows(&mut c));
        for round in 0..2 {
            let report = migrate::up(&mut c).unwrap();
            assert_eq!(report.adopted_agents, 2, "{report:?}");
            assert_eq!(v1_rows(&mut c), rows, "round {round}");
            let legacy = "SELECT count(*) AS n FROM agents a JOIN swarms s ON s.id = a.swarm_id \
                          WHERE s.owner = 'v1' AND s.name = 'legacy' AND a.slot IS NOT NULL";
            assert_eq!(count(&mut c, legacy), 2);
            let note = "SELECT owner_note AS line FROM agents WHERE owner_note IS NOT NULL";
            assert_eq!(lines(&mut c, note), ["mine"]);
            // what v2 adds is still there for v1 after the way back
            plant(
                &db,
                "INSERT INTO agents (id, type) VALUES ('from v2', 'coder');
                 UPDATE agents SET status = 'busy' WHERE id = 'from v2'",
            );
            let both = v1_rows(&mut c);
            migrate::down_to_v1(&mut c).unwrap();
            assert_eq!(v1_rows(&mut c), both);
            assert_eq!(inspect::schema(&mut c).unwrap(), schema, "{:?}", db.backend());
            plant(&db, "DELETE FROM agents WHERE id = 'from v2'");
        }
    }
}

#[test]
fn a_migration_that_fails_leaves_the_database_as_it_was() {
    for db in TestDb::each() {
        plant_v1(&db);
        plant(&db, "CREATE TABLE events (mine INTEGER)");
        let mut c = conn(&db);
        let rows = v1_rows(&mut c);
        let error = migrate::up(&mut c).unwrap_err();
        assert!(matches!(error, StoreError::Migration { .. }), "{error:?}");
        assert!(error.chain().contains("applying 2025-09-18-000002_v2_swarms"), "{}", error.chain());
        assert!(error.chain().contains("events"), "{}", error.chain());
        let schema = inspect::schema(&mut c).unwrap();
        assert!(schema.iter().all(|line| !line.contains("swarms")), "{schema:#?}");
        assert_eq!(v1_rows(&mut c), rows);
        plant(&db, "DROP TABLE events");
        migrate::up(&mut c).unwrap();
    }
}

#[test]
fn a_database_of_a_newer_version_is_refused() {
    for db in TestDb::each() {
        let mut c = conn(&db);
        migrate::up(&mut c).unwrap();
        plant(&db, "INSERT INTO __diesel_schema_migrations (version) VALUES ('20990101000001')");
        for error in [
            migrate::up(&mut c).unwrap_err(),
            migrate::down_to_v1(&mut c).unwrap_err(),
            migrate::status(&mut c).unwrap_err(),
            db.store().unwrap_err(),
        ] {
            assert!(
                error.to_string().contains("20990101000001, which this version does not know"),
                "{error}"
            );
        }
    }
}

#[test]
fn eight_migrators_at_once_apply_everything_once() {
    for db in TestDb::each() {
        plant_v1(&db);
        let reports: Vec<migrate::UpReport> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| migrate::up(&mut conn(&db)).unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let applied: Vec<usize> =
            reports.iter().map(|report| report.applied.len()).filter(|n| *n > 0).collect();
        assert_eq!(applied, [2], "{:?}", db.backend());
        assert_eq!(reports.iter().map(|report| report.adopted_agents).sum::<usize>(), 2);
        let distinct = "SELECT count(DISTINCT slot) AS n FROM agents";
        assert_eq!(count(&mut conn(&db), distinct), 2);
    }
}
