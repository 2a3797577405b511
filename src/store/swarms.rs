//! Rows of `swarms`.

use diesel::prelude::*;
use diesel::sql_types::{Integer, Text};

use super::connection::{AnyConnection, on_each};
use super::rows::SwarmRow;
use super::schema::{agents, swarms, tasks};
use super::types::{Id, Ts};
use super::{LEGACY_SWARM, StoreError, StoreResult};
use crate::domain::{Swarm, SwarmId, SwarmState, Timestamp};

/// First half of the advisory lock that keeps two creations of one owner apart.
const OWNER_LOCK: i32 = 0x5646_0002;

/// Adds a swarm unless its owner has `max_live` already; within a write transaction.
pub(crate) fn create(conn: &mut AnyConnection, swarm: &Swarm, max_live: usize) -> StoreResult<()> {
    let row = SwarmRow::from(swarm);
    if let AnyConnection::Pg(pg) = conn {
        // SQLite has one writer; here two transactions would each count without the other's row
        diesel::sql_query("SELECT pg_advisory_xact_lock($1, hashtext($2))")
            .bind::<Integer, _>(OWNER_LOCK)
            .bind::<Text, _>(&row.owner)
            .execute(pg)?;
    }
    let live: i64 = swarms::table
        .filter(swarms::owner.eq(&row.owner))
        .filter(swarms::status.ne(SwarmState::Deleting.as_str()))
        .count()
        .get_result(conn)?;
    let live = usize::try_from(live).unwrap_or(usize::MAX);
    if live >= max_live {
        return Err(StoreError::SwarmLimit { live, max: max_live });
    }
    diesel::insert_into(swarms::table).values(&row).execute(conn)?;
    Ok(())
}

/// Writes a swarm that is there already, unless a newer start of its actor has written meanwhile.
pub(crate) fn update(conn: &mut AnyConnection, swarm: &Swarm) -> StoreResult<()> {
    let row = SwarmRow::from(swarm);
    let changed = diesel::update(swarms::table.find(row.id))
        .filter(swarms::epoch.le(row.epoch))
        .set((
            swarms::name.eq(&row.name),
            swarms::topology.eq(&row.topology),
            swarms::strategy.eq(&row.strategy),
            swarms::max_agents.eq(row.max_agents),
            swarms::status.eq(&row.status),
            swarms::reason.eq(&row.reason),
            swarms::runtime_id.eq(&row.runtime_id),
            swarms::epoch.eq(row.epoch),
            swarms::version.eq(row.version),
            swarms::next_slot.eq(row.next_slot),
            swarms::updated_at.eq(row.updated_at),
            swarms::last_used_at.eq(row.last_used_at),
        ))
        .execute(conn)?;
    if changed == 1 {
        return Ok(());
    }
    match find(conn, swarm.id)? {
        None => Err(not_found(swarm.id)),
        Some(newer) => Err(StoreError::conflict(format!(
            "swarm {} is at epoch {}; the change is of epoch {}",
            swarm.id, newer.epoch, swarm.epoch
        ))),
    }
}

/// The swarm with this id.
pub(crate) fn find(conn: &mut AnyConnection, id: SwarmId) -> StoreResult<Option<Swarm>> {
    let row = swarms::table.find(Id(id.0)).select(SwarmRow::as_select()).first(conn).optional()?;
    row.map(SwarmRow::read).transpose()
}

/// Raises the epoch and returns it.
pub(crate) fn begin_epoch(conn: &mut AnyConnection, id: SwarmId) -> StoreResult<u32> {
    let epoch: Option<i64> = diesel::update(swarms::table.find(Id(id.0)))
        .set(swarms::epoch.eq(swarms::epoch + 1))
        .returning(swarms::epoch)
        .get_result(conn)
        .optional()?;
    let epoch = epoch.ok_or_else(|| not_found(id))?;
    u32::try_from(epoch)
        .map_err(|error| StoreError::corrupt("swarms", id, format!("epoch is {epoch}: {error}")))
}

/// Takes `n` numbers for events and returns the first; the row stays locked until the transaction ends.
pub(crate) fn take_event_seqs(conn: &mut AnyConnection, id: SwarmId, n: i64) -> StoreResult<i64> {
    let next: Option<i64> = diesel::update(swarms::table.find(Id(id.0)))
        .set(swarms::next_event_seq.eq(swarms::next_event_seq + n))
        .returning(swarms::next_event_seq)
        .get_result(conn)
        .optional()?;
    next.map(|next| next - n).ok_or_else(|| not_found(id))
}

/// Takes `n` slots and returns the first.
pub(crate) fn take_slots(conn: &mut AnyConnection, id: Id, n: i64) -> QueryResult<i64> {
    let next: i64 = diesel::update(swarms::table.find(id))
        .set(swarms::next_slot.eq(swarms::next_slot + n))
        .returning(swarms::next_slot)
        .get_result(conn)?;
    Ok(next - n)
}

/// Which swarms [`list`] shows.
#[derive(Debug, Clone, Default)]
pub struct SwarmFilter {
    /// Those of one owner; `None` is everybody's.
    pub owner: Option<String>,
    /// Those in one state.
    pub status: Option<SwarmState>,
    /// Those behind this one in the order of the list: creation and id of the last one seen.
    pub after: Option<(Timestamp, SwarmId)>,
}

/// Swarms, newest first. The legacy swarm shows once it holds something.
pub(crate) fn list(conn: &mut AnyConnection, filter: &SwarmFilter, limit: i64) -> StoreResult<Vec<Swarm>> {
    let mut query = swarms::table.select(SwarmRow::as_select()).into_boxed();
    if let Some(owner) = &filter.owner {
        query = query.filter(swarms::owner.eq(owner));
    }
    if let Some(status) = filter.status {
        query = query.filter(swarms::status.eq(status.as_str()));
    }
    if let Some((at, id)) = filter.after {
        let (at, id) = (Ts(at), Id(id.0));
        query = query.filter(swarms::created_at.lt(at).or(swarms::created_at.eq(at).and(swarms::id.lt(id))));
    }
    if !legacy_in_use(conn)? {
        query = query.filter(swarms::id.ne(Id(LEGACY_SWARM.0)));
    }
    let rows = query.order((swarms::created_at.desc(), swarms::id.desc())).limit(limit).load(conn)?;
    rows.into_iter().map(SwarmRow::read).collect()
}

/// Every swarm's row but an empty legacy one, oldest first.
pub(crate) fn all(conn: &mut AnyConnection) -> StoreResult<Vec<SwarmRow>> {
    let mut query = swarms::table.select(SwarmRow::as_select()).into_boxed();
    if !legacy_in_use(conn)? {
        query = query.filter(swarms::id.ne(Id(LEGACY_SWARM.0)));
    }
    Ok(query.order((swarms::created_at, swarms::id)).load(conn)?)
}

fn legacy_in_use(conn: &mut AnyConnection) -> QueryResult<bool> {
    let legacy = Id(LEGACY_SWARM.0);
    let agents = agents::table.filter(agents::swarm_id.eq(legacy));
    let tasks = tasks::table.filter(tasks::swarm_id.eq(legacy));
    diesel::select(diesel::dsl::exists(agents).or(diesel::dsl::exists(tasks))).get_result(conn)
}

/// Takes a swarm and everything of it away; says whether it was there. Within a write transaction.
pub(crate) fn delete(conn: &mut AnyConnection, id: SwarmId) -> StoreResult<bool> {
    if id == LEGACY_SWARM {
        return Err(StoreError::conflict("the legacy swarm is where v1 writes; it can't be deleted"));
    }
    let gone: Vec<String> =
        agents::table.filter(agents::swarm_id.eq(Id(id.0))).select(agents::id).load(conn)?;
    super::tasks::detach(conn, &gone)?;
    // events and snapshots go with the row
    diesel::delete(tasks::table.filter(tasks::swarm_id.eq(Id(id.0)))).execute(conn)?;
    diesel::delete(agents::table.filter(agents::swarm_id.eq(Id(id.0)))).execute(conn)?;
    Ok(diesel::delete(swarms::table.find(Id(id.0))).execute(conn)? > 0)
}

/// Those of `ids` that are there; on PostgreSQL they stay there until the transaction ends.
pub(crate) fn existing(conn: &mut AnyConnection, ids: &[Id]) -> QueryResult<Vec<Id>> {
    match conn {
        AnyConnection::Pg(pg) => {
            swarms::table.filter(swarms::id.eq_any(ids)).select(swarms::id).for_key_share().load(pg)
        }
        AnyConnection::Sqlite(sqlite) => {
            swarms::table.filter(swarms::id.eq_any(ids)).select(swarms::id).load(sqlite)
        }
    }
}

/// Whether the database answers.
pub(crate) fn ping(conn: &mut AnyConnection) -> StoreResult<()> {
    on_each!(conn, |c| diesel::sql_query("SELECT 1").execute(c))?;
    Ok(())
}

pub(crate) fn not_found(id: SwarmId) -> StoreError {
    StoreError::NotFound { what: "swarm", id: id.to_string() }
}
