//! Tool names and argument names differ among agent runtimes: one table of what each is called where.
//!
//! The names are looked up in the server's own `tools/list`, not by its name or version, which can't be
//! trusted.

use serde_json::{Map, Value};

use crate::wire::mcp::Tool;

/// What we ask of an agent runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RuntimeTool {
    /// Makes a swarm.
    SwarmInit,
    /// Tells of a swarm.
    SwarmStatus,
    /// Ends a swarm.
    SwarmDestroy,
    /// Adds an agent.
    AgentSpawn,
    /// Lists the agents of a swarm.
    AgentList,
    /// Ends an agent.
    AgentTerminate,
    /// Tells an agent's figures.
    AgentMetrics,
    /// Gives a task.
    TaskOrchestrate,
    /// Tells of a task.
    TaskStatus,
    /// Ends a task.
    TaskCancel,
}

impl RuntimeTool {
    /// Every tool.
    pub const ALL: [Self; 10] = [
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

    /// Our name for it, also the first that is looked for.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.names().first().copied().unwrap_or("unknown")
    }

    /// Its names in the runtimes that we know: ours and claude-flow 2, then ruv-swarm, claude-flow 3 and ruflo.
    const fn names(self) -> &'static [&'static str] {
        match self {
            Self::SwarmInit => &["swarm_init"],
            Self::SwarmStatus => &["swarm_status"],
            Self::SwarmDestroy => &["swarm_destroy", "swarm_shutdown"],
            Self::AgentSpawn => &["agent_spawn"],
            Self::AgentList => &["agent_list"],
            Self::AgentTerminate => &["agent_terminate", "agent_stop"],
            Self::AgentMetrics => &["agent_metrics", "agent_health"],
            Self::TaskOrchestrate => &["task_orchestrate", "task_create", "coordination_orchestrate"],
            Self::TaskStatus => &["task_status"],
            Self::TaskCancel => &["task_cancel"],
        }
    }

    /// Whether it changes anything in the runtime.
    #[must_use]
    pub const fn is_write(self) -> bool {
        !matches!(self, Self::SwarmStatus | Self::AgentList | Self::AgentMetrics | Self::TaskStatus)
    }

    /// The server's tool for it.
    pub(super) fn find(self, tools: &[Tool]) -> Option<&Tool> {
        self.names().iter().find_map(|name| tools.iter().find(|tool| tool.name == *name))
    }
}

/// Our argument names and what runtimes call the same.
const ARGUMENTS: &[(&str, &[&str])] = &[
    ("swarmId", &["swarmId", "swarm_id"]),
    ("agentId", &["agentId", "agent_id", "id"]),
    ("taskId", &["taskId", "task_id", "id"]),
    ("type", &["type", "agentType"]),
    ("task", &["task", "description"]),
    ("maxAgents", &["maxAgents", "max_agents"]),
];

/// Names the arguments as the tool's schema does, and leaves out what it does not take.
///
/// A tool without a schema gets all of them under our names.
pub(super) fn adapt(tool: &Tool, arguments: Map<String, Value>) -> Map<String, Value> {
    let described =
        tool.input_schema.get("properties").and_then(Value::as_object).is_some_and(|p| !p.is_empty());
    if !described {
        return arguments;
    }
    let named = |name: &str| -> Option<String> {
        let known = ARGUMENTS.iter().find(|(ours, _)| *ours == name).map(|(_, theirs)| *theirs);
        match known {
            Some(theirs) => theirs.iter().find(|theirs| tool.takes(theirs)).map(|name| (*name).to_owned()),
            None => tool.takes(name).then(|| name.to_owned()),
        }
    };
    arguments.into_iter().filter_map(|(name, value)| named(&name).map(|name| (name, value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tool(name: &str, properties: Value) -> Tool {
        Tool {
            name: name.into(),
            description: String::new(),
            input_schema: json!({"type": "object", "properties": properties}),
        }
    }

    #[test]
    fn names_are_taken_from_the_servers_own_list() {
        let tools = [tool("swarm_shutdown", json!({})), tool("task_create", json!({}))];
        assert_eq!(RuntimeTool::SwarmDestroy.find(&tools).unwrap().name, "swarm_shutdown");
        assert_eq!(RuntimeTool::TaskOrchestrate.find(&tools).unwrap().name, "task_create");
        assert!(RuntimeTool::AgentSpawn.find(&tools).is_none());
    }

    #[test]
    fn arguments_are_renamed_and_unknown_ones_left_out() {
        let theirs = tool("agent_spawn", json!({"agentType": {}, "agentId": {}}));
        let Value::Object(ours) = json!({"type": "coder", "swarmId": "s", "idempotencyKey": "k"}) else {
            panic!()
        };
        assert_eq!(Value::Object(adapt(&theirs, ours.clone())), json!({"agentType": "coder"}));
        assert_eq!(adapt(&tool("agent_spawn", json!({})), ours.clone()), ours);
    }
}
