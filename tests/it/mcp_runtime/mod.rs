//! The agent runtime over real sockets.

mod binary;
mod faults;
mod limits;
mod peer;
mod protocol;
mod work;

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use visionflow::mcp_runtime::{McpRuntime, RunningRuntime, RuntimeConfig};

/// Longest wait for anything that must happen.
const WAIT: Duration = Duration::from_secs(20);
/// A write that waits this long waits for a reader, and not for a slow machine.
const FULL_AFTER: Duration = Duration::from_secs(1);
/// The first command of the upgrade guide, to the letter.
const GUIDE_INITIALIZE: &str =
    r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2024-11-05"}}"#;
/// The second one.
const GUIDE_TOOLS_LIST: &str = r#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#;

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(WAIT, future).await.unwrap_or_else(|_| panic!("waited {WAIT:?} for {what}"))
}

fn any_port() -> RuntimeConfig {
    RuntimeConfig::new((Ipv4Addr::LOCALHOST, 0).into(), (Ipv4Addr::LOCALHOST, 0).into())
}

async fn start(config: RuntimeConfig) -> RunningRuntime {
    McpRuntime::start(config).await.unwrap()
}

/// Lines in and out of one connection.
struct Client {
    reader: BufReader<OwnedReadHalf>,
    writer: Option<OwnedWriteHalf>,
}

impl Client {
    async fn connect(addr: SocketAddr) -> Self {
        Self::over(TcpStream::connect(addr).await.unwrap())
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        let (reader, writer) = stream.into_split();
        Self { reader: BufReader::new(reader), writer: Some(writer) }
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.writer.as_mut().unwrap().write_all(bytes).await.unwrap();
    }

    async fn line(&mut self, line: &str) {
        self.send(format!("{line}\n").as_bytes()).await;
    }

    /// Closes the write half, as `nc -N` does at the end of its input.
    async fn half_close(&mut self) {
        self.writer.take().unwrap().shutdown().await.unwrap();
    }

    /// The next line as text; `None` at the end.
    async fn raw(&mut self) -> Option<String> {
        let mut line = String::new();
        let count = within("a line", self.reader.read_line(&mut line)).await.unwrap();
        (count > 0).then_some(line)
    }

    /// The next line as JSON; `None` at the end.
    async fn next(&mut self) -> Option<Value> {
        self.raw().await.map(|line| serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}")))
    }

    /// Nothing but the end may come.
    async fn ended(&mut self) {
        assert_eq!(self.next().await, None);
    }

    async fn ask(&mut self, id: u64, method: &str, params: Value) -> Value {
        self.line(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()).await;
        let answer = self.next().await.expect("an answer");
        assert_eq!(answer["id"], id, "{answer}");
        answer
    }

    /// What a tool answered, success or not.
    async fn call(&mut self, tool: &str, arguments: Value) -> Value {
        let answer = self.ask(77, "tools/call", json!({"name": tool, "arguments": arguments})).await;
        serde_json::from_str(answer["result"]["content"][0]["text"].as_str().unwrap()).unwrap()
    }

    async fn make_swarm(&mut self, key: &str) -> String {
        let made = self.call("swarm_init", json!({"topology": "mesh", "idempotencyKey": key})).await;
        made["swarmId"].as_str().unwrap().to_owned()
    }
}

/// Status line and body of a plain `GET`.
async fn get(addr: SocketAddr, path: &str) -> (String, Value) {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within("an http answer", stream.read_to_string(&mut answer)).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), serde_json::from_str(body).unwrap())
}

async fn health(runtime: &RunningRuntime) -> Value {
    get(runtime.health_addr(), "/health").await.1
}

/// Asks again until the health report is as wanted.
async fn health_becomes(runtime: &RunningRuntime, what: &str, wanted: impl Fn(&Value) -> bool) {
    within(what, async {
        while !wanted(&health(runtime).await) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
