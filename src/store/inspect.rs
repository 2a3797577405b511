//! The schema as text, for comparing two databases of one kind. Blocks.

use diesel::prelude::*;
use diesel::sql_types::Text;

use super::StoreResult;
use super::connection::AnyConnection;

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

/// Statements as SQLite keeps them.
const SQLITE: &str = "SELECT type || ' ' || tbl_name || '.' || name || ': ' || coalesce(sql, 'automatic') AS line \
    FROM sqlite_master WHERE tbl_name <> '__diesel_schema_migrations' ORDER BY line";

/// Columns, constraints, indices and triggers of the current schema.
const POSTGRES: &str = "
    SELECT 'column ' || table_name || '.' || column_name || ': '
           || row_number() OVER (PARTITION BY table_name ORDER BY ordinal_position) || ' ' || data_type
           || ' nullable=' || is_nullable || ' default=' || coalesce(column_default, 'none') AS line
      FROM information_schema.columns
     WHERE table_schema = current_schema() AND table_name <> '__diesel_schema_migrations'
    UNION ALL
    SELECT 'constraint ' || conrelid::regclass || '.' || conname || ': ' || pg_get_constraintdef(oid)
           || ' validated=' || convalidated
      FROM pg_constraint
     WHERE connamespace = current_schema()::regnamespace
       AND conrelid <> coalesce(to_regclass('__diesel_schema_migrations')::oid, 0)
    UNION ALL
    SELECT 'index ' || indexname || ': ' || indexdef FROM pg_indexes
     WHERE schemaname = current_schema() AND tablename <> '__diesel_schema_migrations'
    UNION ALL
    SELECT 'trigger ' || tgname || ': ' || pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
    ORDER BY 1";

/// One line for each thing in the schema, sorted; the record of migrations is left out.
///
/// # Errors
/// Whatever the database says.
pub fn schema(conn: &mut AnyConnection) -> StoreResult<Vec<String>> {
    let sql = match conn {
        AnyConnection::Pg(_) => POSTGRES,
        AnyConnection::Sqlite(_) => SQLITE,
    };
    let rows: Vec<Line> = diesel::sql_query(sql).load(conn)?;
    Ok(rows.into_iter().map(|row| row.line).collect())
}
