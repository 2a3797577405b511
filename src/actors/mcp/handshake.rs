//! Makes a fresh connection usable: which era the server speaks, who it is, which tools it has.
//!
//! `server/discover` first: an answer means the stateless era of 2026-07-28, an error the older one with `initialize`.
//! Silence decides nothing for this connection, since servers of this kind need seconds to start; the next one is
//! tried with `initialize`. The verdict is kept until a handshake fails. The tools are read anew on every connection.

use serde_json::{Map, Value, json};

use super::adapter::Adapter;
use super::connection::{Connection, RequestError};
use crate::runtime::Deadline;
use crate::wire::jsonrpc::{RpcError, UNSUPPORTED_PROTOCOL_VERSION};
use crate::wire::mcp::{
    self, DISCOVER_VERSION, DiscoverResult, INITIALIZE_VERSIONS, Implementation, InitializeParams,
    InitializeResult, Tool, ToolList, method,
};

/// Pages of `tools/list` that are read; a server with more repeats itself.
const TOOL_PAGES_MAX: usize = 64;

/// `_meta` key of the server's name in results since 2026-07-28.
const META_SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";

/// Which way of shaking hands a server knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Era {
    /// `initialize`, up to 2025-11-25.
    Legacy,
    /// `server/discover`, since 2026-07-28.
    Modern,
}

/// What a server said of itself.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) protocol: String,
    pub(super) era: Era,
    /// Sent with every request in the modern era.
    pub(super) meta: Option<Map<String, Value>>,
    pub(super) adapter: Adapter,
}

/// Why a handshake failed, for health and log.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(super) enum HandshakeError {
    #[error("the server did not answer {0} in time")]
    Deadline(&'static str),
    #[error("the connection was lost during {0}")]
    Lost(&'static str),
    #[error("the server refused {method}: {error}")]
    Refused { method: &'static str, error: RpcError },
    #[error("the server's answer to {0} can't be understood: {1}")]
    Malformed(&'static str, String),
    #[error("the server speaks protocol {0:?}, which this client does not")]
    Version(String),
}

/// What the next handshake begins with, after this one.
pub(super) fn verdict(outcome: &Result<Peer, HandshakeError>) -> Option<Era> {
    match outcome {
        Ok(peer) => Some(peer.era),
        // it may ignore what it does not know
        Err(HandshakeError::Deadline(method::DISCOVER)) => Some(Era::Legacy),
        Err(_) => None,
    }
}

/// Who the server is and how it is spoken to.
struct Agreed {
    server: Implementation,
    protocol: String,
    meta: Option<Map<String, Value>>,
}

/// Agrees with the server on everything. Takes as long as `deadline` allows.
pub(super) async fn handshake(
    connection: &Connection,
    known: Option<Era>,
    deadline: Deadline,
) -> Result<Peer, HandshakeError> {
    let client = Implementation { name: "visionflow".into(), version: env!("CARGO_PKG_VERSION").into() };
    let discovered = match known {
        Some(Era::Legacy) => None,
        Some(Era::Modern) | None => discover(connection, &client, deadline).await?,
    };
    let (era, agreed) = match discovered {
        Some(agreed) => (Era::Modern, agreed),
        None => (Era::Legacy, initialize(connection, client, deadline).await?),
    };
    let Agreed { server, protocol, meta } = agreed;
    let tools = list_tools(connection, meta.as_ref(), deadline).await?;
    let adapter = Adapter::choose(&server.name, tools);
    Ok(Peer { name: server.name, version: server.version, protocol, era, meta, adapter })
}

/// Reads the server's tools again.
pub(super) async fn refresh(
    connection: &Connection,
    peer: &Peer,
    deadline: Deadline,
) -> Result<Peer, HandshakeError> {
    let tools = list_tools(connection, peer.meta.as_ref(), deadline).await?;
    Ok(Peer { adapter: Adapter::choose(&peer.name, tools), ..peer.clone() })
}

/// `None`: the server is of the older era.
async fn discover(
    connection: &Connection,
    client: &Implementation,
    deadline: Deadline,
) -> Result<Option<Agreed>, HandshakeError> {
    let meta = mcp::modern_meta(client);
    let params = json!({ "_meta": meta });
    let answer = match ask(connection, method::DISCOVER, Some(params), deadline).await? {
        Ok(answer) => answer,
        Err(error) if error.code == UNSUPPORTED_PROTOCOL_VERSION && !offers_legacy(error.data.as_ref()) => {
            return Err(HandshakeError::Version(error.data.unwrap_or_default().to_string()));
        }
        Err(_older) => return Ok(None),
    };
    let named = named_in_meta(&answer);
    let found: DiscoverResult = parse(method::DISCOVER, answer)?;
    let speaks = |version: &str| found.supported_versions.iter().any(|supported| supported == version);
    if speaks(DISCOVER_VERSION) {
        let protocol = DISCOVER_VERSION.to_owned();
        let server = named.unwrap_or(found.server_info);
        return Ok(Some(Agreed { server, protocol, meta: Some(meta) }));
    }
    if INITIALIZE_VERSIONS.into_iter().any(speaks) {
        return Ok(None);
    }
    Err(HandshakeError::Version(found.supported_versions.join(", ")))
}

/// Who the server is, where the stateless era puts it; some put it beside the versions instead.
fn named_in_meta(answer: &Value) -> Option<Implementation> {
    let server = answer.get("_meta")?.get(META_SERVER_INFO)?;
    serde_json::from_value(server.clone()).ok()
}

/// Whether an error names a version that is spoken through `initialize`; one that names none is taken for a yes.
fn offers_legacy(data: Option<&Value>) -> bool {
    let supported = data.and_then(|data| data.get("supported")).and_then(Value::as_array);
    supported.is_none_or(|versions| {
        versions.iter().filter_map(Value::as_str).any(|version| INITIALIZE_VERSIONS.contains(&version))
    })
}

async fn initialize(
    connection: &Connection,
    client_info: Implementation,
    deadline: Deadline,
) -> Result<Agreed, HandshakeError> {
    let [.., newest] = INITIALIZE_VERSIONS;
    let params = InitializeParams { protocol_version: newest.into(), capabilities: Map::new(), client_info };
    let params = serde_json::to_value(params)
        .map_err(|error| HandshakeError::Malformed(method::INITIALIZE, error.to_string()))?;
    // some servers ask before they have answered
    connection.answer_requests();
    let answer = demand(connection, method::INITIALIZE, Some(params), deadline).await?;
    let result: InitializeResult = parse(method::INITIALIZE, answer)?;
    if !mcp::speaks(&result.protocol_version) {
        return Err(HandshakeError::Version(result.protocol_version));
    }
    connection.notify(method::INITIALIZED, json!({}));
    Ok(Agreed { server: result.server_info, protocol: result.protocol_version, meta: None })
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
        let answer = demand(connection, method::TOOLS_LIST, Some(Value::Object(params)), deadline).await?;
        let page: ToolList = parse(method::TOOLS_LIST, answer)?;
        tools.extend(page.tools);
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    Ok(tools)
}

/// An answer, which may be an error.
async fn ask(
    connection: &Connection,
    rpc: &'static str,
    params: Option<Value>,
    deadline: Deadline,
) -> Result<Result<Value, RpcError>, HandshakeError> {
    connection.request(rpc, params, deadline).await.map_err(|error| match error {
        RequestError::Deadline { .. } => HandshakeError::Deadline(rpc),
        RequestError::Lost { .. } | RequestError::Full | RequestError::TooLarge { .. } => {
            HandshakeError::Lost(rpc)
        }
    })
}

/// An answer that is no error.
async fn demand(
    connection: &Connection,
    rpc: &'static str,
    params: Option<Value>,
    deadline: Deadline,
) -> Result<Value, HandshakeError> {
    let answer = ask(connection, rpc, params, deadline).await?;
    answer.map_err(|error| HandshakeError::Refused { method: rpc, error })
}

fn parse<T: serde::de::DeserializeOwned>(rpc: &'static str, answer: Value) -> Result<T, HandshakeError> {
    serde_json::from_value(answer).map_err(|error| HandshakeError::Malformed(rpc, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_makes_the_next_handshake_begin_with_initialize_and_other_failures_forget() {
        assert_eq!(verdict(&Err(HandshakeError::Deadline(method::DISCOVER))), Some(Era::Legacy));
        assert_eq!(verdict(&Err(HandshakeError::Deadline(method::INITIALIZE))), None);
        assert_eq!(verdict(&Err(HandshakeError::Lost(method::DISCOVER))), None);
    }

    #[test]
    fn a_server_of_the_stateless_era_names_itself_in_the_metadata() {
        let answer = json!({"supportedVersions": ["2026-07-28"],
                            "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "py-ref", "version": ""}}});
        assert_eq!(named_in_meta(&answer).unwrap().name, "py-ref");
        assert_eq!(named_in_meta(&json!({"serverInfo": {"name": "x"}})), None);
    }

    #[test]
    fn an_unsupported_version_leads_to_initialize_only_where_that_is_spoken() {
        assert!(offers_legacy(None) && offers_legacy(Some(&json!({}))));
        assert!(offers_legacy(Some(&json!({"supported": ["2025-06-18", "2027-01-01"]}))));
        assert!(!offers_legacy(Some(&json!({"supported": ["2027-01-01"]}))));
    }
}
