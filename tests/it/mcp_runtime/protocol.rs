//! The guide's commands, and what comes of lines that are no requests.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::*;

fn check_initialize(answer: &Value) {
    assert_eq!((&answer["id"], &answer["result"]["protocolVersion"]), (&json!(1), &json!("2024-11-05")));
    assert_eq!(answer["result"]["serverInfo"]["name"], "visionflow-mcp-runtime");
}

fn check_tools_list(answer: &Value) {
    let tools = answer["result"]["tools"].as_array().unwrap();
    let names: Vec<&str> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(answer["id"], 2);
    for name in ["swarm_init", "agent_spawn", "agent_list", "task_orchestrate", "swarm_destroy"] {
        assert!(names.contains(&name), "{names:?}");
    }
}

#[tokio::test]
async fn the_guides_lines_work_on_connections_of_their_own() {
    let runtime = start(any_port()).await;
    let mut first = Client::connect(runtime.mcp_addr()).await;
    first.line(GUIDE_INITIALIZE).await;
    first.half_close().await;
    check_initialize(&first.next().await.unwrap());
    first.ended().await;
    let mut second = Client::connect(runtime.mcp_addr()).await;
    second.line(GUIDE_TOOLS_LIST).await;
    second.half_close().await;
    check_tools_list(&second.next().await.unwrap());
    second.ended().await;
    assert!(runtime.shutdown(WAIT).await);
}

#[tokio::test]
async fn the_guides_lines_work_over_one_connection() {
    let runtime = start(any_port()).await;
    let mut client = Client::connect(runtime.mcp_addr()).await;
    for _ in 0..3 {
        client.line(GUIDE_INITIALIZE).await;
        check_initialize(&client.next().await.unwrap());
        client.line(GUIDE_TOOLS_LIST).await;
        check_tools_list(&client.next().await.unwrap());
    }
    // Both in one segment, CRLF, an empty line, and no newline at the end.
    client.send(format!("{GUIDE_INITIALIZE}\r\n\r\n{GUIDE_TOOLS_LIST}").as_bytes()).await;
    client.half_close().await;
    check_initialize(&client.next().await.unwrap());
    check_tools_list(&client.next().await.unwrap());
    client.ended().await;
}

/// Runs the guide's pipe with the real program; `None` without one.
fn through_nc(line: &str, addr: SocketAddr) -> Option<String> {
    let program = std::env::var_os("NC").unwrap_or_else(|| "nc".into());
    let spawned = Command::new(program)
        .args([addr.ip().to_string(), addr.port().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut nc = spawned.ok()?;
    let mut stdin = nc.stdin.take().unwrap();
    writeln!(stdin, "{line}").unwrap();
    drop(stdin);
    let mut answer = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(nc.stdout.take().unwrap()), &mut answer)
        .unwrap();
    // Some keep the connection open at the end of their input, and so does the runtime then.
    nc.kill().unwrap();
    nc.wait().unwrap();
    Some(answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_guides_commands_work_with_nc() {
    let runtime = start(any_port()).await;
    let addr = runtime.mcp_addr();
    let answers = within("nc", async move {
        tokio::task::spawn_blocking(move || {
            [GUIDE_INITIALIZE, GUIDE_TOOLS_LIST].map(|line| through_nc(line, addr))
        })
        .await
    });
    match answers.await.unwrap() {
        [Some(first), Some(second)] => {
            check_initialize(&serde_json::from_str(&first).unwrap());
            check_tools_list(&serde_json::from_str(&second).unwrap());
        }
        _ => eprintln!("SKIPPED: there is no nc here; the same lines went over plain sockets"),
    }
}

#[tokio::test]
async fn bytes_may_come_one_at_a_time() {
    let runtime = start(any_port()).await;
    let mut client = Client::connect(runtime.mcp_addr()).await;
    for byte in format!("{GUIDE_INITIALIZE}\n{GUIDE_TOOLS_LIST}\n").bytes() {
        client.send(&[byte]).await;
        tokio::task::yield_now().await;
    }
    check_initialize(&client.next().await.unwrap());
    check_tools_list(&client.next().await.unwrap());
}

#[tokio::test]
async fn lines_that_are_no_requests_are_answered_without_an_id_and_harm_nothing() {
    let runtime = start(any_port()).await;
    let mut client = Client::connect(runtime.mcp_addr()).await;
    for (line, code) in [
        ("hello", -32700),
        ("{\"jsonrpc\":\"2.0\",", -32700),
        ("{\"id\":1,\"method\":\"\u{fffd}", -32700),
        ("null", -32600),
        ("[]", -32600),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, -32600),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1}"#, -32600),
    ] {
        client.line(line).await;
        let answer = client.next().await.unwrap();
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&Value::Null, &json!(code)), "{line}");
    }
    client.send(b"\xff\xfe\x00\n").await;
    assert_eq!(client.next().await.unwrap()["error"]["code"], -32700);
    // None of these is answered: the next line is the answer to the ping.
    for silent in [
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#,
        r#"{"jsonrpc":"2.0","method":"tools/list"}"#,
        r#"{"jsonrpc":"2.0","id":9,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":9,"error":{"code":1,"message":"no"}}"#,
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"no"}}"#,
    ] {
        client.line(silent).await;
    }
    assert_eq!(client.ask(5, "ping", Value::Null).await["result"], json!({}));
    assert_eq!(client.ask(6, "nope", Value::Null).await["error"]["code"], -32601);
    client.line(r#"{"jsonrpc":"2.0","id":"ü-1","method":"ping"}"#).await;
    assert_eq!(client.next().await.unwrap()["id"], "ü-1");
    assert_eq!(health(&runtime).await["lines_refused"], 13);
}

#[tokio::test]
async fn health_tells_what_is_there_and_other_paths_do_not_exist() {
    let runtime = start(any_port()).await;
    let mut client = Client::connect(runtime.mcp_addr()).await;
    let swarm = client.make_swarm("k").await;
    client.call("agent_spawn", json!({"swarmId": swarm, "type": "coder"})).await;
    let (status, report) = get(runtime.health_addr(), "/health").await;
    assert_eq!(status, "HTTP/1.1 200 OK");
    for (name, value) in [
        ("status", json!("healthy")),
        ("service", json!("visionflow-mcp-runtime")),
        ("version", json!(env!("CARGO_PKG_VERSION"))),
        ("connections", json!(1)),
        ("swarms", json!(1)),
        ("agents", json!(1)),
        ("tasks", json!(0)),
        ("executor", json!("demo")),
        ("simulated", json!(true)),
    ] {
        assert_eq!(report[name], value, "{name}");
    }
    assert!(report["uptime_s"].is_u64());
    let (status, body) = get(runtime.health_addr(), "/metrics").await;
    assert_eq!((status.as_str(), &body["error"]), ("HTTP/1.1 404 Not Found", &json!("not found")));
    drop(client);
    health_becomes(&runtime, "the connection to be counted out", |report| report["connections"] == 0).await;
}

#[tokio::test]
async fn taken_ports_are_named_with_their_variable() {
    let runtime = start(any_port()).await;
    let (mcp, health) = (runtime.mcp_addr(), runtime.health_addr());
    let mut config = any_port();
    config.mcp_addr = mcp;
    let error = McpRuntime::start(config.clone()).await.unwrap_err().to_string();
    assert!(error.contains(&mcp.to_string()) && error.contains("MCP_PORT"), "{error}");
    config = any_port();
    config.health_addr = health;
    let error = McpRuntime::start(config).await.unwrap_err().to_string();
    assert!(error.contains(&health.to_string()) && error.contains("MCP_HEALTH_PORT"), "{error}");
}
