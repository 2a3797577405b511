//! The arguments of each tool. Unknown ones are ignored, as real runtimes do; wrong ones are refused by name.

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _};
use serde_json::{Map, Value};

use super::ToolError;
use crate::domain::limits;

/// Reads a tool's arguments.
pub(super) fn read<T: DeserializeOwned>(arguments: Map<String, Value>) -> Result<T, ToolError> {
    serde_json::from_value(Value::Object(arguments)).map_err(|error| ToolError {
        code: "invalid_arguments",
        message: format!("reading the arguments: {}", limits::cut(&error.to_string(), 300)),
    })
}

/// A whole number; some clients write `8.0`.
fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let Some(number) = <Option<serde_json::Number>>::deserialize(deserializer)? else { return Ok(None) };
    let whole = number.as_u64().or_else(|| {
        let text = number.as_f64().filter(|n| n.fract() == 0.0 && *n >= 0.0)?.to_string();
        text.parse().ok()
    });
    whole.map(Some).ok_or_else(|| D::Error::custom(format!("{number} is no whole number of at least 0")))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InitArgs {
    pub(super) topology: Option<String>,
    #[serde(default, deserialize_with = "whole")]
    pub(super) max_agents: Option<u64>,
    pub(super) strategy: Option<String>,
    pub(super) name: Option<String>,
    pub(super) idempotency_key: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatusArgs {
    pub(super) swarm_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SwarmArgs {
    pub(super) swarm_id: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SpawnArgs {
    pub(super) swarm_id: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) name: Option<String>,
    pub(super) capabilities: Option<Vec<String>>,
    pub(super) idempotency_key: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListArgs {
    pub(super) swarm_id: String,
    pub(super) filter: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AgentArgs {
    pub(super) agent_id: String,
    pub(super) swarm_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OrchestrateArgs {
    pub(super) swarm_id: String,
    pub(super) task: String,
    pub(super) strategy: Option<String>,
    pub(super) priority: Option<String>,
    #[serde(default, deserialize_with = "whole")]
    pub(super) max_agents: Option<u64>,
    pub(super) idempotency_key: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TaskArgs {
    pub(super) task_id: String,
    pub(super) swarm_id: Option<String>,
}
