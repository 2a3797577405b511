//! The connection against scripted peers on real sockets: every way that a runtime can misbehave.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix::Arbiter;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{McpActor, McpConfig, McpError, McpHandle, McpState, McpTarget, RuntimeTool};
use crate::runtime::{Deadline, ParentSink};

/// What a peer does with a `tools/call`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Manner {
    /// Answers.
    Answer,
    /// Writes everything that real runtimes have been seen to write around an answer, then answers.
    Dirty,
    /// Never answers a call.
    Silent,
    /// Closes instead of the first answer of each connection.
    CloseOnce,
    /// Says success without any id.
    Empty,
    /// Holds answers back until it has four, then gives them in reverse.
    Reverse,
    /// Answers a ping of an idle connection no more.
    Deaf,
    /// An answer longer than the line limit, then answers properly.
    Huge,
}

/// A peer on a port of its own.
struct Peer {
    address: SocketAddr,
    calls: Arc<Mutex<Vec<Value>>>,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Peer {
    async fn start(manner: Manner) -> Self {
        Self::on("127.0.0.1:0".parse().unwrap(), manner).await
    }

    async fn on(address: SocketAddr, manner: Manner) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (calls, connections) = (Arc::<Mutex<Vec<Value>>>::default(), Arc::<AtomicUsize>::default());
        let (seen, count) = (Arc::clone(&calls), Arc::clone(&connections));
        let task = actix::spawn(async move {
            // tasks of connections end with this one
            let mut tasks = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                let number = count.fetch_add(1, Ordering::SeqCst);
                tasks.push(AbortOnDrop(actix::spawn(serve(stream, manner, number, Arc::clone(&seen)))));
            }
        });
        Self { address, calls, connections, task }
    }

    fn calls(&self) -> usize {
        self.calls.lock().len()
    }
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn serve(stream: TcpStream, manner: Manner, number: usize, seen: Arc<Mutex<Vec<Value>>>) {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    let mut held = Vec::new();
    while let Ok(Some(line)) = lines.next_line().await {
        let message: Value = serde_json::from_str(&line).unwrap();
        let Some(id) = message.get("id").cloned() else { continue };
        let result = match message["method"].as_str().unwrap() {
            "server/discover" => {
                let error = json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "no such method"}});
                say(&mut write, &error.to_string()).await;
                continue;
            }
            "ping" if manner == Manner::Deaf => continue,
            "initialize" => json!({"protocolVersion": "2024-11-05", "capabilities": {},
                                   "serverInfo": {"name": "fake", "version": "1"}}),
            "tools/list" => json!({"tools": RuntimeTool::ALL.map(|tool| json!({
                "name": tool.name(), "description": "",
                "inputSchema": {"type": "object", "properties": {"swarmId": {}, "n": {}, "idempotencyKey": {}}},
            }))}),
            "tools/call" => {
                seen.lock().push(message["params"].clone());
                let text = json!({"success": true, "swarmId": "s", "agentId": "a", "n": message["params"]["arguments"]["n"]});
                let text = if manner == Manner::Empty { json!({"success": true}) } else { text };
                json!({"content": [{"type": "text", "text": text.to_string()}]})
            }
            _ => json!({}),
        };
        let answer = json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string();
        if message["method"] != "tools/call" {
            say(&mut write, &answer).await;
            continue;
        }
        match manner {
            Manner::Silent => {}
            Manner::CloseOnce if number == 0 => return,
            Manner::Dirty => dirty(&mut write, &answer).await,
            Manner::Reverse => {
                held.push(answer);
                if held.len() == 4 {
                    for answer in held.drain(..).rev() {
                        say(&mut write, &answer).await;
                    }
                }
            }
            Manner::Huge => {
                say(&mut write, &format!("{{\"x\":\"{}\"}}", "y".repeat(2_000_000))).await;
                say(&mut write, &answer).await;
            }
            Manner::Answer | Manner::CloseOnce | Manner::Empty | Manner::Deaf => {
                say(&mut write, &answer).await
            }
        }
    }
}

async fn say(write: &mut OwnedWriteHalf, line: &str) {
    // the client may have gone; the test sees what matters on its side
    drop(write.write_all(format!("{line}\n").as_bytes()).await);
}

/// Log lines, emoji, foreign ids, id-less errors, notifications, `null`, a batch; and the answer in two halves.
async fn dirty(write: &mut OwnedWriteHalf, answer: &str) {
    for line in [
        "🚀 Starting swarm…",
        "[ERROR] {",
        "null",
        "",
        r#"{"jsonrpc":"2.0","error":{"code":-32601,"message":"Method not found"}}"#,
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#,
        r#"{"jsonrpc":"2.0","id":"other-1","result":{}}"#,
        r#"{"jsonrpc":"2.0","method":"server.initialized","params":{}}"#,
        r#"[{"jsonrpc":"2.0","id":2,"result":{}}]"#,
    ] {
        say(write, line).await;
    }
    let (first, second) = answer.split_at(answer.len() / 2);
    write.write_all(first.as_bytes()).await.unwrap();
    write.flush().await.unwrap();
    tokio::task::yield_now().await;
    say(write, second).await;
}

fn config(address: SocketAddr) -> McpConfig {
    let target = McpTarget::Tcp { host: address.ip().to_string(), port: address.port() };
    McpConfig { line_bytes_max: 1_000_000, timeout: Duration::from_secs(5), ..McpConfig::new(target) }
}

fn connect(config: McpConfig) -> McpHandle {
    McpActor::start(config, &Arbiter::current(), ParentSink::ignore()).unwrap()
}

async fn until(handle: &McpHandle, state: McpState) {
    let mut health = handle.watch();
    let reached = health.wait_for(|health| health.state == state);
    timeout(Duration::from_secs(10), reached).await.expect("the state is reached in 10 s").unwrap();
}

fn arguments(n: usize) -> Map<String, Value> {
    RuntimeTool::arguments([("n", json!(n))])
}

fn soon() -> Deadline {
    Deadline::within(Duration::from_secs(5))
}

#[actix::test]
async fn a_thousand_calls_at_once_are_each_answered_with_their_own_answer() {
    let peer = Peer::start(Manner::Answer).await;
    let handle = connect(config(peer.address));
    until(&handle, McpState::Connected).await;
    for wave in 0..20 {
        let calls = (0..50).map(|n| handle.call(RuntimeTool::AgentList, arguments(wave * 50 + n), soon()));
        for (n, answer) in futures_util::future::join_all(calls).await.into_iter().enumerate() {
            assert_eq!(answer.unwrap()["n"], json!(wave * 50 + n));
        }
    }
    assert_eq!(peer.calls(), 1_000);
    assert_eq!(peer.connections.load(Ordering::SeqCst), 1, "all over one connection");
    assert_eq!(handle.health().missing_tools, Vec::<&str>::new());
}

#[actix::test]
async fn noise_around_an_answer_is_skipped() {
    let peer = Peer::start(Manner::Dirty).await;
    let handle = connect(config(peer.address));
    for n in 0..5 {
        let answer = handle.call(RuntimeTool::AgentSpawn, arguments(n), soon()).await.unwrap();
        assert_eq!(answer["n"], json!(n));
    }
    assert_eq!(peer.connections.load(Ordering::SeqCst), 1);
}

#[actix::test]
async fn answers_in_another_order_find_their_calls() {
    let peer = Peer::start(Manner::Reverse).await;
    let handle = connect(config(peer.address));
    until(&handle, McpState::Connected).await;
    let calls = (0..4).map(|n| handle.call(RuntimeTool::TaskStatus, arguments(n), soon()));
    for (n, answer) in futures_util::future::join_all(calls).await.into_iter().enumerate() {
        assert_eq!(answer.unwrap()["n"], json!(n));
    }
}

#[actix::test]
async fn calls_that_change_something_go_one_at_a_time() {
    let peer = Peer::start(Manner::Silent).await;
    let handle = connect(config(peer.address));
    until(&handle, McpState::Connected).await;
    let short = Deadline::within(Duration::from_millis(300));
    let calls = (0..3).map(|n| handle.call(RuntimeTool::AgentSpawn, arguments(n), short));
    let answers = futures_util::future::join_all(calls).await;
    let sent = answers.iter().filter(|a| matches!(a, Err(McpError::Deadline { sent: true, .. }))).count();
    assert_eq!(sent, 1, "{answers:?}");
    assert_eq!(peer.calls(), 1);
}

#[actix::test]
async fn a_silent_peer_ends_a_call_at_its_deadline() {
    let peer = Peer::start(Manner::Silent).await;
    let handle = connect(config(peer.address));
    until(&handle, McpState::Connected).await;
    let answer =
        handle.call(RuntimeTool::SwarmInit, arguments(0), Deadline::within(Duration::from_millis(200))).await;
    let error = answer.unwrap_err();
    assert_eq!(error, McpError::Deadline { tool: "swarm_init".into(), sent: true });
    assert!(error.outcome_unknown());
}

#[actix::test]
async fn a_read_is_repeated_once_and_a_write_without_a_key_is_not() {
    let peer = Peer::start(Manner::CloseOnce).await;
    let handle = connect(config(peer.address));
    let answer = handle.call(RuntimeTool::AgentList, arguments(7), soon()).await.unwrap();
    assert_eq!((answer["n"].clone(), peer.calls()), (json!(7), 2));

    let peer = Peer::start(Manner::CloseOnce).await;
    let handle = connect(config(peer.address));
    let error = handle.call(RuntimeTool::AgentSpawn, arguments(7), soon()).await.unwrap_err();
    assert_eq!((error, peer.calls()), (McpError::OutcomeUnknown { tool: "agent_spawn".into() }, 1));

    let peer = Peer::start(Manner::CloseOnce).await;
    let handle = connect(config(peer.address));
    let keyed = RuntimeTool::arguments([("n", json!(7)), ("idempotencyKey", json!("k"))]);
    let answer = handle.call(RuntimeTool::AgentSpawn, keyed, soon()).await.unwrap();
    assert_eq!((answer["n"].clone(), peer.calls()), (json!(7), 2));
}

#[actix::test]
async fn success_without_an_id_is_an_error_that_names_what_is_missing() {
    use crate::domain::{NewSwarm, SwarmId, Topology};
    let peer = Peer::start(Manner::Empty).await;
    let runtime = super::AgentRuntime::new(connect(config(peer.address)));
    let new = NewSwarm::parse("s".into(), None, None, None, Topology::Mesh, 200).unwrap();
    let now = chrono::DateTime::from_timestamp(0, 0).unwrap();
    let swarm = new.accept(SwarmId(uuid::Uuid::nil()), "alice".into(), now);
    let error = runtime.swarm_init(&swarm, soon()).await.unwrap_err();
    assert!(matches!(error, McpError::MissingIdentity { .. }), "{error:?}");
    assert!(error.outcome_unknown(), "a swarm may have been made");
}

#[actix::test]
async fn a_line_over_the_limit_is_skipped_and_the_connection_stays() {
    let peer = Peer::start(Manner::Huge).await;
    let handle = connect(config(peer.address));
    for n in 0..2 {
        assert_eq!(handle.call(RuntimeTool::AgentList, arguments(n), soon()).await.unwrap()["n"], json!(n));
    }
    assert_eq!(peer.connections.load(Ordering::SeqCst), 1);
}

#[actix::test]
async fn a_missed_keepalive_replaces_the_connection() {
    let peer = Peer::start(Manner::Deaf).await;
    let handle = connect(McpConfig { keepalive_interval: Duration::from_millis(50), ..config(peer.address) });
    until(&handle, McpState::Connected).await;
    until(&handle, McpState::Down).await;
    assert_eq!(handle.health().last_error.as_deref(), Some("it missed a keepalive"));
    until(&handle, McpState::Connected).await;
    assert!(peer.connections.load(Ordering::SeqCst) >= 2);
}

#[actix::test]
async fn a_runtime_that_is_not_there_is_unavailable_at_once_and_found_when_it_comes() {
    let address = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap()
    };
    let handle = connect(config(address));
    until(&handle, McpState::Down).await;
    let error = handle.call(RuntimeTool::SwarmInit, arguments(0), soon()).await.unwrap_err();
    assert!(matches!(error, McpError::Unavailable { .. }), "{error:?}");
    assert!(!error.outcome_unknown());
    let peer = Peer::on(address, Manner::Answer).await;
    until(&handle, McpState::Connected).await;
    assert!(handle.call(RuntimeTool::SwarmInit, arguments(0), soon()).await.is_ok());
    assert_eq!(peer.calls(), 1);
}

#[actix::test]
async fn a_tool_that_the_runtime_lacks_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let peer = AbortOnDrop(actix::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let message: Value = serde_json::from_str(&line).unwrap();
            let Some(id) = message.get("id") else { continue };
            let result = match message["method"].as_str().unwrap() {
                "server/discover" => json!({"supportedVersions": ["2026-07-28"], "capabilities": {},
                    "serverInfo": {"name": "modern", "version": "1"}, "resultType": "complete"}),
                _ => json!({"tools": [{"name": "swarm_init", "description": "", "inputSchema": {}}]}),
            };
            say(&mut write, &json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string()).await;
        }
    }));
    let handle = connect(config(address));
    until(&handle, McpState::Connected).await;
    assert_eq!(handle.health().protocol.as_deref(), Some("2026-07-28"));
    assert!(handle.health().missing_tools.contains(&"agent_spawn"));
    let error = handle.call(RuntimeTool::AgentSpawn, arguments(0), soon()).await.unwrap_err();
    assert_eq!(error, McpError::UnsupportedByRuntime { tool: "agent_spawn".into() });
    drop(peer);
}

#[actix::test]
async fn a_child_process_is_a_runtime_too_and_ends_with_its_connection() {
    // a shell loop that answers each line by its id: no more is needed to shake hands
    let script = r#"while read -r line; do
        id=$(printf '%s' "$line" | sed -n 's/.*"id":\("[^"]*"\).*/\1/p'); [ -n "$id" ] || continue
        case "$line" in
          *server/discover*) printf '{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"no"}}\n' "$id";;
          *'"initialize"'*) printf '{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2024-11-05","capabilities":{},"serverInfo":{"name":"sh","version":"1"}}}\n' "$id";;
          *tools/list*) printf '{"jsonrpc":"2.0","id":%s,"result":{"tools":[{"name":"agent_list","description":"","inputSchema":{}}]}}\n' "$id";;
          *) printf '{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"{\\"agents\\":[]}"}]}}\n' "$id";;
        esac
      done"#;
    let target = McpTarget::Stdio { program: "sh".into(), args: vec!["-c".into(), script.into()] };
    let handle = connect(McpConfig::new(target));
    until(&handle, McpState::Connected).await;
    assert_eq!(handle.health().server.as_deref(), Some("sh"));
    let answer = handle.call(RuntimeTool::AgentList, Map::new(), soon()).await.unwrap();
    assert_eq!(answer, json!({"agents": []}));
}
