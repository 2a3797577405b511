//! Keys around work that answers, fails, panics or outlives its client, with a keeper in memory.

use std::cell::Cell;
use std::future::{pending, ready};
use std::rc::Rc;
use std::time::Duration;

use actix_web::http::header::HeaderValue;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::*;

/// Most time for a task to get to its end.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
struct InMemory {
    /// The key's state; `None` when nobody has it.
    state: Mutex<Option<Seen>>,
    broken: bool,
}

impl Keys for InMemory {
    fn claim<'a>(&'a self, _: &'a Repeatable) -> Asked<'a, Seen> {
        let mut state = self.state.lock();
        let seen = state.clone().unwrap_or(Seen::New);
        if state.is_none() {
            *state = Some(Seen::InProgress);
        }
        Box::pin(ready(if self.broken { Err(KeysFailed) } else { Ok(seen) }))
    }

    fn keep<'a>(&'a self, _: &'a Repeatable, status: u16, answer: String) -> Asked<'a, ()> {
        *self.state.lock() = Some(Seen::Done { status, answer });
        Box::pin(ready(Ok(())))
    }

    fn release<'a>(&'a self, _: &'a Repeatable) -> Asked<'a, ()> {
        *self.state.lock() = None;
        Box::pin(ready(Ok(())))
    }

    fn leave_open<'a>(&'a self, _: &'a Repeatable) -> Asked<'a, ()> {
        *self.state.lock() = Some(Seen::InProgress);
        Box::pin(ready(Ok(())))
    }
}

fn once_with(keys: &Arc<InMemory>) -> Once {
    let call = Repeatable {
        subject: "alice".into(),
        key: "k".into(),
        route: "POST /api/swarms".into(),
        body_digest: digest(b"{}"),
    };
    Once { keys: Arc::<InMemory>::clone(keys), call: Some(call) }
}

fn made() -> HttpResponse {
    HttpResponse::Created()
        .insert_header((LOCATION, "/api/swarms/1"))
        .insert_header((ETAG, "\"1-1\""))
        .json(serde_json::json!({ "name": "a\nb ü" }))
}

fn seen(answer: HttpResponse) -> (u16, Vec<(String, String)>, Vec<u8>) {
    let status = answer.status().as_u16();
    let mut headers: Vec<_> = answer
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    headers.sort();
    (status, headers, answer.into_body().try_into_bytes().unwrap().to_vec())
}

#[actix_web::test]
async fn a_repeat_gets_the_same_answer_and_does_nothing() {
    let keys = Arc::new(InMemory::default());
    let first = once_with(&keys).run(async { Ok(made()) }).await.unwrap();
    let again = once_with(&keys).run(async { panic!("done twice") }).await.unwrap();
    assert_eq!(seen(first), seen(made()));
    assert_eq!(seen(again), seen(made()));
}

#[actix_web::test]
async fn a_refusal_is_repeated_as_a_problem() {
    let keys = Arc::new(InMemory::default());
    let refusal = || ApiError::new(Code::SwarmLimitReached).detail("you have 3");
    let first = once_with(&keys).run(async move { Err(refusal()) }).await.unwrap_err();
    assert_eq!(first.code(), Code::SwarmLimitReached);
    let again = once_with(&keys).run(async { panic!("done twice") }).await.unwrap();
    assert_eq!(seen(again), seen(refusal().response(None)));
}

#[actix_web::test]
async fn what_did_nothing_may_be_tried_again_and_what_may_have_is_not() {
    for code in Code::ALL {
        let keys = Arc::new(InMemory::default());
        let refused = once_with(&keys).run(async move { Err(ApiError::new(*code)) }).await;
        assert_eq!(refused.unwrap_err().code(), *code);
        let state = keys.state.lock().clone();
        match code.row().status {
            504 => assert_eq!(state, Some(Seen::InProgress), "{code:?}"),
            429 | 500.. => assert_eq!(state, None, "{code:?}"),
            status => assert!(matches!(state, Some(Seen::Done { status: s, .. }) if s == status), "{code:?}"),
        }
    }
}

#[actix_web::test]
async fn a_key_that_is_taken_or_can_t_be_asked_for_lets_nothing_through() {
    for (state, broken, expected) in [
        (Some(Seen::InProgress), false, Code::IdempotencyKeyInUse),
        (Some(Seen::Reused), false, Code::IdempotencyKeyReused),
        (None, true, Code::DatabaseUnavailable),
        (Some(Seen::Done { status: 201, answer: "no line".into() }), false, Code::Internal),
    ] {
        let keys = Arc::new(InMemory { state: Mutex::new(state), broken });
        let refused = once_with(&keys).run(async { panic!("done") }).await.unwrap_err();
        assert_eq!(refused.code(), expected);
    }
}

#[actix_web::test]
async fn work_outlives_a_client_that_hangs_up() {
    let keys = Arc::new(InMemory::default());
    let (go, gone) = oneshot::channel::<()>();
    let begun = Rc::new(Cell::new(false));
    let flag = Rc::clone(&begun);
    let running = once_with(&keys).run(async move {
        flag.set(true);
        gone.await.unwrap();
        Ok(made())
    });
    let mut running = Box::pin(running);
    tokio::time::timeout(PATIENCE, async {
        while !begun.get() {
            assert!(futures_util::poll!(&mut running).is_pending());
            tokio::task::yield_now().await;
        }
        drop(running);
        let refused = once_with(&keys).run(pending()).await.unwrap_err();
        assert_eq!(refused.code(), Code::IdempotencyKeyInUse);
        go.send(()).unwrap();
        while matches!(*keys.state.lock(), Some(Seen::InProgress)) {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    assert_eq!(seen(once_with(&keys).run(pending()).await.unwrap()), seen(made()));
}

#[actix_web::test]
async fn a_panic_is_passed_on_and_the_key_stays_taken() {
    use futures_util::FutureExt as _;
    let keys = Arc::new(InMemory::default());
    let run = once_with(&keys).run(async { panic!("a bug") });
    assert!(std::panic::AssertUnwindSafe(run).catch_unwind().await.is_err());
    assert_eq!(*keys.state.lock(), Some(Seen::InProgress));
}

#[test]
fn a_key_is_one_header_of_visible_characters() {
    let with = |values: &[&[u8]]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(IDEMPOTENCY_KEY, HeaderValue::from_bytes(value).unwrap());
        }
        key_of(&headers).map(|key| key.map(str::to_owned)).map_err(|error| error.code())
    };
    assert_eq!(with(&[]), Ok(None));
    for good in ["a", "\"once-1\"", "!~", &"x".repeat(255)] {
        assert_eq!(with(&[good.as_bytes()]), Ok(Some(good.to_owned())));
    }
    let long = "x".repeat(256);
    for bad in [&b""[..], b"a b", b"a\tb", "ü".as_bytes(), b"\xff", long.as_bytes()] {
        assert_eq!(with(&[bad]), Err(Code::IdempotencyKeyInvalid), "{bad:?}");
    }
    assert_eq!(with(&[b"a", b"a"]), Err(Code::IdempotencyKeyInvalid));
}

#[test]
fn a_digest_is_sha_256() {
    assert_eq!(digest(b"abc"), "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0");
}
