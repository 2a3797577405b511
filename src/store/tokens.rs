//! Ids of tokens that were revoked before their time.

use diesel::prelude::*;
use diesel::upsert::excluded;

use super::connection::{AnyConnection, on_each};
use super::schema::revoked_tokens;
use super::types::{Ts, text};
use super::{StoreError, StoreResult};
use crate::domain::Timestamp;

/// Longest id of a token, in bytes.
pub const TOKEN_ID_BYTES_MAX: usize = 256;

fn check(jti: &str) -> StoreResult<()> {
    let (size, max) = (jti.len(), TOKEN_ID_BYTES_MAX);
    if size > max {
        return Err(StoreError::TooLarge { what: "the id of a token", size, unit: "bytes", max });
    }
    Ok(())
}

/// Notes that a token no longer counts; a second time changes its end alone.
pub(crate) fn revoke(
    conn: &mut AnyConnection,
    jti: &str,
    expires_at: Timestamp,
    now: Timestamp,
) -> StoreResult<()> {
    check(jti)?;
    let row = (
        revoked_tokens::jti.eq(text(jti)),
        revoked_tokens::expires_at.eq(Ts(expires_at)),
        revoked_tokens::revoked_at.eq(Ts(now)),
    );
    on_each!(conn, |c| diesel::insert_into(revoked_tokens::table)
        .values(&row)
        .on_conflict(revoked_tokens::jti)
        .do_update()
        .set(revoked_tokens::expires_at.eq(excluded(revoked_tokens::expires_at)))
        .execute(c))?;
    Ok(())
}

/// Whether a token was revoked.
pub(crate) fn is_revoked(conn: &mut AnyConnection, jti: &str) -> StoreResult<bool> {
    let row = revoked_tokens::table.find(text(jti));
    Ok(diesel::select(diesel::dsl::exists(row)).get_result(conn)?)
}

/// The ids that matter after `now`, with the ends of their tokens.
pub(crate) fn load(conn: &mut AnyConnection, now: Timestamp) -> StoreResult<Vec<(String, Timestamp)>> {
    let rows: Vec<(String, Ts)> = revoked_tokens::table
        .filter(revoked_tokens::expires_at.gt(Ts(now)))
        .order(revoked_tokens::expires_at)
        .select((revoked_tokens::jti, revoked_tokens::expires_at))
        .load(conn)?;
    Ok(rows.into_iter().map(|(jti, at)| (jti, at.0)).collect())
}

/// Forgets tokens that have ended by themselves; returns how many.
pub(crate) fn purge(conn: &mut AnyConnection, now: Timestamp) -> StoreResult<usize> {
    Ok(diesel::delete(revoked_tokens::table.filter(revoked_tokens::expires_at.le(Ts(now)))).execute(conn)?)
}
