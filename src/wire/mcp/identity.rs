//! The ids in a tool's answer, wherever a runtime of the family puts them. An answer without the id that was asked for is
//! not a success, whatever it says; no id is ever made up.

use super::result::ToolFailure;
use serde_json::Value;

/// One agent of a runtime's list, as far as it was told.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentSeen {
    /// The runtime's id.
    pub id: String,
    /// Its name.
    pub name: Option<String>,
    /// Its type.
    pub kind: Option<String>,
    /// Its status, in the runtime's words.
    pub status: Option<String>,
    /// Everything that was told.
    pub raw: Value,
}

/// Gives the swarm's id: `swarmId`, `swarm_id`, `swarm.id`, `swarm_info.id`, or `id` of an object that is a swarm.
///
/// # Errors
/// [`ToolFailure::Missing`] with the fields that there are.
pub fn swarm_id_of(value: &Value) -> Result<String, ToolFailure> {
    first(
        value,
        &["/swarmId", "/swarm_id", "/swarm/id", "/swarm/swarmId", "/swarm/swarm_id", "/swarm_info/id"],
    )
    .or_else(|| own_id(value, "swarm", &["topology"]))
    .ok_or_else(|| ToolFailure::missing("a swarm id", value))
}

/// Gives the agent's id: `agentId`, `agent_id`, `agent.id`, or `id` of an object that is an agent.
///
/// # Errors
/// [`ToolFailure::Missing`] with the fields that there are.
pub fn agent_id_of(value: &Value) -> Result<String, ToolFailure> {
    first(value, &["/agentId", "/agent_id", "/agent/id", "/agent/agentId", "/agent/agent_id"])
        .or_else(|| own_id(value, "agent", &["type", "agentType"]))
        .ok_or_else(|| ToolFailure::missing("an agent id", value))
}

/// Gives the task's id: `taskId`, `task_id`, `task.id`, or `id` of an object that is a task.
///
/// # Errors
/// [`ToolFailure::Missing`] with the fields that there are: also for a runtime that only notes an orchestration down.
pub fn task_id_of(value: &Value) -> Result<String, ToolFailure> {
    first(value, &["/taskId", "/task_id", "/task/id", "/task/taskId", "/task/task_id"])
        .or_else(|| own_id(value, "task", &["assignedAgents", "assigned_agents", "progress"]))
        .ok_or_else(|| ToolFailure::missing("a task id", value))
}

/// Gives all agents of a list. An empty list is an answer; a list with an agent without an id is not.
///
/// # Errors
/// [`ToolFailure::Missing`] without an `agents` array, or when an entry has no id.
pub fn agents_of(value: &Value) -> Result<Vec<AgentSeen>, ToolFailure> {
    let list = value.get("agents").or(Some(value)).and_then(Value::as_array);
    let list = list.ok_or_else(|| ToolFailure::missing("a list of agents", value))?;
    list.iter()
        .map(|agent| {
            let id = first(agent, &["/id", "/agentId", "/agent_id"])
                .ok_or_else(|| ToolFailure::missing("the id of a listed agent", agent))?;
            Ok(AgentSeen {
                id,
                name: first(agent, &["/name"]),
                kind: first(agent, &["/type", "/agentType", "/agent_type"]),
                status: first(agent, &["/status", "/state"]),
                raw: agent.clone(),
            })
        })
        .collect()
}

/// Gives the first of the places that holds a name: a non-empty string, or a whole number.
fn first(value: &Value, places: &[&str]) -> Option<String> {
    places.iter().find_map(|place| match value.pointer(place)? {
        Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        Value::String(_)
        | Value::Number(_)
        | Value::Null
        | Value::Bool(_)
        | Value::Array(_)
        | Value::Object(_) => None,
    })
}

/// Gives `id` when its own form or a neighbouring field says that it is this kind of thing's, and not another's.
fn own_id(value: &Value, prefix: &str, marks: &[&str]) -> Option<String> {
    let id = first(value, &["/id"])?;
    let other = ["swarm", "agent", "task"].into_iter().any(|kind| kind != prefix && id.starts_with(kind));
    let marked = marks.iter().any(|mark| value.get(mark).is_some());
    (id.starts_with(prefix) || (marked && !other)).then_some(id)
}
