//! Input that must be refused: each case with its status and code, nothing changed by it, nothing internal told.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use visionflow::identity::Role;
use visionflow::on_each_database;
use visionflow::telemetry::clock;
use visionflow::testkit::http::{Answer, Client};
use visionflow::testkit::test_app::signed_at;
use visionflow::testkit::{TestApp, TestDb};

use crate::steps::{PATIENCE, populate, swarm, text};

on_each_database!(
    bodies_that_can_t_be_read_or_are_not_allowed,
    spawns_that_are_not_allowed,
    tasks_that_are_not_allowed,
    ids_that_lead_nowhere,
    too_many_swarms_and_agents,
    tokens_that_are_no_good,
    calls_without_a_token,
    bodies_of_ten_megabytes,
    messages_that_no_session_takes,
    texts_of_ten_megabytes,
    lines_of_ten_megabytes,
    paths_and_methods_that_do_not_exist,
);

/// Words that only the inside of the server knows.
const INTERNALS: [&str; 12] = [
    "panicked",
    "src/",
    ".rs:",
    "diesel",
    "sqlite",
    "postgres",
    "actix",
    "serde",
    "SELECT",
    "RUST_BACKTRACE",
    "/tmp/",
    "unwrap",
];

/// Checks status, code and shape of a refusal, and that it tells nothing of the inside.
fn refused(what: &str, answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{what}: {}", answer.text());
    let body = answer.json();
    assert_eq!(body["status"], status, "{what}");
    assert_eq!(body["type"], format!("/problems/{code}"), "{what}");
    for member in ["title", "detail"] {
        assert!(body[member].as_str().is_some_and(|text| !text.is_empty()), "{what}: {member} in {body}");
    }
    let told = answer.text();
    for word in INTERNALS {
        assert!(!told.contains(word), "{what}: the answer tells of {word:?}: {told}");
    }
    assert!(told.len() < 4_096, "{what}: {} bytes", told.len());
}

/// Everything that bad input might change, without what changes by itself.
fn state(client: &Client) -> Vec<Value> {
    let mut swarms = client.list("/api/swarms");
    for swarm in &mut swarms {
        let id = text(swarm, "id");
        let ids = |path: &str| -> Vec<Value> {
            client.list(&format!("/api/swarms/{id}/{path}")).iter().map(|item| item["id"].clone()).collect()
        };
        let (agents, tasks) = (ids("agents"), ids("tasks"));
        let kept = ["id", "name", "topology", "max_agents", "owner"].map(|member| swarm[member].clone());
        *swarm = json!({ "swarm": kept, "agents": agents, "tasks": tasks });
    }
    swarms
}

/// Refuses every body of the table and checks that nothing has changed.
fn all_refused(client: &Client, path: &str, cases: &[(&str, String, u16, &str)]) {
    let before = state(client);
    for (what, body, status, code) in cases {
        refused(what, &client.call("POST", path).json(body).send(), *status, code);
    }
    assert_eq!(state(client), before, "something was changed by what was refused");
}

fn case(
    what: &'static str,
    body: impl Into<String>,
    status: u16,
    code: &'static str,
) -> (&'static str, String, u16, &'static str) {
    (what, body.into(), status, code)
}

fn bodies_that_can_t_be_read_or_are_not_allowed(db: TestDb) {
    let app = TestApp::start(db);
    let alice = app.alice();
    swarm(&alice, "there", "mesh");
    let named = |name: &str| json!({ "name": name }).to_string();
    let cases = [
        case("half an object", r#"{"name": "#, 400, "malformed_json"),
        case("no JSON", "name=x", 400, "malformed_json"),
        case("nothing", "", 400, "malformed_json"),
        case("more behind the object", r#"{"name":"a"} {"name":"b"}"#, 400, "malformed_json"),
        case("no UTF-8 within", "{\"name\":\"\u{0}\"}", 400, "malformed_json"),
        case("a list", "[]", 422, "invalid_type"),
        case("a number for a name", r#"{"name":7}"#, 422, "invalid_type"),
        case("null for a name", r#"{"name":null}"#, 422, "invalid_type"),
        case("a text for a number", r#"{"name":"a","max_agents":"5"}"#, 422, "invalid_type"),
        case("a fraction", r#"{"name":"a","max_agents":1.5}"#, 422, "invalid_type"),
        case("a negative number", r#"{"name":"a","max_agents":-1}"#, 422, "invalid_type"),
        case("no name", "{}", 422, "missing_field"),
        case("an unknown field", r#"{"name":"a","colour":"red"}"#, 422, "unknown_field"),
        case("a field twice", r#"{"name":"a","name":"b"}"#, 422, "duplicate_field"),
        case("a name of 0 characters", named(""), 422, "validation_failed"),
        case("a name of blanks", named("   "), 422, "validation_failed"),
        case("a name of 51 characters", named(&"x".repeat(51)), 422, "validation_failed"),
        case("a name of 51 wide characters", named(&"ü".repeat(51)), 422, "validation_failed"),
        case("a name with a control character", r#"{"name":"a\u0007b"}"#, 422, "validation_failed"),
        case("an unknown topology", r#"{"name":"a","topology":"torus"}"#, 422, "validation_failed"),
        case("an unknown strategy", r#"{"name":"a","strategy":"hope"}"#, 422, "validation_failed"),
        case("no agents at all", r#"{"name":"a","max_agents":0}"#, 422, "validation_failed"),
        case("more agents than the cap", r#"{"name":"a","max_agents":201}"#, 422, "validation_failed"),
    ];
    all_refused(&alice, "/api/swarms", &cases);
    let deep = format!("{{\"name\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let answer = alice.call("POST", "/api/swarms").json(&deep).send();
    assert!(matches!(answer.status, 400 | 422), "{}", answer.text());
    let form =
        alice.call("POST", "/api/swarms").header("content-type", "text/plain").body(b"{}".to_vec()).send();
    refused("another media type", &form, 415, "unsupported_media_type");
    let topology = alice.post("/api/swarms", json!({ "name": "a", "topology": "torus" })).text();
    for word in ["mesh", "hierarchical", "ring", "star"] {
        assert!(topology.contains(word), "the refusal lists what is allowed: {topology}");
    }
    // 50 characters are fine, whatever their bytes
    assert_eq!(alice.post("/api/swarms", json!({ "name": "ü".repeat(50) })).status, 201);
}

fn spawns_that_are_not_allowed(db: TestDb) {
    let app = TestApp::start(db);
    let alice = app.alice();
    let id = swarm(&alice, "there", "mesh");
    populate(&alice, &id, 1);
    let many: Vec<String> = (0..33).map(|n| format!("c{n}")).collect();
    let cases = [
        case("no type", "{}", 422, "missing_field"),
        case("an unknown type", r#"{"type":"wizard"}"#, 422, "validation_failed"),
        case("a type in capitals", r#"{"type":"CODER"}"#, 422, "validation_failed"),
        case("a number for a type", r#"{"type":1}"#, 422, "invalid_type"),
        case("v1's field", r#"{"agent_type":"coder","type":"coder"}"#, 422, "unknown_field"),
        case("a name of 0 characters", r#"{"type":"coder","name":""}"#, 422, "validation_failed"),
        case(
            "a name of 51 characters",
            json!({"type":"coder","name":"x".repeat(51)}).to_string(),
            422,
            "validation_failed",
        ),
        case(
            "capabilities that are no list",
            r#"{"type":"coder","capabilities":"all"}"#,
            422,
            "invalid_type",
        ),
        case("a capability that is no text", r#"{"type":"coder","capabilities":[1]}"#, 422, "invalid_type"),
        case(
            "33 capabilities",
            json!({"type":"coder","capabilities":many}).to_string(),
            422,
            "validation_failed",
        ),
    ];
    all_refused(&alice, &format!("/api/swarms/{id}/agents/spawn"), &cases);
    let told = alice.post(&format!("/api/swarms/{id}/agents/spawn"), json!({ "type": "wizard" })).text();
    for word in ["coordinator", "researcher", "specialist", "queen"] {
        assert!(told.contains(word), "the refusal lists what is allowed: {told}");
    }
}

fn tasks_that_are_not_allowed(db: TestDb) {
    let app = TestApp::start(db);
    let alice = app.alice();
    let id = swarm(&alice, "there", "mesh");
    let cases = [
        case("no description", "{}", 422, "missing_field"),
        case("an empty description", r#"{"description":""}"#, 422, "validation_failed"),
        case(
            "4001 characters",
            json!({"description":"x".repeat(4001)}).to_string(),
            422,
            "validation_failed",
        ),
        case("an unknown priority", r#"{"description":"x","priority":"urgent"}"#, 422, "validation_failed"),
        case("no agents", r#"{"description":"x","max_agents":0}"#, 422, "validation_failed"),
        case("an unknown field", r#"{"description":"x","deadline":1}"#, 422, "unknown_field"),
    ];
    all_refused(&alice, &format!("/api/swarms/{id}/tasks"), &cases);
}

fn ids_that_lead_nowhere(db: TestDb) {
    let app = TestApp::start(db);
    let (alice, bob) = (app.alice(), app.bob());
    let own = swarm(&alice, "own", "mesh");
    let foreign = swarm(&bob, "foreign", "mesh");
    let before = state(&bob);
    for id in [
        foreign.as_str(),
        "01890a5d-ac96-774b-bcce-b302099a8057",
        "nonsense",
        "%00",
        "..%2f..%2fetc",
        "'%20OR%201=1",
    ] {
        for (method, rest) in [("GET", ""), ("DELETE", ""), ("GET", "/metadata"), ("GET", "/agents")] {
            let answer = alice.call(method, &format!("/api/swarms/{id}{rest}")).send();
            refused(&format!("{method} {id}{rest}"), &answer, 404, "swarm_not_found");
        }
        let spawn = alice.post(&format!("/api/swarms/{id}/agents/spawn"), json!({ "type": "coder" }));
        refused(id, &spawn, 404, "swarm_not_found");
    }
    for id in ["nonsense", "01890a5d-ac96-774b-bcce-b302099a8057"] {
        refused(id, &alice.get(&format!("/api/swarms/{own}/agents/{id}")), 404, "agent_not_found");
        refused(id, &alice.delete(&format!("/api/swarms/{own}/agents/{id}")), 404, "agent_not_found");
        refused(id, &alice.get(&format!("/api/tasks/{id}")), 404, "task_not_found");
    }
    assert_eq!(state(&bob), before);
}

fn too_many_swarms_and_agents(db: TestDb) {
    let app = TestApp::with(db, &[("MAX_SWARMS_PER_CLIENT", "2"), ("MAX_AGENTS_PER_SWARM", "3")]);
    let alice = app.alice();
    let id = swarm(&alice, "one", "mesh");
    swarm(&alice, "two", "mesh");
    populate(&alice, &id, 3);
    let before = state(&alice);
    refused(
        "a third swarm",
        &alice.post("/api/swarms", json!({ "name": "three" })),
        409,
        "swarm_limit_reached",
    );
    let spawn = alice.post(&format!("/api/swarms/{id}/agents/spawn"), json!({ "type": "coder" }));
    refused("a fourth agent", &spawn, 409, "agent_limit_reached");
    assert_eq!(state(&alice), before);
    // the limit is each client's own
    swarm(&app.bob(), "bob's", "mesh");
    assert_eq!(alice.delete(&format!("/api/swarms/{id}")).status, 204);
    swarm(&alice, "three", "mesh");
}

/// A token with any header and claims, signed with `sign` over what is to be signed.
fn raw_token(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header.to_string()),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    let signature = sign(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn with_key(algorithm: jsonwebtoken::Algorithm, key: &str, change: impl Fn(&mut Value)) -> String {
    let now = clock::now().timestamp();
    let mut claims = json!({
        "iss": "visionflow", "aud": "visionflow", "sub": "alice", "role": "admin", "jti": "forged",
        "iat": now, "nbf": now, "exp": now + 600,
    });
    change(&mut claims);
    let mut header = jsonwebtoken::Header::new(algorithm);
    header.typ = Some("vf-access+jwt".into());
    jsonwebtoken::encode(&header, &claims, &jsonwebtoken::EncodingKey::from_secret(key.as_bytes())).unwrap()
}

fn tokens_that_are_no_good(db: TestDb) {
    use jsonwebtoken::Algorithm::{HS256, HS384, HS512};
    use visionflow::testkit::test_app::SECRET;
    let app = TestApp::start(db);
    swarm(&app.alice(), "guarded", "mesh");
    let before = state(&app.root());
    let good = app.token("alice", Role::Operator);
    let mut parts: Vec<&str> = good.split('.').collect();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
    let none = raw_token(&json!({ "alg": "none", "typ": "vf-access+jwt" }), &claims, |_| Vec::new());
    let none_odd = raw_token(&json!({ "alg": "nOnE", "typ": "vf-access+jwt" }), &claims, |_| Vec::new());
    let past = clock::now() - Duration::from_secs(7_200);
    let expired = signed_at("alice", Role::Operator, Duration::from_secs(60), past);
    let mut promoted = claims.clone();
    promoted["role"] = json!("admin");
    let changed = URL_SAFE_NO_PAD.encode(promoted.to_string());
    parts[1] = &changed;
    let tampered = parts.join(".");
    let drop_exp = |claims: &mut Value| drop(claims.as_object_mut().unwrap().remove("exp"));
    let cases = [
        ("expired", expired, "token_expired"),
        ("alg none", none, "token_unsupported"),
        ("alg nOnE", none_odd, "token_unsupported"),
        (
            "another key",
            with_key(HS256, "another secret, 32 bytes long or more, indeed", |_| ()),
            "token_forged",
        ),
        ("HS512 with the right key", with_key(HS512, SECRET, |_| ()), "token_unsupported"),
        ("HS384 with the right key", with_key(HS384, SECRET, |_| ()), "token_unsupported"),
        ("changed claims", tampered, "token_forged"),
        ("no signature", format!("{}.{}.", parts[0], parts[1]), "token_forged"),
        (
            "another issuer",
            with_key(HS256, SECRET, |claims| claims["iss"] = json!("x")),
            "token_wrong_issuer",
        ),
        (
            "another audience",
            with_key(HS256, SECRET, |claims| claims["aud"] = json!("x")),
            "token_wrong_audience",
        ),
        ("no expiry", with_key(HS256, SECRET, drop_exp), "token_malformed"),
        (
            "an unknown role",
            with_key(HS256, SECRET, |claims| claims["role"] = json!("king")),
            "token_malformed",
        ),
        (
            "good later",
            with_key(HS256, SECRET, |claims| claims["nbf"] = json!(4_000_000_000_u64)),
            "token_not_yet_valid",
        ),
        ("no token at all", "nonsense".to_owned(), "token_malformed"),
    ];
    for (what, token, code) in cases {
        let client = app.nobody().with_token(Some(&token));
        refused(what, &client.get("/api/swarms"), 401, code);
        refused(what, &client.post("/api/swarms", json!({ "name": "x" })), 401, code);
    }
    assert_eq!(state(&app.root()), before);
}

fn calls_without_a_token(db: TestDb) {
    let app = TestApp::start(db);
    let good = app.token("alice", Role::Operator);
    for path in ["/api/swarms", "/api/auth/me", "/api/swarms/x/metadata", "/api/tasks/x"] {
        let answer = app.nobody().get(path);
        refused(path, &answer, 401, "token_missing");
        assert!(answer.header("www-authenticate").is_some_and(|value| value.starts_with("Bearer")));
    }
    let basic = app.nobody().call("GET", "/api/swarms").header("authorization", "Basic YTpi").send();
    assert_eq!(basic.status, 401, "{}", basic.text());
    refused(
        "a token in the URL",
        &app.nobody().get(&format!("/api/swarms?token={good}")),
        401,
        "token_missing",
    );
}

fn bodies_of_ten_megabytes(db: TestDb) {
    let app = TestApp::start(db);
    let alice = app.alice();
    let before = state(&alice);
    let large = json!({ "name": "x".repeat(10 * 1024 * 1024) }).to_string();
    refused("10 MB", &alice.call("POST", "/api/swarms").json(&large).send(), 413, "body_too_large");
    let nobody = app.nobody().call("POST", "/api/swarms").json(&large).send();
    assert!(matches!(nobody.status, 401 | 413), "{}", nobody.text());
    assert_eq!(state(&alice), before);
    assert_eq!(alice.get("/health/live").status, 200);
}

fn messages_that_no_session_takes(db: TestDb) {
    let app = TestApp::start(db);
    let foreign = swarm(&app.bob(), "foreign", "mesh");
    let own = swarm(&app.alice(), "own", "mesh");
    let mut session = app.session();
    let text_cases = [
        ("no JSON", "hello".to_owned(), "bad_json"),
        ("half an object", r#"{"type":"#.to_owned(), "bad_json"),
        ("a list", "[]".to_owned(), "bad_json"),
        ("no type", "{}".to_owned(), "bad_json"),
        ("an unknown type", r#"{"type":"dance"}"#.to_owned(), "unknown_type"),
        ("an unknown field", r#"{"type":"ping","extra":1}"#.to_owned(), "bad_field"),
        ("no swarm id", r#"{"type":"subscribe"}"#.to_owned(), "bad_field"),
        ("an id that is none", r#"{"type":"subscribe","swarm_id":"x"}"#.to_owned(), "bad_field"),
        ("a rate of 0", json!({"type":"subscribe","swarm_id":own,"rate":0}).to_string(), "bad_field"),
        (
            "a missing swarm",
            json!({"type":"subscribe","swarm_id":"01890a5d-ac96-774b-bcce-b302099a8057"}).to_string(),
            "swarm_not_found",
        ),
        ("a foreign swarm", json!({"type":"subscribe","swarm_id":foreign}).to_string(), "swarm_not_found"),
        (
            "no subscription to end",
            json!({"type":"unsubscribe","swarm_id":own}).to_string(),
            "not_subscribed",
        ),
    ];
    for (what, text, code) in text_cases {
        session.send_text(&text);
        let error = session.message("error");
        assert_eq!(error["code"], code, "{what}: {error}");
        let told = error.to_string();
        for word in INTERNALS {
            assert!(!told.contains(word), "{what}: {told}");
        }
    }
    // the session still works
    session.send(json!({ "type": "ping", "id": 7, "ref": "r" }));
    let pong = session.message("pong");
    assert_eq!((&pong["id"], &pong["ref"]), (&json!(7), &json!("r")));
    session.subscribe(&own);
}

fn texts_of_ten_megabytes(db: TestDb) {
    let app = TestApp::start(db);
    let mut session = app.session();
    let mut other = app.session();
    session.send_text(&format!("{{\"type\":\"{}\"}}", "x".repeat(60_000)));
    assert_eq!(session.message("error")["code"], "unknown_type");
    let large = json!({ "type": "ping", "ref": "x".repeat(10 * 1024 * 1024) }).to_string();
    // the server may close while the text is still being sent
    let sent = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| session.send_text(&large)));
    let code = session.close_code();
    assert!(code == 4500 || code == 1006, "{code}, sent: {}", sent.is_ok());
    other.send(json!({ "type": "ping" }));
    other.message("pong");
}

fn lines_of_ten_megabytes(db: TestDb) {
    let app = TestApp::start(db);
    let id = swarm(&app.alice(), "there", "mesh");
    let address = app.mcp().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut line = vec![b'x'; 10 * 1024 * 1024];
    line.push(b'\n');
    // the runtime may hang up before it has read all
    let written = stream.write_all(&line);
    let mut answer = String::new();
    let read = BufReader::new(&stream).read_line(&mut answer);
    if read.is_ok() && !answer.is_empty() {
        let error: Value = serde_json::from_str(&answer).unwrap();
        assert!(error["error"]["code"].is_i64(), "{error}");
        for word in INTERNALS {
            assert!(!answer.contains(word), "{answer}");
        }
    } else {
        assert!(written.is_err() || matches!(read, Ok(0) | Err(_)), "neither an answer nor an end");
    }
    // the runtime goes on for everybody else
    let mut fresh = TcpStream::connect(address).unwrap();
    fresh.set_read_timeout(Some(PATIENCE)).unwrap();
    fresh.write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}\n").unwrap();
    answer.clear();
    BufReader::new(&fresh).read_line(&mut answer).unwrap();
    assert!(answer.contains("swarm_init"), "{answer}");
    populate(&app.alice(), &id, 1);
}

fn paths_and_methods_that_do_not_exist(db: TestDb) {
    let app = TestApp::start(db);
    let alice = app.alice();
    refused("a path", &alice.get("/api/nothing"), 404, "route_not_found");
    let put = alice.call("PUT", "/api/swarms").json("{}").send();
    refused("a method", &put, 405, "method_not_allowed");
    assert!(put.header("allow").is_some_and(|allow| allow.contains("POST")));
    for path in ["/..%2fCargo.toml", "/../../etc/passwd", "/client.js%00"] {
        let answer = alice.get(path);
        assert!(matches!(answer.status, 400 | 404), "{path}: {}", answer.status);
    }
    refused("an unknown parameter", &alice.get("/api/swarms?colour=red"), 400, "invalid_query");
    refused("a limit that is none", &alice.get("/api/swarms?limit=many"), 400, "invalid_query");
}
