//! Swarms over REST: creating, listing, showing, deleting, who may see and change them.

use serde_json::{Value, json};
use visionflow::on_each_database;
use visionflow::testkit::{TestApp, TestDb, wait_until};

use crate::steps::{PATIENCE, populate, swarm, text, verified};

on_each_database!(
    the_guide_s_swarm_is_created_listed_and_shown,
    lists_come_in_pages,
    an_entity_tag_spares_the_body,
    a_deleted_swarm_is_gone_everywhere,
    a_swarm_of_somebody_else_does_not_exist,
    roles_decide_who_may_change,
    health_tells_of_every_part,
    topologies_make_their_links,
    old_calls_name_the_new_ones,
);

fn the_guide_s_swarm_is_created_listed_and_shown(db: TestDb) {
    let app = TestApp::start(db);
    let alice = app.alice();
    let answer = alice.post("/api/swarms", json!({ "topology": "mesh", "name": "test-swarm" }));
    let location = answer.header("location").map(str::to_owned);
    let made = answer.expect_status(201).json();
    assert_eq!(made["name"], "test-swarm");
    assert_eq!(made["topology"], "mesh");
    assert_eq!(made["owner"], "alice");
    assert_eq!(made["status"], "active");
    assert_eq!(made["max_agents"], 200);
    assert!(made["runtime_id"].is_string(), "{made}");
    let path = format!("/api/swarms/{}", text(&made, "id"));
    assert_eq!(location.as_deref(), Some(path.as_str()));
    let shown = alice.get(&path).expect_status(200).json();
    for member in ["id", "name", "owner", "topology", "runtime_id", "created_at"] {
        assert_eq!(shown[member], made[member], "{member}");
    }
    assert_eq!(alice.list("/api/swarms").len(), 1);
}

fn lists_come_in_pages(db: TestDb) {
    let app = TestApp::start(db);
    let alice = app.alice();
    let ids: Vec<String> = (0..5).map(|n| swarm(&alice, &format!("swarm {n}"), "ring")).collect();
    let first = alice.get("/api/swarms?limit=2").expect_status(200).json();
    assert_eq!(first["items"].as_array().map(Vec::len), Some(2));
    let cursor = text(&first, "next_cursor");
    let second = alice.get(&format!("/api/swarms?limit=2&cursor={cursor}")).expect_status(200).json();
    let last = alice
        .get(&format!("/api/swarms?limit=2&cursor={}", text(&second, "next_cursor")))
        .expect_status(200)
        .json();
    assert!(last["next_cursor"].is_null(), "{last}");
    let pages = [first, second, last];
    let seen: Vec<String> = pages
        .iter()
        .flat_map(|page| page["items"].as_array().cloned().unwrap_or_default())
        .map(|item| text(&item, "id"))
        .collect();
    assert_eq!(seen, ids, "in the order of creation, each once");
    assert_eq!(alice.get("/api/swarms?status=failed").expect_status(200).json()["items"], json!([]));
    assert_eq!(alice.get("/api/swarms?limit=0").status, 400);
    assert_eq!(alice.get("/api/swarms?cursor=nonsense").code(), "invalid_cursor");
    assert_eq!(alice.get("/api/swarms?status=happy").status, 400);
}

fn an_entity_tag_spares_the_body(db: TestDb) {
    let app = TestApp::start(db);
    let alice = app.alice();
    let id = swarm(&alice, "tagged", "star");
    populate(&alice, &id, 2);
    verified(&alice, &id);
    let path = format!("/api/swarms/{id}/metadata");
    // whatever the runtime still has to say may come between the two calls
    wait_until("the metadata stays the same", PATIENCE, || {
        let first = alice.get(&path).expect_status(200);
        let tag = first.header("etag").unwrap().to_owned();
        let again = alice.call("GET", &path).header("if-none-match", &tag).send();
        assert!(again.status == 304 || again.status == 200);
        assert!(again.status != 304 || again.body.is_empty());
        again.status == 304
    });
    let before = alice.get(&path);
    populate(&alice, &id, 1);
    let tag = before.header("etag").unwrap();
    let changed = alice.call("GET", &path).header("if-none-match", tag).send().expect_status(200);
    assert_eq!(changed.json()["agent_count"], 3);
}

fn a_deleted_swarm_is_gone_everywhere(db: TestDb) {
    let app = TestApp::start(db);
    let alice = app.alice();
    let id = swarm(&alice, "short-lived", "mesh");
    populate(&alice, &id, 2);
    let mut session = app.session();
    session.subscribe(&id);
    assert_eq!(alice.delete(&format!("/api/swarms/{id}")).status, 204);
    assert_eq!(session.message("unsubscribed")["reason"], "deleted");
    for path in ["", "/metadata", "/agents", "/tasks", "/links", "/events"] {
        assert_eq!(alice.get(&format!("/api/swarms/{id}{path}")).code(), "swarm_not_found", "{path}");
    }
    assert_eq!(alice.delete(&format!("/api/swarms/{id}")).code(), "swarm_not_found");
    assert!(alice.list("/api/swarms").is_empty());
}

fn a_swarm_of_somebody_else_does_not_exist(db: TestDb) {
    let app = TestApp::start(db);
    let (alice, bob, root) = (app.alice(), app.bob(), app.root());
    let id = swarm(&alice, "private", "mesh");
    let agent = text(&crate::steps::spawn(&alice, &id, "coder"), "id");
    let task = alice.post(&format!("/api/swarms/{id}/tasks"), json!({ "description": "secret" })).json();
    let task = text(&task, "id");
    for path in ["", "/metadata", "/agents", "/tasks", "/links", "/events", &format!("/agents/{agent}")] {
        let answer = bob.get(&format!("/api/swarms/{id}{path}"));
        assert_eq!((answer.status, answer.code().as_str()), (404, "swarm_not_found"), "{path}");
    }
    assert_eq!(bob.get(&format!("/api/tasks/{task}")).code(), "task_not_found");
    assert_eq!(bob.post(&format!("/api/tasks/{task}/cancel"), json!({})).code(), "task_not_found");
    assert_eq!(bob.delete(&format!("/api/swarms/{id}")).code(), "swarm_not_found");
    assert_eq!(bob.delete(&format!("/api/swarms/{id}/agents/{agent}")).code(), "swarm_not_found");
    let spawn = bob.post(&format!("/api/swarms/{id}/agents/spawn"), json!({ "type": "coder" }));
    assert_eq!(spawn.code(), "swarm_not_found");
    assert!(bob.list("/api/swarms").is_empty());
    // nothing of that changed anything, and an admin sees it all
    assert_eq!(root.list("/api/swarms").len(), 1);
    assert_eq!(root.list(&format!("/api/swarms/{id}/agents")).len(), 1);
    assert_eq!(root.get(&format!("/api/tasks/{task}")).status, 200);
}

fn roles_decide_who_may_change(db: TestDb) {
    let app = TestApp::start(db);
    let eve = app.eve();
    let refused = eve.post("/api/swarms", json!({ "name": "not allowed" }));
    assert_eq!((refused.status, refused.code().as_str()), (403, "role_too_low"));
    assert_eq!(eve.get("/api/swarms").status, 200);
    let me = eve.get("/api/auth/me").expect_status(200).json();
    assert_eq!((&me["subject"], &me["role"]), (&json!("eve"), &json!("viewer")));
    assert!(app.root().list("/api/swarms").is_empty());
}

fn health_tells_of_every_part(db: TestDb) {
    let app = TestApp::start(db);
    let nobody = app.nobody();
    wait_until("the server is healthy", PATIENCE, || nobody.get("/health").json()["status"] == "ok");
    let body = nobody.get("/health").expect_status(200).json();
    for part in ["database", "mcp", "compute"] {
        assert_eq!(body["checks"][part]["status"], "ok", "{body}");
    }
    assert_eq!(nobody.get("/health/live").status, 200);
    assert_eq!(nobody.get("/health/ready").status, 200);
    // open to everybody, so it says nothing about the machine
    let text = body.to_string();
    assert!(!text.contains(&app.folder().display().to_string()), "{text}");
    assert_eq!(nobody.get("/metrics").status, 401);
    let metrics = app.eve().get("/metrics").expect_status(200).text();
    assert!(metrics.contains("visionflow_build_info"), "{metrics}");
    let runtime = visionflow::testkit::http::Client::new(app.health().unwrap(), None).get("/health");
    assert_eq!(runtime.expect_status(200).json()["status"], "healthy");
}

fn topologies_make_their_links(db: TestDb) {
    let app = TestApp::start(db);
    let alice = app.alice();
    for (topology, expected) in [("mesh", 15), ("hierarchical", 5), ("ring", 6), ("star", 5)] {
        let id = swarm(&alice, topology, topology);
        populate(&alice, &id, 6);
        let links = alice.get(&format!("/api/swarms/{id}/links")).expect_status(200).json();
        let items = links["items"].as_array().unwrap();
        assert_eq!(items.len(), expected, "{topology}: {links}");
        let slots: Vec<&Value> = links["agents"].as_array().unwrap().iter().map(|a| &a["slot"]).collect();
        assert!(items.iter().all(|link| slots.contains(&&link["a"]) && slots.contains(&&link["b"])));
    }
}

fn old_calls_name_the_new_ones(db: TestDb) {
    let app = TestApp::start(db);
    let nobody = app.nobody();
    for (method, path, new) in [
        ("POST", "/api/agents/spawn", "/api/swarms/{swarm_id}/agents/spawn"),
        ("POST", "/api/agents/task", "/api/swarms/{swarm_id}/tasks"),
        ("GET", "/api/agents/swarm/x/status", "/api/swarms/{swarm_id}/metadata"),
        ("GET", "/api/bots/status", "/api/swarms/{swarm_id}/metadata"),
        ("POST", "/api/bots/initialize-swarm", "/api/swarms"),
    ] {
        let answer = nobody.call(method, path).send();
        assert_eq!((answer.status, answer.code().as_str()), (410, "v1_call_gone"), "{path}");
        let replacement = &answer.json()["replacement"];
        assert_eq!(replacement["path"], new, "{path}");
        assert!(replacement["headers"]["Authorization"].is_string(), "{path}");
    }
}
