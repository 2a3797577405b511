//! Connections that are lost: what is repeated, what is not, and how the next one comes.

use super::*;

/// Makes the actor panic.
#[derive(Message)]
#[rtype(result = "()")]
struct CrashNow;

impl Handler<CrashNow> for McpActor {
    type Result = ();

    fn handle(&mut self, _: CrashNow, _: &mut Self::Context) {
        panic!("planned");
    }
}

#[actix::test]
async fn a_read_is_repeated_once_under_another_id() {
    for manner in [Manner::CloseOnce, Manner::CutOnce] {
        let peer = Peer::start(manner).await;
        let handle = connect(config(peer.address));
        let answer = handle.call(call(RuntimeTool::AgentList, 7), soon()).await.unwrap();
        assert_eq!(answer["name"], json!(7));
        let calls = peer.got("tools/call");
        assert_eq!(calls.len(), 2);
        assert_ne!(calls[0].1["id"], calls[1].1["id"]);
        assert_eq!((calls[0].0, calls[1].0), (0, 1), "on another connection");
    }
}

#[actix::test]
async fn a_write_is_repeated_only_with_a_key_that_the_runtime_takes() {
    let peer = Peer::start(Manner::CloseOnce).await;
    let handle = connect(config(peer.address));
    let error = handle.call(call(RuntimeTool::AgentSpawn, 7), soon()).await.unwrap_err();
    assert_eq!((&error, peer.calls()), (&McpError::OutcomeUnknown { tool: "agent_spawn" }, 1));
    assert!(error.outcome_unknown());

    let peer = Peer::start(Manner::CloseOnce).await;
    let handle = connect(config(peer.address));
    let keyed = call(RuntimeTool::AgentSpawn, 7).keyed(IdempotencyKey::of(&"k"));
    let answer = handle.call(keyed, soon()).await.unwrap();
    assert_eq!((answer["name"].clone(), peer.calls()), (json!(7), 2));
    let keys = peer.got("tools/call");
    assert!(keys.iter().all(|(_, line)| line["params"]["arguments"]["idempotencyKey"] == "k"), "{keys:?}");
}

#[actix::test]
async fn a_keyed_write_that_finds_no_second_connection_is_unknown_not_unavailable() {
    let peer = Peer::start(Manner::Silent).await;
    let handle = connected(config(peer.address)).await;
    let keyed = call(RuntimeTool::AgentSpawn, 7).keyed(IdempotencyKey::of(&"k"));
    let asked = handle.call(keyed, Deadline::within(Duration::from_secs(2)));
    let dies = async {
        eventually("the call was sent", BOUND, || peer.calls() == 1).await;
        drop(peer);
    };
    let (answer, ()) = tokio::join!(asked, dies);
    assert_eq!(answer, Err(McpError::OutcomeUnknown { tool: "agent_spawn" }));
}

#[actix::test]
async fn a_missed_keepalive_replaces_the_connection() {
    let peer = Peer::start(Manner::Deaf).await;
    let handle =
        connected(McpConfig { keepalive_interval: Duration::from_millis(50), ..config(peer.address) }).await;
    until(&handle, "it is lost", |health| health.losses > 0).await;
    assert_eq!(handle.health().last_error.as_deref(), Some("it missed a keepalive"));
    until(&handle, "the next stands", |health| health.connects > 1).await;
    assert!(peer.connections() >= 2);
}

#[actix::test]
async fn an_error_is_as_good_an_answer_to_a_keepalive_as_any() {
    let peer = Peer::start(Manner::Answer).await;
    let interval = Duration::from_millis(20);
    let handle = connected(McpConfig { keepalive_interval: interval, ..config(peer.address) }).await;
    eventually("it was probed five times", BOUND, || peer.got("ping").len() >= 5).await;
    let health = handle.health();
    assert_eq!((health.state, health.losses, peer.connections()), (McpState::Connected, 0, 1));
}

#[actix::test]
async fn a_peer_that_stops_reading_is_replaced() {
    let peer = Peer::start(Manner::Stuck).await;
    let interval = Duration::from_millis(100);
    let handle = connected(McpConfig { keepalive_interval: interval, ..config(peer.address) }).await;
    until(&handle, "it is replaced", |health| health.connects > 1).await;
    assert!(handle.health().losses >= 1);
}

#[actix::test]
async fn a_runtime_that_is_not_there_is_unavailable_at_once_and_found_when_it_comes() {
    let address = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap()
    };
    let handle = connect(config(address));
    until(&handle, "the first attempt failed", |health| health.state == McpState::Down).await;
    let answer = handle.call(call(RuntimeTool::SwarmInit, 0), soon()).await;
    // an attempt may be under way, and then fails
    let Err(McpError::Unavailable { retry_after, why, .. }) = &answer else { panic!("{answer:?}") };
    assert!(*retry_after <= Duration::from_secs(10) && why.contains("connecting"), "{answer:?}");
    let peer = Peer::on(address, Manner::Answer).await;
    until(&handle, "it is found", |health| health.state == McpState::Connected).await;
    assert!(handle.call(call(RuntimeTool::SwarmInit, 0), soon()).await.is_ok());
    drop(peer);
    until(&handle, "its end is seen", |health| health.state == McpState::Down).await;
    let again = Peer::on(address, Manner::Answer).await;
    until(&handle, "it is found again", |health| health.state == McpState::Connected).await;
    assert!(handle.call(call(RuntimeTool::SwarmInit, 0), soon()).await.is_ok());
    assert_eq!(again.calls(), 1);
}

#[actix::test]
async fn the_way_of_shaking_hands_is_remembered() {
    let peer = Peer::start(Manner::CloseOnce).await;
    let handle = connected(config(peer.address)).await;
    handle.call(call(RuntimeTool::AgentList, 0), soon()).await.unwrap();
    assert_eq!(
        (peer.connections(), peer.got("server/discover").len(), peer.got("initialize").len()),
        (2, 1, 2)
    );
}

#[actix::test]
async fn a_server_that_ignores_the_probe_is_found_by_initialize_on_the_next_connection() {
    let peer = Peer::start(Manner::Ignorant).await;
    // shorter than any start would want
    let handshake_timeout = Duration::from_millis(200);
    let handle = connected(McpConfig { handshake_timeout, ..config(peer.address) }).await;
    assert_eq!((peer.connections(), peer.got("server/discover").len()), (2, 1));
    assert!(peer.got("initialize").iter().all(|(connection, _)| *connection == 1));
    assert!(handle.call(call(RuntimeTool::AgentList, 0), soon()).await.is_ok());
}

#[actix::test]
async fn a_crash_of_the_actor_answers_who_waits_and_connects_again() {
    let leaks = LeakCheck::expecting_panics(1);
    let peer = Peer::start(Manner::Silent).await;
    let handle = connected(config(peer.address)).await;
    let write = handle.call(call(RuntimeTool::AgentSpawn, 0), soon());
    let waits_for_its_turn = handle.call(call(RuntimeTool::AgentTerminate, 0), soon());
    let read = handle.call(call(RuntimeTool::AgentList, 0), soon());
    let crash = async {
        eventually("both were sent", BOUND, || peer.calls() == 2).await;
        handle.actor.tell(CrashNow).unwrap();
    };
    let (write, turn, read, ()) = tokio::join!(write, waits_for_its_turn, read, crash);
    assert_eq!(write, Err(McpError::OutcomeUnknown { tool: "agent_spawn" }));
    assert_eq!(turn, Err(McpError::Crashed { tool: "agent_terminate" }));
    assert_eq!(read, Err(McpError::Crashed { tool: "agent_list" }));
    until(&handle, "it connects again", |health| health.state == McpState::Connected && health.connects == 2)
        .await;
    assert_eq!(handle.health().in_flight, 0);
    drop(handle);
    leaks.finish().await;
}

#[actix::test]
async fn a_panic_of_the_task_that_keeps_a_connection_rebuilds_the_actor() {
    let peer = Peer::start(Manner::Answer).await;
    let handle = connected(config(peer.address)).await;
    let alarm = slot::Alarm(handle.actor.downgrade());
    let panics = actix::spawn(async move {
        let _alarm = alarm;
        panic!("planned");
    });
    assert!(panics.await.is_err());
    until(&handle, "it connects again", |health| health.connects == 2).await;
    assert!(handle.call(call(RuntimeTool::AgentList, 0), soon()).await.is_ok());
}

#[actix::test]
async fn several_connections_share_the_calls_and_the_loss_of_one_stops_nobody() {
    let peer = Peer::start(Manner::CloseOnce).await;
    let handle = connect(McpConfig { pool_size: 3, ..config(peer.address) });
    until(&handle, "all stand", |health| health.sockets == 3).await;
    let calls = (0..60).map(|n| handle.call(call(RuntimeTool::AgentList, n), soon()));
    for (n, answer) in join_all(calls).await.into_iter().enumerate() {
        assert_eq!(answer.unwrap()["name"], json!(n));
    }
    let used: HashSet<usize> = peer.got("tools/call").iter().map(|(connection, _)| *connection).collect();
    assert!(used.len() >= 3, "{used:?}");
    until(&handle, "all stand again", |health| health.sockets == 3 && health.connects == 4).await;
}
