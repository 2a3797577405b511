//! The binary: flags, variables, signals.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use super::*;

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-runtime"));
    for name in ["BIND", "MCP_PORT", "MCP_HEALTH_PORT", "RUST_LOG"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// The value of a field in the log line that tells of the start.
fn field(line: &str, name: &str) -> SocketAddr {
    let (_, rest) = line.split_once(&format!("{name}=")).unwrap_or_else(|| panic!("no {name}: {line}"));
    rest.split_whitespace().next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_serves_until_it_is_told_to_end() {
    let mut child = Running(command().env("MCP_PORT", "0").args(["--health-port", "0"]).spawn().unwrap());
    let mut log = BufReader::new(child.0.stderr.take().unwrap());
    let ready = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        while log.read_line(&mut line).unwrap() > 0 && !line.contains("is ready") {
            line.clear();
        }
        (line, log)
    });
    let (line, mut log) = within("the start", ready).await.unwrap();
    let mut client = Client::connect(field(&line, "mcp_addr")).await;
    client.line(GUIDE_INITIALIZE).await;
    assert_eq!(client.next().await.unwrap()["id"], 1);
    assert_eq!(get(field(&line, "health_addr"), "/health").await.1["simulated"], true);
    assert!(Command::new("kill").arg(child.0.id().to_string()).status().unwrap().success());
    client.ended().await;
    let ended = tokio::task::spawn_blocking(move || {
        std::io::Read::read_to_string(&mut log, &mut String::new()).unwrap();
        child.0.wait().unwrap()
    });
    assert!(within("the end", ended).await.unwrap().success());
}

#[tokio::test]
async fn a_taken_port_ends_it_with_one_line() {
    let runtime = start(any_port()).await;
    let port = runtime.mcp_addr().port().to_string();
    let output =
        command().env("RUST_LOG", "off").args(["--port", &port, "--health-port", "0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(70));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains(&port) && text.contains("MCP_PORT") && text.lines().count() == 1, "{text}");
}
