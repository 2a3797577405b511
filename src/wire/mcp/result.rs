//! What a tool really answered. Runtimes report failure in five ways, one of them is called success: all are told apart
//! here, in one place.

use crate::wire::jsonrpc::{METHOD_NOT_FOUND, RpcError};
use serde_json::{Map, Value};

/// Characters of a runtime's text that an error keeps at most.
const MESSAGE_CHARS: usize = 500;

/// Why a tool's answer is not the result that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ToolFailure {
    /// The tool ran and refused or failed.
    #[error("the tool failed: {message}")]
    Failed {
        /// The runtime's text, clipped.
        message: String,
    },
    /// What the arguments name does not exist on the runtime.
    #[error("the runtime does not know it: {message}")]
    NotFound {
        /// The runtime's text, clipped.
        message: String,
    },
    /// The runtime has no such tool, or answers for it without doing anything.
    #[error("the runtime does not do this: {message}")]
    Unsupported {
        /// The runtime's text, clipped.
        message: String,
    },
    /// The answer claims success but lacks what proves it.
    #[error("the answer lacks {what}: it has {has}")]
    Missing {
        /// What was looked for.
        what: &'static str,
        /// The fields that it has.
        has: String,
    },
    /// The answer has no shape of a tool result.
    #[error("the answer is no tool result: {what}")]
    Malformed {
        /// What was wrong.
        what: &'static str,
    },
}

impl ToolFailure {
    /// Reads the JSON-RPC error that came instead of a result.
    #[must_use]
    pub fn from_rpc_error(error: &RpcError) -> Self {
        let detail = match &error.data {
            Some(Value::String(data)) => format!("{}: {data}", error.message),
            Some(_) | None => error.message.clone(),
        };
        let message = clip(&detail);
        let lower = message.to_lowercase();
        if error.code == METHOD_NOT_FOUND
            || lower.contains("unknown tool")
            || lower.contains("tool not found")
        {
            Self::Unsupported { message }
        } else if lower.contains("not found") {
            Self::NotFound { message }
        } else {
            Self::Failed { message }
        }
    }

    pub(crate) fn missing(what: &'static str, value: &Value) -> Self {
        let has = match value {
            Value::Object(map) => map.keys().take(12).cloned().collect::<Vec<_>>().join(", "),
            Value::Array(items) => format!("an array of {}", items.len()),
            Value::Null => "nothing".to_owned(),
            Value::Bool(_) | Value::Number(_) | Value::String(_) => "only text".to_owned(),
        };
        Self::Missing { what, has: clip(&has) }
    }
}

/// Gives what a tool answered: the structured content, or the JSON in its first text, or that text as a string.
///
/// # Errors
/// [`ToolFailure`] for `isError`, an inner `success: false`, `error` or `status` of not found, for answers that say
/// "executed successfully" and hold nothing, and for canned agents.
pub fn unwrap_tool_result(result: &Value) -> Result<Value, ToolFailure> {
    let Value::Object(outer) = result else { return Err(ToolFailure::Malformed { what: "it is no object" }) };
    let value = payload(outer)?;
    if outer.get("isError").and_then(Value::as_bool) == Some(true) {
        return Err(failed(&value));
    }
    if let Value::Object(map) = &value {
        check_inner(map, &value)?;
    }
    Ok(value)
}

fn payload(outer: &Map<String, Value>) -> Result<Value, ToolFailure> {
    let texts = outer.get("content").and_then(Value::as_array).map(|content| {
        content
            .iter()
            .filter(|item| item.get("type").and_then(Value::as_str) == Some("text"))
            .filter_map(|item| item.get("text").and_then(Value::as_str))
    });
    if let Some(structured) = outer.get("structuredContent").filter(|value| value.is_object()) {
        // One SDK wraps what is no object as {"result": …}; the text then says it better.
        return match structured.as_object() {
            Some(map) if map.len() == 1 && map.contains_key("result") => {
                Ok(map.get("result").map_or(Value::Null, parse_if_text))
            }
            Some(_) | None => Ok(structured.clone()),
        };
    }
    let Some(mut texts) = texts else {
        return Err(ToolFailure::Malformed { what: "it has neither content nor structuredContent" });
    };
    match texts.next() {
        Some(text) => Ok(serde_json::from_str(text).unwrap_or_else(|_plain| Value::String(text.to_owned()))),
        None => Err(ToolFailure::Malformed { what: "its content has no text" }),
    }
}

fn parse_if_text(value: &Value) -> Value {
    match value {
        Value::String(text) => serde_json::from_str(text).unwrap_or_else(|_plain| value.clone()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.clone(),
    }
}

fn check_inner(map: &Map<String, Value>, value: &Value) -> Result<(), ToolFailure> {
    let status = map.get("status").and_then(Value::as_str).unwrap_or("");
    if matches!(status, "not_found" | "no_swarm") {
        return Err(ToolFailure::NotFound { message: message_of(value) });
    }
    let error = map.get("error").is_some_and(|error| !error.is_null() && *error != Value::Bool(false));
    match map.get("success").and_then(Value::as_bool) {
        Some(false) => return Err(failed(value)),
        // An "error" beside an explicit success is a detail, such as a task's own.
        None if error && !map.contains_key("status") => return Err(failed(value)),
        None | Some(true) => {}
    }
    if is_stub(map) || has_canned_agents(map) {
        return Err(ToolFailure::Unsupported { message: message_of(value) });
    }
    Ok(())
}

fn failed(value: &Value) -> ToolFailure {
    let message = message_of(value);
    let lower = message.to_lowercase();
    if lower.contains("unknown tool") || (lower.contains("tool ") && lower.ends_with("not found")) {
        ToolFailure::Unsupported { message }
    } else if lower.contains("not found") || lower.contains("no active swarm") {
        ToolFailure::NotFound { message }
    } else {
        ToolFailure::Failed { message }
    }
}

/// "Tool X executed successfully" with nothing but the arguments repeated.
fn is_stub(map: &Map<String, Value>) -> bool {
    const EMPTY: [&str; 5] = ["success", "tool", "message", "args", "timestamp"];
    let says = map
        .get("message")
        .and_then(Value::as_str)
        .is_some_and(|text| text.starts_with("Tool ") && text.ends_with("executed successfully"));
    says && map.keys().all(|key| EMPTY.contains(&key.as_str()))
}

/// The three agents that one runtime lists whatever was spawned.
fn has_canned_agents(map: &Map<String, Value>) -> bool {
    const CANNED: [(&str, &str); 3] =
        [("agent-1", "coordinator-1"), ("agent-2", "researcher-1"), ("agent-3", "coder-1")];
    if map.get("swarmId").and_then(Value::as_str) == Some("mock-swarm") {
        return true;
    }
    let Some(agents) = map.get("agents").and_then(Value::as_array) else { return false };
    let text = |agent: &Value, key: &str| agent.get(key).and_then(Value::as_str).map(str::to_owned);
    agents.len() == CANNED.len()
        && agents.iter().zip(CANNED).all(|(agent, (id, name))| {
            text(agent, "id").as_deref() == Some(id) && text(agent, "name").as_deref() == Some(name)
        })
}

fn message_of(value: &Value) -> String {
    let said = ["error", "message", "reason"].into_iter().find_map(|key| match value.get(key)? {
        Value::String(text) => Some(text.clone()),
        Value::Object(map) => map.get("message").and_then(Value::as_str).map(str::to_owned),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
    });
    clip(&said.unwrap_or_else(|| match value {
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    }))
}

fn clip(text: &str) -> String {
    text.chars().take(MESSAGE_CHARS).collect()
}
