//! MCP as the runtime serves it: one request in, one answer out, in both eras of the protocol.
//!
//! Nothing but the negotiated version is kept between requests of a connection, and even that only shapes answers:
//! any request may come first. A request that names its version in `_meta` (2026-07-28) is answered in that one.

use serde_json::{Map, Value, json};

use super::executor::EXECUTOR;
use super::shared::{Counters, Shared};
use super::tools::{self, ToolName};
use crate::domain::limits;
use crate::telemetry::clock;
use crate::wire::jsonrpc::{
    INVALID_PARAMS, METHOD_NOT_FOUND, Request, RpcError, UNSUPPORTED_PROTOCOL_VERSION, error_line,
    result_line,
};
use crate::wire::mcp::{
    DISCOVER_VERSION, INITIALIZE_VERSIONS, META_PROTOCOL_VERSION, ToolCallParams, ToolResult, answer_version,
    method,
};

/// Name in `serverInfo` and `/health` differs only by what asks for it.
const SERVER_NAME: &str = "visionflow-mcp-runtime";
/// `_meta` key of the server's name since 2026-07-28.
const META_SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
/// Key under which the executor says what it is, in `capabilities.experimental` and `_meta`.
const EXECUTOR_KEY: &str = "visionflow/executor";
/// First revision whose results are structured. Revisions sort by their date.
const STRUCTURED_SINCE: &str = "2025-06-18";
/// How long clients may keep the list of tools, which never changes, in ms.
const TOOLS_TTL_MS: u64 = 3_600_000;

/// What is known of one connection.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// What `initialize` agreed upon. Before, the oldest is assumed.
    negotiated: Option<&'static str>,
}

/// Answers one request: the line to send, newline included.
pub(super) fn answer(shared: &Shared, session: &mut Session, request: Request) -> String {
    Counters::count(&shared.counters.requests);
    let outcome = version_of(session, request.params.as_ref()).and_then(|version| {
        let result = dispatch(shared, session, &request.method, request.params)?;
        Ok(if version == DISCOVER_VERSION { modern(result) } else { result })
    });
    match outcome {
        Ok(result) => result_line(&request.id, result),
        Err(error) => {
            metrics::counter!("mcp_runtime_requests_refused_total", "code" => error.code.to_string())
                .increment(1);
            error_line(Some(&request.id), error)
        }
    }
}

/// The revision in which a request wants its answer.
fn version_of(session: &Session, params: Option<&Value>) -> Result<&'static str, RpcError> {
    let meta = params.and_then(|params| params.get("_meta")).and_then(|meta| meta.get(META_PROTOCOL_VERSION));
    let Some(asked) = meta else {
        let [oldest, ..] = INITIALIZE_VERSIONS;
        return Ok(session.negotiated.unwrap_or(oldest));
    };
    let asked = asked.as_str().unwrap_or_default();
    supported().find(|known| *known == asked).ok_or_else(|| RpcError {
        code: UNSUPPORTED_PROTOCOL_VERSION,
        message: "unsupported protocol version".to_owned(),
        data: Some(
            json!({"supported": supported().collect::<Vec<_>>(), "requested": limits::cut(asked, 64)}),
        ),
    })
}

fn supported() -> impl Iterator<Item = &'static str> {
    std::iter::once(DISCOVER_VERSION).chain(INITIALIZE_VERSIONS.into_iter().rev())
}

fn modern(mut result: Value) -> Value {
    if let Some(map) = result.as_object_mut() {
        map.insert("resultType".into(), "complete".into());
    }
    result
}

fn dispatch(
    shared: &Shared,
    session: &mut Session,
    name: &str,
    params: Option<Value>,
) -> Result<Value, RpcError> {
    match name {
        method::INITIALIZE => initialize(session, params.as_ref()),
        method::DISCOVER => Ok(modern(discover())),
        method::PING => Ok(json!({})),
        method::TOOLS_LIST => Ok(tools_list(shared)),
        method::TOOLS_CALL => tools_call(shared, session, params),
        other => {
            let other = limits::cut(other, 128);
            Err(RpcError::new(METHOD_NOT_FOUND, format!("method not found: {other}")))
        }
    }
}

fn initialize(session: &mut Session, params: Option<&Value>) -> Result<Value, RpcError> {
    let [oldest, ..] = INITIALIZE_VERSIONS;
    let version = match params.and_then(|params| params.get("protocolVersion")) {
        // The clients that leave it out are the oldest ones.
        None => oldest,
        Some(Value::String(asked)) => answer_version(asked),
        Some(_) => return Err(RpcError::new(INVALID_PARAMS, "protocolVersion must be a string")),
    };
    session.negotiated = Some(version);
    Ok(json!({
        "protocolVersion": version,
        "capabilities": capabilities(),
        "serverInfo": server_info(),
        "instructions": instructions(),
    }))
}

fn discover() -> Value {
    json!({
        "supportedVersions": supported().collect::<Vec<_>>(),
        "capabilities": capabilities(),
        "serverInfo": server_info(),
        "instructions": instructions(),
        "ttlMs": TOOLS_TTL_MS,
        "cacheScope": "public",
        "_meta": {META_SERVER_INFO: server_info(), EXECUTOR_KEY: executor()},
    })
}

fn capabilities() -> Value {
    json!({"tools": {"listChanged": false}, "experimental": {EXECUTOR_KEY: executor()}})
}

fn executor() -> Value {
    json!({"executor": EXECUTOR, "simulated": true})
}

fn server_info() -> Value {
    json!({"name": SERVER_NAME, "version": env!("CARGO_PKG_VERSION")})
}

const fn instructions() -> &'static str {
    "Runs swarms of agents in memory. Agents and tasks have real states; the work itself is simulated by the demo \
     executor: no model is called and nothing outside of the runtime is changed."
}

fn tools_list(shared: &Shared) -> Value {
    json!({
        "tools": tools::list(&shared.config.engine),
        "ttlMs": TOOLS_TTL_MS,
        "cacheScope": "public",
    })
}

fn tools_call(shared: &Shared, session: &Session, params: Option<Value>) -> Result<Value, RpcError> {
    let version = version_of(session, params.as_ref())?;
    let call: ToolCallParams = read_call(params)?;
    let unknown = || RpcError::new(INVALID_PARAMS, format!("unknown tool: {}", limits::cut(&call.name, 128)));
    let tool = ToolName::parse(&call.name).ok_or_else(unknown)?;
    let (id, now) = (clock::uuid_v7(), shared.moment());
    let outcome = tools::call(tool, &mut shared.engine.lock(), call.arguments, id, now);
    if tool.moves_work() {
        shared.wake.notify_one();
    }
    let (mut result, label) = match outcome {
        Ok(value) => (ToolResult::success(value), "ok"),
        Err(error) => (ToolResult::failure(error.code, &error.message), error.code),
    };
    metrics::counter!("mcp_runtime_calls_total", "tool" => tool.as_str(), "outcome" => label).increment(1);
    if version < STRUCTURED_SINCE {
        result.structured_content = None;
    }
    serde_json::to_value(result)
        .map_err(|error| RpcError::new(crate::wire::jsonrpc::INTERNAL_ERROR, error.to_string()))
}

fn read_call(params: Option<Value>) -> Result<ToolCallParams, RpcError> {
    let mut params = params.unwrap_or_else(|| Value::Object(Map::new()));
    if let Some(map) = params.as_object_mut() {
        map.retain(|_, value| !value.is_null());
    }
    serde_json::from_value(params).map_err(|error| {
        RpcError::new(INVALID_PARAMS, format!("reading tools/call: {}", limits::cut(&error.to_string(), 300)))
    })
}

#[cfg(test)]
#[path = "protocol_tests.rs"]
mod tests;
