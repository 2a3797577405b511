//! Tool names and argument shapes differ among agent runtimes: one table of what each is called where.
//!
//! The server's own `tools/list` decides, not its name or version, which can't be trusted: a tool that is not listed is
//! missing, an argument that a tool's schema does not name is left out.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::messages::{Effect, ToolCall};
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
    pub const fn name(self) -> &'static str {
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

    /// What claude-flow 3 and ruflo call it, where that differs. (`coordination_orchestrate` only notes a task down.)
    const fn other_name(self) -> Option<&'static str> {
        match self {
            Self::SwarmDestroy => Some("swarm_shutdown"),
            Self::AgentMetrics => Some("agent_health"),
            Self::TaskOrchestrate => Some("task_create"),
            Self::SwarmInit
            | Self::SwarmStatus
            | Self::AgentSpawn
            | Self::AgentList
            | Self::AgentTerminate
            | Self::TaskStatus
            | Self::TaskCancel => None,
        }
    }

    /// Whether it changes anything in the runtime.
    #[must_use]
    pub const fn effect(self) -> Effect {
        match self {
            Self::SwarmStatus | Self::AgentList | Self::AgentMetrics | Self::TaskStatus => Effect::Read,
            Self::SwarmInit
            | Self::SwarmDestroy
            | Self::AgentSpawn
            | Self::AgentTerminate
            | Self::TaskOrchestrate
            | Self::TaskCancel => Effect::Write,
        }
    }
}

/// Which agent runtime a server seems to be, by the tools that it lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuntimeKind {
    /// Ours, or one that takes idempotency keys as ours does.
    Visionflow,
    /// claude-flow 2.
    ClaudeFlow2,
    /// claude-flow 3, or ruflo.
    ClaudeFlow3,
    /// ruv-swarm.
    RuvSwarm,
    /// None that we know; its tools are used under the names that they have here.
    Unknown,
}

impl RuntimeKind {
    /// Its name, as in health.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Visionflow => "visionflow",
            Self::ClaudeFlow2 => "claude-flow-2",
            Self::ClaudeFlow3 => "claude-flow-3",
            Self::RuvSwarm => "ruv-swarm",
            Self::Unknown => "unknown",
        }
    }

    fn detect(server: &str, tools: &[Tool]) -> Self {
        let tool = |name: &str| tools.iter().find(|tool| tool.name == name);
        let takes = |name: &str, argument: &str| tool(name).is_some_and(|tool| tool.takes(argument));
        if takes("swarm_init", KEY_ARGUMENT) {
            Self::Visionflow
        } else if takes("agent_spawn", "agentType") {
            Self::ClaudeFlow3
        } else if tool("agent_spawn").is_some() && tool("swarm_destroy").is_some() {
            Self::ClaudeFlow2
        } else if tool("agent_spawn").is_some() && server.contains("ruv-swarm") {
            Self::RuvSwarm
        } else {
            Self::Unknown
        }
    }
}

/// The argument that makes a call repeatable, in runtimes that take it.
const KEY_ARGUMENT: &str = "idempotencyKey";
/// What claude-flow 3 wants to know of a task's nature; it takes any text.
const TASK_TYPE: &str = "orchestration";
/// Our argument names and what runtimes call the same.
const ARGUMENTS: &[(&str, &[&str])] = &[
    ("swarmId", &["swarmId", "swarm_id"]),
    ("agentId", &["agentId", "agent_id", "id"]),
    ("taskId", &["taskId", "task_id", "id"]),
    ("type", &["type", "agentType"]),
    ("task", &["task", "description"]),
    ("maxAgents", &["maxAgents", "max_agents"]),
];

/// A call as the runtime takes it.
#[derive(Debug, PartialEq)]
pub(super) struct Fitted<'a> {
    /// The runtime's name of the tool.
    pub(super) name: &'a str,
    pub(super) arguments: Map<String, Value>,
    /// Whether the runtime was told a key, so that the call may be repeated.
    pub(super) keyed: bool,
}

/// How one runtime is spoken to: its tools for ours.
#[derive(Debug, Clone)]
pub(super) struct Adapter {
    kind: RuntimeKind,
    tools: BTreeMap<RuntimeTool, Tool>,
}

impl Adapter {
    /// Chooses by the server's list of tools; keeps only those that we use.
    pub(super) fn choose(server: &str, tools: Vec<Tool>) -> Self {
        let kind = RuntimeKind::detect(server, &tools);
        let found = |ours: RuntimeTool| {
            let names = [Some(ours.name()), ours.other_name()];
            names.into_iter().flatten().find_map(|name| tools.iter().find(|tool| tool.name == name))
        };
        let found = RuntimeTool::ALL.into_iter().filter_map(|ours| Some((ours, found(ours)?.clone())));
        Self { kind, tools: found.collect() }
    }

    pub(super) const fn kind(&self) -> RuntimeKind {
        self.kind
    }

    /// Tools that we need and the runtime lacks, by our names.
    pub(super) fn missing(&self) -> Vec<&'static str> {
        RuntimeTool::ALL
            .iter()
            .filter(|ours| !self.tools.contains_key(ours))
            .map(|ours| ours.name())
            .collect()
    }

    /// Puts a call into the runtime's words; `None` when it has no such tool.
    pub(super) fn fit(&self, call: &ToolCall) -> Option<Fitted<'_>> {
        let tool = self.tools.get(&call.tool)?;
        let described =
            tool.input_schema.get("properties").and_then(Value::as_object).is_some_and(|p| !p.is_empty());
        let ours = call.arguments.as_object().into_iter().flatten();
        let mut arguments: Map<String, Value> = if described {
            let named = |(name, value): (&String, &Value)| Some((named(tool, name)?, value.clone()));
            ours.filter_map(named).collect()
        } else {
            ours.map(|(name, value)| (name.clone(), value.clone())).collect()
        };
        let key = call.key.as_ref().filter(|_| tool.takes(KEY_ARGUMENT));
        if let Some(key) = key {
            arguments.insert(KEY_ARGUMENT.into(), key.as_str().into());
        }
        if self.kind == RuntimeKind::ClaudeFlow3 {
            claude_flow_3(call, &mut arguments);
        }
        Some(Fitted { name: &tool.name, arguments, keyed: key.is_some() })
    }
}

/// The tool's own name of one of our arguments.
fn named(tool: &Tool, name: &str) -> Option<String> {
    let known = ARGUMENTS.iter().find(|(ours, _)| *ours == name).map(|(_, theirs)| *theirs);
    match known {
        Some(theirs) => theirs.iter().find(|theirs| tool.takes(theirs)).map(|name| (*name).to_owned()),
        None => tool.takes(name).then(|| name.to_owned()),
    }
}

/// Names agents as we do, so that its lists can be matched; and what its tasks want beside ours.
fn claude_flow_3(call: &ToolCall, arguments: &mut Map<String, Value>) {
    match call.tool {
        RuntimeTool::AgentSpawn => {
            // its `task` is a prompt, and there is none
            if let Some(key) = &call.key {
                arguments.insert("agentId".into(), key.as_str().into());
            }
        }
        RuntimeTool::TaskOrchestrate => {
            arguments.insert("type".into(), TASK_TYPE.into());
            if arguments.get("priority") == Some(&json!("medium")) {
                arguments.insert("priority".into(), "normal".into());
            }
        }
        RuntimeTool::SwarmInit
        | RuntimeTool::SwarmStatus
        | RuntimeTool::SwarmDestroy
        | RuntimeTool::AgentList
        | RuntimeTool::AgentTerminate
        | RuntimeTool::AgentMetrics
        | RuntimeTool::TaskStatus
        | RuntimeTool::TaskCancel => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::mcp::IdempotencyKey;

    fn tool(name: &str, properties: &[&str]) -> Tool {
        let properties: Map<String, Value> =
            properties.iter().map(|name| ((*name).to_owned(), json!({}))).collect();
        Tool {
            name: name.into(),
            description: String::new(),
            input_schema: json!({"type": "object", "properties": properties}),
        }
    }

    /// Names and arguments as they were seen in `tools/list` of each.
    fn ruv_swarm() -> Adapter {
        let tools = vec![
            tool("swarm_init", &["topology", "maxAgents", "strategy"]),
            tool("swarm_status", &["verbose"]),
            tool("agent_spawn", &["type", "name", "capabilities"]),
            tool("agent_list", &["filter"]),
            tool("agent_metrics", &["agentId", "metric"]),
            tool("task_orchestrate", &["task", "strategy", "priority", "maxAgents"]),
            tool("task_status", &["taskId", "detailed"]),
        ];
        Adapter::choose("ruv-swarm-no-timeout", tools)
    }

    fn claude_flow_3() -> Adapter {
        let tools = vec![
            tool("swarm_init", &["topology", "maxAgents", "strategy", "config"]),
            tool("swarm_shutdown", &["swarmId", "graceful"]),
            tool("agent_spawn", &["agentType", "agentId", "swarmId", "config", "task"]),
            tool("agent_health", &["agentId", "threshold"]),
            tool("task_create", &["type", "description", "priority", "assignTo", "tags"]),
            tool("coordination_orchestrate", &["task", "agents", "strategy"]),
        ];
        Adapter::choose("ruflo", tools)
    }

    fn spawn() -> ToolCall {
        let arguments = [("swarmId", json!("s")), ("type", json!("coder")), ("name", json!("n"))];
        ToolCall::new(RuntimeTool::AgentSpawn, arguments).keyed(IdempotencyKey::of(&"k"))
    }

    #[test]
    fn runtimes_are_told_apart_by_their_tools() {
        assert_eq!(ruv_swarm().kind(), RuntimeKind::RuvSwarm);
        assert_eq!(claude_flow_3().kind(), RuntimeKind::ClaudeFlow3);
        let two = vec![tool("agent_spawn", &["type"]), tool("swarm_destroy", &["swarmId"])];
        assert_eq!(Adapter::choose("claude-flow", two).kind(), RuntimeKind::ClaudeFlow2);
        let ours = vec![tool("swarm_init", &["topology", "idempotencyKey"])];
        assert_eq!(
            Adapter::choose("claude-flow", ours).kind(),
            RuntimeKind::Visionflow,
            "whatever it is called"
        );
        assert_eq!(Adapter::choose("echo", vec![tool("echo", &["text"])]).kind(), RuntimeKind::Unknown);
    }

    #[test]
    fn missing_tools_are_named_and_other_names_found() {
        assert_eq!(ruv_swarm().missing(), ["swarm_destroy", "agent_terminate", "task_cancel"]);
        let three = claude_flow_3();
        assert_eq!(
            three.missing(),
            ["swarm_status", "agent_list", "agent_terminate", "task_status", "task_cancel"]
        );
        let destroy = ToolCall::new(RuntimeTool::SwarmDestroy, [("swarmId", json!("s"))]);
        let fitted = three.fit(&destroy).unwrap();
        assert_eq!(
            (fitted.name, Value::Object(fitted.arguments)),
            ("swarm_shutdown", json!({"swarmId": "s"}))
        );
    }

    #[test]
    fn arguments_take_the_runtimes_names_and_unknown_ones_are_left_out() {
        let ruv = ruv_swarm();
        let fitted = ruv.fit(&spawn()).unwrap();
        assert!(!fitted.keyed, "it does not know keys");
        assert_eq!(Value::Object(fitted.arguments), json!({"type": "coder", "name": "n"}));
        let three = claude_flow_3();
        let fitted = three.fit(&spawn()).unwrap();
        assert!(!fitted.keyed, "an id of ours is no promise that a repeated call makes nothing new");
        assert_eq!(
            Value::Object(fitted.arguments),
            json!({"swarmId": "s", "agentType": "coder", "agentId": "k"})
        );
        let task = [("swarmId", json!("s")), ("task", json!("t")), ("priority", json!("medium"))];
        let task = ToolCall::new(RuntimeTool::TaskOrchestrate, task);
        let fitted = three.fit(&task).unwrap();
        assert_eq!(fitted.name, "task_create");
        assert_eq!(
            Value::Object(fitted.arguments),
            json!({"description": "t", "priority": "normal", "type": "orchestration"})
        );
    }

    #[test]
    fn a_key_goes_to_a_runtime_that_takes_it_and_a_tool_without_a_schema_gets_everything() {
        let ours = Adapter::choose("x", vec![tool("agent_spawn", &["swarmId", "idempotencyKey"])]);
        let fitted = ours.fit(&spawn()).unwrap();
        assert!(fitted.keyed);
        assert_eq!(Value::Object(fitted.arguments), json!({"swarmId": "s", "idempotencyKey": "k"}));
        let bare = Adapter::choose("x", vec![tool("agent_spawn", &[])]);
        let fitted = bare.fit(&spawn()).unwrap();
        assert_eq!(Value::Object(fitted.arguments), spawn().arguments);
    }
}
