//! Floods, giants, sloths and crowds.

use std::collections::BTreeSet;

use socket2::{Domain, Socket, Type};

use super::*;

#[tokio::test]
async fn a_line_over_the_limit_is_skipped_and_answered() {
    let runtime = start(any_port()).await;
    let mut client = Client::connect(runtime.mcp_addr()).await;
    let chunk = vec![b'x'; 1024 * 1024];
    for _ in 0..20 {
        client.send(&chunk).await;
    }
    client.send(b"\n").await;
    let answer = client.next().await.unwrap();
    assert_eq!((&answer["id"], &answer["error"]["code"]), (&Value::Null, &json!(-32600)));
    assert!(
        answer["error"]["message"]
            .as_str()
            .unwrap()
            .contains("20971520 bytes was skipped; allowed: 16777216")
    );
    assert_eq!(client.ask(1, "ping", Value::Null).await["result"], json!({}));
    // A giant that the client gives up on in the middle.
    client.send(&chunk).await;
    client.half_close().await;
    assert_eq!(client.next().await.unwrap()["error"]["code"], -32700);
    client.ended().await;
}

#[tokio::test]
async fn a_line_of_just_the_limit_is_read() {
    let mut config = any_port();
    config.wire.line_bytes = 1_000;
    let runtime = start(config).await;
    let mut client = Client::connect(runtime.mcp_addr()).await;
    let padded = |size: usize| format!("{:<size$}", r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
    client.line(&padded(1_000)).await;
    assert_eq!(client.next().await.unwrap()["id"], 1);
    client.line(&padded(1_001)).await;
    assert_eq!(client.next().await.unwrap()["id"], Value::Null);
}

#[tokio::test]
async fn ten_thousand_pipelined_requests_get_ten_thousand_answers() {
    const REQUESTS: u64 = 10_000;
    let runtime = start(any_port()).await;
    let mut client = Client::connect(runtime.mcp_addr()).await;
    let swarm = client.make_swarm("k").await;
    client.call("agent_spawn", json!({"swarmId": swarm, "type": "coder"})).await;
    let mut writer = client.writer.take().unwrap();
    let writing = tokio::spawn(async move {
        let call = json!({"name": "agent_list", "arguments": {"swarmId": swarm}});
        for id in 0..REQUESTS {
            let line = match id % 3 {
                0 => json!({"jsonrpc": "2.0", "id": id, "method": "ping"}),
                1 => {
                    json!({"jsonrpc": "2.0", "id": format!("s{id}"), "method": "tools/call", "params": call})
                }
                _ => json!({"jsonrpc": "2.0", "id": id, "method": "nope"}),
            };
            writer.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        }
        writer.shutdown().await.unwrap();
    });
    let mut seen = BTreeSet::new();
    while let Some(answer) = client.next().await {
        assert!(seen.insert(answer["id"].to_string()), "answered twice: {answer}");
    }
    assert_eq!(seen.len(), usize::try_from(REQUESTS).unwrap());
    writing.await.unwrap();
}

/// A client whose kernel holds few answers, so that the runtime blocks soon.
fn with_small_buffers(addr: SocketAddr) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.connect(&addr.into()).unwrap();
    socket.set_nonblocking(true).unwrap();
    Client::over(TcpStream::from_std(socket.into()).unwrap())
}

/// Writes requests with large answers until the runtime takes no more; gives how many whole ones were taken.
async fn write_until_full(writer: &mut OwnedWriteHalf) -> (usize, Vec<u8>) {
    // Padded, so that few of them fill what the kernels hold of requests.
    let line = format!("{GUIDE_TOOLS_LIST:<8000}\n");
    for count in 0..1_000_000 {
        let mut rest = line.as_bytes();
        while !rest.is_empty() {
            match tokio::time::timeout(FULL_AFTER, writer.write(rest)).await {
                Ok(taken) => rest = &rest[taken.unwrap()..],
                Err(_full) => return (count, rest.to_vec()),
            }
        }
    }
    panic!("the runtime reads on although nobody takes its answers");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_is_not_read_from_and_loses_nothing() {
    let runtime = start(any_port()).await;
    let mut client = with_small_buffers(runtime.mcp_addr());
    let mut writer = client.writer.take().unwrap();
    let (count, rest) = within("back-pressure", write_until_full(&mut writer)).await;
    // What is not written yet is bounded: 64 answers here, and what two kernels hold.
    let answered = health(&runtime).await["requests"].as_u64().unwrap();
    assert!(answered < 5_000, "{answered} answers were made for a client that reads none");
    // Others are served meanwhile.
    let mut other = Client::connect(runtime.mcp_addr()).await;
    assert_eq!(other.ask(1, "ping", Value::Null).await["id"], 1);
    let reading = tokio::spawn(async move {
        let mut answers = 0;
        while client.next().await.is_some() {
            answers += 1;
        }
        answers
    });
    writer.write_all(&rest).await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(within("all answers", reading).await.unwrap(), count + usize::from(!rest.is_empty()));
    assert_eq!(health(&runtime).await["writers_stalled"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_reads_is_cut_off() {
    let mut config = any_port();
    config.wire.write_stall = Duration::from_millis(500);
    let runtime = start(config).await;
    let mut client = with_small_buffers(runtime.mcp_addr());
    let mut writer = client.writer.take().unwrap();
    let flood = async move {
        let line = format!("{GUIDE_TOOLS_LIST}\n");
        while writer.write_all(line.as_bytes()).await.is_ok() {}
    };
    within("the end of the connection", flood).await;
    health_becomes(&runtime, "the stall to be counted", |report| report["writers_stalled"] == 1).await;
    health_becomes(&runtime, "the place to be free", |report| report["connections"] == 0).await;
}

#[tokio::test]
async fn more_connections_than_allowed_are_told_so() {
    let mut config = any_port();
    config.wire.connections = 2;
    let runtime = start(config).await;
    let mut served = Vec::new();
    for id in 0..2 {
        let mut client = Client::connect(runtime.mcp_addr()).await;
        client.ask(id, "ping", Value::Null).await;
        served.push(client);
    }
    let mut refused = Client::connect(runtime.mcp_addr()).await;
    refused.line(GUIDE_INITIALIZE).await;
    let answer = refused.next().await.unwrap();
    assert_eq!((&answer["id"], &answer["error"]["code"]), (&Value::Null, &json!(-32000)));
    assert!(answer["error"]["message"].as_str().unwrap().contains("allowed: 2"));
    refused.ended().await;
    assert_eq!(health(&runtime).await["connections_refused"], 1);
    served.pop();
    health_becomes(&runtime, "a free place", |report| report["connections"] == 1).await;
    within("a connection in the free place", async {
        // The accept loop may learn of the end a moment later than the count.
        loop {
            let mut client = Client::connect(runtime.mcp_addr()).await;
            client.line(GUIDE_INITIALIZE).await;
            if client.next().await.unwrap()["id"] == 1 {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_only_sends_noise_is_closed() {
    let mut config = any_port();
    config.wire.bad_lines = 3;
    let runtime = start(config).await;
    let mut client = Client::connect(runtime.mcp_addr()).await;
    client.send(b"one\ntwo\nthree\n").await;
    for _ in 0..3 {
        assert_eq!(client.next().await.unwrap()["error"]["code"], -32700);
    }
    client.ended().await;
}
