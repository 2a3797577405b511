//! Column types that have a good native form in each database, and the values that map to them.

use std::io::Write;

use chrono::{DateTime, NaiveDateTime, TimeZone, Utc};
use diesel::backend::Backend;
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::{Pg, PgValue};
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::{BigInt, Binary, HasSqlType, Jsonb, Text, Timestamp, Timestamptz};
use diesel::sqlite::Sqlite;
use serde_json::Value;
use uuid::Uuid;

use super::connection::MultiBackend;

/// The SQL types.
pub(crate) mod sql {
    use diesel::query_builder::QueryId;
    use diesel::sql_types::SqlType;

    /// `uuid`, or a BLOB of 16 bytes. Version 7 sorts by time in both.
    #[derive(SqlType, QueryId, Clone, Copy, Debug)]
    #[diesel(postgres_type(oid = 2950, array_oid = 2951), sqlite_type(name = "Binary"))]
    pub struct DbUuid;
    /// `timestamptz`, or an INTEGER of microseconds since 1970.
    #[derive(SqlType, QueryId, Clone, Copy, Debug)]
    #[diesel(postgres_type(oid = 1184, array_oid = 1185), sqlite_type(name = "Long"))]
    pub struct DbTs;
    /// `jsonb`, or TEXT.
    #[derive(SqlType, QueryId, Clone, Copy, Debug)]
    #[diesel(postgres_type(oid = 3802, array_oid = 3807), sqlite_type(name = "Text"))]
    pub struct DbJson;
    /// v1's `timestamp` without zone, or whatever v1 wrote into a TIMESTAMP of SQLite.
    #[derive(SqlType, QueryId, Clone, Copy, Debug)]
    #[diesel(postgres_type(oid = 1114, array_oid = 1115), sqlite_type(name = "Text"))]
    pub struct DbV1Time;
}
use sql::{DbJson, DbTs, DbUuid, DbV1Time};

impl diesel::sql_types::SqlOrd for DbTs {}

/// An id of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, AsExpression, FromSqlRow)]
#[diesel(sql_type = DbUuid)]
pub(crate) struct Id(pub(crate) Uuid);

/// A moment, to the microsecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, AsExpression, FromSqlRow)]
#[diesel(sql_type = DbTs)]
pub(crate) struct Ts(pub(crate) DateTime<Utc>);

/// JSON without NUL characters, which PostgreSQL can't keep.
#[derive(Debug, Clone, PartialEq, AsExpression, FromSqlRow)]
#[diesel(sql_type = DbJson)]
pub(crate) struct Json(pub(crate) Value);

/// A moment as v1 wrote it, taken as UTC; `None` when it can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = DbV1Time)]
pub(crate) struct V1Time(pub(crate) Option<DateTime<Utc>>);

/// A text without NUL characters, which PostgreSQL can't keep: each becomes U+FFFD.
pub(crate) fn text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

impl Json {
    /// Takes a value in, its texts cleaned.
    pub(crate) fn new(mut value: Value) -> Self {
        clean(&mut value);
        Self(value)
    }
}

fn clean(value: &mut Value) {
    match value {
        Value::String(s) if s.contains('\0') => *s = text(s),
        Value::Array(items) => items.iter_mut().for_each(clean),
        Value::Object(fields) => {
            if fields.keys().any(|key| key.contains('\0')) {
                *fields =
                    std::mem::take(fields).into_iter().map(|(key, value)| (text(&key), value)).collect();
            }
            fields.values_mut().for_each(clean);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

impl ToSql<DbUuid, Pg> for Id {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        out.write_all(self.0.as_bytes())?;
        Ok(IsNull::No)
    }
}

impl FromSql<DbUuid, Pg> for Id {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(Uuid::from_slice(value.as_bytes())?))
    }
}

impl ToSql<DbUuid, Sqlite> for Id {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(self.0.as_bytes().as_slice());
        Ok(IsNull::No)
    }
}

impl FromSql<DbUuid, Sqlite> for Id {
    fn from_sql(value: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(Uuid::from_slice(&<Vec<u8> as FromSql<Binary, Sqlite>>::from_sql(value)?)?))
    }
}

impl ToSql<DbTs, Pg> for Ts {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        ToSql::<Timestamptz, Pg>::to_sql(&self.0, out)
    }
}

impl FromSql<DbTs, Pg> for Ts {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(FromSql::<Timestamptz, Pg>::from_sql(value)?))
    }
}

impl ToSql<DbTs, Sqlite> for Ts {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(self.0.timestamp_micros());
        Ok(IsNull::No)
    }
}

impl FromSql<DbTs, Sqlite> for Ts {
    fn from_sql(value: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        let micros = <i64 as FromSql<BigInt, Sqlite>>::from_sql(value)?;
        Ok(Self(Utc.timestamp_micros(micros).single().ok_or("a moment out of range")?))
    }
}

impl ToSql<DbJson, Pg> for Json {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        ToSql::<Jsonb, Pg>::to_sql(&self.0, out)
    }
}

impl FromSql<DbJson, Pg> for Json {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(FromSql::<Jsonb, Pg>::from_sql(value)?))
    }
}

impl ToSql<DbJson, Sqlite> for Json {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(serde_json::to_string(&self.0)?);
        Ok(IsNull::No)
    }
}

impl FromSql<DbJson, Sqlite> for Json {
    fn from_sql(value: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(serde_json::from_str(&<String as FromSql<Text, Sqlite>>::from_sql(value)?)?))
    }
}

/// How v1's SQLite writes a moment.
const V1_FORMAT: &str = "%Y-%m-%d %H:%M:%S";

impl ToSql<DbV1Time, Pg> for V1Time {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        let Some(at) = self.0 else { return Ok(IsNull::Yes) };
        ToSql::<Timestamp, Pg>::to_sql(&at.naive_utc(), &mut out.reborrow())
    }
}

impl FromSql<DbV1Time, Pg> for V1Time {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        // `infinity` and moments beyond chrono's range are no moments to us
        let at = <NaiveDateTime as FromSql<Timestamp, Pg>>::from_sql(value);
        Ok(Self(at.ok().map(|at| at.and_utc())))
    }
}

impl ToSql<DbV1Time, Sqlite> for V1Time {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        let Some(at) = self.0 else { return Ok(IsNull::Yes) };
        out.set_value(at.format(V1_FORMAT).to_string());
        Ok(IsNull::No)
    }
}

impl FromSql<DbV1Time, Sqlite> for V1Time {
    fn from_sql(value: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        // SQLite turns whatever was stored into text
        Ok(Self(parse_v1_time(&<String as FromSql<Text, Sqlite>>::from_sql(value)?)))
    }
}

/// Reads the forms that v1 backends leave in a TIMESTAMP of SQLite.
fn parse_v1_time(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Some(at.with_timezone(&Utc));
    }
    for format in ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f"] {
        if let Ok(at) = NaiveDateTime::parse_from_str(text, format) {
            return Some(at.and_utc());
        }
    }
    // JavaScript's milliseconds or Unix seconds; 1e11 seconds would be the year 5138
    let number: i64 = text.parse().ok()?;
    if number.unsigned_abs() >= 100_000_000_000 {
        Utc.timestamp_millis_opt(number).single()
    } else {
        Utc.timestamp_opt(number, 0).single()
    }
}

/// The three impls that the common backend wants for every type that is not built in.
macro_rules! multi {
    ($($sql:ident => $rust:ty),* $(,)?) => {$(
        impl HasSqlType<$sql> for MultiBackend {
            fn metadata(lookup: &mut Self::MetadataLookup) -> Self::TypeMetadata {
                Self::lookup_sql_type::<$sql>(lookup)
            }
        }
        impl ToSql<$sql, MultiBackend> for $rust {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, MultiBackend>) -> serialize::Result {
                out.set_value(($sql, self));
                Ok(IsNull::No)
            }
        }
        impl FromSql<$sql, MultiBackend> for $rust {
            fn from_sql(value: <MultiBackend as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
                value.from_sql::<$rust, $sql>()
            }
        }
    )*};
}
multi!(DbUuid => Id, DbTs => Ts, DbJson => Json, DbV1Time => V1Time);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v1_times_are_read_in_every_form_that_v1_leaves() {
        let at = Utc.with_ymd_and_hms(2025, 9, 18, 12, 30, 5).unwrap();
        for text in [
            "2025-09-18 12:30:05",
            "2025-09-18T12:30:05",
            "2025-09-18T12:30:05Z",
            "2025-09-18T14:30:05+02:00",
            "2025-09-18 12:30:05.000",
            "1758198605",
            "1758198605000",
        ] {
            assert_eq!(parse_v1_time(text), Some(at), "{text}");
        }
        for text in ["", "yesterday", "2025-13-01 00:00:00", "99999999999999999999"] {
            assert_eq!(parse_v1_time(text), None, "{text}");
        }
    }

    #[test]
    fn nul_characters_leave_texts_and_keys() {
        let json = Json::new(serde_json::json!({"a\0": ["b\0", {"c": "\0"}], "n": 1}));
        let cleaned = serde_json::json!({"a\u{fffd}": ["b\u{fffd}", {"c": "\u{fffd}"}], "n": 1});
        assert_eq!(json.0, cleaned);
    }
}
