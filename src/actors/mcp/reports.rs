//! What a runtime's answers say of agents and tasks, in the domain's words. Pure.
//!
//! Nothing is made up: a word or number that can't be understood is `None` and counted, and an answer about something
//! else than what was asked for is none.

use serde_json::Value;

use crate::domain::{AgentId, AgentReport, AgentState, Figures, TaskState};
use crate::wire::mcp::{self, AgentSeen, ToolFailure};

/// What a runtime answers to a new task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskAck {
    /// The runtime's id of it.
    pub runtime_id: String,
    /// The runtime's ids of the agents that it was given to, as far as it said.
    pub assigned: Vec<String>,
}

/// What a runtime says of a task.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TaskReport {
    /// Its state, when that is a word that we know.
    pub status: Option<TaskState>,
    /// 0 to 1.
    pub progress: Option<f32>,
    /// The result's text.
    pub result: Option<String>,
    /// The runtime's ids of the agents that work on it.
    pub assigned: Vec<String>,
}

/// Checks that an answer about one thing is about the one that was asked for.
///
/// # Errors
/// `NotFound` when it is about another: some runtimes tell of the newest when they don't know the one asked for.
pub(super) fn same(asked: &str, found: &str) -> Result<(), ToolFailure> {
    if asked == found {
        return Ok(());
    }
    Err(ToolFailure::NotFound { message: format!("asked for {asked}, told of {found}") })
}

/// Checks an answer that need not name anything, but must not name another than was asked for.
pub(super) fn no_other(asked: Option<&str>, found: Result<String, ToolFailure>) -> Result<(), ToolFailure> {
    match (asked, found) {
        (Some(asked), Ok(found)) => same(asked, &found),
        (Some(_), Err(_)) | (None, _) => Ok(()),
    }
}

/// Finds the swarm in the answer to a question after its status: alone, or in a list of all.
///
/// # Errors
/// `NotFound` when others are told of, `Missing` when none is.
pub(super) fn find_swarm(asked: &str, answer: &Value) -> Result<(), ToolFailure> {
    let Some(swarms) = answer.get("swarms").and_then(Value::as_array) else {
        return same(asked, &mcp::swarm_id_of(answer)?);
    };
    let id = |swarm: &Value| -> Option<String> {
        ["id", "swarmId", "swarm_id"].iter().find_map(|name| swarm.get(name)?.as_str().map(str::to_owned))
    };
    if swarms.iter().filter_map(id).any(|id| id == asked) {
        return Ok(());
    }
    Err(ToolFailure::NotFound { message: format!("{asked} is not among {} swarms", swarms.len()) })
}

/// Finds the figures of one agent: alone, or in a list of all.
///
/// # Errors
/// `NotFound` when others are told of, `Missing` when none is.
pub(super) fn find_figures(asked: &str, answer: &Value) -> Result<Figures, ToolFailure> {
    if answer.get("agents").is_some() {
        let agents = mcp::agents_of(answer)?;
        let agent = agents.iter().find(|agent| agent.id == asked);
        let message = || format!("{asked} is not among {} agents", agents.len());
        return agent
            .map(|agent| figures(&agent.raw))
            .ok_or_else(|| ToolFailure::NotFound { message: message() });
    }
    same(asked, &mcp::agent_id_of(answer)?)?;
    Ok(figures(answer))
}

/// One agent of a list.
pub(super) fn agent(seen: &AgentSeen) -> AgentReport {
    let text = |names: [&str; 3]| {
        names.iter().find_map(|name| seen.raw.get(name).and_then(Value::as_str)).map(str::to_owned)
    };
    // a runtime that was given our id as its own lists that
    let own = Some(seen.id.clone()).filter(|id| uuid::Uuid::parse_str(id).is_ok());
    AgentReport {
        runtime_id: seen.id.clone(),
        key: text(["key", "idempotencyKey", "idempotency_key"])
            .or(own)
            .and_then(|key| AgentId::parse(key).ok()),
        state: seen.status.as_deref().and_then(agent_state),
        current_task: text(["currentTask", "current_task", "currentTaskId"]).filter(|task| !task.is_empty()),
        figures: figures(&seen.raw),
    }
}

fn agent_state(word: &str) -> Option<AgentState> {
    let state = match word {
        // a registered agent of claude-flow 3 does nothing yet
        "idle" | "ready" | "registered" => AgentState::Idle,
        "busy" | "working" | "running" => AgentState::Busy,
        "active" => AgentState::Active,
        "error" | "failed" => AgentState::Error,
        "initializing" | "spawning" => AgentState::Initializing,
        "terminating" | "stopping" => AgentState::Terminating,
        "offline" | "stopped" | "terminated" => AgentState::Offline,
        _ => return unknown("agent_state"),
    };
    Some(state)
}

fn unknown<T>(what: &'static str) -> Option<T> {
    metrics::counter!("visionflow_mcp_words_unknown_total", "what" => what).increment(1);
    None
}

fn figures(raw: &Value) -> Figures {
    let ratio = |names: [&str; 2]| names.iter().find_map(|name| ratio(raw.get(name)?));
    let count = |names: [&str; 2]| names.iter().find_map(|name| raw.get(name)?.as_u64());
    let percent = |name: &str| raw.get(name).and_then(percent);
    Figures {
        health: ratio(["health", "health"]),
        workload: ratio(["workload", "workload"]),
        success_rate: ratio(["successRate", "success_rate"]),
        cpu_usage: percent("cpuPercent").or_else(|| ratio(["cpuUsage", "cpu_usage"])),
        memory_bytes: count(["memoryBytes", "memory_bytes"]),
        tokens_used: count(["tokensUsed", "tokens_used"]),
        tasks_completed: count(["tasksCompleted", "tasks_completed"])
            .or_else(|| raw.pointer("/tasks/completed").and_then(Value::as_u64)),
    }
}

/// A ratio, when it can be one: a number from 0 to 1, or a text that ends in a percent sign.
///
/// A bare number above 1 may be a percentage or a mistake; it is not taken. Nor are a bare 0 and 1 doubted: they mean
/// none and all in a field that holds ratios.
fn ratio(value: &Value) -> Option<f32> {
    if let Some(number) = value.as_str().and_then(|text| text.trim().strip_suffix('%')) {
        return number.trim().parse().ok().and_then(|percent: f64| unit(percent / 100.0));
    }
    unit(value.as_f64()?)
}

/// A ratio out of a field that is called a percentage.
fn percent(value: &Value) -> Option<f32> {
    unit(value.as_f64()? / 100.0)
}

#[expect(clippy::cast_possible_truncation, reason = "a number from 0 to 1 loses only digits")]
fn unit(value: f64) -> Option<f32> {
    if (0.0..=1.0).contains(&value) { Some(value as f32) } else { unknown("ratio") }
}

/// What an answer says of the task that was asked for.
///
/// # Errors
/// `NotFound` when it is about another one, `Missing` when it names none.
pub(super) fn task(asked: &str, answer: &Value) -> Result<TaskReport, ToolFailure> {
    same(asked, &mcp::task_id_of(answer)?)?;
    // some runtimes wrap the task once more
    let task = answer.get("task").filter(|task| task.is_object()).unwrap_or(answer);
    let word = task.get("status").or_else(|| task.get("state")).and_then(Value::as_str);
    let result = task.get("result").filter(|result| !result.is_null());
    Ok(TaskReport {
        status: word.and_then(task_state),
        progress: task.get("progress").and_then(ratio),
        result: result.map(|result| result.as_str().map_or_else(|| result.to_string(), str::to_owned)),
        assigned: assigned(task),
    })
}

/// The runtime's ids of the agents that a task was given to.
pub(super) fn assigned(task: &Value) -> Vec<String> {
    let named = ["assignedAgents", "assigned_agents", "assignedTo"]
        .iter()
        .find_map(|name| task.get(name)?.as_array());
    named.into_iter().flatten().filter_map(|id| id.as_str().map(str::to_owned)).collect()
}

fn task_state(word: &str) -> Option<TaskState> {
    let state = match word {
        "pending" | "queued" => TaskState::Pending,
        "assigned" | "orchestrated" => TaskState::Assigned,
        "in_progress" | "in-progress" | "running" | "active" => TaskState::InProgress,
        "completed" | "done" => TaskState::Completed,
        "failed" | "error" => TaskState::Failed,
        "cancelled" | "canceled" => TaskState::Cancelled,
        _ => return unknown("task_state"),
    };
    Some(state)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn figures_are_taken_only_when_they_can_mean_one_thing() {
        let raw = json!({"health": 0.5, "workload": 55, "successRate": "87.5%", "tasksCompleted": 3,
                         "tokensUsed": "many", "cpuPercent": 40, "memoryBytes": -1});
        let want = Figures {
            health: Some(0.5),
            success_rate: Some(0.875),
            cpu_usage: Some(0.4),
            tasks_completed: Some(3),
            ..Figures::default()
        };
        assert_eq!(figures(&raw), want);
        assert_eq!(figures(&json!({"health": "healthy", "workload": "400%"})), Figures::default());
    }

    #[test]
    fn unknown_words_are_unknown_not_idle() {
        assert_eq!(agent_state("quantum"), None);
        let report = task("t", &json!({"taskId": "t", "status": "???", "progress": 45})).unwrap();
        assert_eq!(report, TaskReport::default());
    }

    #[test]
    fn an_answer_about_another_one_is_no_answer() {
        assert!(find_swarm("s", &json!({"swarmId": "s"})).is_ok());
        assert!(find_swarm("s", &json!({"swarms": [{"id": "r"}, {"id": "s"}]})).is_ok());
        let newest = find_swarm("s", &json!({"swarmId": "newest"}));
        assert!(matches!(newest, Err(ToolFailure::NotFound { .. })), "{newest:?}");
        let none = find_swarm("s", &json!({"success": true}));
        assert!(matches!(none, Err(ToolFailure::Missing { .. })), "{none:?}");
        assert!(matches!(task("t", &json!({"taskId": "u"})), Err(ToolFailure::NotFound { .. })));
        assert!(matches!(task("t", &json!({"status": "completed"})), Err(ToolFailure::Missing { .. })));
        assert!(no_other(Some("s"), Ok("s".into())).is_ok() && no_other(None, Ok("s".into())).is_ok());
        assert!(no_other(Some("s"), Ok("r".into())).is_err());
    }

    #[test]
    fn figures_are_found_in_a_list_of_all_agents() {
        let all = json!({"agents": [{"id": "a", "tasks": {"completed": 2}}, {"id": "b"}]});
        assert_eq!(find_figures("a", &all).unwrap().tasks_completed, Some(2));
        assert!(matches!(find_figures("c", &all), Err(ToolFailure::NotFound { .. })));
        assert!(find_figures("a", &json!({"agentId": "a", "health": 1})).unwrap().health.is_some());
    }

    #[test]
    fn our_ids_are_known_again_whichever_way_the_runtime_gives_them_back() {
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        for raw in [json!({"id": "agent-7", "key": id}), json!({"agentId": id, "status": "registered"})] {
            let seen = mcp::agents_of(&json!({"agents": [raw]})).unwrap();
            assert_eq!(agent(&seen[0]).key.unwrap().as_str(), id);
        }
        let seen = mcp::agents_of(&json!([{"id": "agent-7"}])).unwrap();
        assert_eq!((agent(&seen[0]).key, agent(&seen[0]).state), (None, None));
    }
}
