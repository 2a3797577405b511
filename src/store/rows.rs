//! Rows and what they are in the domain.
//!
//! Columns of v2 are read strictly: a word that this version does not know is [`StoreError::Corrupt`].
//! Columns that v1 writes too are read tolerantly, through [`super::v1`]. Of v1's own columns, v2 sets
//! `type`, `name`, `capabilities` and `created_at` once, and never its figures: those are in another unit.

use std::str::FromStr;

use diesel::prelude::*;
use serde_json::json;

use super::schema::{agents, swarms, tasks};
use super::types::{Id, Json, Ts, V1Time, text};
use super::{StoreError, StoreResult, v1};
use crate::domain::{
    Agent, AgentId, Figures, Observation, Source, Swarm, SwarmId, Task, TaskId, TaskStrategy, limits,
};

/// Reads a word of ours.
fn word<T: FromStr>(table: &'static str, id: impl ToString, word: &str) -> StoreResult<T>
where
    T::Err: std::fmt::Display,
{
    word.parse().map_err(|error: T::Err| StoreError::corrupt(table, id, error))
}

/// Reads a number that is never negative.
fn number(table: &'static str, id: impl ToString, column: &str, value: i64) -> StoreResult<u32> {
    u32::try_from(value)
        .map_err(|error| StoreError::corrupt(table, id, format!("{column} is {value}: {error}")))
}

/// A ratio as SQLite and PostgreSQL both keep it: what is not a number was not said.
fn finite(value: Option<f32>) -> Option<f32> {
    value.filter(|value| value.is_finite())
}

/// A whole row of `swarms` but for the counter of events, which only events move.
#[derive(Debug, Clone, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = swarms, treat_none_as_default_value = false, treat_none_as_null = true)]
pub(crate) struct SwarmRow {
    pub(crate) id: Id,
    pub(crate) owner: String,
    pub(crate) name: String,
    pub(crate) topology: String,
    pub(crate) strategy: String,
    pub(crate) max_agents: i64,
    pub(crate) status: String,
    pub(crate) reason: Option<String>,
    pub(crate) runtime_id: Option<String>,
    pub(crate) epoch: i64,
    pub(crate) version: i64,
    pub(crate) next_slot: i64,
    pub(crate) created_at: Ts,
    pub(crate) updated_at: Ts,
    pub(crate) last_used_at: Ts,
}

impl From<&Swarm> for SwarmRow {
    fn from(swarm: &Swarm) -> Self {
        Self {
            id: Id(swarm.id.0),
            owner: text(&swarm.owner),
            name: text(&swarm.name),
            topology: swarm.topology.to_string(),
            strategy: swarm.strategy.to_string(),
            max_agents: swarm.max_agents.into(),
            status: swarm.status.to_string(),
            reason: swarm.reason.as_deref().map(text),
            runtime_id: swarm.runtime_id.as_deref().map(text),
            epoch: swarm.epoch.into(),
            version: swarm.version,
            next_slot: swarm.next_slot.into(),
            created_at: Ts(swarm.created_at),
            updated_at: Ts(swarm.updated_at),
            last_used_at: Ts(swarm.last_used_at),
        }
    }
}

impl SwarmRow {
    pub(crate) fn read(self) -> StoreResult<Swarm> {
        let id = self.id.0;
        Ok(Swarm {
            id: SwarmId(id),
            topology: word("swarms", id, &self.topology)?,
            strategy: word("swarms", id, &self.strategy)?,
            max_agents: number("swarms", id, "max_agents", self.max_agents)?,
            status: word("swarms", id, &self.status)?,
            epoch: number("swarms", id, "epoch", self.epoch)?,
            next_slot: number("swarms", id, "next_slot", self.next_slot)?,
            owner: self.owner,
            name: self.name,
            reason: self.reason,
            runtime_id: self.runtime_id,
            version: self.version,
            created_at: self.created_at.0,
            updated_at: self.updated_at.0,
            last_used_at: self.last_used_at.0,
        })
    }
}

/// What is read of an agent.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = agents)]
pub(crate) struct AgentRow {
    pub(crate) id: String,
    kind: String,
    name: Option<String>,
    status: String,
    capabilities: String,
    current_task: Option<String>,
    cpu_usage: Option<f32>,
    health: Option<f32>,
    workload: Option<f32>,
    created_at: V1Time,
    updated_at: Option<V1Time>,
    pub(crate) swarm_id: Id,
    slot: Option<i64>,
    stage: String,
    runtime_id: Option<String>,
    figures: Option<Json>,
    observed_at: Option<Ts>,
    source: Option<String>,
    stale: bool,
    missed_polls: i64,
    accepted_at: Option<Ts>,
    changed_at: Option<Ts>,
}

impl AgentRow {
    pub(crate) fn read(self) -> StoreResult<Agent> {
        let corrupt = |why: String| StoreError::corrupt("agents", &self.id, why);
        let slot = self.slot.ok_or_else(|| corrupt("slot is null".into()))?;
        let slot = number("agents", &self.id, "slot", slot)?;
        let kind = v1::agent_type(&self.kind);
        let created_at = self.accepted_at.map(|at| at.0).or(self.created_at.0);
        let created_at = created_at.ok_or_else(|| corrupt("created_at is no moment".into()))?;
        let v1_changed = self.updated_at.and_then(|at| at.0).unwrap_or(created_at);
        let seen_by_v1 = v1::figures(self.cpu_usage, self.health, self.workload);
        let (figures, observation) = match &self.figures {
            Some(json) => {
                let figures = serde_json::from_value(json.0.clone());
                let figures = figures.map_err(|error| corrupt(format!("figures: {error}")))?;
                (figures, self.observation()?)
            }
            None if seen_by_v1 != Figures::default() => {
                (seen_by_v1, Some(Observation { observed_at: v1_changed, source: Source::Db }))
            }
            None => (seen_by_v1, self.observation()?),
        };
        Ok(Agent {
            id: AgentId::parse(self.id.as_str()).map_err(|error| corrupt(error.to_string()))?,
            swarm_id: SwarmId(self.swarm_id.0),
            slot,
            kind,
            name: v1::name(self.name.as_deref(), kind, slot),
            capabilities: v1::capabilities(&self.capabilities),
            state: v1::agent_state(&self.status),
            stage: word("agents", &self.id, &self.stage)?,
            runtime_id: self.runtime_id,
            current_task: self.current_task.map(|task| limits::cut(&task, limits::REASON_CHARS_MAX)),
            figures,
            observation,
            stale: self.stale,
            missed_polls: number("agents", &self.id, "missed_polls", self.missed_polls)?,
            created_at,
            updated_at: self.changed_at.map_or(v1_changed, |at| at.0),
        })
    }

    fn observation(&self) -> StoreResult<Option<Observation>> {
        let (Some(at), Some(source)) = (self.observed_at, &self.source) else { return Ok(None) };
        Ok(Some(Observation { observed_at: at.0, source: word("agents", &self.id, source)? }))
    }
}

/// What is written of an agent.
#[derive(Debug, Clone, Insertable)]
#[diesel(table_name = agents, treat_none_as_default_value = false)]
pub(crate) struct AgentWrite {
    id: String,
    kind: String,
    name: Option<String>,
    status: String,
    capabilities: String,
    current_task: Option<String>,
    created_at: V1Time,
    updated_at: Option<V1Time>,
    swarm_id: Id,
    slot: Option<i64>,
    stage: String,
    runtime_id: Option<String>,
    figures: Option<Json>,
    observed_at: Option<Ts>,
    source: Option<String>,
    stale: bool,
    missed_polls: i64,
    accepted_at: Option<Ts>,
    changed_at: Option<Ts>,
}

impl From<&Agent> for AgentWrite {
    fn from(agent: &Agent) -> Self {
        let seen = agent.observation;
        Self {
            id: text(agent.id.as_str()),
            kind: agent.kind.to_string(),
            name: Some(text(&agent.name)),
            status: agent.state.to_string(),
            capabilities: Json::new(json!(agent.capabilities)).0.to_string(),
            current_task: agent.current_task.as_deref().map(text),
            created_at: V1Time(Some(agent.created_at)),
            updated_at: Some(V1Time(Some(agent.updated_at))),
            swarm_id: Id(agent.swarm_id.0),
            slot: Some(agent.slot.into()),
            stage: agent.stage.to_string(),
            runtime_id: agent.runtime_id.as_deref().map(text),
            figures: Some(figures_json(&agent.figures)),
            observed_at: seen.map(|seen| Ts(seen.observed_at)),
            source: seen.map(|seen| seen.source.to_string()),
            stale: agent.stale,
            missed_polls: agent.missed_polls.into(),
            accepted_at: Some(Ts(agent.created_at)),
            changed_at: Some(Ts(agent.updated_at)),
        }
    }
}

/// The figures as JSON; not a number becomes null, which is "not said".
fn figures_json(figures: &Figures) -> Json {
    let Figures { health, workload, success_rate, cpu_usage, memory_bytes, tokens_used, tasks_completed } =
        figures;
    Json(json!({
        "health": health, "workload": workload, "success_rate": success_rate, "cpu_usage": cpu_usage,
        "memory_bytes": memory_bytes, "tokens_used": tokens_used, "tasks_completed": tasks_completed,
    }))
}

/// What is read of a task.
#[derive(Debug, Clone, Queryable, Selectable, QueryableByName)]
#[diesel(table_name = tasks)]
pub(crate) struct TaskRow {
    pub(crate) id: String,
    agent_id: Option<String>,
    description: String,
    status: String,
    priority: Option<String>,
    result: Option<String>,
    created_at: V1Time,
    completed_at: Option<V1Time>,
    pub(crate) swarm_id: Id,
    uid: Option<Id>,
    strategy: Option<String>,
    max_agents: Option<i64>,
    stage: String,
    progress: Option<f32>,
    reason: Option<String>,
    assigned_agents: Option<Json>,
    runtime_id: Option<String>,
    observed_at: Option<Ts>,
    accepted_at: Option<Ts>,
    changed_at: Option<Ts>,
    finished_at: Option<Ts>,
}

impl TaskRow {
    pub(crate) fn read(self) -> StoreResult<Task> {
        let corrupt = |why: String| StoreError::corrupt("tasks", &self.id, why);
        let created_at = self.accepted_at.map(|at| at.0).or(self.created_at.0);
        let created_at = created_at.ok_or_else(|| corrupt("created_at is no moment".into()))?;
        let completed_at = self.completed_at.and_then(|at| at.0);
        let state = v1::task_state(&self.status, completed_at.is_some());
        let status = state.unwrap_or_else(|guess| guess);
        let unknown = || format!("v1 status {:?}", limits::cut(&self.status, 64));
        let finished_at = self.finished_at.map(|at| at.0).or(completed_at).filter(|_| status.is_final());
        let changed_at = self.changed_at.map(|at| at.0).or(completed_at).unwrap_or(created_at);
        let max_agents = self.max_agents.map(|n| number("tasks", &self.id, "max_agents", n)).transpose()?;
        Ok(Task {
            id: TaskId(self.uid.map_or_else(|| v1::task_uuid(&self.id), |uid| uid.0)),
            swarm_id: SwarmId(self.swarm_id.0),
            description: limits::cut(&self.description, limits::TASK_DESCRIPTION_CHARS_MAX),
            priority: v1::priority(self.priority.as_deref()),
            strategy: match &self.strategy {
                Some(strategy) => word("tasks", &self.id, strategy)?,
                None => TaskStrategy::Adaptive,
            },
            max_agents,
            status,
            stage: word("tasks", &self.id, &self.stage)?,
            progress: finite(self.progress),
            assigned_agents: self.assigned()?,
            reason: self.reason.clone().or_else(|| state.is_err().then(unknown)),
            result: self.result.map(|result| limits::cut(&result, RESULT_CHARS_MAX)),
            runtime_id: self.runtime_id,
            observed_at: self.observed_at.map(|at| at.0),
            created_at,
            updated_at: changed_at,
            finished_at,
        })
    }

    fn assigned(&self) -> StoreResult<Vec<AgentId>> {
        match &self.assigned_agents {
            Some(json) => serde_json::from_value(json.0.clone())
                .map_err(|error| StoreError::corrupt("tasks", &self.id, format!("assigned_agents: {error}"))),
            // v1 may hold an id that v2 can't say; the row keeps it
            None => Ok(self.agent_id.iter().filter_map(|id| AgentId::parse(id.as_str()).ok()).collect()),
        }
    }
}

/// Longest result text of a task that is read, in characters; v1 knows no limit.
const RESULT_CHARS_MAX: usize = 65_536;

/// What is written of a task.
#[derive(Debug, Clone, Insertable)]
#[diesel(table_name = tasks, treat_none_as_default_value = false)]
pub(crate) struct TaskWrite {
    id: String,
    description: String,
    status: String,
    priority: Option<String>,
    result: Option<String>,
    created_at: V1Time,
    completed_at: Option<V1Time>,
    swarm_id: Id,
    uid: Option<Id>,
    strategy: Option<String>,
    max_agents: Option<i64>,
    stage: String,
    progress: Option<f32>,
    reason: Option<String>,
    assigned_agents: Option<Json>,
    runtime_id: Option<String>,
    observed_at: Option<Ts>,
    accepted_at: Option<Ts>,
    changed_at: Option<Ts>,
    finished_at: Option<Ts>,
}

impl From<&Task> for TaskWrite {
    fn from(task: &Task) -> Self {
        Self {
            id: task.id.to_string(),
            description: text(&task.description),
            status: task.status.to_string(),
            priority: Some(task.priority.to_string()),
            result: task.result.as_deref().map(text),
            created_at: V1Time(Some(task.created_at)),
            completed_at: task.finished_at.map(|at| V1Time(Some(at))),
            swarm_id: Id(task.swarm_id.0),
            uid: Some(Id(task.id.0)),
            strategy: Some(task.strategy.to_string()),
            max_agents: task.max_agents.map(i64::from),
            stage: task.stage.to_string(),
            progress: finite(task.progress),
            reason: task.reason.as_deref().map(text),
            assigned_agents: Some(Json::new(json!(task.assigned_agents))),
            runtime_id: task.runtime_id.as_deref().map(text),
            observed_at: task.observed_at.map(Ts),
            accepted_at: Some(Ts(task.created_at)),
            changed_at: Some(Ts(task.updated_at)),
            finished_at: task.finished_at.map(Ts),
        }
    }
}
