//! An independent client of MCP, by the protocol's own makers, is content in both eras.

use rmcp::model::{CallToolRequestParams, ClientConfig, ProtocolVersion};
use rmcp::service::{ClientLifecycleMode, RoleClient, RunningService, serve_client_with_lifecycle};

use super::*;

type Peer = RunningService<RoleClient, ClientConfig>;

async fn connect(runtime: &RunningRuntime, mode: ClientLifecycleMode) -> Peer {
    let stream = TcpStream::connect(runtime.mcp_addr()).await.unwrap();
    within("the handshake", serve_client_with_lifecycle(ClientConfig::default(), stream, mode)).await.unwrap()
}

async fn call(peer: &Peer, tool: &'static str, arguments: Value) -> rmcp::model::CallToolResult {
    let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
    let params = CallToolRequestParams::new(tool).with_arguments(arguments);
    within("an answer", peer.call_tool(params)).await.unwrap()
}

async fn is_content(peer: &Peer, key: &str) {
    let tools = within("the list", peer.list_all_tools()).await.unwrap();
    assert_eq!(tools.len(), 10);
    let made = call(peer, "swarm_init", json!({"topology": "mesh", "idempotencyKey": key})).await;
    assert_eq!(made.is_error, Some(false));
    let structured = made.structured_content.expect("structured content");
    let text = made.content[0].as_text().expect("a text").text.clone();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), structured);
    let swarm = structured["swarmId"].as_str().unwrap();
    call(peer, "agent_spawn", json!({"swarmId": swarm, "type": "researcher"})).await;
    let listed = call(peer, "agent_list", json!({"swarmId": swarm})).await.structured_content.unwrap();
    assert_eq!(listed["agents"][0]["type"], "researcher");
    let refused = call(peer, "agent_spawn", json!({"swarmId": swarm, "type": "wizard"})).await;
    assert_eq!(refused.is_error, Some(true));
    let unknown = within("a refusal", peer.call_tool(CallToolRequestParams::new("no_such_tool"))).await;
    assert!(unknown.unwrap_err().to_string().contains("unknown tool"));
}

#[tokio::test]
async fn rmcp_shakes_hands_lists_and_calls() {
    let runtime = start(any_port()).await;
    let peer = connect(&runtime, ClientLifecycleMode::Initialize).await;
    let info = peer.peer_info().expect("what the server said");
    assert_eq!(info.protocol_version, ProtocolVersion::V_2025_11_25);
    is_content(&peer, "a").await;
    peer.cancel().await.unwrap();
}

#[tokio::test]
async fn rmcp_discovers_lists_and_calls() {
    let runtime = start(any_port()).await;
    let mode = ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] };
    let peer = connect(&runtime, mode).await;
    is_content(&peer, "a").await;
    peer.cancel().await.unwrap();
}

#[tokio::test]
async fn rmcp_calls_from_many_connections_at_once_see_one_state() {
    let runtime = start(any_port()).await;
    let mut peers = Vec::new();
    for _ in 0..8 {
        peers.push(connect(&runtime, ClientLifecycleMode::Initialize).await);
    }
    let calls = peers
        .iter()
        .flat_map(|peer| (0..20).map(move |_| call(peer, "swarm_init", json!({"idempotencyKey": "one"}))));
    let made = futures_util::future::join_all(calls).await;
    let ids: std::collections::BTreeSet<String> =
        made.iter().map(|m| m.structured_content.as_ref().unwrap()["swarmId"].to_string()).collect();
    assert_eq!((made.len(), ids.len()), (160, 1));
}
