//! Ways in: tickets, tokens in the subprotocol or a header, `auth` messages, which pages and names are answered.

use std::time::Duration;

use serde_json::json;
use visionflow::identity::Role;
use visionflow::on_each_database;
use visionflow::telemetry::clock;
use visionflow::testkit::http::Client;
use visionflow::testkit::test_app::signed_at;
use visionflow::testkit::ws_client::Opening;
use visionflow::testkit::{TestApp, TestDb};

use crate::steps::{swarm, text};

on_each_database!(
    a_ticket_opens_one_session,
    a_token_comes_by_subprotocol_header_or_message,
    a_bad_token_is_told_over_the_socket,
    a_revoked_token_is_good_for_nothing,
    foreign_pages_and_names_are_refused,
    a_session_without_a_token_may_only_sign_in,
    a_socket_request_that_is_none_is_told,
);

fn a_ticket_opens_one_session(db: TestDb) {
    let app = TestApp::start(db);
    let answer = app.alice().call("POST", "/api/auth/ws-ticket").send().expect_status(200).json();
    let ticket = text(&answer, "ticket");
    assert_eq!(answer["expires_in_ms"], 30_000);
    let mut session = Opening::ticket(&ticket).open(app.http());
    let hello = session.message("hello");
    assert_eq!(
        (&hello["subject"], &hello["role"], &hello["proto"]),
        (&json!("alice"), &json!("operator"), &json!(2))
    );
    for used in [ticket.as_str(), "never-issued"] {
        let mut again = Opening::ticket(used).open(app.http());
        assert_eq!(again.message("error")["code"], "ticket_invalid");
        assert_eq!(again.close_code(), 4501);
    }
    assert_eq!(app.nobody().call("POST", "/api/auth/ws-ticket").send().status, 401);
}

fn a_token_comes_by_subprotocol_header_or_message(db: TestDb) {
    let app = TestApp::start(db);
    let token = app.token("alice", Role::Operator);
    let mut browser = Opening::bearer(&token).open(app.http());
    assert_eq!(browser.protocol.as_deref(), Some("visionflow.v2"), "the token is never echoed");
    assert_eq!(browser.message("hello")["subject"], "alice");
    let mut native = Opening::nothing().header("Authorization", &format!("Bearer {token}")).open(app.http());
    assert_eq!(native.message("hello")["subject"], "alice");
    let mut late = Opening::nothing().open(app.http());
    assert!(late.message("hello")["subject"].is_null());
    late.send(json!({ "type": "auth", "token": token }));
    assert_eq!(late.message("hello")["subject"], "alice");
    // a refresh may not become somebody else
    late.send(json!({ "type": "auth", "token": app.token("bob", Role::Operator) }));
    assert_eq!(late.close_code(), 4503);
}

fn a_bad_token_is_told_over_the_socket(db: TestDb) {
    let app = TestApp::start(db);
    let past = clock::now() - Duration::from_secs(7_200);
    let expired = signed_at("alice", Role::Operator, Duration::from_secs(60), past);
    for (token, error, code) in [
        (expired.as_str(), "token_expired", 4401),
        ("a.b.c", "token_malformed", 4501),
        ("x", "token_malformed", 4501),
    ] {
        let mut session = Opening::bearer(token).open(app.http());
        assert_eq!(session.message("error")["code"], error, "{token}");
        assert_eq!(session.close_code(), code, "{token}");
        let refused =
            Opening::nothing().header("Authorization", &format!("Bearer {token}")).try_open(app.http());
        assert_eq!(refused.unwrap_err().status, 401, "{token}");
    }
}

fn a_revoked_token_is_good_for_nothing(db: TestDb) {
    let mut app = TestApp::start(db);
    let token = app.token("alice", Role::Operator);
    let alice = Client::new(app.http(), Some(&token));
    let me = alice.get("/api/auth/me").expect_status(200).json();
    let other = app.bob().post("/api/auth/revoke", json!({ "token_id": me["token_id"] }));
    assert_eq!((other.status, other.code().as_str()), (403, "role_too_low"));
    assert_eq!(alice.get("/api/swarms").status, 200);
    assert_eq!(alice.call("POST", "/api/auth/revoke").send().status, 204);
    assert_eq!(alice.get("/api/swarms").code(), "token_revoked");
    let mut session = Opening::bearer(&token).open(app.http());
    assert_eq!(session.message("error")["code"], "token_revoked");
    assert_eq!(session.close_code(), 4501);
    app.stop();
    app.start_again();
    let alice = Client::new(app.http(), Some(&token));
    assert_eq!(alice.get("/api/swarms").code(), "token_revoked", "a revocation outlives the process");
    assert_eq!(app.alice().get("/api/swarms").status, 200);
}

fn foreign_pages_and_names_are_refused(db: TestDb) {
    let app = TestApp::start(db);
    let token = app.token("alice", Role::Operator);
    let foreign = Opening::bearer(&token).header("Origin", "https://evil.example").try_open(app.http());
    let refused = foreign.unwrap_err();
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("origin_forbidden"), "{}", refused.body);
    for origin in ["http://localhost:3001".to_owned(), format!("http://{}", app.http())] {
        let mut session = Opening::bearer(&token).header("Origin", &origin).open(app.http());
        assert_eq!(session.message("hello")["subject"], "alice", "{origin}");
    }
    let alice = app.alice();
    for path in ["/api/swarms", "/health", "/"] {
        let answer = alice.call("GET", path).header("host", "evil.example").send();
        assert_eq!((answer.status, answer.code().as_str()), (421, "host_not_allowed"), "{path}");
    }
    let cors = alice.call("GET", "/api/swarms").header("origin", "http://localhost:3001").send();
    assert_eq!(cors.header("access-control-allow-origin"), Some("http://localhost:3001"));
    let not = alice.call("GET", "/api/swarms").header("origin", "https://evil.example").send();
    assert_eq!(not.header("access-control-allow-origin"), None);
}

fn a_session_without_a_token_may_only_sign_in(db: TestDb) {
    let app = TestApp::start(db);
    let id = swarm(&app.alice(), "guarded", "mesh");
    let mut session = Opening::nothing().open(app.http());
    session.message("hello");
    session.send(json!({ "type": "subscribe", "swarm_id": id }));
    assert_eq!(session.message("error")["code"], "unauthenticated");
    session.send(json!({ "type": "auth", "token": "nonsense" }));
    assert_eq!(session.message("error")["code"], "token_malformed");
    assert_eq!(session.close_code(), 4501);
}

fn a_socket_request_that_is_none_is_told(db: TestDb) {
    let app = TestApp::start(db);
    let plain = app.nobody().call("GET", "/wss").send();
    assert_eq!((plain.status, plain.code().as_str()), (426, "upgrade_required"));
    // an upgrade without a key or a version: refused in words, not as a failure of the server
    let half = app.nobody().call("GET", "/wss").header("upgrade", "websocket").send();
    assert_eq!((half.status, half.code().as_str()), (400, "bad_request"));
}
