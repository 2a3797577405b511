//! The layers, extractors and open paths, around a few routes that stand for handlers.
//!
//! What the real handlers do with real actors is for the integration tests; this is what holds for all.

use std::future::Future;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::header::{self, HeaderMap};
use actix_web::test::{TestRequest, init_service, read_body};
use actix_web::{Error, HttpResponse, HttpServer, web};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::body::JsonText;
use super::dto::new_swarm;
use super::problem::PROBLEM_JSON;
use super::routes::{only, open_without_state, reading};
use super::server::with_layers;
use super::{ApiError, Caller, Gate, OriginPolicy, RevocationFailed, Revocations, Writer};
use crate::domain::{Timestamp, Topology};
use crate::identity::{Role, TicketBook, TokenIssuer, TokenVerifier};
use crate::telemetry::clock;

const SECRET: &str = "a secret for tests that is long enough";
const TIMEOUT: Duration = Duration::from_millis(300);

#[derive(Debug, Default)]
struct InMemory(Mutex<Vec<String>>);

impl Revocations for InMemory {
    fn is_revoked(&self, token_id: &str) -> bool {
        self.0.lock().iter().any(|revoked| revoked == token_id)
    }

    fn revoke(
        &self,
        token_id: String,
        _: Timestamp,
    ) -> Pin<Box<dyn Future<Output = Result<(), RevocationFailed>> + '_>> {
        self.0.lock().push(token_id);
        Box::pin(std::future::ready(Ok(())))
    }
}

fn token(subject: &str, role: Role) -> String {
    token_signed(SECRET, subject, role)
}

fn token_signed(secret: &str, subject: &str, role: Role) -> String {
    let issuer = TokenIssuer::new(&secret.to_owned().into()).unwrap();
    issuer.issue(subject, role, Duration::from_secs(60), clock::now()).unwrap().0
}

fn gate() -> web::Data<Gate> {
    web::Data::new(Gate {
        verifier: Arc::new(TokenVerifier::new(&SECRET.to_owned().into(), None).unwrap()),
        tickets: TicketBook::default(),
        revocations: Arc::<InMemory>::default(),
        origins: OriginPolicy::new(&["https://app.example.org".into()], Ipv4Addr::LOCALHOST.into()),
        metrics_public: false,
        metrics_token: Some("token-for-scrapers".to_owned().into()),
        draining: Arc::default(),
    })
}

fn routes(cfg: &mut web::ServiceConfig) {
    async fn create(writer: Writer, text: JsonText) -> Result<HttpResponse, ApiError> {
        let new = new_swarm(&text.0, Topology::Mesh, 200)?;
        Ok(HttpResponse::Created().json(serde_json::json!({ "name": new.name, "by": writer.subject() })))
    }
    async fn me(caller: Caller) -> String {
        caller.0.subject
    }
    async fn broken() -> String {
        panic!("the inner words of a planned panic")
    }
    cfg.service(only(web::resource("/api/things").route(web::post().to(create)), "POST"))
        .service(reading("/api/me", me))
        .service(reading("/api/broken", broken))
        .service(reading("/api/hangs", std::future::pending::<String>));
    open_without_state(cfg);
}

/// A request's answer: of a handler, or of a layer, which the server sends just the same.
async fn send(gate: &web::Data<Gate>, req: TestRequest) -> (u16, HeaderMap, Vec<u8>) {
    let app = init_service(with_layers(routes, gate.clone(), TIMEOUT)).await;
    let answered: Result<ServiceResponse, Error> = app.call(req.to_request()).await;
    let answer = match answered {
        Ok(answer) => answer,
        Err(error) => ServiceResponse::new(TestRequest::default().to_http_request(), error.error_response()),
    };
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    (status, headers, read_body(answer).await.to_vec())
}

/// An answer that must be a complete problem.
async fn refused(gate: &web::Data<Gate>, req: TestRequest) -> (u16, String, Value) {
    let (status, headers, body) = send(gate, req).await;
    let text =
        |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    assert_eq!(text(header::CONTENT_TYPE), PROBLEM_JSON, "{status} {}", String::from_utf8_lossy(&body));
    assert_eq!(text(header::X_CONTENT_TYPE_OPTIONS), "nosniff");
    assert_eq!(text(header::CACHE_CONTROL), "no-store");
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["status"], status);
    assert_eq!(body["request_id"].as_str().unwrap(), text(header::HeaderName::from_static("x-request-id")));
    (status, body["code"].as_str().unwrap().to_owned(), body)
}

fn bearer(token: &str) -> (header::HeaderName, String) {
    (header::AUTHORIZATION, format!("Bearer {token}"))
}

fn post(token: &str, body: impl Into<Vec<u8>>) -> TestRequest {
    let json = (header::CONTENT_TYPE, "application/json");
    let body: Vec<u8> = body.into();
    let length = (header::CONTENT_LENGTH, body.len().to_string());
    TestRequest::post()
        .uri("/api/things")
        .insert_header(bearer(token))
        .insert_header(json)
        .insert_header(length)
        .set_payload(body)
}

#[actix_web::test]
async fn a_good_call_passes_and_carries_its_request_id() {
    let req =
        post(&token("alice", Role::Operator), r#"{"name":"a"}"#).insert_header(("x-request-id", "mine-1"));
    let (status, headers, body) = send(&gate(), req).await;
    assert_eq!((status, body.as_slice()), (201, br#"{"by":"alice","name":"a"}"#.as_slice()));
    assert_eq!(headers.get("x-request-id").unwrap(), "mine-1");
}

#[actix_web::test]
async fn every_refusal_is_a_problem() {
    let gate = gate();
    let good = token("alice", Role::Operator);
    let plain = |body: &str| post(&good, body).insert_header((header::CONTENT_TYPE, "text/plain"));
    for (req, status, code) in [
        (TestRequest::get().uri("/api/nothing"), 404, "route_not_found"),
        (TestRequest::get().uri("/problems/none"), 404, "route_not_found"),
        (TestRequest::get().uri("/api/things"), 405, "method_not_allowed"),
        (TestRequest::delete().uri("/health/live"), 405, "method_not_allowed"),
        (
            TestRequest::get().uri("/api/me").insert_header((header::ACCEPT, "text/html")),
            406,
            "not_acceptable",
        ),
        (plain("{}"), 415, "unsupported_media_type"),
        (post(&good, ""), 400, "malformed_json"),
        (post(&good, "{"), 400, "malformed_json"),
        (post(&good, "[]"), 422, "invalid_type"),
        (post(&good, r#"{"name":""}"#), 422, "validation_failed"),
        (post(&good, r#"{"name":"a","x":1}"#), 422, "unknown_field"),
        (post(&good, vec![b'x'; 10 * 1024 * 1024]), 413, "body_too_large"),
        (TestRequest::get().uri("/api/broken"), 500, "internal"),
        (TestRequest::get().uri("/api/hangs"), 504, "outcome_unknown"),
        (
            TestRequest::get().uri("/api/me").insert_header((header::HOST, "evil.example")),
            421,
            "host_not_allowed",
        ),
        (TestRequest::post().uri("/api/agents/spawn"), 410, "v1_call_gone"),
        (TestRequest::get().uri("/api/bots/data"), 410, "v1_call_gone"),
    ] {
        let (got, word, body) = refused(&gate, req).await;
        assert_eq!((got, word.as_str()), (status, code), "{body}");
        assert!(!body.to_string().contains("planned panic"), "{body}");
    }
}

#[actix_web::test]
async fn a_405_lists_the_methods_that_there_are() {
    let (_, headers, _) = send(&gate(), TestRequest::put().uri("/api/things")).await;
    assert_eq!(headers.get(header::ALLOW).unwrap(), "POST");
}

#[actix_web::test]
async fn tokens_and_roles_decide() {
    let gate = gate();
    let me = |value: String| TestRequest::get().uri("/api/me").insert_header((header::AUTHORIZATION, value));
    let good = token("alice", Role::Viewer);
    let (status, _, body) = send(&gate, me(format!("bearer {good}"))).await;
    assert_eq!((status, body.as_slice()), (200, b"alice".as_slice()));
    let revoked = token("mallory", Role::Admin);
    let id = gate.identify_token(&revoked).unwrap().token_id;
    gate.revocations.revoke(id, clock::now()).await.unwrap();
    let alg_none = format!("eyJhbGciOiJub25lIn0.{}.", good.split('.').nth(1).unwrap());
    for (value, code) in [
        (format!("Basic {good}"), "token_missing"),
        (
            format!(
                "Bearer {}",
                token_signed("another secret that is long enough too", "alice", Role::Admin)
            ),
            "token_forged",
        ),
        (format!("Bearer {alg_none}"), "token_unsupported"),
        (format!("Bearer {}", revoked), "token_revoked"),
        ("Bearer nonsense".to_owned(), "token_malformed"),
    ] {
        let (status, word, _) = refused(&gate, me(value)).await;
        assert_eq!((status, word.as_str()), (401, code));
    }
    let twice = me(format!("Bearer {good}")).append_header(bearer(&good));
    assert_eq!(refused(&gate, twice).await.1, "token_malformed");
    let missing = send(&gate, TestRequest::get().uri("/api/me")).await;
    assert_eq!((missing.0, missing.1.contains_key(header::WWW_AUTHENTICATE)), (401, true));
    // the role counts before the body is looked at
    assert_eq!(refused(&gate, post(&good, "{")).await.1, "role_too_low");
}

#[actix_web::test]
async fn a_server_that_stops_takes_no_new_work_but_answers_reads() {
    let gate = gate();
    let good = token("alice", Role::Operator);
    gate.draining.store(true, Ordering::Release);
    assert_eq!(refused(&gate, post(&good, r#"{"name":"a"}"#)).await.1, "draining");
    assert_eq!(send(&gate, TestRequest::get().uri("/api/me").insert_header(bearer(&good))).await.0, 200);
}

#[actix_web::test]
async fn pages_of_allowed_origins_may_read_answers_also_refusals() {
    let gate = gate();
    for (origin, readable) in
        [("https://app.example.org", true), ("http://localhost:1", true), ("https://evil.example", false)]
    {
        let req = TestRequest::get()
            .uri("/api/me")
            .insert_header((header::ORIGIN, origin))
            .insert_header((header::HOST, "localhost:1"));
        let (status, headers, _) = send(&gate, req).await;
        let allowed = headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN).map(|value| value.to_str().unwrap());
        assert_eq!((status, allowed), (401, readable.then_some(origin)));
    }
    let preflight = |origin| {
        TestRequest::with_uri("/api/things")
            .method(actix_web::http::Method::OPTIONS)
            .insert_header((header::ORIGIN, origin))
            .insert_header((header::ACCESS_CONTROL_REQUEST_METHOD, "POST"))
            .insert_header((header::ACCESS_CONTROL_REQUEST_HEADERS, "authorization,content-type"))
    };
    let (status, headers, _) = send(&gate, preflight("https://app.example.org")).await;
    assert_eq!((status, headers.contains_key(header::ACCESS_CONTROL_ALLOW_HEADERS)), (200, true));
    assert_eq!(refused(&gate, preflight("https://evil.example")).await.0, 400);
}

#[actix_web::test]
async fn the_page_is_served_strictly_and_only_once() {
    let gate = gate();
    let (status, headers, body) = send(&gate, TestRequest::get().uri("/")).await;
    assert_eq!(status, 200);
    assert!(body.starts_with(b"<!"), "an HTML page");
    let policy = headers.get(header::CONTENT_SECURITY_POLICY).unwrap().to_str().unwrap();
    assert!(policy.contains("script-src 'self'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert_eq!(headers.get(header::CACHE_CONTROL).unwrap(), "no-cache");
    let tag = headers.get(header::ETAG).unwrap().to_str().unwrap().to_owned();
    let (status, _, body) =
        send(&gate, TestRequest::get().uri("/").insert_header((header::IF_NONE_MATCH, tag))).await;
    assert_eq!((status, body.len()), (304, 0));
}

#[actix_web::test]
async fn each_problem_s_type_leads_to_its_row() {
    let (status, _, body) = send(&gate(), TestRequest::get().uri("/problems/busy")).await;
    let row: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, row["status"].as_u64(), row["retryable"].as_bool()), (200, Some(503), Some(true)));
}

#[test]
fn scrapers_have_a_token_of_their_own() {
    let gate = gate();
    let with = |value: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        headers
    };
    assert!(gate.is_scraper(&with("Bearer token-for-scrapers")));
    for other in ["Bearer token-for-scraperS", "Bearer token-for-scrapers2", "token-for-scrapers", "Bearer "]
    {
        assert!(!gate.is_scraper(&with(other)), "{other}");
    }
    assert!(!gate.is_scraper(&HeaderMap::new()));
}

/// Over a real socket: the client has to be able to send everything and then read the answer.
#[actix_web::test]
async fn a_huge_or_unwanted_body_does_not_break_the_connection() {
    let gate = gate();
    let server = HttpServer::new(move || with_layers(routes, gate.clone(), Duration::from_secs(10)))
        .workers(1)
        .disable_signals()
        .bind(("127.0.0.1", 0))
        .unwrap();
    let address = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    let running = actix_web::rt::spawn(server);
    let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
    for (path, status) in [("/api/things", "413"), ("/api/nothing", "413"), ("/health/live", "413")] {
        let size = 10 * 1024 * 1024;
        let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n");
        socket.write_all(head.as_bytes()).await.unwrap();
        socket.write_all(&vec![b'x'; size]).await.unwrap();
        assert_eq!(answer(&mut socket).await, status, "{path}");
    }
    // the same connection still works, also after an early refusal of a small body
    for status in ["404", "404"] {
        let text = "POST /api/nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello";
        socket.write_all(text.as_bytes()).await.unwrap();
        assert_eq!(answer(&mut socket).await, status);
    }
    handle.stop(false).await;
    running.await.unwrap().unwrap();
}

/// The status of the next answer on a connection, whose body is read too.
async fn answer(socket: &mut tokio::net::TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = async {
        loop {
            let mut chunk = [0; 4_096];
            let count = socket.read(&mut chunk).await.unwrap();
            assert!(count > 0, "the connection was closed");
            bytes.extend_from_slice(&chunk[..count]);
            let text = String::from_utf8_lossy(&bytes);
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| {
                line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned)
            });
            if body.len() >= length.unwrap().trim().parse::<usize>().unwrap() {
                return head.split(' ').nth(1).unwrap().to_owned();
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), read).await.unwrap()
}
