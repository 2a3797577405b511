//! Tasks over REST: from submission to completion by the demo executor, cancelling, listing.

use serde_json::json;
use visionflow::on_each_database;
use visionflow::testkit::{TestApp, TestDb, wait_for, wait_until};

use crate::steps::{PATIENCE, populate, swarm, text, verified};

on_each_database!(
    a_task_is_worked_on_and_completed,
    a_cancelled_task_stays_cancelled,
    tasks_are_listed_newest_first
);

fn a_task_is_worked_on_and_completed(db: TestDb) {
    let app = TestApp::start(db);
    let alice = app.alice();
    let id = swarm(&alice, "work", "hierarchical");
    populate(&alice, &id, 4);
    verified(&alice, &id);
    let body =
        json!({ "description": "look at it", "priority": "high", "strategy": "parallel", "max_agents": 3 });
    let answer = alice.post(&format!("/api/swarms/{id}/tasks"), body).expect_status(201);
    let task = answer.json();
    let path = format!("/api/tasks/{}", text(&task, "id"));
    assert_eq!(answer.header("location"), Some(path.as_str()));
    wait_until("an agent is at work", PATIENCE, || {
        let agents = alice.list(&format!("/api/swarms/{id}/agents"));
        agents.iter().any(|agent| agent["state"] == "busy" || agent["state"] == "active")
    });
    let mut progress = 0.0_f64;
    let done = wait_for("the task is completed", 3 * PATIENCE, || {
        let task = alice.get(&path).expect_status(200).json();
        if let Some(now) = task["progress"].as_f64() {
            assert!((0.0..=1.0).contains(&now) && now >= progress, "a ratio that only rises: {task}");
            progress = now;
        }
        assert!(task["status"] != "failed" && task["status"] != "cancelled", "{task}");
        (task["status"] == "completed").then_some(task)
    });
    let assigned = done["assigned_agents"].as_array().unwrap();
    assert!((1..=3).contains(&assigned.len()), "{done}");
    assert!(done["observed_at"].is_string() && done["finished_at"].is_string(), "{done}");
    let result = done["result"].as_str().unwrap_or_default();
    assert!(result.contains("simulat") || result.contains("demo"), "the result says what it is: {done}");
    wait_until("all agents rest again", PATIENCE, || {
        let agents = alice.list(&format!("/api/swarms/{id}/agents"));
        agents.iter().all(|agent| agent["state"] == "idle")
    });
}

fn a_cancelled_task_stays_cancelled(db: TestDb) {
    let app = TestApp::start(db);
    let alice = app.alice();
    let id = swarm(&alice, "stop", "mesh");
    populate(&alice, &id, 2);
    verified(&alice, &id);
    let task = alice.post(&format!("/api/swarms/{id}/tasks"), json!({ "description": "never mind" })).json();
    let path = format!("/api/tasks/{}", text(&task, "id"));
    let cancelled = alice.call("POST", &format!("{path}/cancel")).send();
    assert!(matches!(cancelled.status, 200 | 202), "{}", cancelled.text());
    wait_until("it is cancelled", PATIENCE, || alice.get(&path).json()["status"] == "cancelled");
    let again = alice.call("POST", &format!("{path}/cancel")).send();
    assert_eq!((again.status, again.code().as_str()), (409, "task_state_conflict"));
    assert_eq!(alice.get(&path).json()["status"], "cancelled");
}

fn tasks_are_listed_newest_first(db: TestDb) {
    let app = TestApp::start(db);
    let alice = app.alice();
    let id = swarm(&alice, "list", "ring");
    populate(&alice, &id, 1);
    let ids: Vec<String> = (0..3)
        .map(|n| {
            let body = json!({ "description": format!("task {n}") });
            text(&alice.post(&format!("/api/swarms/{id}/tasks"), body).json(), "id")
        })
        .collect();
    wait_until("all are kept", PATIENCE, || {
        let listed = alice.list(&format!("/api/swarms/{id}/tasks"));
        let seen: Vec<String> = listed.iter().map(|task| text(task, "id")).collect();
        seen.iter().eq(ids.iter().rev())
    });
}
