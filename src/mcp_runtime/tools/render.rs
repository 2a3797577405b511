//! What tools answer, in the shapes that claude-flow 2.x uses. What the runtime can't know is null.

use std::time::Duration;

use chrono::SecondsFormat;
use serde_json::{Value, json};

use crate::domain::{TaskState, Timestamp};
use crate::mcp_runtime::engine::{AgentRec, Engine, Moment, SwarmRec, TaskRec};
use crate::mcp_runtime::executor::EXECUTOR;

/// RFC 3339, UTC, milliseconds.
pub(super) fn stamp(at: Timestamp) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

pub(super) fn swarm_made(swarm: &SwarmRec, existing: bool, now: Moment) -> Value {
    json!({
        "success": true,
        "swarmId": swarm.public_id(),
        "key": swarm.key,
        "name": swarm.name,
        "topology": swarm.topology,
        "maxAgents": swarm.max_agents,
        "strategy": swarm.strategy,
        "status": "initialized",
        "existing": existing,
        "persisted": false,
        "createdAt": stamp(swarm.created_at),
        "timestamp": stamp(now.at),
    })
}

pub(super) fn swarm_status(swarm: &SwarmRec, now: Moment) -> Value {
    let busy = swarm.busy_agents();
    json!({
        "success": true,
        "swarmId": swarm.public_id(),
        "key": swarm.key,
        "name": swarm.name,
        "topology": swarm.topology,
        "maxAgents": swarm.max_agents,
        "strategy": swarm.strategy,
        "status": "active",
        "agentCount": swarm.agents.len(),
        "busyAgents": busy,
        "idleAgents": swarm.agents.len() - busy,
        "taskCount": swarm.tasks.len(),
        "pendingTasks": swarm.tasks_in(TaskState::Pending),
        "activeTasks": swarm.tasks_in(TaskState::InProgress),
        "completedTasks": swarm.tasks_in(TaskState::Completed),
        "failedTasks": swarm.tasks_in(TaskState::Failed),
        "cancelledTasks": swarm.tasks_in(TaskState::Cancelled),
        "executor": EXECUTOR,
        "simulated": true,
        "createdAt": stamp(swarm.created_at),
        "timestamp": stamp(now.at),
    })
}

pub(super) fn all_swarms(engine: &Engine, now: Moment) -> Value {
    let swarms: Vec<Value> = engine
        .swarms()
        .map(|swarm| {
            json!({
                "swarmId": swarm.public_id(),
                "key": swarm.key,
                "name": swarm.name,
                "topology": swarm.topology,
                "agentCount": swarm.agents.len(),
                "openTasks": swarm.open_tasks(),
            })
        })
        .collect();
    json!({
        "success": true,
        "count": swarms.len(),
        "swarms": swarms,
        "executor": EXECUTOR,
        "simulated": true,
        "timestamp": stamp(now.at),
    })
}

pub(super) fn agent_made(agent: &AgentRec, swarm: &str, existing: bool, now: Moment) -> Value {
    json!({
        "success": true,
        "agentId": agent.public_id(),
        "swarmId": swarm,
        "key": agent.key,
        "type": agent.kind,
        "name": agent.name,
        "status": agent.status(),
        "capabilities": agent.capabilities,
        "existing": existing,
        "createdAt": stamp(agent.created_at),
        "timestamp": stamp(now.at),
    })
}

pub(super) fn agent_list(swarm: &SwarmRec, filter: &str, now: Moment) -> Value {
    let agents: Vec<Value> = swarm
        .agents
        .values()
        .filter(|agent| filter == "all" || filter == agent.status())
        .map(|agent| {
            json!({
                "id": agent.public_id(),
                "key": agent.key,
                "name": agent.name,
                "type": agent.kind,
                "status": agent.status(),
                "capabilities": agent.capabilities,
                "currentTask": current_task(swarm, agent),
                "workload": workload(agent),
                "tasksCompleted": agent.tasks_completed,
                "tasksFailed": agent.tasks_failed,
                "successRate": success_rate(agent),
                "tokensUsed": null,
                "createdAt": stamp(agent.created_at),
            })
        })
        .collect();
    json!({
        "success": true,
        "swarmId": swarm.public_id(),
        "key": swarm.key,
        "count": agents.len(),
        "agents": agents,
        "timestamp": stamp(now.at),
    })
}

pub(super) fn agent_metrics(swarm: &SwarmRec, agent: &AgentRec, now: Moment) -> Value {
    json!({
        "success": true,
        "agentId": agent.public_id(),
        "swarmId": swarm.public_id(),
        "key": agent.key,
        "status": agent.status(),
        "currentTask": current_task(swarm, agent),
        "tasksCompleted": agent.tasks_completed,
        "tasksFailed": agent.tasks_failed,
        "stepsCompleted": agent.steps_done,
        "successRate": success_rate(agent),
        "workload": workload(agent),
        "busyMs": millis(agent.busy_until(now.elapsed)),
        "ageMs": millis(now.elapsed.saturating_sub(agent.created)),
        "tokensUsed": null,
        "cpuUsage": null,
        "memoryBytes": null,
        "executor": EXECUTOR,
        "simulated": true,
        "timestamp": stamp(now.at),
    })
}

pub(super) fn task(swarm: &SwarmRec, task: &TaskRec, now: Moment) -> Value {
    let id = |agent: uuid::Uuid| format!("agent-{agent}");
    json!({
        "success": true,
        "taskId": task.public_id(),
        "swarmId": swarm.public_id(),
        "key": task.key,
        "task": task.description,
        "status": task.status,
        "strategy": task.strategy,
        "priority": task.priority,
        "maxAgents": task.max_agents,
        "progress": task.progress(),
        "stepsCompleted": task.steps_done(),
        "stepsTotal": task.steps_total(),
        "assignedAgents": task.assigned.iter().copied().map(id).collect::<Vec<_>>(),
        "workingAgents": task.working().map(id).collect::<Vec<_>>(),
        "result": task.result,
        "reason": task.reason,
        "executor": EXECUTOR,
        "simulated": true,
        "createdAt": stamp(task.created_at),
        "startedAt": task.started_at.map(stamp),
        "completedAt": task.finished_at.map(stamp),
        "timestamp": stamp(now.at),
    })
}

fn current_task(swarm: &SwarmRec, agent: &AgentRec) -> Option<String> {
    agent.work.and_then(|work| swarm.tasks.get(&work.task)).map(TaskRec::public_id)
}

/// 0 to 1: the share of its one place for work that is taken now.
fn workload(agent: &AgentRec) -> f64 {
    if agent.work.is_some() { 1.0 } else { 0.0 }
}

/// 0 to 1: completed among ended tasks; unknown before the first has ended.
fn success_rate(agent: &AgentRec) -> Option<f64> {
    let [completed, failed] =
        [agent.tasks_completed, agent.tasks_failed].map(|n| u32::try_from(n).unwrap_or(u32::MAX));
    let ended = f64::from(completed) + f64::from(failed);
    (ended > 0.0).then(|| f64::from(completed) / ended)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
