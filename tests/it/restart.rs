//! A server that stops and starts again on the same database has everything back.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use visionflow::on_each_database;
use visionflow::testkit::{TestApp, TestDb};
use visionflow::wire::FrameKind;

use crate::steps::{in_status, populate, swarm, verified};

on_each_database!(everything_is_back_after_a_restart, a_failed_start_leaves_the_data_alone);

/// What must be the same before and after.
fn lasting(app: &TestApp) -> Value {
    let alice = app.alice();
    let pick = |value: &Value, members: &[&str]| -> Value {
        members.iter().map(|member| ((*member).to_owned(), value[*member].clone())).collect()
    };
    let swarms = alice.list("/api/swarms").into_iter().map(|swarm| {
        let id = crate::steps::text(&swarm, "id");
        let agents = alice.list(&format!("/api/swarms/{id}/agents"));
        let tasks = alice.list(&format!("/api/swarms/{id}/tasks"));
        let agent =
            |agent: &Value| pick(agent, &["id", "slot", "type", "name", "capabilities", "created_at"]);
        let task = |task: &Value| pick(task, &["id", "description", "priority", "created_at"]);
        json!({
            "swarm": pick(&swarm, &["id", "name", "owner", "topology", "max_agents", "created_at"]),
            "agents": agents.iter().map(agent).collect::<Vec<_>>(),
            "tasks": tasks.iter().map(task).collect::<Vec<_>>(),
        })
    });
    swarms.collect()
}

fn resting(app: &TestApp, id: &str) -> BTreeMap<u32, [f32; 3]> {
    let mut session = app.session();
    session.subscribe(id);
    loop {
        let seen = session.frame();
        if seen.header.kind == FrameKind::Heartbeat {
            return seen.positions.into_iter().collect();
        }
    }
}

fn everything_is_back_after_a_restart(db: TestDb) {
    let mut app = TestApp::start(db);
    let alice = app.alice();
    let ids: Vec<String> = ["mesh", "hierarchical", "ring", "star"]
        .iter()
        .map(|topology| swarm(&alice, topology, topology))
        .collect();
    for id in &ids {
        populate(&alice, id, 6);
        let task = alice.post(&format!("/api/swarms/{id}/tasks"), json!({ "description": "go on" }));
        assert!(matches!(task.status, 201 | 202), "{}", task.text());
        verified(&alice, id);
    }
    let (before, stood) = (lasting(&app), resting(&app, &ids[0]));
    let epochs: Vec<Value> = alice.list("/api/swarms").iter().map(|swarm| swarm["epoch"].clone()).collect();
    app.stop();

    app.start_again();
    assert_eq!(lasting(&app), before, "everything is there as soon as the server answers");
    let mut session = app.session();
    session.subscribe(&ids[0]);
    let first = session.frame();
    let extent = stood.values().flatten().fold(0.0_f32, |most, x| most.max(x.abs()));
    assert_eq!(first.positions.len(), stood.len());
    for (slot, at) in &first.positions {
        let apart: f32 = stood[slot].iter().zip(at).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
        assert!(apart < extent * 0.05, "slot {slot} stands {apart} from where it was, of {extent}");
    }
    let alice = app.alice();
    for (id, epoch) in ids.iter().zip(epochs) {
        let swarm = in_status(&alice, id, "active");
        assert!(swarm["epoch"].as_u64() > epoch.as_u64(), "{swarm}");
        assert_eq!(verified(&alice, id).len(), 6);
    }
}

fn a_failed_start_leaves_the_data_alone(db: TestDb) {
    let mut app = TestApp::start(db);
    let id = swarm(&app.alice(), "kept", "mesh");
    let before = lasting(&app);
    app.stop();
    // a port that is taken
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    app.set("PORT", &taken.local_addr().unwrap().port().to_string());
    let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| app.start_again()));
    let why = failed.unwrap_err();
    let why = why.downcast_ref::<String>().cloned().unwrap_or_default();
    assert!(why.contains("does not start") && why.contains("PORT"), "{why}");
    app.set("PORT", "0");
    app.start_again();
    assert_eq!(lasting(&app), before);
    in_status(&app.alice(), &id, "active");
}
