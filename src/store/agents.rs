//! Rows of `agents`, which v1 may write too.

use diesel::prelude::*;
use diesel::upsert::excluded;

use super::connection::{AnyConnection, on_rows, one_adopter, write_tx};
use super::rows::{AgentRow, AgentWrite};
use super::schema::agents;
use super::types::{Id, Ts, V1Time};
use super::{ROWS_PER_STATEMENT, StoreError, StoreResult, swarms};
use crate::domain::{Agent, AgentId, SwarmId};

/// Adds agents or overwrites what changes in their lives; within a write transaction.
pub(crate) fn upsert(conn: &mut AnyConnection, list: &[Agent]) -> StoreResult<()> {
    for chunk in list.chunks(ROWS_PER_STATEMENT) {
        let rows: Vec<AgentWrite> = chunk.iter().map(AgentWrite::from).collect();
        let written = on_rows!(conn, rows, |c, values| diesel::query_dsl::methods::FilterDsl::filter(
            diesel::insert_into(agents::table).values(values).on_conflict(agents::id).do_update().set((
                agents::status.eq(excluded(agents::status)),
                agents::current_task.eq(excluded(agents::current_task)),
                agents::updated_at.eq(excluded(agents::updated_at)),
                agents::slot.eq(excluded(agents::slot)),
                agents::stage.eq(excluded(agents::stage)),
                agents::runtime_id.eq(excluded(agents::runtime_id)),
                agents::figures.eq(excluded(agents::figures)),
                agents::observed_at.eq(excluded(agents::observed_at)),
                agents::source.eq(excluded(agents::source)),
                agents::stale.eq(excluded(agents::stale)),
                agents::missed_polls.eq(excluded(agents::missed_polls)),
                agents::changed_at.eq(excluded(agents::changed_at)),
            )),
            // an id is an agent's for life: it never moves to another swarm
            agents::swarm_id.eq(excluded(agents::swarm_id)),
        )
        .execute(c))?;
        if written != rows.len() {
            return Err(StoreError::conflict("an agent's id is in use in another swarm"));
        }
    }
    Ok(())
}

/// Takes agents out of a swarm; tasks that v1 tied to them keep their ids in `assigned_agents`.
pub(crate) fn delete(conn: &mut AnyConnection, swarm: SwarmId, ids: &[AgentId]) -> StoreResult<()> {
    let ids: Vec<String> = ids.iter().map(|id| id.as_str().to_owned()).collect();
    super::tasks::detach(conn, &ids)?;
    for chunk in ids.chunks(ROWS_PER_STATEMENT) {
        diesel::delete(
            agents::table.filter(agents::swarm_id.eq(Id(swarm.0))).filter(agents::id.eq_any(chunk)),
        )
        .execute(conn)?;
    }
    Ok(())
}

/// A swarm's agents in the order of their slots.
pub(crate) fn of_swarm(conn: &mut AnyConnection, id: SwarmId) -> StoreResult<Vec<Agent>> {
    let rows: Vec<AgentRow> = agents::table
        .filter(agents::swarm_id.eq(Id(id.0)))
        .filter(agents::slot.is_not_null())
        .order(agents::slot)
        .select(AgentRow::as_select())
        .load(conn)?;
    rows.into_iter().map(AgentRow::read).collect()
}

/// Every agent's row, by swarm and slot.
pub(crate) fn all(conn: &mut AnyConnection) -> QueryResult<Vec<AgentRow>> {
    agents::table
        .filter(agents::slot.is_not_null())
        .order((agents::swarm_id, agents::slot))
        .select(AgentRow::as_select())
        .load(conn)
}

/// Gives a slot to every agent that v1 wrote, in the order of creation; returns how many. Ids that v2
/// can't say are left alone: such a row stays v1's.
pub(crate) fn adopt(conn: &mut AnyConnection) -> StoreResult<usize> {
    let mut adopted = 0;
    let mut skipped = 0i64;
    loop {
        let waiting: bool = diesel::select(diesel::dsl::exists(
            agents::table
                .filter(agents::slot.is_null())
                .filter(agents::id.is_not_null())
                .order(agents::id)
                .offset(skipped)
                .limit(1)
                .select(agents::id),
        ))
        .get_result(conn)?;
        if !waiting {
            return Ok(adopted);
        }
        let (taken, left) = write_tx(conn, |c| adopt_some(c, skipped))?;
        adopted += taken;
        skipped += left;
    }
}

/// The agent that v1 wrote: what of it matters here.
type Foreign = (String, Id, String, V1Time, Option<V1Time>);

fn adopt_some(conn: &mut AnyConnection, skip: i64) -> StoreResult<(usize, i64)> {
    one_adopter(conn)?;
    let batch = i64::try_from(ROWS_PER_STATEMENT).unwrap_or(i64::MAX);
    let rows: Vec<Foreign> = agents::table
        .filter(agents::slot.is_null())
        .filter(agents::id.is_not_null())
        .order((agents::created_at, agents::id))
        .offset(skip)
        .limit(batch)
        .select((agents::id, agents::swarm_id, agents::status, agents::created_at, agents::updated_at))
        .load(conn)?;
    let (mut taken, mut left) = (0, 0);
    for (id, swarm, status, created, updated) in rows {
        let (Some(created), Ok(_)) = (created.0, AgentId::parse(id.as_str())) else {
            tracing::warn!(agent.id = id.escape_debug().to_string(), "a v1 agent can't be taken over");
            metrics::counter!("visionflow_store_v1_rows_skipped_total", "table" => "agents").increment(1);
            left += 1;
            continue;
        };
        let slot = swarms::take_slots(conn, swarm, 1)?;
        let changed = updated.and_then(|at| at.0).unwrap_or(created);
        diesel::update(agents::table.find(id))
            .set((
                agents::slot.eq(slot),
                agents::accepted_at.eq(Ts(created)),
                agents::changed_at.eq(Ts(changed)),
                agents::v1_status.eq(status),
            ))
            .execute(conn)?;
        taken += 1;
    }
    Ok((taken, left))
}
