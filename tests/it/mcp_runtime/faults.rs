//! The faults that tests of clients plan do happen, once each.

use visionflow::mcp_runtime::faults::{Fault, FaultPlan};

use super::*;

async fn planned(fault: Fault) -> (RunningRuntime, Client, FaultPlan) {
    let config = any_port();
    let plan = config.faults.clone();
    plan.plan("ping", fault, 1);
    let runtime = start(config).await;
    let client = Client::connect(runtime.mcp_addr()).await;
    (runtime, client, plan)
}

fn ping(id: u64) -> String {
    json!({"jsonrpc": "2.0", "id": id, "method": "ping"}).to_string()
}

#[tokio::test]
async fn a_delayed_answer_is_overtaken() {
    let (_runtime, mut client, plan) = planned(Fault::Delay(Duration::from_millis(200))).await;
    client.line(&ping(1)).await;
    client.line(&ping(2)).await;
    client.half_close().await;
    assert_eq!(client.next().await.unwrap()["id"], 2);
    assert_eq!(client.next().await.unwrap()["id"], 1, "it comes even after the client's end");
    client.ended().await;
    assert_eq!(plan.left(), 0);
}

#[tokio::test]
async fn a_cancelled_answer_does_not_come() {
    let (_runtime, mut client, _plan) = planned(Fault::Delay(Duration::from_millis(200))).await;
    client.line(&ping(1)).await;
    client.line(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#).await;
    client.half_close().await;
    client.ended().await;
}

#[tokio::test]
async fn lost_answers_are_lost_and_the_next_one_comes() {
    for fault in [Fault::DropReply, Fault::NeverAnswer] {
        let (_runtime, mut client, _plan) = planned(fault).await;
        client.line(&ping(1)).await;
        assert_eq!(client.ask(2, "ping", Value::Null).await["id"], 2);
    }
}

#[tokio::test]
async fn what_is_dropped_was_done_and_what_is_never_answered_was_not() {
    let config = any_port();
    config.faults.plan("swarm_init", Fault::DropReply, 1);
    config.faults.plan_after(1, "swarm_init", Fault::NeverAnswer, 1);
    let runtime = start(config).await;
    let mut client = Client::connect(runtime.mcp_addr()).await;
    for name in ["done", "also", "not"] {
        let call = json!({"name": "swarm_init", "arguments": {"name": name, "idempotencyKey": name}});
        client
            .line(&json!({"jsonrpc": "2.0", "id": name, "method": "tools/call", "params": call}).to_string())
            .await;
    }
    assert_eq!(client.next().await.unwrap()["id"], "also");
    let swarms = client.call("swarm_status", json!({})).await;
    let names: Vec<&str> =
        swarms["swarms"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["done", "also"]);
}

#[tokio::test]
async fn answers_may_be_wrong_double_or_dirty() {
    let (_runtime, mut client, _plan) = planned(Fault::WrongId).await;
    client.line(&ping(1)).await;
    assert_eq!(client.next().await.unwrap()["id"], "no-such-request");
    let (_runtime, mut client, _plan) = planned(Fault::DuplicateReply).await;
    client.line(&ping(1)).await;
    assert_eq!(
        (client.next().await.unwrap()["id"].clone(), client.next().await.unwrap()["id"].clone()),
        (json!(1), json!(1))
    );
    let (_runtime, mut client, _plan) = planned(Fault::GarbageLine("[ERROR] {".into())).await;
    client.line(&ping(1)).await;
    assert_eq!(client.raw().await.as_deref(), Some("[ERROR] {\n"));
    assert_eq!(client.next().await.unwrap()["id"], 1);
}

#[tokio::test]
async fn connections_may_end_in_the_middle() {
    let (_runtime, mut client, _plan) = planned(Fault::CloseMidReply).await;
    client.line(&ping(1)).await;
    let half = client.raw().await.unwrap();
    assert!(half.starts_with('{') && !half.ends_with('\n'), "{half}");
    client.ended().await;
    let (_runtime, mut client, _plan) = planned(Fault::CloseBeforeReply).await;
    client.line(&ping(1)).await;
    client.ended().await;
}
