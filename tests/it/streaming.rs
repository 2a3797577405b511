//! The WebSocket: negotiation, rosters before frames, keyframes and deltas, rest, resync, many sessions.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use visionflow::identity::Role;
use visionflow::on_each_database;
use visionflow::testkit::ws_client::{Incoming, Opening, Seen, WsClient};
use visionflow::testkit::{TestApp, TestDb};
use visionflow::wire::FrameKind;

use crate::steps::{PATIENCE, populate, spawn, swarm, text, verified};

on_each_database!(
    clients_of_version_2_are_taken,
    other_versions_are_told_what_to_change,
    clients_that_behave_as_version_1_are_told,
    what_a_subscription_sends_comes_in_order,
    agents_move_and_come_to_rest,
    a_swarm_at_rest_gives_signs_of_life,
    a_resync_brings_a_keyframe,
    sessions_of_the_same_rate_get_the_same_bytes,
    a_lower_rate_gets_fewer_frames,
    a_client_that_does_not_read_hurts_nobody,
    a_pause_stops_positions_alone,
    rosters_follow_agents,
    no_more_subscriptions_than_allowed,
    the_end_of_the_server_is_told,
);

fn clients_of_version_2_are_taken(db: TestDb) {
    let app = TestApp::start(db);
    let bearer = format!("Bearer {}", app.token("alice", Role::Operator));
    let signed = || Opening::nothing().header("Authorization", &bearer);
    for (opening, protocol) in [
        (signed(), None),
        (signed().protocol("visionflow.v2"), Some("visionflow.v2")),
        (signed().protocol("chat").protocol("visionflow.v2"), Some("visionflow.v2")),
        (signed().query("protocol=2"), None),
        (signed().query("v=v2"), None),
    ] {
        let mut session = opening.open(app.http());
        assert_eq!(session.protocol.as_deref(), protocol, "{opening:?}");
        let hello = session.message("hello");
        assert_eq!(hello["proto"], 2);
        assert_eq!(hello["subject"], "alice");
        assert_eq!(hello["max_fps"], 60);
        assert!(hello["server_time_us"].is_u64() && hello["session"].is_string());
    }
}

fn other_versions_are_told_what_to_change(db: TestDb) {
    let app = TestApp::start(db);
    let bearer = format!("Bearer {}", app.token("alice", Role::Operator));
    for query in ["protocol=1", "v=3", "protocol=2&v=x&protocol=1&v=1"] {
        let opening = Opening::nothing().header("Authorization", &bearer).query(query);
        let mut session = opening.open(app.http());
        if query.starts_with("protocol=2") {
            session.message("hello");
        } else {
            told_about_the_version(&mut session);
        }
    }
}

fn told_about_the_version(session: &mut WsClient) {
    let error = session.message("error");
    assert_eq!(error["code"], "protocol_version");
    assert_eq!(error["allowed"], json!(["visionflow.v2"]));
    assert!(error["message"].as_str().is_some_and(|text| text.contains("visionflow.v2")));
    assert_eq!(session.close_code(), 4506);
}

fn clients_that_behave_as_version_1_are_told(db: TestDb) {
    let app = TestApp::start(db);
    for first in
        ["requestInitialData", r#"{"type":"requestInitialData"}"#, r#"{"type":"subscribe_position_updates"}"#]
    {
        let mut session = app.session();
        session.send_text(first);
        told_about_the_version(&mut session);
    }
    let mut session = app.session();
    session.send_binary(&[0; 56]);
    told_about_the_version(&mut session);
    let mut session = app.session();
    session.send_binary(&[0; 5]);
    assert_eq!(session.message("error")["code"], "unexpected_binary");
    session.send(json!({ "type": "ping" }));
    session.message("pong");
}

/// A swarm with agents that are all verified.
fn settled_swarm(app: &TestApp, topology: &str, agents: usize) -> String {
    let alice = app.alice();
    let id = swarm(&alice, "watched", topology);
    populate(&alice, &id, agents);
    verified(&alice, &id);
    id
}

fn what_a_subscription_sends_comes_in_order(db: TestDb) {
    let app = TestApp::start(db);
    let id = settled_swarm(&app, "mesh", 5);
    let mut session = app.session();
    session.send(json!({ "type": "subscribe", "swarm_id": id, "ref": "s1" }));
    let (mut announced, mut roster, mut metadata) = (BTreeMap::new(), Value::Null, None);
    let first = loop {
        match session.next(PATIENCE).unwrap() {
            Incoming::Text(message) => match message["type"].as_str().unwrap() {
                "subscribed" => {
                    assert_eq!(message["swarm_id"], json!(id));
                    announced.insert(message["stream"].as_u64().unwrap(), message);
                }
                "roster" if message["full"] == true => roster = message,
                "swarm" => metadata = Some(message),
                _ => {}
            },
            Incoming::Frame(bytes) => {
                session.put_back(Incoming::Frame(bytes));
                break session.frame();
            }
            Incoming::Closed(code, reason) => panic!("closed with {code} {reason}"),
        }
    };
    let header = first.header;
    assert_eq!(header.kind, FrameKind::Keyframe);
    assert!(announced.contains_key(&u64::from(header.stream)), "the stream was announced first");
    assert!(announced.values().any(|message| message["ref"] == "s1"));
    let version = roster["roster_version"].as_u64().expect("a full roster came before the first frame");
    assert!(version >= header.roster_version.into(), "the roster is as new as the frame: {version}");
    let slots: Vec<u64> =
        roster["agents"].as_array().unwrap().iter().filter_map(|a| a["slot"].as_u64()).collect();
    let seen: Vec<u64> = first.positions.iter().map(|(slot, _)| u64::from(*slot)).collect();
    assert_eq!(seen, slots, "the roster names the slots of the frame");
    for agent in roster["agents"].as_array().unwrap() {
        for member in ["id", "name", "type", "state", "stale", "stage"] {
            assert!(!agent[member].is_null(), "{member} in {agent}");
        }
    }
    let metadata = metadata.expect("the swarm's metadata came before the first frame");
    let polled = app.alice().get(&format!("/api/swarms/{id}/metadata")).expect_status(200).json();
    for (member, value) in polled.as_object().unwrap() {
        let same = metadata.get(member);
        assert!(same.is_some(), "{member} is polled and not pushed: {metadata}");
        if ["id", "name", "topology", "status", "agent_count"].contains(&member.as_str()) {
            assert_eq!(same, Some(value), "{member}");
        }
    }
}

/// The largest distance between the same slots of two frames, in layout units.
fn moved(before: &Seen, after: &Seen) -> f32 {
    let was: BTreeMap<u32, [f32; 3]> = before.positions.iter().copied().collect();
    let distance = |(slot, at): &(u32, [f32; 3])| {
        was.get(slot).map_or(0.0, |was| was.iter().zip(at).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt())
    };
    after.positions.iter().map(distance).fold(0.0, f32::max)
}

/// Reads frames until a heartbeat says that nothing moves; gives the first and the last with positions, and counts.
fn until_rest(session: &mut WsClient) -> (Seen, Seen, BTreeMap<&'static str, usize>) {
    let first = session.frame();
    let (mut last, mut kinds) = (first.clone(), BTreeMap::new());
    for _ in 0..20_000 {
        let seen = session.frame();
        let kind = match seen.header.kind {
            FrameKind::Keyframe => "keyframe",
            FrameKind::Delta => "delta",
            FrameKind::Heartbeat => return (first, last, kinds),
        };
        *kinds.entry(kind).or_insert(0) += 1;
        last = seen;
    }
    panic!("no rest after {kinds:?}");
}

fn agents_move_and_come_to_rest(db: TestDb) {
    let app = TestApp::start(db);
    let alice = app.alice();
    let id = swarm(&alice, "moving", "ring");
    let mut session = app.session();
    session.subscribe(&id);
    populate(&alice, &id, 8);
    let (_, last, kinds) = until_rest(&mut session);
    assert!(kinds["delta"] > 20, "motion is told by deltas: {kinds:?}");
    assert_eq!(last.positions.len(), 8);
    assert!(last.positions.iter().all(|(_, at)| at.iter().all(|x| x.is_finite())));
    // a newcomer moves the others
    spawn(&alice, &id, "tester");
    let (_, after, _) = until_rest(&mut session);
    assert_eq!(after.positions.len(), 9);
    assert!(moved(&last, &after) > 0.1, "{}", moved(&last, &after));
    // no two agents stand in the same place
    for (n, (_, a)) in after.positions.iter().enumerate() {
        for (_, b) in after.positions.iter().skip(n + 1) {
            let apart: f32 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
            assert!(apart.sqrt() > 0.1, "{a:?} {b:?}");
        }
    }
}

fn a_swarm_at_rest_gives_signs_of_life(db: TestDb) {
    let app = TestApp::start(db);
    let id = settled_swarm(&app, "star", 4);
    let mut session = app.session();
    session.subscribe(&id);
    let (_, last, _) = until_rest(&mut session);
    for _ in 0..2 {
        let beat = session.frame();
        assert_eq!(beat.header.kind, FrameKind::Heartbeat);
        assert_eq!(beat.bytes.len(), 40);
        assert_eq!((beat.header.seq, beat.header.epoch), (last.header.seq, last.header.epoch));
        assert_eq!(beat.positions, last.positions);
    }
    // a late session gets the resting state at once
    let mut late = app.session();
    late.subscribe(&id);
    let frame = late.frame();
    assert_eq!(frame.header.kind, FrameKind::Keyframe);
    let step = moved(&last, &frame);
    assert!(step < 0.1, "{step}");
}

fn a_resync_brings_a_keyframe(db: TestDb) {
    let app = TestApp::start(db);
    let id = settled_swarm(&app, "mesh", 4);
    let mut session = app.session();
    session.subscribe(&id);
    until_rest(&mut session);
    session.send(json!({ "type": "resync", "swarm_id": id }));
    loop {
        let seen = session.frame();
        if seen.header.kind == FrameKind::Keyframe {
            assert_eq!(seen.positions.len(), 4);
            return;
        }
        assert_eq!(seen.header.kind, FrameKind::Heartbeat, "at rest nothing else comes");
    }
}

fn sessions_of_the_same_rate_get_the_same_bytes(db: TestDb) {
    let app = TestApp::start(db);
    let alice = app.alice();
    let id = swarm(&alice, "shared", "mesh");
    let mut sessions = [app.session(), app.session()];
    for session in &mut sessions {
        session.subscribe(&id);
    }
    populate(&alice, &id, 6);
    let [one, two] = sessions.each_mut().map(|session| {
        let mut frames = BTreeMap::new();
        while frames.len() < 10_000 {
            let seen = session.frame();
            match seen.header.kind {
                FrameKind::Heartbeat => break,
                FrameKind::Delta => drop(frames.insert((seen.header.stream, seen.header.seq), seen.bytes)),
                FrameKind::Keyframe => {}
            }
        }
        frames
    });
    let shared: Vec<_> = one.keys().filter(|key| two.contains_key(key)).collect();
    assert!(shared.len() > 10, "{} and {} frames, {} shared", one.len(), two.len(), shared.len());
    assert!(shared.iter().all(|key| one[key] == two[key]));
}

fn a_lower_rate_gets_fewer_frames(db: TestDb) {
    let app = TestApp::start(db);
    let alice = app.alice();
    let id = swarm(&alice, "rates", "ring");
    let (mut full, mut quarter) = (app.session(), app.session());
    full.subscribe(&id);
    quarter.send(json!({ "type": "subscribe", "swarm_id": id, "rate": 15 }));
    let announced = quarter.message_where("subscribed", |message| message["stream"] != 0);
    assert_eq!(announced["fps"], 15);
    populate(&alice, &id, 6);
    let (_, resting, many) = until_rest(&mut full);
    let (_, also, few) = until_rest(&mut quarter);
    assert!(few["delta"] * 2 < many["delta"], "{few:?} of {many:?}");
    assert!(moved(&resting, &also) < 0.1, "both end with the same places");
}

fn a_client_that_does_not_read_hurts_nobody(db: TestDb) {
    let app = TestApp::start(db);
    let alice = app.alice();
    let id = swarm(&alice, "stalled", "mesh");
    let token = app.token("alice", Role::Operator);
    let mut stalled = Opening::bearer(&token).receive_buffer(2_048).open(app.http());
    stalled.send(json!({ "type": "subscribe", "swarm_id": id }));
    let mut reading = app.session();
    reading.subscribe(&id);
    populate(&alice, &id, 10);
    // from here on nobody reads for the first session
    for _ in 0..3 {
        spawn(&alice, &id, "monitor");
        let (_, last, kinds) = until_rest(&mut reading);
        assert!(kinds["delta"] > 10, "{kinds:?}");
        assert!(last.positions.len() > 10);
    }
    reading.send(json!({ "type": "ping" }));
    reading.message("pong");
    // once it reads again it has the newest state within what its buffers held, unless the server has hung up
    for _ in 0..20_000 {
        match stalled.next(PATIENCE).expect("neither frames nor an end") {
            Incoming::Closed(code, _) => {
                assert!(code == 1006 || code == 4408, "{code}");
                return;
            }
            Incoming::Frame(bytes) => {
                stalled.put_back(Incoming::Frame(bytes));
                if stalled.frame().positions.len() == 13 {
                    return;
                }
            }
            Incoming::Text(_) => {}
        }
    }
    panic!("the stalled session never catches up");
}

fn a_pause_stops_positions_alone(db: TestDb) {
    let app = TestApp::start(db);
    let alice = app.alice();
    let id = settled_swarm(&app, "mesh", 3);
    let mut session = app.session();
    session.subscribe(&id);
    session.frame();
    session.send(json!({ "type": "pause", "paused": true }));
    session.send(json!({ "type": "ping", "id": 1 }));
    session.message("pong");
    spawn(&alice, &id, "coder");
    let is_fourth = |agent: &Value| agent["slot"] == 3;
    loop {
        match session.next(PATIENCE).expect("a roster comes while paused") {
            Incoming::Text(message) if message["type"] == "roster" => {
                if message["agents"].as_array().is_some_and(|agents| agents.iter().any(is_fourth)) {
                    break;
                }
            }
            Incoming::Text(_) => {}
            Incoming::Frame(_) => panic!("a frame while paused"),
            Incoming::Closed(code, reason) => panic!("closed with {code} {reason}"),
        }
    }
    session.send(json!({ "type": "pause", "paused": false }));
    while session.frame().positions.len() != 4 {}
}

fn rosters_follow_agents(db: TestDb) {
    let app = TestApp::start(db);
    let alice = app.alice();
    let id = settled_swarm(&app, "hierarchical", 3);
    let mut session = app.session();
    session.subscribe(&id);
    session.message_where("roster", |roster| {
        roster["agents"].as_array().is_some_and(|agents| agents.len() == 3)
    });
    let agent = text(&spawn(&alice, &id, "tester"), "id");
    let has = |roster: &Value| {
        roster["agents"]
            .as_array()
            .is_some_and(|agents| agents.iter().any(|entry| entry["id"] == agent.as_str()))
    };
    let roster = session.message_where("roster", has);
    assert_eq!(roster["full"], false, "only what changed is sent");
    let event = session.message_where("event", |event| event["data"]["agent_id"] == agent.as_str());
    assert!(event["seq"].as_u64().is_some_and(|seq| seq > 0));
    let ended = alice.delete(&format!("/api/swarms/{id}/agents/{agent}"));
    assert!(matches!(ended.status, 202 | 204));
    let gone = session.message_where("roster", |roster| roster["removed"] != json!([]));
    assert_eq!(gone["removed"], json!([3]));
}

fn no_more_subscriptions_than_allowed(db: TestDb) {
    let app = TestApp::with(db, &[("MAX_SWARMS_PER_CLIENT", "2")]);
    let (alice, root) = (app.alice(), app.root());
    let mut ids = vec![swarm(&alice, "a", "mesh"), swarm(&alice, "b", "mesh")];
    ids.push(swarm(&root, "c", "mesh"));
    let mut session = app.session_of("root", Role::Admin);
    assert_eq!(session.subscribe(&ids[0])["swarm_id"], json!(ids[0]));
    session.subscribe(&ids[1]);
    session.send(json!({ "type": "subscribe", "swarm_id": ids[2] }));
    assert_eq!(session.message("error")["code"], "swarm_limit_reached");
    session.send(json!({ "type": "unsubscribe", "swarm_id": ids[0] }));
    assert_eq!(session.message("unsubscribed")["reason"], "requested");
    session.subscribe(&ids[2]);
}

fn the_end_of_the_server_is_told(db: TestDb) {
    let mut app = TestApp::start(db);
    let id = settled_swarm(&app, "mesh", 2);
    let mut session = app.session();
    session.subscribe(&id);
    let waiting = std::thread::spawn(move || {
        let goodbye = session.message("goodbye");
        (goodbye, session.close_code())
    });
    app.stop();
    let (goodbye, code) = waiting.join().unwrap();
    assert_eq!(code, 1001);
    assert_eq!((&goodbye["code"], goodbye["retry_in_ms"].is_u64()), (&json!(1001), true));
}
