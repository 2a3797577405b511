//! Rows of `events`: what happened, numbered within its swarm.

use diesel::prelude::*;
use serde_json::{Value, json};

use super::connection::{AnyConnection, on_each};
use super::schema::events;
use super::types::{Id, Json, Ts, text};
use super::{ROWS_PER_STATEMENT, StoreError, StoreResult, swarms};
use crate::domain::{Event, EventKind, SwarmId, Timestamp};

/// Events kept of one swarm; older ones go.
pub const EVENTS_KEPT_MAX: i64 = 10_000;
/// Old events are looked for each time the numbers pass a multiple of this.
const PRUNE_EVERY: i64 = 256;

/// A row of `events`.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = events, treat_none_as_default_value = false)]
struct EventRow {
    swarm_id: Id,
    seq: i64,
    at: Ts,
    actor: String,
    kind: String,
    data: Json,
}

impl EventRow {
    /// The row of something that happened; NUL characters leave its texts.
    fn new(swarm: SwarmId, seq: i64, kind: &EventKind, actor: &str, at: Timestamp) -> StoreResult<Self> {
        let mut whole = serde_json::to_value(kind)
            .map_err(|error| StoreError::corrupt("events", format!("{swarm}/{seq}"), error))?;
        let data = whole.get_mut("data").map_or(Value::Null, Value::take);
        Ok(Self {
            swarm_id: Id(swarm.0),
            seq,
            at: Ts(at),
            actor: text(actor),
            kind: kind.as_str().to_owned(),
            data: Json::new(data),
        })
    }

    fn read(self) -> StoreResult<Event> {
        let id = || format!("{}/{}", self.swarm_id.0, self.seq);
        let kind = serde_json::from_value(json!({ "kind": self.kind, "data": self.data.0 }))
            .map_err(|error| StoreError::corrupt("events", id(), error))?;
        Ok(Event {
            swarm_id: SwarmId(self.swarm_id.0),
            seq: self.seq,
            at: self.at.0,
            actor: self.actor,
            kind,
        })
    }
}

/// Numbers and writes events; within a write transaction.
pub(crate) fn append(
    conn: &mut AnyConnection,
    swarm: SwarmId,
    happened: &[(EventKind, String, Timestamp)],
) -> StoreResult<Vec<Event>> {
    if happened.is_empty() {
        return Ok(Vec::new());
    }
    let count = i64::try_from(happened.len()).unwrap_or(i64::MAX);
    let first = swarms::take_event_seqs(conn, swarm, count)?;
    let rows = (first..)
        .zip(happened)
        .map(|(seq, (kind, actor, at))| EventRow::new(swarm, seq, kind, actor, *at))
        .collect::<StoreResult<Vec<EventRow>>>()?;
    for chunk in rows.chunks(ROWS_PER_STATEMENT) {
        on_each!(conn, |c| diesel::insert_into(events::table).values(chunk).execute(c))?;
    }
    let next = first.saturating_add(count);
    if next / PRUNE_EVERY != first / PRUNE_EVERY {
        prune(conn, swarm, next - EVENTS_KEPT_MAX)?;
    }
    // read back from the rows, so that what is told is what is kept
    rows.into_iter().map(EventRow::read).collect()
}

fn prune(conn: &mut AnyConnection, swarm: SwarmId, before: i64) -> QueryResult<usize> {
    diesel::delete(events::table.filter(events::swarm_id.eq(Id(swarm.0))).filter(events::seq.lt(before)))
        .execute(conn)
}

/// A swarm's events, newest first, those before `before_seq`.
pub(crate) fn list(
    conn: &mut AnyConnection,
    swarm: SwarmId,
    before_seq: Option<i64>,
    limit: i64,
) -> StoreResult<Vec<Event>> {
    let rows: Vec<EventRow> = events::table
        .filter(events::swarm_id.eq(Id(swarm.0)))
        .filter(events::seq.lt(before_seq.unwrap_or(i64::MAX)))
        .order(events::seq.desc())
        .limit(limit)
        .select(EventRow::as_select())
        .load(conn)?;
    rows.into_iter().map(EventRow::read).collect()
}
