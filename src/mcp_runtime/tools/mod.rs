//! The runtime's tools: their names, their schemas, and how a call becomes a call of the engine.
//!
//! Names, arguments and answers are those of claude-flow 2.x, so that its clients need no change. Added are
//! `idempotencyKey` in what makes something, and `key` in what is told of it.

mod args;
mod render;
mod schema;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use self::args::{
    AgentArgs, InitArgs, ListArgs, OrchestrateArgs, SpawnArgs, StatusArgs, SwarmArgs, TaskArgs,
};
use super::engine::{AgentSpec, Engine, EngineError, Moment, SwarmSpec, TaskSpec};
use crate::domain::{NewAgent, NewTask, UnknownWord};

pub(super) use self::schema::list;

/// One tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ToolName {
    SwarmInit,
    SwarmStatus,
    SwarmDestroy,
    AgentSpawn,
    AgentList,
    AgentTerminate,
    AgentMetrics,
    TaskOrchestrate,
    TaskStatus,
    TaskCancel,
}

impl ToolName {
    pub(super) const ALL: [Self; 10] = [
        Self::SwarmInit,
        Self::SwarmStatus,
        Self::SwarmDestroy,
        Self::AgentSpawn,
        Self::AgentList,
        Self::AgentTerminate,
        Self::AgentMetrics,
        Self::TaskOrchestrate,
        Self::TaskStatus,
        Self::TaskCancel,
    ];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::SwarmInit => "swarm_init",
            Self::SwarmStatus => "swarm_status",
            Self::SwarmDestroy => "swarm_destroy",
            Self::AgentSpawn => "agent_spawn",
            Self::AgentList => "agent_list",
            Self::AgentTerminate => "agent_terminate",
            Self::AgentMetrics => "agent_metrics",
            Self::TaskOrchestrate => "task_orchestrate",
            Self::TaskStatus => "task_status",
            Self::TaskCancel => "task_cancel",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tool| tool.as_str() == name)
    }

    /// Whether a call may give work to agents or take it from them.
    pub(super) const fn moves_work(self) -> bool {
        matches!(
            self,
            Self::AgentSpawn
                | Self::AgentTerminate
                | Self::SwarmDestroy
                | Self::TaskOrchestrate
                | Self::TaskCancel
        )
    }
}

/// A call that failed: a stable word and a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ToolError {
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl From<EngineError> for ToolError {
    fn from(error: EngineError) -> Self {
        Self { code: error.code(), message: error.to_string() }
    }
}

/// Runs a tool. `id` is used for what the call makes, if it makes something.
pub(super) fn call(
    tool: ToolName,
    engine: &mut Engine,
    arguments: Map<String, Value>,
    id: Uuid,
    now: Moment,
) -> Result<Value, ToolError> {
    // What is due by now has happened before this call.
    engine.advance(now);
    match tool {
        ToolName::SwarmInit => swarm_init(engine, args::read(arguments)?, id, now),
        ToolName::SwarmStatus => swarm_status(engine, &args::read(arguments)?, now),
        ToolName::SwarmDestroy => swarm_destroy(engine, &args::read(arguments)?, now),
        ToolName::AgentSpawn => agent_spawn(engine, args::read(arguments)?, id, now),
        ToolName::AgentList => agent_list(engine, &args::read(arguments)?, now),
        ToolName::AgentTerminate => agent_terminate(engine, &args::read(arguments)?, now),
        ToolName::AgentMetrics => agent_metrics(engine, &args::read(arguments)?, now),
        ToolName::TaskOrchestrate => task_orchestrate(engine, args::read(arguments)?, id, now),
        ToolName::TaskStatus => task_status(engine, &args::read(arguments)?, now),
        ToolName::TaskCancel => task_cancel(engine, &args::read(arguments)?, now),
    }
}

fn word<T: std::str::FromStr<Err = UnknownWord>>(word: Option<&str>) -> Result<Option<T>, EngineError> {
    Ok(word.map(str::parse).transpose()?)
}

fn swarm_init(engine: &mut Engine, args: InitArgs, id: Uuid, now: Moment) -> Result<Value, ToolError> {
    let spec = SwarmSpec {
        topology: word(args.topology.as_deref())?,
        strategy: word(args.strategy.as_deref())?,
        max_agents: args.max_agents,
        key: args.idempotency_key,
        name: args.name,
    };
    let (swarm, existing) = engine.swarm_init(id, spec, now)?;
    Ok(render::swarm_made(swarm, existing, now))
}

fn swarm_status(engine: &Engine, args: &StatusArgs, now: Moment) -> Result<Value, ToolError> {
    match &args.swarm_id {
        Some(id) => Ok(render::swarm_status(engine.swarm(id)?, now)),
        None => Ok(render::all_swarms(engine, now)),
    }
}

fn swarm_destroy(engine: &mut Engine, args: &SwarmArgs, now: Moment) -> Result<Value, ToolError> {
    let gone = engine.swarm_destroy(&args.swarm_id)?;
    Ok(json!({
        "success": true,
        "swarmId": args.swarm_id,
        "status": "destroyed",
        "agentsTerminated": gone.agents,
        "tasksCancelled": gone.open_tasks,
        "timestamp": render::stamp(now.at),
    }))
}

fn agent_spawn(engine: &mut Engine, args: SpawnArgs, id: Uuid, now: Moment) -> Result<Value, ToolError> {
    let new = NewAgent::parse(&args.kind, args.name, args.capabilities.unwrap_or_default())
        .map_err(EngineError::from)?;
    let spec = AgentSpec { key: args.idempotency_key, new };
    let (agent, existing) = engine.agent_spawn(id, &args.swarm_id, spec, now)?;
    Ok(render::agent_made(agent, &args.swarm_id, existing, now))
}

fn agent_list(engine: &Engine, args: &ListArgs, now: Moment) -> Result<Value, ToolError> {
    let filter = args.filter.as_deref().unwrap_or("all");
    if !schema::AGENT_FILTERS.contains(&filter) {
        let unknown = UnknownWord {
            what: "filter",
            word: filter.chars().take(64).collect(),
            allowed: schema::AGENT_FILTERS,
        };
        return Err(EngineError::from(unknown).into());
    }
    Ok(render::agent_list(engine.swarm(&args.swarm_id)?, filter, now))
}

fn agent_terminate(engine: &mut Engine, args: &AgentArgs, now: Moment) -> Result<Value, ToolError> {
    let swarm = engine.agent(&args.agent_id, args.swarm_id.as_deref())?.0.public_id();
    let agent = engine.agent_terminate(&args.agent_id, args.swarm_id.as_deref(), now)?;
    Ok(json!({
        "success": true,
        "agentId": args.agent_id,
        "swarmId": swarm,
        "key": agent.key,
        "name": agent.name,
        "status": "terminated",
        "timestamp": render::stamp(now.at),
    }))
}

fn agent_metrics(engine: &Engine, args: &AgentArgs, now: Moment) -> Result<Value, ToolError> {
    let (swarm, agent) = engine.agent(&args.agent_id, args.swarm_id.as_deref())?;
    Ok(render::agent_metrics(swarm, agent, now))
}

fn task_orchestrate(
    engine: &mut Engine,
    args: OrchestrateArgs,
    id: Uuid,
    now: Moment,
) -> Result<Value, ToolError> {
    let max_agents = args.max_agents.map(|n| u32::try_from(n).unwrap_or(u32::MAX));
    let new = NewTask::parse(args.task, args.priority.as_deref(), args.strategy.as_deref(), max_agents)
        .map_err(EngineError::from)?;
    let spec = TaskSpec { key: args.idempotency_key, new };
    let (swarm, task, existing) = engine.task_orchestrate(id, &args.swarm_id, spec, now)?;
    let mut made = render::task(swarm, task, now);
    if let Some(map) = made.as_object_mut() {
        map.insert("existing".into(), existing.into());
    }
    Ok(made)
}

fn task_status(engine: &Engine, args: &TaskArgs, now: Moment) -> Result<Value, ToolError> {
    let (swarm, task) = engine.task(&args.task_id, args.swarm_id.as_deref())?;
    Ok(render::task(swarm, task, now))
}

fn task_cancel(engine: &mut Engine, args: &TaskArgs, now: Moment) -> Result<Value, ToolError> {
    engine.task_cancel(&args.task_id, args.swarm_id.as_deref(), now)?;
    task_status(engine, args, now)
}
