//! What the rest of the program asks of the store, one method each; all under the default deadline.

use std::collections::HashMap;

use super::connection::read_tx;
use super::handle::Store;
use super::rows::{AgentRow, SwarmRow, TaskRow};
use super::{
    Change, Claim, KeyedCall, LEGACY_SWARM, LIST_MAX, Snapshot, StoreError, StoreResult, SwarmFilter, agents,
    change, events, idempotency, snapshots, swarms, tasks, tokens,
};
use crate::domain::{Agent, Event, EventKind, Swarm, SwarmId, Task, TaskId, Timestamp};

/// A swarm, its agents by slot, its open and latest finished tasks by creation.
pub type LoadedSwarm = (Swarm, Vec<Agent>, Vec<Task>);

/// A swarm that can't be loaded since a row of it can't be read.
#[derive(Debug)]
pub struct CorruptSwarm {
    /// The swarm.
    pub swarm_id: SwarmId,
    /// Which row, and what is wrong with it.
    pub error: StoreError,
}

/// Everything that a start needs.
#[derive(Debug, Default)]
pub struct LoadedAll {
    /// Swarms, oldest first; an empty legacy swarm is left out.
    pub swarms: Vec<LoadedSwarm>,
    /// Those that can't be loaded; the others live.
    pub corrupt: Vec<CorruptSwarm>,
}

fn limited(limit: usize) -> i64 {
    i64::try_from(limit.min(LIST_MAX)).unwrap_or(i64::MAX)
}

impl Store {
    /// Adds a swarm and the event that tells of it, unless its owner has `max_live_per_owner` swarms that
    /// are not being deleted; counted and added in one step.
    ///
    /// # Errors
    /// [`StoreError::SwarmLimit`]; [`StoreError::Conflict`] when the id is in use.
    pub async fn create_swarm(
        &self,
        swarm: Swarm,
        max_live_per_owner: usize,
        event: EventKind,
        actor: String,
    ) -> StoreResult<Event> {
        self.write("create_swarm", self.call_deadline(), move |conn| {
            swarms::create(conn, &swarm, max_live_per_owner)?;
            let happened = [(event, actor, swarm.created_at)];
            let written = events::append(conn, swarm.id, &happened)?;
            written.into_iter().next().ok_or_else(|| swarms::not_found(swarm.id))
        })
        .await
    }

    /// One swarm with all that its actor needs. Takes over what v1 wrote meanwhile when it is the legacy
    /// swarm, so call it only while no actor of that swarm runs.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] names the row that can't be read.
    pub async fn load_swarm(&self, id: SwarmId) -> StoreResult<Option<LoadedSwarm>> {
        self.run("load_swarm", self.call_deadline(), move |conn| {
            if id == LEGACY_SWARM {
                agents::adopt(conn)?;
                tasks::adopt(conn)?;
            }
            read_tx(conn, |conn| {
                let Some(swarm) = swarms::find(conn, id)? else { return Ok(None) };
                Ok(Some((swarm, agents::of_swarm(conn, id)?, tasks::of_swarm(conn, id)?)))
            })
        })
        .await
    }

    /// The swarm's row alone.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when it can't be read.
    pub async fn swarm(&self, id: SwarmId) -> StoreResult<Option<Swarm>> {
        self.run("swarm", self.call_deadline(), move |conn| swarms::find(conn, id)).await
    }

    /// Every swarm, in a handful of queries; for the start.
    ///
    /// # Errors
    /// Those of [`Store::run`]; rows that can't be read are in the result.
    pub async fn load_all(&self) -> StoreResult<LoadedAll> {
        self.run("load_all", self.call_deadline(), |conn| {
            agents::adopt(conn)?;
            tasks::adopt(conn)?;
            read_tx(conn, |conn| {
                let rows = swarms::all(conn)?;
                Ok(assemble(rows, agents::all(conn)?, tasks::all_recent(conn)?))
            })
        })
        .await
    }

    /// Raises a swarm's epoch, as a new start of its actor does, and returns it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn begin_epoch(&self, id: SwarmId) -> StoreResult<u32> {
        self.write("begin_epoch", self.call_deadline(), move |conn| swarms::begin_epoch(conn, id)).await
    }

    /// Writes a change as a whole or not at all and returns its events with their numbers.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the swarm is gone, [`StoreError::Conflict`] when a newer epoch has
    /// written or an id belongs to another swarm.
    pub async fn save(&self, change: Change) -> StoreResult<Vec<Event>> {
        if change.is_empty() {
            return Ok(Vec::new());
        }
        self.write("save", self.call_deadline(), move |conn| change::save(conn, &change)).await
    }

    /// Takes a swarm and everything of it away; says whether it was there.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] for the legacy swarm.
    pub async fn delete_swarm(&self, id: SwarmId) -> StoreResult<bool> {
        self.write("delete_swarm", self.call_deadline(), move |conn| swarms::delete(conn, id)).await
    }

    /// Swarms, newest first, at most `limit` and at most [`LIST_MAX`].
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] names a row that can't be read.
    pub async fn list_swarms(&self, filter: SwarmFilter, limit: usize) -> StoreResult<Vec<Swarm>> {
        let limit = limited(limit);
        self.run("list_swarms", self.call_deadline(), move |conn| swarms::list(conn, &filter, limit)).await
    }

    /// A swarm's tasks, newest first, behind `after` (creation and id of the last one seen).
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] names a row that can't be read.
    pub async fn list_tasks(
        &self,
        swarm: SwarmId,
        after: Option<(Timestamp, TaskId)>,
        limit: usize,
    ) -> StoreResult<Vec<Task>> {
        let limit = limited(limit);
        self.run("list_tasks", self.call_deadline(), move |conn| {
            if swarm == LEGACY_SWARM {
                tasks::adopt(conn)?;
            }
            tasks::list(conn, swarm, after, limit)
        })
        .await
    }

    /// The task with this id, in whichever swarm.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when it can't be read.
    pub async fn task(&self, id: TaskId) -> StoreResult<Option<Task>> {
        self.run("task", self.call_deadline(), move |conn| tasks::find(conn, id)).await
    }

    /// A swarm's events, newest first, those before `before_seq`.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] names a row that can't be read.
    pub async fn list_events(
        &self,
        swarm: SwarmId,
        before_seq: Option<i64>,
        limit: usize,
    ) -> StoreResult<Vec<Event>> {
        let limit = limited(limit);
        self.run("list_events", self.call_deadline(), move |conn| {
            events::list(conn, swarm, before_seq, limit)
        })
        .await
    }

    /// Writes one snapshot over an older one; says whether it was written. It is not when the swarm is
    /// gone or a newer epoch has one.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`].
    pub async fn save_snapshot(&self, snapshot: Snapshot) -> StoreResult<bool> {
        Ok(self.save_snapshots(vec![snapshot]).await? == 1)
    }

    /// Writes snapshots of several swarms, at most one of each; returns how many were written.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`].
    pub async fn save_snapshots(&self, batch: Vec<Snapshot>) -> StoreResult<usize> {
        self.write("save_snapshots", self.call_deadline(), move |conn| snapshots::save(conn, &batch)).await
    }

    /// The latest snapshot of a swarm.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when it can't be read.
    pub async fn load_snapshot(&self, id: SwarmId) -> StoreResult<Option<Snapshot>> {
        self.run("load_snapshot", self.call_deadline(), move |conn| snapshots::load(conn, id)).await
    }

    /// The latest snapshots of all swarms, without those that can't be read.
    ///
    /// # Errors
    /// Those of [`Store::run`].
    pub async fn load_snapshots(&self) -> StoreResult<Vec<Snapshot>> {
        self.run("load_snapshots", self.call_deadline(), snapshots::load_all).await
    }

    /// Notes that a token no longer counts, until it ends by itself at `expires_at`.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`].
    pub async fn revoke_token(&self, jti: String, expires_at: Timestamp, now: Timestamp) -> StoreResult<()> {
        self.write("revoke_token", self.call_deadline(), move |conn| {
            tokens::revoke(conn, &jti, expires_at, now)
        })
        .await
    }

    /// Whether a token was revoked.
    ///
    /// # Errors
    /// Those of [`Store::run`].
    pub async fn is_revoked(&self, jti: String) -> StoreResult<bool> {
        self.run("is_revoked", self.call_deadline(), move |conn| tokens::is_revoked(conn, &jti)).await
    }

    /// Revoked ids whose tokens have not ended by `now`, with their ends.
    ///
    /// # Errors
    /// Those of [`Store::run`].
    pub async fn load_revoked(&self, now: Timestamp) -> StoreResult<Vec<(String, Timestamp)>> {
        self.run("load_revoked", self.call_deadline(), move |conn| tokens::load(conn, now)).await
    }

    /// Takes a key for a call, or says what became of the call that has it. A call that has not ended within
    /// [`super::LOST_AFTER_S`], or whose outcome is unknown since [`super::UNKNOWN_KEPT_MINUTES`], is forgotten.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`].
    pub async fn claim(&self, call: KeyedCall, now: Timestamp) -> StoreResult<Claim> {
        self.write("claim", self.call_deadline(), move |conn| idempotency::claim(conn, &call, now)).await
    }

    /// Keeps the answer to a claimed call for [`super::KEPT_HOURS`] since the claim; with the status
    /// [`super::OUTCOME_UNKNOWN`], the call counts as in progress for [`super::UNKNOWN_KEPT_MINUTES`].
    ///
    /// # Errors
    /// [`StoreError::TooLarge`], or [`StoreError::NotFound`] when it was not claimed.
    pub async fn finish(&self, call: KeyedCall, status: u16, response: String) -> StoreResult<()> {
        self.write("finish", self.call_deadline(), move |conn| {
            idempotency::finish(conn, &call, status, &response)
        })
        .await
    }

    /// Gives a key back when its call changed nothing, so that the client may try again.
    ///
    /// # Errors
    /// Those of [`Store::run`].
    pub async fn release(&self, call: KeyedCall) -> StoreResult<()> {
        self.write("release", self.call_deadline(), move |conn| idempotency::release(conn, &call)).await
    }

    /// What became of the call that has the key; `None` when nobody has it.
    ///
    /// # Errors
    /// Those of [`Store::run`].
    pub async fn lookup(&self, call: KeyedCall, now: Timestamp) -> StoreResult<Option<Claim>> {
        self.run("lookup", self.call_deadline(), move |conn| idempotency::lookup(conn, &call, now)).await
    }

    /// Forgets keys and revocations whose time is over; returns how many rows went.
    ///
    /// # Errors
    /// Those of [`Store::run`].
    pub async fn purge(&self, now: Timestamp) -> StoreResult<usize> {
        self.write("purge", self.call_deadline(), move |conn| {
            Ok(tokens::purge(conn, now)? + idempotency::purge(conn, now)?)
        })
        .await
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] with its own words.
    pub async fn ping(&self) -> StoreResult<()> {
        self.run("ping", self.call_deadline(), swarms::ping).await
    }
}

/// Puts rows of three tables together; a row that can't be read takes its swarm alone out.
fn assemble(rows: Vec<SwarmRow>, agent_rows: Vec<AgentRow>, task_rows: Vec<TaskRow>) -> LoadedAll {
    let mut bad: HashMap<SwarmId, StoreError> = HashMap::new();
    let mut agents_of: HashMap<SwarmId, Vec<Agent>> = HashMap::new();
    let mut tasks_of: HashMap<SwarmId, Vec<Task>> = HashMap::new();
    for row in agent_rows {
        let id = SwarmId(row.swarm_id.0);
        match row.read() {
            Ok(agent) => agents_of.entry(id).or_default().push(agent),
            Err(error) => drop(bad.entry(id).or_insert(error)),
        }
    }
    for row in task_rows {
        let id = SwarmId(row.swarm_id.0);
        match row.read() {
            Ok(task) => tasks_of.entry(id).or_default().push(task),
            Err(error) => drop(bad.entry(id).or_insert(error)),
        }
    }
    let mut all = LoadedAll::default();
    for row in rows {
        let id = SwarmId(row.id.0);
        let read = row.read().and_then(|swarm| bad.remove(&id).map_or(Ok(swarm), Err));
        match read {
            Ok(swarm) => {
                let tasks = tasks::trim(tasks_of.remove(&id).unwrap_or_default());
                all.swarms.push((swarm, agents_of.remove(&id).unwrap_or_default(), tasks));
            }
            Err(error) => {
                metrics::counter!("visionflow_store_corrupt_rows_total").increment(1);
                tracing::error!(swarm.id = %id, error = %error, "a swarm can't be loaded");
                all.corrupt.push(CorruptSwarm { swarm_id: id, error });
            }
        }
    }
    all
}
