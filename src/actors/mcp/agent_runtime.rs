//! The agent runtime in the domain's words: typed calls, and what their answers really say.
//!
//! Never a made-up id or figure: an answer without the identity that was asked for is an error, a word or
//! number that can't be understood is `None` and counted.

use serde_json::{Map, Value, json};

use super::call::KEY_ARGUMENT;
use super::{McpError, McpHandle, RuntimeTool};
use crate::domain::{Agent, AgentId, AgentReport, AgentState, Figures, Swarm, Task, TaskState};
use crate::runtime::Deadline;
use crate::wire::mcp::{self, AgentSeen, ToolFailure};

/// What a runtime answers to a new task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskAck {
    /// The runtime's id of it.
    pub runtime_id: String,
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

/// Typed calls to the agent runtime. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct AgentRuntime(McpHandle);

impl AgentRuntime {
    /// Calls through `mcp`.
    #[must_use]
    pub const fn new(mcp: McpHandle) -> Self {
        Self(mcp)
    }

    /// Makes a swarm, keyed by our id, and returns the runtime's id of it.
    ///
    /// # Errors
    /// [`McpError`]; `MissingIdentity` when the runtime says success without an id.
    pub async fn swarm_init(&self, swarm: &Swarm, deadline: Deadline) -> Result<String, McpError> {
        let arguments = RuntimeTool::arguments([
            ("topology", json!(swarm.topology)),
            ("maxAgents", json!(swarm.max_agents)),
            ("strategy", json!(swarm.strategy)),
            ("name", json!(swarm.name)),
            (KEY_ARGUMENT, json!(swarm.id)),
        ]);
        let answer = self.0.call(RuntimeTool::SwarmInit, arguments, deadline).await?;
        mcp::swarm_id_of(&answer).map_err(|failure| failed(RuntimeTool::SwarmInit, failure))
    }

    /// Asks whether the runtime knows the swarm.
    ///
    /// # Errors
    /// [`McpError::NotFound`] or another refusal when it does not.
    pub async fn swarm_status(&self, swarm: &Swarm, deadline: Deadline) -> Result<(), McpError> {
        self.0.call(RuntimeTool::SwarmStatus, of_swarm(swarm), deadline).await.map(drop)
    }

    /// Ends the swarm in the runtime.
    ///
    /// # Errors
    /// [`McpError`].
    pub async fn swarm_destroy(&self, swarm: &Swarm, deadline: Deadline) -> Result<(), McpError> {
        self.0.call(RuntimeTool::SwarmDestroy, of_swarm(swarm), deadline).await.map(drop)
    }

    /// Adds an agent, keyed by our id, and returns the runtime's id of it.
    ///
    /// # Errors
    /// [`McpError`]; `MissingIdentity` when the runtime says success without an id.
    pub async fn agent_spawn(
        &self,
        swarm: &Swarm,
        agent: &Agent,
        deadline: Deadline,
    ) -> Result<String, McpError> {
        let arguments = RuntimeTool::arguments([
            ("swarmId", json!(swarm.runtime_id)),
            ("type", json!(agent.kind)),
            ("name", json!(agent.name)),
            ("capabilities", json!(agent.capabilities)),
            (KEY_ARGUMENT, json!(agent.id)),
        ]);
        let answer = self.0.call(RuntimeTool::AgentSpawn, arguments, deadline).await?;
        mcp::agent_id_of(&answer).map_err(|failure| failed(RuntimeTool::AgentSpawn, failure))
    }

    /// The runtime's complete list of the swarm's agents.
    ///
    /// # Errors
    /// [`McpError`]; `MissingIdentity` when the answer holds no list.
    pub async fn agent_list(&self, swarm: &Swarm, deadline: Deadline) -> Result<Vec<AgentReport>, McpError> {
        let answer = self.0.call(RuntimeTool::AgentList, of_swarm(swarm), deadline).await?;
        let agents = mcp::agents_of(&answer).map_err(|failure| failed(RuntimeTool::AgentList, failure))?;
        Ok(agents.iter().map(report).collect())
    }

    /// Ends an agent.
    ///
    /// # Errors
    /// [`McpError`].
    pub async fn agent_terminate(
        &self,
        swarm: &Swarm,
        agent: &Agent,
        deadline: Deadline,
    ) -> Result<(), McpError> {
        let mut arguments = of_swarm(swarm);
        arguments.extend(RuntimeTool::arguments([("agentId", json!(agent.runtime_id))]));
        self.0.call(RuntimeTool::AgentTerminate, arguments, deadline).await.map(drop)
    }

    /// The runtime's figures of an agent.
    ///
    /// # Errors
    /// [`McpError`].
    pub async fn agent_metrics(&self, agent: &Agent, deadline: Deadline) -> Result<Figures, McpError> {
        let arguments = RuntimeTool::arguments([("agentId", json!(agent.runtime_id))]);
        let answer = self.0.call(RuntimeTool::AgentMetrics, arguments, deadline).await?;
        Ok(figures(&answer))
    }

    /// Gives a task, keyed by our id.
    ///
    /// # Errors
    /// [`McpError`]; `MissingIdentity` when the runtime says success without an id.
    pub async fn task_orchestrate(
        &self,
        swarm: &Swarm,
        task: &Task,
        deadline: Deadline,
    ) -> Result<TaskAck, McpError> {
        let arguments = RuntimeTool::arguments([
            ("swarmId", json!(swarm.runtime_id)),
            ("task", json!(task.description)),
            ("strategy", json!(task.strategy)),
            ("priority", json!(task.priority)),
            ("maxAgents", json!(task.max_agents)),
            (KEY_ARGUMENT, json!(task.id)),
        ]);
        let answer = self.0.call(RuntimeTool::TaskOrchestrate, arguments, deadline).await?;
        let runtime_id =
            mcp::task_id_of(&answer).map_err(|failure| failed(RuntimeTool::TaskOrchestrate, failure))?;
        Ok(TaskAck { runtime_id })
    }

    /// What has become of a task.
    ///
    /// # Errors
    /// [`McpError`].
    pub async fn task_status(
        &self,
        swarm: &Swarm,
        task: &Task,
        deadline: Deadline,
    ) -> Result<TaskReport, McpError> {
        let mut arguments = of_swarm(swarm);
        arguments.extend(RuntimeTool::arguments([("taskId", json!(task.runtime_id))]));
        let answer = self.0.call(RuntimeTool::TaskStatus, arguments, deadline).await?;
        Ok(task_report(&answer))
    }

    /// Ends a task.
    ///
    /// # Errors
    /// [`McpError`].
    pub async fn task_cancel(&self, swarm: &Swarm, task: &Task, deadline: Deadline) -> Result<(), McpError> {
        let mut arguments = of_swarm(swarm);
        arguments.extend(RuntimeTool::arguments([("taskId", json!(task.runtime_id))]));
        self.0.call(RuntimeTool::TaskCancel, arguments, deadline).await.map(drop)
    }
}

fn of_swarm(swarm: &Swarm) -> Map<String, Value> {
    RuntimeTool::arguments([("swarmId", json!(swarm.runtime_id))])
}

fn failed(tool: RuntimeTool, failure: ToolFailure) -> McpError {
    McpError::from_failure(tool.name(), failure)
}

fn report(seen: &AgentSeen) -> AgentReport {
    let text = |name: &str| seen.raw.get(name).and_then(Value::as_str).map(str::to_owned);
    AgentReport {
        runtime_id: seen.id.clone(),
        key: text("key").and_then(|key| AgentId::parse(key).ok()),
        state: seen.status.as_deref().and_then(agent_state),
        current_task: text("currentTask"),
        figures: figures(&seen.raw),
    }
}

fn agent_state(word: &str) -> Option<AgentState> {
    let state = match word {
        "idle" | "ready" => AgentState::Idle,
        "busy" | "working" | "running" => AgentState::Busy,
        "active" => AgentState::Active,
        "error" | "failed" => AgentState::Error,
        "initializing" | "spawning" => AgentState::Initializing,
        "offline" | "stopped" | "terminated" => AgentState::Offline,
        _ => {
            metrics::counter!("visionflow_mcp_words_unknown_total", "what" => "agent_state").increment(1);
            return None;
        }
    };
    Some(state)
}

fn figures(raw: &Value) -> Figures {
    let count = |name: &str| raw.get(name).and_then(Value::as_u64);
    Figures {
        health: ratio(raw.get("health")),
        workload: ratio(raw.get("workload")),
        success_rate: ratio(raw.get("successRate")),
        cpu_usage: ratio(raw.get("cpuUsage")),
        memory_bytes: count("memoryBytes"),
        tokens_used: count("tokensUsed"),
        tasks_completed: count("tasksCompleted"),
    }
}

/// A ratio, when it can be one: above 1 it might be a percentage or an error, so it is not taken.
fn ratio(value: Option<&Value>) -> Option<f32> {
    let value = value.and_then(Value::as_f64).filter(|value| (0.0..=1.0).contains(value))?;
    #[expect(clippy::cast_possible_truncation, reason = "a ratio between 0 and 1 loses only digits")]
    Some(value as f32)
}

fn task_report(answer: &Value) -> TaskReport {
    // ruv-swarm and claude-flow wrap the task once more
    let task = answer.get("task").filter(|task| task.is_object()).unwrap_or(answer);
    let word = task.get("status").or_else(|| task.get("state")).and_then(Value::as_str);
    let assigned =
        task.get("assignedAgents").or_else(|| task.get("assigned_agents")).and_then(Value::as_array);
    TaskReport {
        status: word.and_then(task_state),
        progress: ratio(task.get("progress")),
        result: task
            .get("result")
            .filter(|result| !result.is_null())
            .map(|result| result.as_str().map_or_else(|| result.to_string(), str::to_owned)),
        assigned: assigned
            .map(|ids| ids.iter().filter_map(|id| id.as_str().map(str::to_owned)).collect())
            .unwrap_or_default(),
    }
}

fn task_state(word: &str) -> Option<TaskState> {
    let state = match word {
        "pending" | "queued" => TaskState::Pending,
        "assigned" | "orchestrated" => TaskState::Assigned,
        "in_progress" | "running" | "active" => TaskState::InProgress,
        "completed" | "done" => TaskState::Completed,
        "failed" | "error" => TaskState::Failed,
        "cancelled" | "canceled" => TaskState::Cancelled,
        _ => {
            metrics::counter!("visionflow_mcp_words_unknown_total", "what" => "task_state").increment(1);
            return None;
        }
    };
    Some(state)
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    #[test]
    fn figures_are_taken_only_when_they_can_mean_one_thing() {
        let raw = json!({"health": 0.5, "workload": 55, "successRate": -1, "tasksCompleted": 3, "tokensUsed": "many"});
        let figures = figures(&raw);
        assert_eq!(figures.health, Some(0.5));
        assert_eq!((figures.workload, figures.success_rate, figures.tokens_used), (None, None, None));
        assert_eq!(figures.tasks_completed, Some(3));
    }

    #[test]
    fn unknown_words_are_unknown_not_idle() {
        assert_eq!(agent_state("quantum"), None);
        assert_eq!(task_report(&json!({"status": "???", "progress": 45})), TaskReport::default());
    }
}
