//! What happens while the agent runtime is away, and when it is back having forgotten everything.

use serde_json::{Value, json};
use visionflow::on_each_database;
use visionflow::testkit::{TestApp, TestDb, TestRuntime, wait_for, wait_until};

use crate::steps::{PATIENCE, in_status, populate, swarm, text, verified};

on_each_database!(
    without_a_runtime_swarms_are_degraded_and_recover,
    a_swarm_made_without_a_runtime_becomes_active_later,
);

fn with_runtime(db: TestDb, runtime: &TestRuntime) -> TestApp {
    let timeout = ("MCP_CONNECTION_TIMEOUT", "2000");
    TestApp::with(db, &[("MCP_SERVER", &runtime.server()), timeout, ("MCP_KEEPALIVE_INTERVAL", "200")])
}

fn mcp_status(app: &TestApp) -> Value {
    app.nobody().get("/health").json()["checks"]["mcp"]["status"].clone()
}

fn without_a_runtime_swarms_are_degraded_and_recover(db: TestDb) {
    let mut runtime = TestRuntime::start();
    let app = with_runtime(db, &runtime);
    let alice = app.alice();
    let id = swarm(&alice, "steady", "ring");
    populate(&alice, &id, 3);
    let before = verified(&alice, &id);
    let mut session = app.session();
    session.subscribe(&id);
    session.frame();
    runtime.stop();
    in_status(&alice, &id, "degraded");
    let health = app.nobody().get("/health");
    assert_eq!((health.status, &health.json()["status"]), (200, &json!("degraded")));
    // reads go on, frames go on, and what is asked for is accepted, not claimed to be done
    assert_eq!(alice.list(&format!("/api/swarms/{id}/agents")).len(), 3);
    session.frame();
    let spawned = alice.post(&format!("/api/swarms/{id}/agents/spawn"), json!({ "type": "coder" }));
    assert_eq!(spawned.status, 202, "{}", spawned.text());
    let stage = spawned.json()["stage"].clone();
    assert!(stage == "accepted" || stage == "sent", "{stage}");
    wait_until("figures that nobody refreshes are stale", PATIENCE, || {
        alice.list(&format!("/api/swarms/{id}/agents")).iter().take(3).all(|agent| agent["stale"] == true)
    });
    runtime.start_again();
    in_status(&alice, &id, "active");
    wait_until("all four are verified", PATIENCE, || {
        let agents = alice.list(&format!("/api/swarms/{id}/agents"));
        agents.len() == 4
            && agents.iter().all(|agent| agent["stage"] == "verified" && agent["stale"] == false)
    });
    let after = alice.list(&format!("/api/swarms/{id}/agents"));
    for (was, is) in before.iter().zip(&after) {
        assert_eq!((&was["id"], &was["slot"]), (&is["id"], &is["slot"]), "one stable identity");
    }
    assert_eq!(after[3]["id"], spawned.json()["id"]);
    wait_until("the server is healthy again", PATIENCE, || mcp_status(&app) == "ok");
}

fn a_swarm_made_without_a_runtime_becomes_active_later(db: TestDb) {
    let mut runtime = TestRuntime::start();
    runtime.stop();
    let app = with_runtime(db, &runtime);
    let alice = app.alice();
    wait_until("the server knows", PATIENCE, || mcp_status(&app) != "ok");
    let made = alice.post("/api/swarms", json!({ "name": "patient" }));
    assert!(made.header("location").is_some());
    let made = made.expect_status(202).json();
    assert_eq!(made["status"], "creating");
    assert!(made["runtime_id"].is_null(), "no invented id: {made}");
    let id = text(&made, "id");
    runtime.start_again();
    let active = in_status(&alice, &id, "active");
    assert!(active["runtime_id"].is_string());
    let spawned = wait_for("agents can be spawned", PATIENCE, || {
        let answer = alice.post(&format!("/api/swarms/{id}/agents/spawn"), json!({ "type": "coder" }));
        (answer.status == 201).then(|| answer.json())
    });
    assert_eq!(verified(&alice, &id)[0]["id"], spawned["id"]);
}
