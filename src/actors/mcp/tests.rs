//! The connection against scripted peers on real sockets: every way that a runtime can misbehave.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use actix::prelude::*;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::testing::{Manner, Peer};
use super::*;
use crate::runtime::{Deadline, LeakCheck, ParentSink, eventually};

mod faults;
mod losses;
mod runtimes;

const BOUND: Duration = Duration::from_secs(20);

fn config(address: SocketAddr) -> McpConfig {
    let target = McpTarget::Tcp { host: address.ip().to_string(), port: address.port() };
    McpConfig { line_bytes_max: 1_000_000, timeout: Duration::from_secs(10), ..McpConfig::new(target) }
}

fn connect(config: McpConfig) -> McpHandle {
    McpActor::start(config, &Arbiter::current(), ParentSink::ignore()).unwrap()
}

async fn until(handle: &McpHandle, what: &str, reached: impl FnMut(&Arc<McpHealth>) -> bool) {
    let mut health = handle.watch();
    let reached = timeout(BOUND, health.wait_for(reached)).await;
    assert!(reached.is_ok(), "not reached: {what}; {:?}", handle.health());
}

async fn connected(config: McpConfig) -> McpHandle {
    let handle = connect(config);
    until(&handle, "connected", |health| health.state == McpState::Connected).await;
    handle
}

/// A call that the scripted peers echo `n` of.
fn call(tool: RuntimeTool, n: usize) -> ToolCall {
    ToolCall::new(tool, [("name", json!(n))])
}

fn soon() -> Deadline {
    Deadline::within(Duration::from_secs(10))
}

fn in_ms(ms: u64) -> Deadline {
    Deadline::within(Duration::from_millis(ms))
}

#[actix::test]
async fn a_thousand_calls_at_once_are_each_answered_once_with_their_own_answer() {
    let leaks = LeakCheck::new();
    let peer = Peer::start(Manner::Answer).await;
    let handle = connected(McpConfig { in_flight_max: 1_000, ..config(peer.address) }).await;
    let calls = (0..1_000).map(|n| handle.call(call(RuntimeTool::AgentList, n), soon()));
    for (n, answer) in join_all(calls).await.into_iter().enumerate() {
        assert_eq!(answer.unwrap()["name"], json!(n));
    }
    assert_eq!((peer.calls(), peer.connections()), (1_000, 1));
    let ids: HashSet<String> =
        peer.got("tools/call").iter().map(|(_, line)| line["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), 1_000);
    let health = handle.health();
    assert_eq!((health.in_flight, health.sockets, health.missing_tools.len()), (0, 1, 0));
    drop(handle);
    leaks.finish().await;
}

#[actix::test]
async fn noise_around_an_answer_is_skipped() {
    let peer = Peer::start(Manner::Dirty).await;
    let handle = connect(config(peer.address));
    for n in 0..5 {
        let answer = handle.call(call(RuntimeTool::AgentSpawn, n), soon()).await.unwrap();
        assert_eq!(answer["name"], json!(n));
    }
    assert_eq!(peer.connections(), 1);
}

#[actix::test]
async fn answers_in_another_order_and_one_segment_find_their_calls() {
    let peer = Peer::start(Manner::Reverse).await;
    let handle = connected(config(peer.address)).await;
    let calls = (0..4).map(|n| handle.call(call(RuntimeTool::TaskStatus, n), soon()));
    for (n, answer) in join_all(calls).await.into_iter().enumerate() {
        assert_eq!(answer.unwrap()["name"], json!(n));
    }
}

#[actix::test]
async fn calls_that_change_something_go_one_at_a_time() {
    let peer = Peer::start(Manner::Silent).await;
    let handle = connected(config(peer.address)).await;
    let deadline = in_ms(300);
    let calls = (0..3).map(|n| handle.call(call(RuntimeTool::AgentSpawn, n), deadline));
    let answers = join_all(calls).await;
    let sent = answers.iter().filter(|a| matches!(a, Err(McpError::Deadline { sent: true, .. }))).count();
    let unsent = answers.iter().filter(|a| matches!(a, Err(McpError::Deadline { sent: false, .. }))).count();
    assert_eq!((sent, unsent), (1, 2), "{answers:?}");
    assert_eq!(peer.calls(), 1);
}

#[actix::test]
async fn a_silent_peer_ends_a_call_at_its_deadline_and_is_told() {
    let peer = Peer::start(Manner::Silent).await;
    let handle = connected(config(peer.address)).await;
    let error = handle.call(call(RuntimeTool::SwarmInit, 0), in_ms(200)).await.unwrap_err();
    assert_eq!(error, McpError::Deadline { tool: "swarm_init", sent: true });
    assert!(error.outcome_unknown());
    eventually("the peer is told", BOUND, || !peer.got("notifications/cancelled").is_empty()).await;
    let (asked, told) = (&peer.got("tools/call")[0].1, &peer.got("notifications/cancelled")[0].1);
    assert_eq!(told["params"]["requestId"], asked["id"]);
}

#[actix::test]
async fn a_caller_that_goes_away_cancels_its_call() {
    let peer = Peer::start(Manner::Silent).await;
    let handle = connected(config(peer.address)).await;
    let gone =
        timeout(Duration::from_millis(100), handle.call(call(RuntimeTool::AgentSpawn, 0), soon())).await;
    assert!(gone.is_err());
    eventually("the peer is told", BOUND, || !peer.got("notifications/cancelled").is_empty()).await;
    eventually("nothing is in flight", BOUND, || handle.health().in_flight == 0).await;
    let next = handle.call(call(RuntimeTool::AgentSpawn, 1), in_ms(100)).await;
    assert_eq!(next, Err(McpError::Deadline { tool: "agent_spawn", sent: true }), "the lane is free again");
}

#[actix::test]
async fn answers_under_other_ids_are_nobodys() {
    let peer = Peer::start(Manner::WrongId).await;
    let handle = connected(config(peer.address)).await;
    let error = handle.call(call(RuntimeTool::AgentList, 0), in_ms(200)).await.unwrap_err();
    assert_eq!(error, McpError::Deadline { tool: "agent_list", sent: true });
    assert_eq!(handle.health().state, McpState::Connected);
}

#[actix::test]
async fn a_peer_that_stops_reading_delays_no_deadline_and_what_was_not_sent_is_known() {
    let peer = Peer::start(Manner::Stuck).await;
    let handle = connected(config(peer.address)).await;
    let big = "x".repeat(1_000_000);
    let calls = (0..40).map(|_| {
        let call = ToolCall::new(RuntimeTool::AgentList, [("name", json!(big))]);
        handle.call(call, in_ms(500))
    });
    let answers = timeout(Duration::from_secs(5), join_all(calls)).await.expect("deadlines are kept");
    let count = |wanted: fn(&McpError) -> bool| {
        answers.iter().filter(|answer| answer.as_ref().is_err_and(wanted)).count()
    };
    let sent = count(|error| matches!(error, McpError::Deadline { sent: true, .. }));
    let unsent = count(|error| matches!(error, McpError::Deadline { sent: false, .. }));
    let refused = count(|error| matches!(error, McpError::Busy { .. }));
    assert!(sent >= 1 && unsent >= 1 && refused >= 1, "{sent} {unsent} {refused}");
    assert_eq!(sent + unsent + refused, 40);
    assert_eq!(handle.health().in_flight, 0);
}

#[actix::test]
async fn what_is_too_long_to_be_sent_is_refused_for_good() {
    let peer = Peer::start(Manner::Answer).await;
    let handle = connected(config(peer.address)).await;
    let long = ToolCall::new(RuntimeTool::TaskOrchestrate, [("task", json!("x".repeat(5_000_000)))]);
    let error = handle.call(long, soon()).await.unwrap_err();
    assert!(matches!(error, McpError::TooLarge { .. }), "{error}");
    assert!(error.refusal().is_some() && !error.outcome_unknown());
    assert!(handle.call(call(RuntimeTool::TaskOrchestrate, 0), soon()).await.is_ok());
}

#[actix::test]
async fn calls_over_the_bounds_are_refused_at_once() {
    let peer = Peer::start(Manner::Silent).await;
    let handle = connected(McpConfig { in_flight_max: 4, ..config(peer.address) }).await;
    let deadline = in_ms(500);
    let answers = join_all((0..5).map(|n| handle.call(call(RuntimeTool::AgentList, n), deadline))).await;
    assert_eq!(answers[4], Err(McpError::Busy { limit: "calls in flight" }));
    assert!(
        answers[..4].iter().all(|a| matches!(a, Err(McpError::Deadline { sent: true, .. }))),
        "{answers:?}"
    );

    // on the actor's own thread nothing is taken out of its mailbox while these are put in
    let answers =
        join_all((0..MAILBOX + 3).map(|n| handle.call(call(RuntimeTool::AgentList, n), in_ms(200)))).await;
    let full = answers.iter().filter(|a| **a == Err(McpError::Busy { limit: "messages" })).count();
    assert_eq!(full, 3);
}

#[actix::test]
async fn success_without_an_id_is_an_error_that_names_what_is_missing() {
    let peer = Peer::start(Manner::Empty).await;
    let runtime = AgentRuntime::new(connect(config(peer.address)));
    let error = runtime.swarm_init(&runtimes::swarm(), soon()).await.unwrap_err();
    let McpError::MissingIdentity { tool: "swarm_init", what } = &error else { panic!("{error:?}") };
    assert_eq!(what, "a swarm id (it has success)");
    assert!(error.outcome_unknown(), "a swarm may have been made");
}

#[actix::test]
async fn a_line_over_the_limit_is_skipped_and_the_connection_stays() {
    let peer = Peer::start(Manner::Huge).await;
    let handle = connect(config(peer.address));
    for n in 0..2 {
        let answer = handle.call(call(RuntimeTool::AgentList, n), soon()).await.unwrap();
        assert_eq!(answer["name"], json!(n));
    }
    assert_eq!(peer.connections(), 1);
}

#[actix::test]
async fn only_what_a_legacy_server_asks_of_every_client_is_answered() {
    let peer = Peer::start(Manner::Asking).await;
    let handle = connect(config(peer.address));
    for n in 0..2 {
        handle.call(call(RuntimeTool::AgentList, n), soon()).await.unwrap();
    }
    let answers = || -> Vec<Value> {
        let lines = peer.seen.lines.lock();
        lines.iter().filter(|(_, line)| line.get("method").is_none()).map(|(_, line)| line.clone()).collect()
    };
    eventually("both questions are answered twice", BOUND, || answers().len() >= 4).await;
    assert_eq!(
        answers()[..2],
        [
            json!({"jsonrpc": "2.0", "id": "p", "result": {}}),
            json!({"jsonrpc": "2.0", "id": "r", "result": {"roots": []}}),
        ]
    );
    assert!(answers().iter().all(|answer| answer["id"] != "s"), "{:?}", answers());
}

#[actix::test]
async fn changed_tools_are_read_again() {
    let peer = Peer::start(Manner::Changing).await;
    let handle = connected(config(peer.address)).await;
    assert!(handle.health().missing_tools.is_empty());
    handle.call(call(RuntimeTool::AgentList, 0), soon()).await.unwrap();
    until(&handle, "the change is seen", |health| health.missing_tools == ["task_cancel"]).await;
    let error = handle.call(call(RuntimeTool::TaskCancel, 0), soon()).await.unwrap_err();
    assert_eq!(error, McpError::UnsupportedByRuntime { tool: "task_cancel" });
    assert_eq!(peer.connections(), 1);
}

#[actix::test]
async fn a_server_of_the_stateless_era_is_spoken_to_in_its_way() {
    let peer = Peer::start(Manner::Modern).await;
    let handle = connected(config(peer.address)).await;
    let health = handle.health();
    assert_eq!((health.protocol.as_deref(), health.server.as_deref()), (Some("2026-07-28"), Some("modern")));
    assert!(health.missing_tools.contains(&"agent_spawn"));
    let error = handle.call(call(RuntimeTool::AgentSpawn, 0), soon()).await.unwrap_err();
    assert_eq!(error, McpError::UnsupportedByRuntime { tool: "agent_spawn" });
    handle.call(call(RuntimeTool::SwarmInit, 0), soon()).await.unwrap();
    let meta = &peer.got("tools/call")[0].1["params"]["_meta"];
    assert_eq!(meta["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
    assert!(peer.got("initialize").is_empty());
}
