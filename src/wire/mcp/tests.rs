//! Real answers of real runtimes, from `tests/fixtures/wire/mcp`: one line each, as it came off the socket.

use super::*;
use crate::wire::jsonrpc::{Incoming, Noise, RpcError, classify};

const RUV: &str = include_str!("../../../tests/fixtures/wire/mcp/ruv-swarm.jsonl");
const FLOW2: &str = include_str!("../../../tests/fixtures/wire/mcp/claude-flow-2.jsonl");
const FLOW3: &str = include_str!("../../../tests/fixtures/wire/mcp/claude-flow-3.jsonl");
const EVERYTHING: &str = include_str!("../../../tests/fixtures/wire/mcp/server-everything.jsonl");
const PYTHON: &str = include_str!("../../../tests/fixtures/wire/mcp/python-mcp.jsonl");

fn raw(file: &str, case: &str) -> Vec<String> {
    let found: Vec<String> = file
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["case"] == case)
        .map(|line| line["raw"].as_str().unwrap().to_owned())
        .collect();
    assert!(!found.is_empty(), "no case {case}");
    found
}

fn outcome(file: &str, case: &str) -> Result<Value, RpcError> {
    let Incoming::Response(response) = classify(raw(file, case)[0].as_bytes()) else {
        panic!("{case} is no response")
    };
    response.outcome
}

fn unwrapped(file: &str, case: &str) -> Result<Value, ToolFailure> {
    match outcome(file, case) {
        Ok(result) => unwrap_tool_result(&result),
        Err(error) => Err(ToolFailure::from_rpc_error(&error)),
    }
}

fn good(file: &str, case: &str) -> Value {
    unwrapped(file, case).unwrap_or_else(|failure| panic!("{case}: {failure}"))
}

#[test]
fn every_runtime_shakes_hands() {
    for file in [RUV, FLOW2, FLOW3, PYTHON] {
        let result: InitializeResult = serde_json::from_value(outcome(file, "initialize").unwrap()).unwrap();
        assert_eq!(result.protocol_version, "2024-11-05");
        assert!(speaks(&result.protocol_version));
    }
    let bare: InitializeResult =
        serde_json::from_value(json!({"protocolVersion":"2024-11-05","serverInfo":{"name":"bridge"}}))
            .unwrap();
    assert!(bare.capabilities.is_empty());
    let asked: InitializeParams = serde_json::from_value(json!({"protocolVersion":"2024-11-05"})).unwrap();
    assert_eq!(answer_version(&asked.protocol_version), "2024-11-05");
    assert_eq!(answer_version("1999-01-01"), "2025-11-25");
}

#[test]
fn noise_is_known_as_such() {
    for file in [RUV, FLOW2] {
        for line in raw(file, "noise") {
            assert_eq!(classify(line.as_bytes()), Incoming::Noise(Noise::NotJson), "{line}");
        }
        assert!(matches!(classify(raw(file, "notification")[0].as_bytes()), Incoming::Notification(n)
            if n.method == "server.initialized"));
        assert!(matches!(classify(raw(file, "idless")[0].as_bytes()), Incoming::IdlessError(error)
            if error.code == -32601));
    }
    let null_id = classify(raw(FLOW3, "idless")[0].as_bytes());
    assert_eq!(null_id, Incoming::Noise(Noise::Unidentifiable), "a result for nobody");
    for file in [EVERYTHING, PYTHON] {
        assert!(matches!(classify(raw(file, "notification")[0].as_bytes()), Incoming::Notification(_)));
    }
}

#[test]
fn any_answer_to_a_ping_is_an_answer() {
    assert_eq!(outcome(RUV, "ping").unwrap_err().code, -32601);
    assert_eq!(outcome(FLOW2, "ping").unwrap_err().code, -32601);
    assert_eq!(outcome(FLOW3, "ping").unwrap(), json!({}));
    assert_eq!(outcome(EVERYTHING, "ping").unwrap(), json!({}));
}

#[test]
fn ids_are_found_wherever_they_are() {
    type Find = fn(&Value) -> Result<String, ToolFailure>;
    let cases: [(&str, &str, Find, &str); 13] = [
        (RUV, "swarm_init", swarm_id_of, "swarm-1795474888672"),
        (FLOW2, "swarm_init", swarm_id_of, "swarm_1795475487944_infnxzwtg"),
        (FLOW3, "swarm_init", swarm_id_of, "swarm-1795477226164-ooeevb"),
        (FLOW3, "swarm_shutdown", swarm_id_of, "swarm-1795477226789-66t0su"),
        (RUV, "agent_spawn", swarm_id_of, "swarm-1795474888672"), // where it went
        (RUV, "agent_spawn", agent_id_of, "agent-1795474888744"),
        (FLOW2, "agent_spawn", agent_id_of, "agent_1795475487947_v8d3hr"),
        (FLOW3, "agent_spawn", agent_id_of, "alpha"),
        (FLOW3, "agent_terminate", agent_id_of, "alpha"),
        (RUV, "task_orchestrate", task_id_of, "task-1795474889076"),
        (RUV, "task_status", task_id_of, "task-1795474889076"),
        (FLOW2, "task_orchestrate", task_id_of, "task_1795475487972_kn1pftmbx"),
        (FLOW3, "task_create", task_id_of, "task-1795477226568-ysxeli"),
    ];
    for (file, case, find, want) in cases {
        assert_eq!(find(&good(file, case)).as_deref(), Ok(want), "{case}");
    }
    let ruv = agents_of(&good(RUV, "agent_list")).unwrap();
    assert_eq!(ruv.len(), 2);
    assert_eq!((ruv[1].name.as_deref(), ruv[1].status.as_deref()), (Some("beta"), Some("idle")));
    assert_eq!(agents_of(&good(FLOW3, "agent_list")).unwrap(), []);
}

#[test]
fn failures_are_told_apart() {
    let cases = [
        (RUV, "agent_spawn_refused", "failed", "type must be one of"),
        (FLOW2, "swarm_status_missing", "not found", "swarm_nope"),
        (FLOW3, "swarm_status_none", "not found", "No active swarms"),
        (FLOW3, "agent_status_missing", "not found", "Agent not found"),
        (FLOW3, "task_status_missing", "not found", "Task not found"),
        (FLOW3, "swarm_init_refused", "failed", "Invalid topology: torus"),
        (FLOW3, "swarm_destroy", "unsupported", "Tool not found: swarm_destroy"),
        (EVERYTHING, "unknown_tool", "unsupported", "no_such_tool"),
        (PYTHON, "boom", "failed", "boom"),
    ];
    for (file, case, want, says) in cases {
        let failure = unwrapped(file, case).unwrap_err();
        let kind = match &failure {
            ToolFailure::Failed { .. } => "failed",
            ToolFailure::NotFound { .. } => "not found",
            ToolFailure::Unsupported { .. } => "unsupported",
            ToolFailure::Missing { .. } | ToolFailure::Malformed { .. } => "no answer",
        };
        assert_eq!(kind, want, "{case}: {failure}");
        assert!(failure.to_string().contains(says), "{case}: {failure}");
    }
}

#[test]
fn success_without_evidence_is_none() {
    for case in ["task_status_stub", "swarm_destroy_stub", "agent_list_mock", "agent_list_echo"] {
        assert!(matches!(unwrapped(FLOW2, case), Err(ToolFailure::Unsupported { .. })), "{case}");
    }
    let noted = good(FLOW3, "coordination_orchestrate");
    assert!(matches!(task_id_of(&noted), Err(ToolFailure::Missing { what: "a task id", has })
        if has.contains("orchestrationId")));
    for empty in [json!({"success":true}), json!({"success":true,"swarmId":""}), json!("done"), Value::Null] {
        assert!(matches!(swarm_id_of(&empty), Err(ToolFailure::Missing { .. })));
        assert!(agent_id_of(&empty).is_err() && task_id_of(&empty).is_err() && agents_of(&empty).is_err());
    }
    assert!(agents_of(&json!({"agents":[{"name":"x"}]})).is_err());
    assert!(agent_id_of(&json!({"id":"swarm-1","type":"mesh"})).is_err(), "a swarm's id is no agent's");
}

#[test]
fn wrappings_are_taken_off() {
    assert_eq!(good(PYTHON, "echo"), json!("hi"));
    assert_eq!(good(PYTHON, "add"), json!({"sum":3}));
    for bad in [json!(null), json!({}), json!({"content":[]}), json!({"content":[{"type":"image"}]})] {
        assert!(matches!(unwrap_tool_result(&bad), Err(ToolFailure::Malformed { .. })), "{bad}");
    }
}

#[test]
fn our_own_results_come_back() {
    let value = json!({"swarm_id":"0189","agents":[]});
    let result = serde_json::to_value(ToolResult::success(value.clone())).unwrap();
    assert_eq!(unwrap_tool_result(&result).unwrap(), value);
    assert_eq!(swarm_id_of(&value).unwrap(), "0189");
    let failure = serde_json::to_value(ToolResult::failure("not_found", "swarm x not found")).unwrap();
    let message = "swarm x not found".to_owned();
    assert_eq!(unwrap_tool_result(&failure), Err(ToolFailure::NotFound { message }));
    let call: ToolCallParams = serde_json::from_value(json!({"name":"swarm_status"})).unwrap();
    assert!(call.arguments.is_empty());
    let tool: Tool =
        serde_json::from_value(json!({"name":"t","inputSchema":{"properties":{"swarmId":{}}}})).unwrap();
    assert!(tool.takes("swarmId") && !tool.takes("agentId"));
}
