//! JSON-RPC 2.0 as it really comes off an agent runtime's socket: one message a line, between log lines, error dumps and
//! answers without an id. Knows no methods; [`super::mcp`] does.

use serde_json::{Map, Number, Value, json};

/// The line is no JSON.
pub const PARSE_ERROR: i64 = -32700;
/// The JSON is no request.
pub const INVALID_REQUEST: i64 = -32600;
/// No such method.
pub const METHOD_NOT_FOUND: i64 = -32601;
/// The parameters do not fit.
pub const INVALID_PARAMS: i64 = -32602;
/// The server failed.
pub const INTERNAL_ERROR: i64 = -32603;
/// MCP 2026-07-28: the protocol version is not spoken here; `data.supported` lists those that are.
pub const UNSUPPORTED_PROTOCOL_VERSION: i64 = -32022;

/// The id of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RequestId {
    /// A number. Ours are strings; others' are mostly these.
    Number(i64),
    /// A string.
    String(String),
}

impl RequestId {
    /// Reads an id; `None` for null, fractions, numbers over 64 bits, objects: nothing to match an answer by.
    #[must_use]
    pub fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => number.as_i64().map(Self::Number),
            Value::String(text) => Some(Self::String(text.clone())),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// Gives the id as JSON.
    #[must_use]
    pub fn to_value(&self) -> Value {
        match self {
            Self::Number(number) => Value::Number(Number::from(*number)),
            Self::String(text) => Value::String(text.clone()),
        }
    }
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::String(text) => f.write_str(text),
        }
    }
}

/// A call that wants an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Its id.
    pub id: RequestId,
    /// Its method.
    pub method: String,
    /// Its parameters; `None` when absent.
    pub params: Option<Value>,
}

/// A call that wants none.
#[derive(Debug, Clone, PartialEq)]
pub struct Notification {
    /// Its method.
    pub method: String,
    /// Its parameters; `None` when absent.
    pub params: Option<Value>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// Id of the request that it answers.
    pub id: RequestId,
    /// Result or error.
    pub outcome: Result<Value, RpcError>,
}

/// The error of an answer, read leniently: a missing code is 0, a missing message is empty.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message} (code {code})")]
pub struct RpcError {
    /// Its code.
    pub code: i64,
    /// Its text.
    pub message: String,
    /// Whatever came with it.
    pub data: Option<Value>,
}

impl RpcError {
    /// Makes an error without data.
    #[must_use]
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    fn from_value(value: Value) -> Self {
        match value {
            Value::Object(mut map) => Self {
                code: map.get("code").and_then(Value::as_i64).unwrap_or(0),
                message: text_of(map.remove("message").unwrap_or(Value::Null)),
                data: map.remove("data").filter(|data| !data.is_null()),
            },
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                Self::new(0, text_of(value))
            }
        }
    }

    fn into_value(self) -> Value {
        let mut map = Map::new();
        map.insert("code".into(), self.code.into());
        map.insert("message".into(), self.message.into());
        if let Some(data) = self.data {
            map.insert("data".into(), data);
        }
        Value::Object(map)
    }
}

fn text_of(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Null => String::new(),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => other.to_string(),
    }
}

/// Why a line is no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Noise {
    /// Text that does not even begin as JSON: a log line.
    NotJson,
    /// Begins as JSON but is none: damaged, or nested over 128 levels.
    Malformed,
    /// JSON, but neither an object nor a batch.
    NotAnObject,
    /// An object that is neither call nor answer.
    NotAMessage,
    /// A call or answer whose id cannot be matched: null, a fraction, an object.
    Unidentifiable,
}

impl Noise {
    /// Gives the label for metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotJson => "not_json",
            Self::Malformed => "malformed",
            Self::NotAnObject => "not_an_object",
            Self::NotAMessage => "not_a_message",
            Self::Unidentifiable => "unidentifiable",
        }
    }
}

/// What one line is.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    /// An answer to a request.
    Response(Response),
    /// A call that wants an answer.
    Request(Request),
    /// A call that wants none.
    Notification(Notification),
    /// An error that names no request; count it, never reply.
    IdlessError(RpcError),
    /// An array of messages, with its length; MCP of today has none.
    Batch(usize),
    /// Anything else; count it. Only a server may answer it, with [`error_line`] and no id.
    Noise(Noise),
}

/// Tells what a line is. Accepts what real runtimes send: a missing `jsonrpc`, `params: null`, errors of any shape.
#[must_use]
pub fn classify(line: &[u8]) -> Incoming {
    match line.trim_ascii_start().first() {
        Some(b'{' | b'[') => {}
        Some(b'"' | b'-' | b'0'..=b'9') => return Incoming::Noise(scalar(line)),
        _ if matches!(line.trim_ascii(), b"null" | b"true" | b"false") => {
            return Incoming::Noise(Noise::NotAnObject);
        }
        _ => return Incoming::Noise(Noise::NotJson),
    }
    match serde_json::from_slice::<Value>(line) {
        Ok(Value::Object(map)) => classify_object(map),
        Ok(Value::Array(items)) => Incoming::Batch(items.len()),
        // A log line such as "[INFO] ready" begins like an array.
        Err(_) if line.trim_ascii_start().starts_with(b"[") => Incoming::Noise(Noise::NotJson),
        Ok(_) | Err(_) => Incoming::Noise(Noise::Malformed),
    }
}

fn scalar(line: &[u8]) -> Noise {
    if serde_json::from_slice::<Value>(line).is_ok() { Noise::NotAnObject } else { Noise::NotJson }
}

fn classify_object(mut map: Map<String, Value>) -> Incoming {
    let raw_id = map.remove("id");
    let id = raw_id.as_ref().and_then(RequestId::from_value);
    if let Some(Value::String(method)) = map.remove("method") {
        let params = map.remove("params").filter(|params| !params.is_null());
        return match (id, raw_id) {
            (Some(id), _) => Incoming::Request(Request { id, method, params }),
            (None, None) => Incoming::Notification(Notification { method, params }),
            (None, Some(_)) => Incoming::Noise(Noise::Unidentifiable),
        };
    }
    if let Some(error) = map.remove("error").filter(|error| !error.is_null()) {
        let error = RpcError::from_value(error);
        return match id {
            Some(id) => Incoming::Response(Response { id, outcome: Err(error) }),
            None => Incoming::IdlessError(error),
        };
    }
    match (map.remove("result"), id) {
        (Some(result), Some(id)) => Incoming::Response(Response { id, outcome: Ok(result) }),
        (Some(_), None) => Incoming::Noise(Noise::Unidentifiable),
        (None, _) => Incoming::Noise(Noise::NotAMessage),
    }
}

/// Gives the line of a request, newline included. JSON text never holds a bare newline.
#[must_use]
pub fn request_line(id: &RequestId, method: &str, params: Option<Value>) -> String {
    with_params(json!({"jsonrpc": "2.0", "id": id.to_value(), "method": method}), params)
}

/// Gives the line of a notification, newline included.
#[must_use]
pub fn notification_line(method: &str, params: Option<Value>) -> String {
    with_params(json!({"jsonrpc": "2.0", "method": method}), params)
}

/// Gives the line of a successful answer, newline included.
#[must_use]
pub fn result_line(id: &RequestId, result: Value) -> String {
    line(&json!({"jsonrpc": "2.0", "id": id.to_value(), "result": result}))
}

/// Gives the line of a failed answer, newline included; without an id it says `null`, for unreadable requests.
#[must_use]
pub fn error_line(id: Option<&RequestId>, error: RpcError) -> String {
    let id = id.map_or(Value::Null, RequestId::to_value);
    line(&json!({"jsonrpc": "2.0", "id": id, "error": error.into_value()}))
}

fn with_params(mut message: Value, params: Option<Value>) -> String {
    if let (Some(params), Some(map)) = (params, message.as_object_mut()) {
        map.insert("params".into(), params);
    }
    line(&message)
}

fn line(message: &Value) -> String {
    let mut text = message.to_string();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn noise_is_told_apart() {
        let deep = "[".repeat(5000);
        let deep_object = format!("{{\"a\":{deep}");
        for (line, want) in [
            ("[INFO] Pooled persistence layer initialized", Noise::NotJson),
            ("✅ WASM bindings loaded", Noise::NotJson),
            ("", Noise::NotJson),
            ("null", Noise::NotAnObject),
            ("17", Noise::NotAnObject),
            ("17:05 started", Noise::NotJson),
            ("{\"a\":", Noise::Malformed),
            ("{}", Noise::NotAMessage),
            (r#"{"id":1.5,"method":"x"}"#, Noise::Unidentifiable),
            (r#"{"id":null,"result":1}"#, Noise::Unidentifiable),
            (&deep, Noise::NotJson),
            (&deep_object, Noise::Malformed),
        ] {
            assert_eq!(classify(line.as_bytes()), Incoming::Noise(want), "{line}");
        }
    }

    #[test]
    fn errors_without_an_id_and_batches_are_known() {
        assert_eq!(classify(b"[{},{}]"), Incoming::Batch(2));
        assert_eq!(
            classify(br#"{"error":"too many connections"}"#),
            Incoming::IdlessError(RpcError::new(0, "too many connections"))
        );
        assert_eq!(
            classify(br#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}"#),
            Incoming::IdlessError(RpcError::new(PARSE_ERROR, "Parse error"))
        );
        assert_eq!(
            classify(br#"{"method":"x","params":null}"#),
            Incoming::Notification(Notification { method: "x".into(), params: None })
        );
    }

    #[test]
    fn built_lines_classify_as_what_they_were_built_as() {
        let id = RequestId::String("ab12-7\n".into());
        let text = request_line(&id, "tools/call", Some(json!({"name": "x\ny"})));
        assert_eq!(text.matches('\n').count(), 1);
        let params = Some(json!({"name": "x\ny"}));
        assert_eq!(
            classify(text.as_bytes()),
            Incoming::Request(Request { id: id.clone(), method: "tools/call".into(), params })
        );
        assert!(matches!(classify(notification_line("n", None).as_bytes()), Incoming::Notification(_)));
        let ok = Response { id: RequestId::Number(3), outcome: Ok(Value::Null) };
        assert_eq!(classify(result_line(&ok.id, Value::Null).as_bytes()), Incoming::Response(ok));
        let error = RpcError { code: 5, message: "m".into(), data: Some(json!([1])) };
        let refused = Response { id: id.clone(), outcome: Err(error.clone()) };
        assert_eq!(classify(error_line(Some(&id), error.clone()).as_bytes()), Incoming::Response(refused));
        assert_eq!(classify(error_line(None, error.clone()).as_bytes()), Incoming::IdlessError(error));
    }

    proptest! {
        #[test]
        fn any_bytes_classify(line in prop::collection::vec(any::<u8>(), 0..200)) {
            drop(classify(&line));
        }
    }
}
