//! A scripted peer on a real socket: an agent runtime that misbehaves in one chosen way. For tests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::RuntimeTool;

/// What a peer does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Manner {
    /// Answers.
    Answer,
    /// Answers as a server of the stateless era, which knows one tool.
    Modern,
    /// Writes everything that real runtimes have been seen to write around an answer, then answers.
    Dirty,
    /// Never answers a call.
    Silent,
    /// Answers calls under other ids than they had.
    WrongId,
    /// Closes instead of the first answer of the first connection.
    CloseOnce,
    /// Closes after half of the first answer of the first connection.
    CutOnce,
    /// Says success without any id.
    Empty,
    /// Holds answers back until it has four, then gives them in reverse, in one segment.
    Reverse,
    /// Answers a ping of an idle connection no more.
    Deaf,
    /// A line longer than the limit, then answers properly.
    Huge,
    /// Reads nothing any more once it has listed its tools.
    Stuck,
    /// Ignores methods that it does not know, instead of refusing them.
    Ignorant,
    /// Asks things of its client with each answer.
    Asking,
    /// Says that its tools changed after the first call, and then has one less.
    Changing,
}

/// What a peer has seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Every message, with the number of its connection.
    pub(super) lines: Mutex<Vec<(usize, Value)>>,
    connections: AtomicUsize,
}

/// A peer on a port of its own. It ends, with its connections, when it is dropped.
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    pub(super) seen: Arc<Seen>,
    _task: AbortOnDrop,
}

pub(super) struct AbortOnDrop(pub(super) JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Peer {
    pub(super) async fn start(manner: Manner) -> Self {
        Self::on("127.0.0.1:0".parse().unwrap(), manner).await
    }

    pub(super) async fn on(address: SocketAddr, manner: Manner) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Seen>::default();
        let shared = Arc::clone(&seen);
        let task = actix::spawn(async move {
            // tasks of connections end with this one
            let mut tasks = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                let number = shared.connections.fetch_add(1, Ordering::SeqCst);
                let conn = Conn { manner, number, seen: Arc::clone(&shared) };
                tasks.push(AbortOnDrop(actix::spawn(conn.serve(stream))));
            }
        });
        Self { address, seen, _task: AbortOnDrop(task) }
    }

    /// What it got of one method, in order: connection and message.
    pub(super) fn got(&self, method: &str) -> Vec<(usize, Value)> {
        self.seen.lines.lock().iter().filter(|(_, line)| line["method"] == method).cloned().collect()
    }

    pub(super) fn calls(&self) -> usize {
        self.got("tools/call").len()
    }

    pub(super) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }
}

struct Conn {
    manner: Manner,
    number: usize,
    seen: Arc<Seen>,
}

impl Conn {
    async fn serve(self, stream: TcpStream) {
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        let mut held = Vec::new();
        while let Ok(Some(line)) = lines.next_line().await {
            let message: Value = serde_json::from_str(&line).unwrap();
            self.seen.lines.lock().push((self.number, message.clone()));
            let (Some(id), Some(method)) = (message.get("id"), message["method"].as_str()) else { continue };
            if method == "tools/call" {
                if !self.call(&mut write, &message, &mut held).await {
                    return;
                }
                continue;
            }
            if let Some(outcome) = self.shake_hands(method) {
                let mut answer = json!({"jsonrpc": "2.0", "id": id});
                answer.as_object_mut().unwrap().extend(outcome.as_object().unwrap().clone());
                say(&mut write, &answer.to_string()).await;
            }
            if self.manner == Manner::Stuck && method == "tools/list" {
                // holds the socket open and reads nothing
                tokio::time::sleep(Duration::from_secs(3600)).await;
            }
        }
    }

    /// Result or error of everything but a call; `None` is silence.
    fn shake_hands(&self, method: &str) -> Option<Value> {
        let modern = self.manner == Manner::Modern;
        match method {
            "server/discover" if modern => Some(json!({"result": {
                "supportedVersions": ["2026-07-28"], "capabilities": {}, "resultType": "complete",
                "serverInfo": {"name": "modern", "version": "1"}}})),
            "server/discover" if self.manner == Manner::Ignorant => None,
            "initialize" if !modern => Some(json!({"result": {
                "protocolVersion": "2024-11-05", "capabilities": {},
                "serverInfo": {"name": "fake", "version": "1"}}})),
            "ping" if self.manner == Manner::Deaf => None,
            "tools/list" => Some(json!({"result": {"tools": self.tools()}})),
            _ => Some(json!({"error": {"code": -32601, "message": "no such method"}})),
        }
    }

    fn tools(&self) -> Vec<Value> {
        let changed = self.manner == Manner::Changing
            && self.seen.lines.lock().iter().any(|(_, line)| line["method"] == "tools/call");
        let all = RuntimeTool::ALL.len();
        let count = if self.manner == Manner::Modern { 1 } else { all - usize::from(changed) };
        let describe = |tool: &RuntimeTool| {
            let properties =
                json!({"swarmId": {}, "taskId": {}, "name": {}, "task": {}, "idempotencyKey": {}});
            json!({"name": tool.name(), "description": "", "inputSchema": {"properties": properties}})
        };
        RuntimeTool::ALL.iter().take(count).map(describe).collect()
    }

    /// Carries a call out; `false` closes the connection.
    async fn call(&self, write: &mut OwnedWriteHalf, message: &Value, held: &mut Vec<String>) -> bool {
        let echoed = &message["params"]["arguments"]["name"];
        let mut text = json!({"success": true, "swarmId": "s", "agentId": "a", "name": echoed});
        if self.manner == Manner::Empty {
            text = json!({"success": true});
        }
        let id = if self.manner == Manner::WrongId { &json!("00000000-1") } else { &message["id"] };
        let result = json!({"content": [{"type": "text", "text": text.to_string()}]});
        let answer = json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string();
        match self.manner {
            Manner::Silent | Manner::Stuck => {}
            Manner::CloseOnce if self.number == 0 => return false,
            Manner::CutOnce if self.number == 0 => {
                let (half, _) = answer.split_at(answer.len() / 2);
                write.write_all(half.as_bytes()).await.unwrap();
                return false;
            }
            Manner::Dirty => dirty(write, &answer).await,
            Manner::Reverse => {
                held.push(answer);
                if held.len() == 4 {
                    held.reverse();
                    say(write, &held.join("\n")).await;
                    held.clear();
                }
            }
            Manner::Huge => {
                say(write, &format!("{{\"x\":\"{}\"}}", "y".repeat(2_000_000))).await;
                say(write, &answer).await;
            }
            Manner::Asking => {
                for (id, method) in [("p", "ping"), ("r", "roots/list"), ("s", "sampling/createMessage")] {
                    say(write, &json!({"jsonrpc": "2.0", "id": id, "method": method}).to_string()).await;
                }
                say(write, &answer).await;
            }
            Manner::Changing => {
                say(write, r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#).await;
                say(write, &answer).await;
            }
            Manner::Answer
            | Manner::Modern
            | Manner::WrongId
            | Manner::CloseOnce
            | Manner::CutOnce
            | Manner::Empty
            | Manner::Deaf
            | Manner::Ignorant => say(write, &answer).await,
        }
        true
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
        "\u{feff}",
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
