//! What `tools/list` tells: each tool with the JSON schema of its arguments.

use serde_json::{Value, json};

use super::ToolName;
use crate::domain::{AgentType, Priority, SwarmStrategy, TaskStrategy, Topology, limits};
use crate::mcp_runtime::engine::{EngineLimits, KEY_CHARS_MAX};
use crate::wire::mcp::Tool;

/// What `agent_list` may be narrowed to.
pub(super) const AGENT_FILTERS: &[&str] = &["all", "idle", "busy"];

/// Every tool.
pub(in crate::mcp_runtime) fn list(limits: &EngineLimits) -> Vec<Tool> {
    ToolName::ALL.into_iter().map(|tool| describe(tool, limits)).collect()
}

fn describe(tool: ToolName, limits: &EngineLimits) -> Tool {
    let (description, required, properties) = match tool {
        ToolName::SwarmInit => swarm_init(limits),
        ToolName::SwarmStatus => (
            "Tells of one swarm, or of all swarms when no id is given",
            &[][..],
            json!({"swarmId": id("swarm")}),
        ),
        ToolName::SwarmDestroy => {
            ("Ends a swarm with its agents and tasks", &["swarmId"][..], json!({"swarmId": id("swarm")}))
        }
        ToolName::AgentSpawn => agent_spawn(),
        ToolName::AgentList => (
            "Lists the agents of a swarm: all of them, in the order of joining",
            &["swarmId"][..],
            json!({"swarmId": id("swarm"), "filter": words(AGENT_FILTERS, Some("all"), "Only agents in this state")}),
        ),
        ToolName::AgentTerminate => (
            "Ends an agent; another one takes over the step that it was in",
            &["agentId"][..],
            json!({"agentId": id("agent"), "swarmId": id("swarm")}),
        ),
        ToolName::AgentMetrics => (
            "Tells what the runtime counted of an agent; null is what it can't know",
            &["agentId"][..],
            json!({"agentId": id("agent"), "swarmId": id("swarm")}),
        ),
        ToolName::TaskOrchestrate => task_orchestrate(),
        ToolName::TaskStatus => (
            "Tells of a task: its state, its progress, its agents, its result",
            &["taskId"][..],
            json!({"taskId": id("task"), "swarmId": id("swarm")}),
        ),
        ToolName::TaskCancel => (
            "Ends a task that has not ended yet",
            &["taskId"][..],
            json!({"taskId": id("task"), "swarmId": id("swarm")}),
        ),
    };
    Tool {
        name: tool.as_str().to_owned(),
        description: description.to_owned(),
        input_schema: json!({"type": "object", "properties": properties, "required": required}),
    }
}

type Described = (&'static str, &'static [&'static str], Value);

fn swarm_init(limits: &EngineLimits) -> Described {
    let properties = json!({
        "topology": words(Topology::WORDS, Some("mesh"), "How the agents are linked"),
        "maxAgents": {
            "type": "integer", "minimum": 1, "maximum": limits.agents_per_swarm,
            "default": limits.agents_per_swarm.min(8), "description": "Most agents of the swarm",
        },
        "strategy": words(SwarmStrategy::WORDS, Some("balanced"), "How work is distributed"),
        "name": text(limits::NAME_CHARS_MAX, "Name of the swarm"),
        "idempotencyKey": key("swarm"),
    });
    ("Makes a swarm, or finds the one with the same key and brings it to what is asked", &[], properties)
}

fn agent_spawn() -> Described {
    let properties = json!({
        "swarmId": id("swarm"),
        "type": words(AgentType::WORDS, None, "What the agent is for"),
        "name": text(limits::NAME_CHARS_MAX, "Name of the agent; made from its type when missing"),
        "capabilities": {
            "type": "array", "maxItems": limits::CAPABILITIES_MAX,
            "items": {"type": "string", "minLength": 1, "maxLength": limits::CAPABILITY_CHARS_MAX},
            "description": "What the agent can do",
        },
        "idempotencyKey": key("agent"),
    });
    ("Adds an agent to a swarm, or finds the one with the same key", &["swarmId", "type"], properties)
}

fn task_orchestrate() -> Described {
    let properties = json!({
        "swarmId": id("swarm"),
        "task": text(limits::TASK_DESCRIPTION_CHARS_MAX, "What is to be done"),
        "strategy": words(TaskStrategy::WORDS, Some("adaptive"), "How the task is spread over agents"),
        "priority": words(Priority::WORDS, Some("medium"), "Which task goes first"),
        "maxAgents": {
            "type": "integer", "minimum": 1, "maximum": limits::TASK_AGENTS_MAX,
            "description": "Most agents that take part",
        },
        "idempotencyKey": key("task"),
    });
    ("Gives a swarm a task; the demo executor simulates the work", &["swarmId", "task"], properties)
}

fn id(what: &str) -> Value {
    json!({"type": "string", "description": format!("Id of the {what}, as it was given out")})
}

fn key(what: &str) -> Value {
    text(KEY_CHARS_MAX, &format!("The same key always means the same {what}; lists give it back as `key`"))
}

fn text(max: usize, description: &str) -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": max, "description": description})
}

fn words(words: &[&str], default: Option<&str>, description: &str) -> Value {
    let mut schema = json!({"type": "string", "enum": words, "description": description});
    if let (Some(default), Some(map)) = (default, schema.as_object_mut()) {
        map.insert("default".into(), default.into());
    }
    schema
}
