//! Agents over REST: the guide's spawn call, limits, what verifies an agent, ending one.

use serde_json::json;
use visionflow::on_each_database;
use visionflow::testkit::{TestApp, TestDb, wait_until};

use crate::steps::{PATIENCE, populate, spawn, swarm, text, verified};

on_each_database!(
    the_guide_s_spawn_call_makes_an_agent,
    a_second_observation_verifies_an_agent,
    no_agent_beyond_the_limit,
    an_ended_agent_is_gone_and_its_slot_stays_free,
    agents_are_spawned_at_the_same_time,
);

fn the_guide_s_spawn_call_makes_an_agent(db: TestDb) {
    let app = TestApp::start(db);
    let alice = app.alice();
    let id = swarm(&alice, "guide", "mesh");
    let body = json!({ "type": "researcher", "capabilities": ["analysis"] });
    let answer = alice.post(&format!("/api/swarms/{id}/agents/spawn"), body);
    let location = answer.header("location").map(str::to_owned);
    let agent = answer.expect_status(201).json();
    assert_eq!(agent["type"], "researcher");
    assert_eq!(agent["capabilities"], json!(["analysis"]));
    assert_eq!(agent["swarm_id"], json!(id));
    assert_eq!(agent["slot"], 0);
    assert!(agent["runtime_id"].is_string(), "the runtime's own id is kept beside ours: {agent}");
    let path = format!("/api/swarms/{id}/agents/{}", text(&agent, "id"));
    assert_eq!(location.as_deref(), Some(path.as_str()));
    assert_eq!(alice.get(&path).expect_status(200).json()["id"], agent["id"]);
}

fn a_second_observation_verifies_an_agent(db: TestDb) {
    let app = TestApp::start(db);
    let alice = app.alice();
    let id = swarm(&alice, "verify", "ring");
    let agent = spawn(&alice, &id, "coder");
    assert_ne!(agent["stage"], "verified", "an answer alone proves nothing");
    let seen = verified(&alice, &id);
    assert_eq!(seen[0]["stale"], false);
    assert_eq!(seen[0]["observation"]["source"], "mcp");
    assert!(seen[0]["observation"]["observed_at"].is_string(), "{}", seen[0]);
    let events = alice.list(&format!("/api/swarms/{id}/events"));
    let told = events.iter().any(|e| e["kind"] == "agent_stage_changed" && e["data"]["stage"] == "verified");
    assert!(told, "{events:?}");
}

fn no_agent_beyond_the_limit(db: TestDb) {
    let app = TestApp::start(db);
    let alice = app.alice();
    let made = alice.post("/api/swarms", json!({ "name": "small", "max_agents": 2 })).expect_status(201);
    let id = text(&made.json(), "id");
    populate(&alice, &id, 2);
    let refused = alice.post(&format!("/api/swarms/{id}/agents/spawn"), json!({ "type": "coder" }));
    assert_eq!((refused.status, refused.code().as_str()), (409, "agent_limit_reached"));
    let agents = alice.list(&format!("/api/swarms/{id}/agents"));
    assert_eq!(agents.len(), 2);
    let first = text(&agents[0], "id");
    let ended = alice.delete(&format!("/api/swarms/{id}/agents/{first}"));
    assert!(matches!(ended.status, 202 | 204), "{}", ended.text());
    wait_until("there is room again", PATIENCE, || {
        alice.post(&format!("/api/swarms/{id}/agents/spawn"), json!({ "type": "coder" })).status == 201
    });
}

fn an_ended_agent_is_gone_and_its_slot_stays_free(db: TestDb) {
    let app = TestApp::start(db);
    let alice = app.alice();
    let id = swarm(&alice, "end", "star");
    populate(&alice, &id, 3);
    let agents = verified(&alice, &id);
    let gone = text(&agents[1], "id");
    let path = format!("/api/swarms/{id}/agents/{gone}");
    let ended = alice.delete(&path);
    assert!(matches!(ended.status, 202 | 204), "{}", ended.text());
    wait_until("it is gone", PATIENCE, || alice.list(&format!("/api/swarms/{id}/agents")).len() == 2);
    assert_eq!(alice.get(&path).code(), "agent_not_found");
    assert_eq!(alice.delete(&path).code(), "agent_not_found");
    assert_eq!(spawn(&alice, &id, "tester")["slot"], 3, "a slot is never used again");
}

fn agents_are_spawned_at_the_same_time(db: TestDb) {
    let app = TestApp::start(db);
    let alice = app.alice();
    let id = swarm(&alice, "crowd", "mesh");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| populate(&alice, &id, 6));
        }
    });
    let agents = verified(&alice, &id);
    let slots: Vec<u64> = agents.iter().filter_map(|agent| agent["slot"].as_u64()).collect();
    assert_eq!(slots, (0..24).collect::<Vec<u64>>());
}
