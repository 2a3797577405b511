//! Requests and answers of both eras, without a socket.

use super::*;
use crate::mcp_runtime::RuntimeConfig;
use crate::wire::jsonrpc::{Incoming, RequestId, classify};
use crate::wire::mcp::{DiscoverResult, Implementation, InitializeResult, ToolList, modern_meta};

struct Peer {
    shared: Shared,
    session: Session,
}

impl Peer {
    fn new() -> Self {
        Self { shared: Shared::new(RuntimeConfig::default()), session: Session::default() }
    }

    fn ask(&mut self, name: &str, params: Value) -> Result<Value, RpcError> {
        let params = Some(params).filter(|params| !params.is_null());
        let request = Request { id: RequestId::String("r-1".into()), method: name.into(), params };
        let line = answer(&self.shared, &mut self.session, request);
        assert!(line.ends_with('\n') && line.matches('\n').count() == 1);
        let Incoming::Response(response) = classify(line.as_bytes()) else { panic!("no response: {line}") };
        assert_eq!(response.id, RequestId::String("r-1".into()));
        response.outcome
    }

    fn call(&mut self, name: &str, arguments: Value, meta: Option<Map<String, Value>>) -> Value {
        self.ask("tools/call", json!({"name": name, "arguments": arguments, "_meta": meta})).unwrap()
    }
}

fn modern_params() -> Map<String, Value> {
    modern_meta(&Implementation { name: "test".into(), version: "1".into() })
}

#[test]
fn the_asked_version_is_answered_when_known_else_the_newest() {
    for (asked, want) in [
        (json!("2024-11-05"), "2024-11-05"),
        (json!("2025-03-26"), "2025-03-26"),
        (json!("2025-06-18"), "2025-06-18"),
        (json!("2025-11-25"), "2025-11-25"),
        (json!("2026-07-28"), "2025-11-25"),
        (json!("1.0"), "2025-11-25"),
    ] {
        let result = Peer::new().ask("initialize", json!({"protocolVersion": asked})).unwrap();
        let read: InitializeResult = serde_json::from_value(result.clone()).unwrap();
        assert_eq!(read.protocol_version, want);
        assert_eq!(read.server_info.name, "visionflow-mcp-runtime");
        assert_eq!(read.capabilities.get("tools"), Some(&json!({"listChanged": false})));
        assert_eq!(result["capabilities"]["experimental"]["visionflow/executor"]["simulated"], true);
        assert!(result.get("resultType").is_none());
    }
    assert_eq!(Peer::new().ask("initialize", Value::Null).unwrap()["protocolVersion"], "2024-11-05");
    let refused = Peer::new().ask("initialize", json!({"protocolVersion": 3})).unwrap_err();
    assert_eq!(refused.code, INVALID_PARAMS);
}

#[test]
fn nothing_has_to_come_first() {
    let tools: ToolList =
        serde_json::from_value(Peer::new().ask("tools/list", Value::Null).unwrap()).unwrap();
    assert_eq!(tools.tools.len(), 10);
    assert_eq!(tools.next_cursor, None);
    assert_eq!(Peer::new().ask("ping", Value::Null).unwrap(), json!({}));
    let answer = Peer::new().call("swarm_init", json!({}), None);
    assert_eq!(answer["isError"], false);
}

#[test]
fn structured_content_comes_with_the_versions_that_know_it() {
    for (version, structured) in
        [("2024-11-05", false), ("2025-03-26", false), ("2025-06-18", true), ("2025-11-25", true)]
    {
        let mut peer = Peer::new();
        peer.ask("initialize", json!({"protocolVersion": version})).unwrap();
        let good = peer.call("swarm_init", json!({"topology": "ring"}), None);
        let bad = peer.call("swarm_init", json!({"topology": "torus"}), None);
        for result in [&good, &bad] {
            assert_eq!(result.get("structuredContent").is_some(), structured, "{version}");
            let text: Value = serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
            assert!(!structured || text == result["structuredContent"]);
            assert_eq!(text["success"], json!(result["isError"] == false));
        }
        assert_eq!((&bad["isError"], &good["isError"]), (&json!(true), &json!(false)));
    }
}

#[test]
fn the_era_without_a_handshake_is_served() {
    let mut peer = Peer::new();
    let found = peer.ask("server/discover", json!({"_meta": modern_params()})).unwrap();
    let read: DiscoverResult = serde_json::from_value(found.clone()).unwrap();
    assert_eq!(read.supported_versions.first().map(String::as_str), Some("2026-07-28"));
    assert_eq!(read.supported_versions.len(), 5);
    assert_eq!(found["_meta"]["io.modelcontextprotocol/serverInfo"], found["serverInfo"]);
    let result = peer.call("swarm_init", json!({}), Some(modern_params()));
    assert_eq!(result["resultType"], "complete");
    assert!(result["structuredContent"].is_object(), "whatever the connection agreed upon");
    assert!(peer.call("swarm_init", json!({}), None).get("resultType").is_none());
    let list = peer.ask("tools/list", json!({"_meta": modern_params()})).unwrap();
    assert_eq!((&list["resultType"], &list["ttlMs"]), (&json!("complete"), &json!(3_600_000)));
    // It may still shake hands afterwards.
    assert!(peer.ask("initialize", json!({"protocolVersion": "2025-11-25"})).is_ok());
}

#[test]
fn a_version_that_nobody_knows_is_refused_with_those_that_are() {
    let meta = json!({"io.modelcontextprotocol/protocolVersion": "2099-01-01"});
    let error = Peer::new().ask("tools/list", json!({"_meta": meta})).unwrap_err();
    assert_eq!(error.code, UNSUPPORTED_PROTOCOL_VERSION);
    assert_eq!(error.data.unwrap()["supported"][0], "2026-07-28");
}

#[test]
fn wrong_requests_get_the_right_codes() {
    let mut peer = Peer::new();
    for (name, params, code) in [
        ("resources/list", Value::Null, METHOD_NOT_FOUND),
        ("notifications/initialized", Value::Null, METHOD_NOT_FOUND),
        ("tools/call", Value::Null, INVALID_PARAMS),
        ("tools/call", json!([1]), INVALID_PARAMS),
        ("tools/call", json!({"name": 1}), INVALID_PARAMS),
        ("tools/call", json!({"name": "swarm_init", "arguments": "x"}), INVALID_PARAMS),
        ("tools/call", json!({"name": "no_such_tool"}), INVALID_PARAMS),
    ] {
        assert_eq!(peer.ask(name, params.clone()).unwrap_err().code, code, "{name} {params}");
    }
    let long = peer.ask(&"x".repeat(100_000), Value::Null).unwrap_err();
    assert!(long.message.len() < 200, "an error is never as large as its cause");
    assert_eq!(peer.call("swarm_init", Value::Null, None)["isError"], false, "null arguments are none");
}
