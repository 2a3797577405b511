//! Makes a fresh connection usable: which era the server speaks, who it is, which tools it has.
//!
//! `server/discover` first: an answer means the stateless era of 2026-07-28, any error the older one with
//! `initialize`. Silence decides nothing, since servers of this kind need seconds to start: it fails the
//! attempt at the deadline. The tools are read anew on every connection.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::connection::{Connection, RequestError};
use crate::runtime::Deadline;
use crate::wire::mcp::{
    self, DISCOVER_VERSION, DiscoverResult, INITIALIZE_VERSIONS, Implementation, InitializeParams,
    InitializeResult, Tool, ToolList, method,
};

/// Pages of `tools/list` that are read; a server with more repeats itself.
const TOOL_PAGES_MAX: usize = 64;

/// What a server said of itself.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) protocol: String,
    /// Sent with every request in the stateless era.
    pub(super) meta: Option<Map<String, Value>>,
    pub(super) tools: Arc<[Tool]>,
}

/// Why a handshake failed, for health and log.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    #[error("the server did not answer {0} in time")]
    Deadline(&'static str),
    #[error("the connection was lost during {0}")]
    Lost(&'static str),
    #[error("the server refused {method}: {message}")]
    Refused { method: &'static str, message: String },
    #[error("the server's answer to {0} can't be understood: {1}")]
    Malformed(&'static str, String),
    #[error("the server speaks protocol {0:?}, which this client does not")]
    Version(String),
}

/// Agrees with the server on everything. Takes as long as `deadline` allows.
pub(super) async fn handshake(connection: &Connection, deadline: Deadline) -> Result<Peer, HandshakeError> {
    let client = Implementation { name: "visionflow".into(), version: env!("CARGO_PKG_VERSION").into() };
    let meta = mcp::modern_meta(&client);
    let probe = json!({ "_meta": meta });
    let discovered = ask(connection, method::DISCOVER, Some(probe), deadline).await;
    let (server, protocol, meta) = match discovered {
        Ok(answer) => {
            let found: DiscoverResult = parse(method::DISCOVER, answer)?;
            if !found.supported_versions.iter().any(|version| version == DISCOVER_VERSION) {
                return Err(HandshakeError::Version(found.supported_versions.join(", ")));
            }
            (found.server_info, DISCOVER_VERSION.to_owned(), Some(meta))
        }
        Err(HandshakeError::Refused { .. }) => initialize(connection, client, deadline).await?,
        Err(other) => return Err(other),
    };
    let tools = list_tools(connection, meta.as_ref(), deadline).await?;
    Ok(Peer { name: server.name, version: server.version, protocol, meta, tools: tools.into() })
}

type Era = (Implementation, String, Option<Map<String, Value>>);

async fn initialize(
    connection: &Connection,
    client_info: Implementation,
    deadline: Deadline,
) -> Result<Era, HandshakeError> {
    let newest = INITIALIZE_VERSIONS.last().copied().unwrap_or(DISCOVER_VERSION);
    let params = InitializeParams { protocol_version: newest.into(), capabilities: Map::new(), client_info };
    let params = serde_json::to_value(params)
        .map_err(|error| HandshakeError::Malformed(method::INITIALIZE, error.to_string()))?;
    let answer = ask(connection, method::INITIALIZE, Some(params), deadline).await?;
    let result: InitializeResult = parse(method::INITIALIZE, answer)?;
    if !mcp::speaks(&result.protocol_version) {
        return Err(HandshakeError::Version(result.protocol_version));
    }
    connection.notify(method::INITIALIZED, json!({}));
    Ok((result.server_info, result.protocol_version, None))
}

async fn list_tools(
    connection: &Connection,
    meta: Option<&Map<String, Value>>,
    deadline: Deadline,
) -> Result<Vec<Tool>, HandshakeError> {
    let (mut tools, mut cursor) = (Vec::new(), None);
    for _ in 0..TOOL_PAGES_MAX {
        let mut params = Map::new();
        if let Some(meta) = meta {
            params.insert("_meta".into(), Value::Object(meta.clone()));
        }
        if let Some(cursor) = cursor {
            params.insert("cursor".into(), Value::String(cursor));
        }
        let answer = ask(connection, method::TOOLS_LIST, Some(Value::Object(params)), deadline).await?;
        let page: ToolList = parse(method::TOOLS_LIST, answer)?;
        tools.extend(page.tools);
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    Ok(tools)
}

async fn ask(
    connection: &Connection,
    rpc: &'static str,
    params: Option<Value>,
    deadline: Deadline,
) -> Result<Value, HandshakeError> {
    match connection.request(rpc, params, deadline).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(HandshakeError::Refused { method: rpc, message: error.message }),
        Err(RequestError::Deadline { .. }) => Err(HandshakeError::Deadline(rpc)),
        Err(RequestError::Lost { .. } | RequestError::Refused) => Err(HandshakeError::Lost(rpc)),
    }
}

fn parse<T: serde::de::DeserializeOwned>(rpc: &'static str, answer: Value) -> Result<T, HandshakeError> {
    serde_json::from_value(answer).map_err(|error| HandshakeError::Malformed(rpc, error.to_string()))
}
