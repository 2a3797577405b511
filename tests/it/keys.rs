//! `Idempotency-Key`: calls that are repeated are answered as before and done once.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use visionflow::on_each_database;
use visionflow::store::{Claim, KeyedCall};
use visionflow::telemetry::clock;
use visionflow::testkit::http::{Answer, Client};
use visionflow::testkit::{TestApp, TestDb, TestRuntime, wait_for, wait_until};

use crate::steps::{PATIENCE, populate, swarm, text};

on_each_database!(
    every_call_that_changes_something_may_be_repeated,
    a_key_belongs_to_one_subject_path_and_body,
    refusals_are_repeated_too,
    keys_are_checked,
    of_many_at_once_one_is_done,
    a_claim_blocks_until_it_is_lost,
    what_did_nothing_may_be_tried_again_under_its_key,
    an_answer_outlives_the_server,
);

fn keyed(client: &Client, key: &str, path: &str, body: &Value) -> Answer {
    client.call("POST", path).header("idempotency-key", key).json(&body.to_string()).send()
}

fn same(first: &Answer, again: &Answer) {
    assert_eq!((first.status, first.text()), (again.status, again.text()));
    for header in ["location", "etag", "content-type"] {
        assert_eq!(first.header(header), again.header(header), "{header}");
    }
}

fn every_call_that_changes_something_may_be_repeated(db: TestDb) {
    let app = TestApp::start(db);
    let alice = app.alice();
    let twice = |key: &str, path: &str, body: Value| {
        let first = keyed(&alice, key, path, &body);
        same(&first, &keyed(&alice, key, path, &body));
        first
    };
    let made = twice("swarm", "/api/swarms", json!({ "name": "once" })).expect_status(201);
    assert!(made.header("etag").is_some() && made.header("location").is_some());
    let id = text(&made.json(), "id");
    let spawn = format!("/api/swarms/{id}/agents/spawn");
    assert!(
        twice("agent", &spawn, json!({ "type": "coder" })).expect_status(201).header("location").is_some()
    );
    let submit = format!("/api/swarms/{id}/tasks");
    let task = twice("task", &submit, json!({ "description": "once" })).expect_status(201).json();
    let cancel = format!("/api/tasks/{}/cancel", text(&task, "id"));
    let bare = || alice.call("POST", &cancel).header("idempotency-key", "cancel").send();
    let first = bare();
    assert!(matches!(first.status, 200 | 202), "{}", first.text());
    same(&first, &bare());
    assert_eq!(alice.list("/api/swarms").len(), 1);
    assert_eq!(alice.list(&format!("/api/swarms/{id}/agents")).len(), 1);
    assert_eq!(alice.list(&submit).len(), 1);
    // without a key each call is one of its own
    populate(&alice, &id, 2);
    assert_eq!(alice.list(&format!("/api/swarms/{id}/agents")).len(), 3);
}

fn a_key_belongs_to_one_subject_path_and_body(db: TestDb) {
    let app = TestApp::start(db);
    let (alice, bob) = (app.alice(), app.bob());
    let body = json!({ "name": "mine" });
    let mine = keyed(&alice, "k", "/api/swarms", &body).expect_status(201).json();
    let spawn = format!("/api/swarms/{}/agents/spawn", text(&mine, "id"));
    for (path, body) in [("/api/swarms", json!({ "name": "other" })), (spawn.as_str(), body.clone())] {
        let reused = keyed(&alice, "k", path, &body);
        assert_eq!((reused.status, reused.code().as_str()), (422, "idempotency_key_reused"), "{path}");
    }
    let other = keyed(&bob, "k", "/api/swarms", &body).expect_status(201).json();
    assert_ne!(mine["id"], other["id"]);
    assert_eq!(other["owner"], "bob");
    assert_eq!(alice.list("/api/swarms").len(), 1);
}

fn refusals_are_repeated_too(db: TestDb) {
    let app = TestApp::with(db, &[("MAX_SWARMS_PER_CLIENT", "1")]);
    let alice = app.alice();
    let id = swarm(&alice, "the only one", "mesh");
    let second = || keyed(&alice, "second", "/api/swarms", &json!({ "name": "second" }));
    assert_eq!(second().code(), "swarm_limit_reached");
    assert_eq!(alice.delete(&format!("/api/swarms/{id}")).status, 204);
    assert_eq!(second().code(), "swarm_limit_reached", "as before");
    assert_eq!(keyed(&alice, "third", "/api/swarms", &json!({ "name": "third" })).status, 201);
}

fn keys_are_checked(db: TestDb) {
    let app = TestApp::start(db);
    let alice = app.alice();
    for bad in ["", "a b", &"x".repeat(256)] {
        let refused = keyed(&alice, bad, "/api/swarms", &json!({ "name": "bad key" }));
        assert_eq!((refused.status, refused.code().as_str()), (400, "idempotency_key_invalid"), "{bad:?}");
    }
    assert!(alice.list("/api/swarms").is_empty());
    assert_eq!(keyed(&alice, &"x".repeat(255), "/api/swarms", &json!({ "name": "good key" })).status, 201);
}

fn of_many_at_once_one_is_done(db: TestDb) {
    let app = TestApp::start(db);
    let alice = app.alice();
    let body = json!({ "name": "raced for" });
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let call = || keyed(&alice, "race", "/api/swarms", &body);
        let rivals: Vec<_> = (0..8).map(|_| scope.spawn(call)).collect();
        rivals.into_iter().map(|rival| rival.join().unwrap()).collect()
    });
    let (done, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
    assert!(!done.is_empty());
    done.iter().for_each(|answer| same(done[0], answer));
    for answer in refused {
        assert_eq!((answer.status, answer.code().as_str()), (409, "idempotency_key_in_use"));
        assert!(answer.header("retry-after").is_some());
    }
    assert_eq!(alice.list("/api/swarms").len(), 1);
    same(done[0], &keyed(&alice, "race", "/api/swarms", &body));
}

/// Leaves a claim as a server does that died `age_s` seconds ago.
fn plant(app: &TestApp, key: &str, body: &Value, age_s: i64) {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body.to_string().as_bytes());
    let call = KeyedCall {
        subject: "alice".into(),
        key: key.into(),
        route: "POST /api/swarms".into(),
        body_hash: URL_SAFE_NO_PAD.encode(digest),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = app.db().store().unwrap();
    let since = clock::now() - chrono::TimeDelta::seconds(age_s);
    assert_eq!(runtime.block_on(store.claim(call, since)).unwrap(), Claim::New);
}

fn a_claim_blocks_until_it_is_lost(db: TestDb) {
    let app = TestApp::start(db);
    let alice = app.alice();
    let body = json!({ "name": "claimed" });
    plant(&app, "fresh", &body, 0);
    let refused = keyed(&alice, "fresh", "/api/swarms", &body);
    assert_eq!((refused.status, refused.code().as_str()), (409, "idempotency_key_in_use"));
    assert_eq!(refused.header("retry-after"), Some("2"));
    assert!(alice.list("/api/swarms").is_empty());
    plant(&app, "lost", &body, 61);
    let first = keyed(&alice, "lost", "/api/swarms", &body).expect_status(201);
    same(&first, &keyed(&alice, "lost", "/api/swarms", &body));
    assert_eq!(alice.list("/api/swarms").len(), 1);
}

fn what_did_nothing_may_be_tried_again_under_its_key(db: TestDb) {
    let mut runtime = TestRuntime::start();
    runtime.stop();
    let timeout = ("MCP_CONNECTION_TIMEOUT", "2000");
    let app = TestApp::with(db, &[("MCP_SERVER", &runtime.server()), timeout]);
    let alice = app.alice();
    let made = wait_for("a swarm is accepted", PATIENCE, || {
        let answer = alice.post("/api/swarms", json!({ "name": "not ready" }));
        (answer.status == 202).then(|| answer.json())
    });
    let path = format!("/api/swarms/{}/agents/spawn", text(&made, "id"));
    let spawn = || keyed(&alice, "agent", &path, &json!({ "type": "coder" }));
    assert_eq!(spawn().code(), "swarm_not_ready");
    runtime.start_again();
    wait_until("the agent is spawned", PATIENCE, || spawn().status == 201);
    assert_eq!(spawn().status, 201);
    assert_eq!(alice.list(path.trim_end_matches("/spawn")).len(), 1);
}

fn an_answer_outlives_the_server(db: TestDb) {
    let mut app = TestApp::start(db);
    let body = json!({ "name": "kept" });
    let first = keyed(&app.alice(), "k", "/api/swarms", &body).expect_status(201);
    app.stop();
    app.start_again();
    same(&first, &keyed(&app.alice(), "k", "/api/swarms", &body));
    assert_eq!(app.alice().list("/api/swarms").len(), 1);
}
