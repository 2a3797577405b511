//! MCP as both of our ends speak it: the six methods that we use, in every revision that real runtimes have. [`result`]
//! unwraps what a tool answered, [`identity`] finds the ids in it.
//!
//! Types are lenient in what they read (unknown fields are ignored, most may be missing) and complete in what they write.

pub mod identity;
pub mod result;

pub use identity::{AgentSeen, agent_id_of, agents_of, swarm_id_of, task_id_of};
pub use result::{ToolFailure, unwrap_tool_result};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Revisions spoken through `initialize`, oldest first.
pub const INITIALIZE_VERSIONS: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];
/// The revision without a handshake, found by `server/discover`.
pub const DISCOVER_VERSION: &str = "2026-07-28";
/// `_meta` key of the version that every request carries since [`DISCOVER_VERSION`].
pub const META_PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// `_meta` key of the client's capabilities since [`DISCOVER_VERSION`].
pub const META_CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// `_meta` key of the client's name since [`DISCOVER_VERSION`].
pub const META_CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";

/// Method names.
pub mod method {
    /// Handshake of the revisions before 2026-07-28.
    pub const INITIALIZE: &str = "initialize";
    /// The client's word that the handshake is over.
    pub const INITIALIZED: &str = "notifications/initialized";
    /// Handshake-free probe since 2026-07-28.
    pub const DISCOVER: &str = "server/discover";
    /// Which tools there are.
    pub const TOOLS_LIST: &str = "tools/list";
    /// Call one.
    pub const TOOLS_CALL: &str = "tools/call";
    /// Liveness before 2026-07-28.
    pub const PING: &str = "ping";
    /// The sender no longer waits for a request.
    pub const CANCELLED: &str = "notifications/cancelled";
    /// A running request is alive.
    pub const PROGRESS: &str = "notifications/progress";
    /// The list of tools changed.
    pub const TOOLS_CHANGED: &str = "notifications/tools/list_changed";
}

/// Gives the version that a server answers to a client that asks for `asked`: the same when known, else our newest.
#[must_use]
pub fn answer_version(asked: &str) -> &'static str {
    let [.., newest] = INITIALIZE_VERSIONS;
    INITIALIZE_VERSIONS.into_iter().find(|&known| known == asked).unwrap_or(newest)
}

/// Tells whether a client of ours can speak the version that a server answered.
#[must_use]
pub fn speaks(version: &str) -> bool {
    version == DISCOVER_VERSION || INITIALIZE_VERSIONS.contains(&version)
}

/// Name and version of a peer. Not to be trusted for telling runtimes apart; look at their tools.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Implementation {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its version.
    #[serde(default)]
    pub version: String,
}

/// Parameters of `initialize`. Some clients send nothing but the version; some runtimes refuse that, so we send all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InitializeParams {
    /// The revision asked for.
    pub protocol_version: String,
    /// What the client can do.
    #[serde(default)]
    pub capabilities: Map<String, Value>,
    /// Who it is.
    #[serde(default)]
    pub client_info: Implementation,
}

/// Result of `initialize`. One common bridge leaves the capabilities out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InitializeResult {
    /// The revision that the session speaks.
    pub protocol_version: String,
    /// What the server can do.
    #[serde(default)]
    pub capabilities: Map<String, Value>,
    /// Who it is.
    #[serde(default)]
    pub server_info: Implementation,
    /// A text for models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
}

/// Result of `server/discover`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DiscoverResult {
    /// Revisions that the server speaks.
    #[serde(default)]
    pub supported_versions: Vec<String>,
    /// What the server can do.
    #[serde(default)]
    pub capabilities: Map<String, Value>,
    /// Who it is.
    #[serde(default)]
    pub server_info: Implementation,
}

/// One tool of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it does.
    #[serde(default)]
    pub description: String,
    /// JSON schema of its arguments.
    #[serde(default)]
    pub input_schema: Value,
}

impl Tool {
    /// Tells whether the schema names the argument.
    #[must_use]
    pub fn takes(&self, argument: &str) -> bool {
        self.input_schema.get("properties").and_then(|properties| properties.get(argument)).is_some()
    }
}

/// Result of `tools/list`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolList {
    /// The tools of this page.
    pub tools: Vec<Tool>,
    /// Where the next page starts; `None` on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// How long the list may be kept, ms; since 2026-07-28.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
}

/// Parameters of `tools/call`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCallParams {
    /// The tool.
    pub name: String,
    /// Its arguments.
    #[serde(default)]
    pub arguments: Map<String, Value>,
    /// Version, capabilities and progress token of the request.
    #[serde(default, rename = "_meta", skip_serializing_if = "Option::is_none")]
    pub meta: Option<Map<String, Value>>,
}

/// Result of `tools/call`, as a server of ours writes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolResult {
    /// The answer for models; runtimes put JSON text here.
    #[serde(default)]
    pub content: Vec<Value>,
    /// The answer as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub structured_content: Option<Value>,
    /// Whether the tool failed.
    #[serde(default)]
    pub is_error: bool,
}

impl ToolResult {
    /// Gives the result that carries `value` both as text, for every runtime's client, and structured.
    #[must_use]
    pub fn success(value: Value) -> Self {
        let content = vec![json!({"type": "text", "text": format!("{value:#}")})];
        Self { content, structured_content: value.is_object().then_some(value), is_error: false }
    }

    /// Gives the result of a tool that failed, with a stable `code` and a text.
    #[must_use]
    pub fn failure(code: &str, message: &str) -> Self {
        let value = json!({"success": false, "code": code, "error": message});
        Self { is_error: true, ..Self::success(value) }
    }
}

/// Gives the `_meta` that every request carries since 2026-07-28.
#[must_use]
pub fn modern_meta(client: &Implementation) -> Map<String, Value> {
    let mut meta = Map::new();
    meta.insert(META_PROTOCOL_VERSION.into(), DISCOVER_VERSION.into());
    meta.insert(META_CLIENT_CAPABILITIES.into(), json!({}));
    meta.insert(META_CLIENT_INFO.into(), json!({"name": client.name, "version": client.version}));
    meta
}

#[cfg(test)]
mod tests;
