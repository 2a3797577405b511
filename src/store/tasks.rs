//! Rows of `tasks`, which v1 may write too.

use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel::upsert::excluded;

use super::connection::{AnyConnection, on_rows, one_adopter, write_tx};
use super::rows::{TaskRow, TaskWrite};
use super::schema::tasks;
use super::types::{Id, Json, Ts, V1Time, sql};
use super::{ROWS_PER_STATEMENT, StoreError, StoreResult, v1};
use crate::domain::{SwarmId, Task, TaskId, Timestamp, limits};

/// Adds tasks or overwrites what changes in their lives; within a write transaction.
pub(crate) fn upsert(conn: &mut AnyConnection, list: &[Task]) -> StoreResult<()> {
    for chunk in list.chunks(ROWS_PER_STATEMENT) {
        let rows: Vec<TaskWrite> = chunk.iter().map(TaskWrite::from).collect();
        let written = on_rows!(conn, rows, |c, values| diesel::query_dsl::methods::FilterDsl::filter(
            diesel::insert_into(tasks::table)
                .values(values)
                // not the primary key: a task of v1 keeps its own there
                .on_conflict(tasks::uid)
                .do_update()
                .set((
                    tasks::status.eq(excluded(tasks::status)),
                    tasks::result.eq(excluded(tasks::result)),
                    tasks::completed_at.eq(excluded(tasks::completed_at)),
                    tasks::stage.eq(excluded(tasks::stage)),
                    tasks::progress.eq(excluded(tasks::progress)),
                    tasks::reason.eq(excluded(tasks::reason)),
                    tasks::assigned_agents.eq(excluded(tasks::assigned_agents)),
                    tasks::runtime_id.eq(excluded(tasks::runtime_id)),
                    tasks::observed_at.eq(excluded(tasks::observed_at)),
                    tasks::changed_at.eq(excluded(tasks::changed_at)),
                    tasks::finished_at.eq(excluded(tasks::finished_at)),
                )),
            tasks::swarm_id.eq(excluded(tasks::swarm_id)),
        )
        .execute(c))?;
        if written != rows.len() {
            return Err(StoreError::conflict("a task's id is in use in another swarm"));
        }
    }
    Ok(())
}

/// Unties v1's tasks from agents that go, since v1's foreign key does not let them go otherwise.
pub(crate) fn detach(conn: &mut AnyConnection, agents: &[String]) -> QueryResult<()> {
    for chunk in agents.chunks(ROWS_PER_STATEMENT) {
        let tied: Vec<(String, Option<String>)> = tasks::table
            .filter(tasks::agent_id.eq_any(chunk))
            .filter(tasks::assigned_agents.is_null())
            .select((tasks::id, tasks::agent_id))
            .load(conn)?;
        for (id, agent) in tied {
            let agents: Vec<String> = agent.into_iter().collect();
            diesel::update(tasks::table.find(id))
                .set(tasks::assigned_agents.eq(Json::new(serde_json::json!(agents))))
                .execute(conn)?;
        }
        diesel::update(tasks::table.filter(tasks::agent_id.eq_any(chunk)))
            .set(tasks::agent_id.eq(None::<String>))
            .execute(conn)?;
    }
    Ok(())
}

/// The task with this id, in whichever swarm.
pub(crate) fn find(conn: &mut AnyConnection, id: TaskId) -> StoreResult<Option<Task>> {
    let row =
        tasks::table.filter(tasks::uid.eq(Id(id.0))).select(TaskRow::as_select()).first(conn).optional()?;
    row.map(TaskRow::read).transpose()
}

/// A swarm's open tasks and the latest finished ones, oldest first.
pub(crate) fn of_swarm(conn: &mut AnyConnection, id: SwarmId) -> StoreResult<Vec<Task>> {
    let mine = || tasks::table.filter(tasks::swarm_id.eq(Id(id.0))).filter(tasks::uid.is_not_null());
    let mut rows: Vec<TaskRow> =
        mine().filter(tasks::finished_at.is_null()).select(TaskRow::as_select()).load(conn)?;
    let finished: Vec<TaskRow> = mine()
        .filter(tasks::finished_at.is_not_null())
        .order((tasks::finished_at.desc(), tasks::uid.desc()))
        .limit(recent())
        .select(TaskRow::as_select())
        .load(conn)?;
    rows.extend(finished);
    let mut list = rows.into_iter().map(TaskRow::read).collect::<StoreResult<Vec<Task>>>()?;
    list.sort_by_key(|task| (task.created_at, task.id));
    Ok(list)
}

/// The rows of every swarm's open tasks and of its latest finished ones, by swarm.
///
/// Tasks that ended in the same microsecond as the last of them come too.
pub(crate) fn all_recent(conn: &mut AnyConnection) -> QueryResult<Vec<TaskRow>> {
    // an index finds the moment from which on a swarm's finished tasks count
    diesel::sql_query(
        "SELECT t.* FROM swarms s JOIN tasks t ON t.swarm_id = s.id \
         WHERE t.uid IS NOT NULL AND (t.finished_at IS NULL OR t.finished_at >= coalesce( \
             (SELECT u.finished_at FROM tasks u WHERE u.swarm_id = s.id AND u.finished_at IS NOT NULL \
              ORDER BY u.finished_at DESC LIMIT 1 OFFSET $1), $2)) \
         ORDER BY t.swarm_id, t.accepted_at, t.uid",
    )
    .bind::<BigInt, _>(recent() - 1)
    .bind::<sql::DbTs, _>(Ts(Timestamp::UNIX_EPOCH))
    .load(conn)
}

/// Leaves open tasks and the latest finished ones, oldest first.
pub(crate) fn trim(mut list: Vec<Task>) -> Vec<Task> {
    list.sort_by_key(|task| std::cmp::Reverse((task.finished_at, task.id)));
    let mut finished = 0;
    list.retain(|task| {
        finished += usize::from(task.finished_at.is_some());
        task.finished_at.is_none() || finished <= limits::RECENT_TASKS_MAX
    });
    list.sort_by_key(|task| (task.created_at, task.id));
    list
}

fn recent() -> i64 {
    i64::try_from(limits::RECENT_TASKS_MAX).unwrap_or(i64::MAX)
}

/// A swarm's tasks, newest first, behind `after`.
pub(crate) fn list(
    conn: &mut AnyConnection,
    swarm: SwarmId,
    after: Option<(Timestamp, TaskId)>,
    limit: i64,
) -> StoreResult<Vec<Task>> {
    let mut query = tasks::table
        .filter(tasks::swarm_id.eq(Id(swarm.0)))
        .filter(tasks::uid.is_not_null())
        .select(TaskRow::as_select())
        .into_boxed();
    if let Some((at, id)) = after {
        let (at, id) = (Ts(at), Id(id.0));
        query = query.filter(tasks::accepted_at.lt(at).or(tasks::accepted_at.eq(at).and(tasks::uid.lt(id))));
    }
    let rows = query.order((tasks::accepted_at.desc(), tasks::uid.desc())).limit(limit).load(conn)?;
    rows.into_iter().map(TaskRow::read).collect()
}

/// Gives an id of v2 to every task that v1 wrote; returns how many.
pub(crate) fn adopt(conn: &mut AnyConnection) -> StoreResult<usize> {
    let mut adopted = 0;
    let mut skipped = 0i64;
    loop {
        let waiting: bool = diesel::select(diesel::dsl::exists(
            tasks::table
                .filter(tasks::uid.is_null())
                .filter(tasks::id.is_not_null())
                .order(tasks::id)
                .offset(skipped)
                .limit(1)
                .select(tasks::id),
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

/// The task that v1 wrote: what of it matters here.
type Foreign = (String, String, V1Time, Option<V1Time>);

fn adopt_some(conn: &mut AnyConnection, skip: i64) -> StoreResult<(usize, i64)> {
    one_adopter(conn)?;
    let batch = i64::try_from(ROWS_PER_STATEMENT).unwrap_or(i64::MAX);
    let rows: Vec<Foreign> = tasks::table
        .filter(tasks::uid.is_null())
        .filter(tasks::id.is_not_null())
        .order((tasks::created_at, tasks::id))
        .offset(skip)
        .limit(batch)
        .select((tasks::id, tasks::status, tasks::created_at, tasks::completed_at))
        .load(conn)?;
    let (mut taken, mut left) = (0, 0);
    for (id, status, created, completed) in rows {
        let Some(created) = created.0 else {
            tracing::warn!(task.id = id.escape_debug().to_string(), "a v1 task can't be taken over");
            metrics::counter!("visionflow_store_v1_rows_skipped_total", "table" => "tasks").increment(1);
            left += 1;
            continue;
        };
        let completed = completed.and_then(|at| at.0);
        let state = v1::task_state(&status, completed.is_some()).unwrap_or_else(|guess| guess);
        let finished = state.is_final().then(|| Ts(completed.unwrap_or(created)));
        let uid = Id(v1::task_uuid(&id));
        diesel::update(tasks::table.find(id))
            .set((
                tasks::uid.eq(uid),
                tasks::accepted_at.eq(Ts(created)),
                tasks::changed_at.eq(Ts(completed.unwrap_or(created))),
                tasks::finished_at.eq(finished),
                tasks::v1_status.eq(status),
            ))
            .execute(conn)?;
        taken += 1;
    }
    Ok((taken, left))
}
