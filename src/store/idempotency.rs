//! Answers kept under a client's Idempotency-Key, so that a repeated call is answered and not repeated.

use diesel::prelude::*;

use super::connection::{AnyConnection, on_each};
use super::schema::idempotency_keys;
use super::types::{Ts, text};
use super::{StoreError, StoreResult};
use crate::domain::Timestamp;

/// How long an answer is kept, in hours.
pub const KEPT_HOURS: i64 = 24;
/// When a call that has not ended is taken for lost with its server, in seconds since its claim.
///
/// A server gives itself a fraction of that for a call, so one that still runs is never taken for lost.
pub const LOST_AFTER_S: i64 = 60;
/// The status of a call of which nobody knows what it did. It is not an answer to repeat: while it is kept, the
/// call counts as in progress.
pub const OUTCOME_UNKNOWN: u16 = 504;
/// How long a call with [`OUTCOME_UNKNOWN`] keeps its key from being used again, in minutes since its claim.
pub const UNKNOWN_KEPT_MINUTES: i64 = 10;
/// Longest answer that is kept, in bytes.
pub const RESPONSE_BYTES_MAX: usize = 65_536;
/// Longest key of a client, in bytes.
pub const KEY_BYTES_MAX: usize = 255;

/// Who repeats what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyedCall {
    /// The JWT subject.
    pub subject: String,
    /// The client's key.
    pub key: String,
    /// Method and path.
    pub route: String,
    /// A digest of the body, as text.
    pub body_hash: String,
}

/// What a key is worth now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Claim {
    /// Nobody used it: the call is the caller's to make, and to finish or release.
    New,
    /// The first call has not ended, its end was lost with the server a short time ago, or it ended with
    /// [`OUTCOME_UNKNOWN`].
    InProgress {
        /// When it began.
        since: Timestamp,
    },
    /// The first call ended like this.
    Done {
        /// HTTP status.
        status: u16,
        /// Body.
        response: String,
    },
    /// The key was used for another route or body.
    Mismatch,
}

#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = idempotency_keys)]
struct KeyRow {
    route: String,
    body_hash: String,
    status: Option<i32>,
    response: Option<String>,
    created_at: Ts,
}

fn oldest(now: Timestamp) -> Ts {
    Ts(now - chrono::TimeDelta::hours(KEPT_HOURS))
}

/// Takes a key for a call, or says what became of the call that has it; within a write transaction, so that of
/// several who find a lost call one alone takes it over.
pub(crate) fn claim(conn: &mut AnyConnection, call: &KeyedCall, now: Timestamp) -> StoreResult<Claim> {
    let (size, max) = (call.key.len(), KEY_BYTES_MAX);
    if size > max {
        return Err(StoreError::TooLarge { what: "an idempotency key", size, unit: "bytes", max });
    }
    let (subject, key) = (text(&call.subject), text(&call.key));
    let mine = idempotency_keys::table.find((&subject, &key));
    let lost = Ts(now - chrono::TimeDelta::seconds(LOST_AFTER_S));
    let unknown = Ts(now - chrono::TimeDelta::minutes(UNKNOWN_KEPT_MINUTES));
    let lapsed = idempotency_keys::created_at
        .le(oldest(now))
        .or(idempotency_keys::status.is_null().and(idempotency_keys::created_at.le(lost)))
        .or(idempotency_keys::status
            .eq(i32::from(OUTCOME_UNKNOWN))
            .and(idempotency_keys::created_at.le(unknown)));
    diesel::delete(mine.filter(lapsed)).execute(conn)?;
    let row = (
        idempotency_keys::subject.eq(&subject),
        idempotency_keys::key.eq(&key),
        idempotency_keys::route.eq(text(&call.route)),
        idempotency_keys::body_hash.eq(text(&call.body_hash)),
        idempotency_keys::created_at.eq(Ts(now)),
    );
    let added = on_each!(conn, |c| diesel::insert_into(idempotency_keys::table)
        .values(&row)
        .on_conflict_do_nothing()
        .execute(c))?;
    if added == 1 {
        return Ok(Claim::New);
    }
    // someone who gave the key back in between leaves it free for the next try
    Ok(lookup(conn, call, now)?.unwrap_or(Claim::InProgress { since: now }))
}

/// What became of the call that has the key; `None` when nobody has it.
pub(crate) fn lookup(
    conn: &mut AnyConnection,
    call: &KeyedCall,
    now: Timestamp,
) -> StoreResult<Option<Claim>> {
    let row: Option<KeyRow> = idempotency_keys::table
        .find((text(&call.subject), text(&call.key)))
        .filter(idempotency_keys::created_at.gt(oldest(now)))
        .select(KeyRow::as_select())
        .first(conn)
        .optional()?;
    row.map(|row| read(row, call)).transpose()
}

fn read(row: KeyRow, call: &KeyedCall) -> StoreResult<Claim> {
    if row.route != text(&call.route) || row.body_hash != text(&call.body_hash) {
        return Ok(Claim::Mismatch);
    }
    let (Some(status), Some(response)) = (row.status, row.response) else {
        return Ok(Claim::InProgress { since: row.created_at.0 });
    };
    let id = || format!("{}/{}", call.subject, call.key);
    let status =
        u16::try_from(status).map_err(|error| StoreError::corrupt("idempotency_keys", id(), error))?;
    if status == OUTCOME_UNKNOWN {
        return Ok(Claim::InProgress { since: row.created_at.0 });
    }
    Ok(Claim::Done { status, response })
}

/// Keeps the answer to a claimed call; with [`OUTCOME_UNKNOWN`], keeps the key for a while instead.
pub(crate) fn finish(
    conn: &mut AnyConnection,
    call: &KeyedCall,
    status: u16,
    response: &str,
) -> StoreResult<()> {
    let (size, max) = (response.len(), RESPONSE_BYTES_MAX);
    if size > max {
        return Err(StoreError::TooLarge { what: "an answer to be kept", size, unit: "bytes", max });
    }
    let row = idempotency_keys::table.find((text(&call.subject), text(&call.key)));
    let changed = diesel::update(row)
        .set((idempotency_keys::status.eq(i32::from(status)), idempotency_keys::response.eq(text(response))))
        .execute(conn)?;
    if changed == 0 {
        return Err(StoreError::NotFound { what: "idempotency key", id: call.key.clone() });
    }
    Ok(())
}

/// Gives a key back when its call changed nothing.
pub(crate) fn release(conn: &mut AnyConnection, call: &KeyedCall) -> StoreResult<()> {
    let row = idempotency_keys::table.find((text(&call.subject), text(&call.key)));
    diesel::delete(row.filter(idempotency_keys::status.is_null())).execute(conn)?;
    Ok(())
}

/// Forgets old keys; returns how many.
pub(crate) fn purge(conn: &mut AnyConnection, now: Timestamp) -> StoreResult<usize> {
    let old = idempotency_keys::table.filter(idempotency_keys::created_at.le(oldest(now)));
    Ok(diesel::delete(old).execute(conn)?)
}
