//! The agent runtime in the domain's words: typed calls, whose answers must name what was asked for.

use serde_json::{Value, json};

use super::reports::{self, TaskAck, TaskReport};
use super::{IdempotencyKey, McpError, McpHandle, RuntimeTool, ToolCall};
use crate::domain::{Agent, AgentReport, Figures, Swarm, Task};
use crate::runtime::Deadline;
use crate::wire::mcp::{self, ToolFailure};

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
        let arguments = [
            ("topology", json!(swarm.topology)),
            ("maxAgents", json!(swarm.max_agents)),
            ("strategy", json!(swarm.strategy)),
            ("name", json!(swarm.name)),
        ];
        let call = ToolCall::new(RuntimeTool::SwarmInit, arguments).keyed(IdempotencyKey::of(&swarm.id));
        self.ask(call, deadline, mcp::swarm_id_of).await
    }

    /// Asks whether the runtime knows the swarm.
    ///
    /// # Errors
    /// [`McpError::NotFound`] or another refusal when it does not; also when it tells of another swarm.
    pub async fn swarm_status(&self, swarm: &Swarm, deadline: Deadline) -> Result<(), McpError> {
        let asked = known(RuntimeTool::SwarmStatus, "swarm", swarm.runtime_id.as_deref())?;
        let call = ToolCall::new(RuntimeTool::SwarmStatus, [("swarmId", json!(asked))]);
        self.ask(call, deadline, |answer| reports::find_swarm(asked, answer)).await
    }

    /// Ends the swarm in the runtime.
    ///
    /// # Errors
    /// [`McpError`].
    pub async fn swarm_destroy(&self, swarm: &Swarm, deadline: Deadline) -> Result<(), McpError> {
        let asked = known(RuntimeTool::SwarmDestroy, "swarm", swarm.runtime_id.as_deref())?;
        let call = ToolCall::new(RuntimeTool::SwarmDestroy, [("swarmId", json!(asked))]);
        self.ask(call, deadline, |answer| reports::no_other(Some(asked), mcp::swarm_id_of(answer))).await
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
        let arguments = [
            ("swarmId", json!(swarm.runtime_id)),
            ("type", json!(agent.kind)),
            ("name", json!(agent.name)),
            ("capabilities", json!(agent.capabilities)),
        ];
        let call = ToolCall::new(RuntimeTool::AgentSpawn, arguments).keyed(IdempotencyKey::of(&agent.id));
        self.ask(call, deadline, mcp::agent_id_of).await
    }

    /// The runtime's complete list of the swarm's agents; of all agents, in a runtime that can't tell them apart.
    ///
    /// # Errors
    /// [`McpError`]; `MissingIdentity` when the answer holds no list, or an agent without an id; `NotFound` when it is
    /// the list of another swarm.
    pub async fn agent_list(&self, swarm: &Swarm, deadline: Deadline) -> Result<Vec<AgentReport>, McpError> {
        let asked = swarm.runtime_id.as_deref();
        let call = ToolCall::new(RuntimeTool::AgentList, [("swarmId", json!(asked))]);
        let read = |answer: &Value| {
            let agents = mcp::agents_of(answer)?;
            reports::no_other(asked, mcp::swarm_id_of(answer))?;
            Ok(agents.iter().map(reports::agent).collect())
        };
        self.ask(call, deadline, read).await
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
        let asked = known(RuntimeTool::AgentTerminate, "agent", agent.runtime_id.as_deref())?;
        let arguments = [("swarmId", json!(swarm.runtime_id)), ("agentId", json!(asked))];
        let call = ToolCall::new(RuntimeTool::AgentTerminate, arguments);
        self.ask(call, deadline, |answer| reports::no_other(Some(asked), mcp::agent_id_of(answer))).await
    }

    /// The runtime's figures of an agent.
    ///
    /// # Errors
    /// [`McpError`]; `NotFound` or `MissingIdentity` when the answer is not about this agent.
    pub async fn agent_metrics(&self, agent: &Agent, deadline: Deadline) -> Result<Figures, McpError> {
        let asked = known(RuntimeTool::AgentMetrics, "agent", agent.runtime_id.as_deref())?;
        let call = ToolCall::new(RuntimeTool::AgentMetrics, [("agentId", json!(asked))]);
        self.ask(call, deadline, |answer| reports::find_figures(asked, answer)).await
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
        let arguments = [
            ("swarmId", json!(swarm.runtime_id)),
            ("task", json!(task.description)),
            ("strategy", json!(task.strategy)),
            ("priority", json!(task.priority)),
            ("maxAgents", json!(task.max_agents)),
        ];
        let call = ToolCall::new(RuntimeTool::TaskOrchestrate, arguments).keyed(IdempotencyKey::of(&task.id));
        let read = |answer: &Value| {
            let runtime_id = mcp::task_id_of(answer)?;
            Ok(TaskAck { runtime_id, assigned: reports::assigned(answer) })
        };
        self.ask(call, deadline, read).await
    }

    /// What has become of a task.
    ///
    /// # Errors
    /// [`McpError`]; `NotFound` or `MissingIdentity` when the answer is not about this task.
    pub async fn task_status(
        &self,
        swarm: &Swarm,
        task: &Task,
        deadline: Deadline,
    ) -> Result<TaskReport, McpError> {
        let asked = known(RuntimeTool::TaskStatus, "task", task.runtime_id.as_deref())?;
        let arguments = [("swarmId", json!(swarm.runtime_id)), ("taskId", json!(asked))];
        let call = ToolCall::new(RuntimeTool::TaskStatus, arguments);
        self.ask(call, deadline, |answer| reports::task(asked, answer)).await
    }

    /// Ends a task.
    ///
    /// # Errors
    /// [`McpError`].
    pub async fn task_cancel(&self, swarm: &Swarm, task: &Task, deadline: Deadline) -> Result<(), McpError> {
        let asked = known(RuntimeTool::TaskCancel, "task", task.runtime_id.as_deref())?;
        let arguments = [("swarmId", json!(swarm.runtime_id)), ("taskId", json!(asked))];
        let call = ToolCall::new(RuntimeTool::TaskCancel, arguments);
        self.ask(call, deadline, |answer| reports::no_other(Some(asked), mcp::task_id_of(answer))).await
    }

    /// Calls, and reads the answer.
    async fn ask<T>(
        &self,
        call: ToolCall,
        deadline: Deadline,
        read: impl FnOnce(&Value) -> Result<T, ToolFailure>,
    ) -> Result<T, McpError> {
        let tool = call.tool.name();
        let answer = self.0.call(call, deadline).await?;
        read(&answer).map_err(|failure| {
            metrics::counter!("visionflow_mcp_answers_unusable_total", "tool" => tool).increment(1);
            McpError::from_failure(tool, failure)
        })
    }
}

/// The runtime's id of something; what it never named it can't be asked about.
fn known<'a>(tool: RuntimeTool, what: &str, id: Option<&'a str>) -> Result<&'a str, McpError> {
    let message = || format!("it never named this {what}");
    id.ok_or_else(|| McpError::NotFound { tool: tool.name(), message: message() })
}
