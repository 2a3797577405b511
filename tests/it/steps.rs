//! What nearly every test does first, in one line each.

use std::time::Duration;

use serde_json::{Value, json};
use visionflow::testkit::http::Client;
use visionflow::testkit::wait_for;

/// Longest wait for something that the server does by itself.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Creates a swarm and gives its id.
pub(crate) fn swarm(client: &Client, name: &str, topology: &str) -> String {
    let answer = client.post("/api/swarms", json!({ "name": name, "topology": topology }));
    let made = answer.expect_status(201).json();
    text(&made, "id")
}

/// Spawns an agent and gives it as the server answered.
pub(crate) fn spawn(client: &Client, swarm: &str, kind: &str) -> Value {
    let body = json!({ "type": kind, "capabilities": ["analysis"] });
    client.post(&format!("/api/swarms/{swarm}/agents/spawn"), body).expect_status(201).json()
}

/// Spawns several agents.
pub(crate) fn populate(client: &Client, swarm: &str, count: usize) {
    let kinds = ["coordinator", "researcher", "coder", "analyst"];
    for kind in kinds.iter().cycle().take(count) {
        spawn(client, swarm, kind);
    }
}

/// The agents of a swarm once all are verified.
pub(crate) fn verified(client: &Client, swarm: &str) -> Vec<Value> {
    wait_for("all agents are verified", PATIENCE, || {
        let agents = client.list(&format!("/api/swarms/{swarm}/agents"));
        let all = !agents.is_empty() && agents.iter().all(|agent| agent["stage"] == "verified");
        all.then_some(agents)
    })
}

/// Waits until a swarm has this status, and gives it.
pub(crate) fn in_status(client: &Client, swarm: &str, status: &str) -> Value {
    wait_for(&format!("the swarm is {status}"), PATIENCE, || {
        let swarm = client.get(&format!("/api/swarms/{swarm}")).expect_status(200).json();
        (swarm["status"] == status).then_some(swarm)
    })
}

/// A member that must be text.
pub(crate) fn text(value: &Value, member: &str) -> String {
    match value[member].as_str() {
        Some(text) => text.to_owned(),
        None => panic!("{member} is no text in {value}"),
    }
}
