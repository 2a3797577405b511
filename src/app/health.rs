//! The agent runtime's part of `/health`: what the MCP actor last published.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::actors::mcp::{McpHandle, McpState};

/// Reads the published health; asks nobody.
pub(super) fn mcp(handle: McpHandle) -> crate::web::McpHealth {
    Arc::new(move || {
        let health = handle.health();
        let status = match health.state {
            McpState::Connected if health.missing_tools.is_empty() => "ok",
            McpState::Connected | McpState::Connecting => "degraded",
            McpState::Down => "down",
        };
        let mut value = serde_json::to_value(&*health).unwrap_or(Value::Null);
        if let Value::Object(fields) = &mut value {
            fields.insert("status".into(), json!(status));
            // it may hold addresses and paths of this machine; the log has it
            fields.remove("last_error");
        }
        value
    })
}
