//! `Idempotency-Key`: a call that a client repeats under the same key is answered, not done again.
//!
//! What is kept for 24 hours is the whole answer, also a 4xx: status, `Location`, `ETag` and body. After a 5xx
//! or 429 the key is free again, so that a repeat tries again. A 504 says that nobody knows what happened: then
//! the key stays taken for some minutes, so that no repeat does the work twice.
//!
//! The work of a call with a key runs in a task of its own. A client that hangs up, or a handler that is ended
//! for taking too long, ends the wait and not the work: its answer is there for the repeat.

use std::fmt;
use std::future::Future;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;

use actix_web::body::{BoxBody, MessageBody as _};
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, ETAG, HeaderMap, HeaderName, LOCATION};
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use tracing::Instrument as _;

use super::auth::Writer;
use super::body::taken;
use super::error::Code;
use super::limits::IDEMPOTENCY_KEY_BYTES_MAX;
use super::problem::ApiError;
use super::state::AppState;

/// The header, in the lower case that HTTP/2 wants.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

type Answer = Result<HttpResponse, ApiError>;

/// A key could not be asked for or kept. The cause is in the log of whoever keeps them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("keeping an idempotency key")]
pub struct KeysFailed;

/// The result of asking whoever keeps the keys.
pub type Asked<'a, T> = Pin<Box<dyn Future<Output = Result<T, KeysFailed>> + 'a>>;

/// A call that may be repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeatable {
    /// The caller's subject: each has keys of its own.
    pub subject: String,
    /// 1 to 255 visible ASCII characters.
    pub key: String,
    /// Method and path.
    pub route: String,
    /// SHA-256 of the body as it was sent, in base64.
    pub body_digest: String,
}

/// What is known of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Nothing: it is the asker's to do, and to keep, release or leave open.
    New,
    /// It is being done, or nobody knows whether it was.
    InProgress,
    /// It ended with this status and answer.
    Done {
        /// HTTP status.
        status: u16,
        /// As it was given to [`Keys::keep`].
        answer: String,
    },
    /// The key belongs to another path or body.
    Reused,
}

/// The calls of the last 24 hours that had a key. Kept in the database.
pub trait Keys: fmt::Debug + Send + Sync {
    /// Takes the key for this call, or says what is known of the call that has it.
    fn claim<'a>(&'a self, call: &'a Repeatable) -> Asked<'a, Seen>;

    /// Keeps the answer to a claimed call.
    fn keep<'a>(&'a self, call: &'a Repeatable, status: u16, answer: String) -> Asked<'a, ()>;

    /// Gives the key back: the next call with it is new.
    fn release<'a>(&'a self, call: &'a Repeatable) -> Asked<'a, ()>;

    /// Leaves the key taken for some minutes, as nobody knows what the call did.
    fn leave_open<'a>(&'a self, call: &'a Repeatable) -> Asked<'a, ()>;
}

/// Does the work of a request once, if its client has sent a key.
#[derive(Debug)]
pub(crate) struct Once {
    keys: Arc<dyn Keys>,
    call: Option<Repeatable>,
}

impl Once {
    /// Looks for a key; without one the work is done each time.
    pub(crate) fn of(state: &AppState, writer: &Writer, req: &HttpRequest) -> Result<Self, ApiError> {
        let call = key_of(req.headers())?.map(|key| Repeatable {
            subject: writer.subject().to_owned(),
            key: key.to_owned(),
            route: format!("{} {}", req.method(), req.path()),
            body_digest: digest(&taken(req)),
        });
        Ok(Self { keys: Arc::clone(&state.keys), call })
    }

    /// Does the work, or gives the answer that it had before.
    ///
    /// # Errors
    /// Those of the work; [`Code::IdempotencyKeyReused`], [`Code::IdempotencyKeyInUse`], and
    /// [`Code::DatabaseUnavailable`] when the key can't be looked up, so that nothing was done.
    pub(crate) async fn run(self, work: impl Future<Output = Answer> + 'static) -> Answer {
        let Some(call) = self.call else { return work.await };
        // claimed within the task too: a claim whose handler is gone would block the key for nothing
        let task = actix_web::rt::spawn(once(self.keys, call, work).in_current_span());
        match task.await {
            Ok(answer) => answer,
            // the key stays taken until the call counts as lost: nobody knows how far it got
            Err(ended) if ended.is_panic() => resume_unwind(ended.into_panic()),
            Err(_cancelled) => Err(ApiError::new(Code::OutcomeUnknown)),
        }
    }
}

async fn once(keys: Arc<dyn Keys>, call: Repeatable, work: impl Future<Output = Answer>) -> Answer {
    match keys.claim(&call).await {
        Ok(Seen::New) => {}
        Ok(Seen::Done { status, answer }) => {
            count("repeated");
            return replay(status, &answer);
        }
        Ok(Seen::InProgress) => {
            count("in_use");
            return Err(ApiError::new(Code::IdempotencyKeyInUse));
        }
        Ok(Seen::Reused) => {
            count("reused");
            return Err(ApiError::new(Code::IdempotencyKeyReused));
        }
        Err(KeysFailed) => {
            let detail = "the Idempotency-Key can't be looked up now, so nothing was done";
            return Err(ApiError::new(Code::DatabaseUnavailable).detail(detail));
        }
    }
    let (answer, status, kept) = record(work.await);
    let settled = match (What::of(status), kept) {
        (What::Keep, Some(kept)) => keys.keep(&call, status.as_u16(), kept).await,
        (What::Release, _) => keys.release(&call).await,
        (What::LeaveOpen, _) | (What::Keep, None) => keys.leave_open(&call).await,
    };
    if settled.is_err() {
        count("lost");
    }
    answer
}

fn count(outcome: &'static str) {
    metrics::counter!("visionflow_http_idempotency_keys_total", "outcome" => outcome).increment(1);
}

/// What becomes of a key after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Keep,
    Release,
    LeaveOpen,
}

impl What {
    fn of(status: StatusCode) -> Self {
        if status == StatusCode::GATEWAY_TIMEOUT {
            Self::LeaveOpen
        } else if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            Self::Release
        } else {
            Self::Keep
        }
    }
}

/// The headers of a kept answer: its first line, as JSON. The body follows as it is.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct KeptHeaders {
    content_type: Option<String>,
    location: Option<String>,
    etag: Option<String>,
}

/// An answer, its status, and its text to be kept; `None` for a body that is not at hand as text.
fn record(answer: Answer) -> (Answer, StatusCode, Option<String>) {
    match answer {
        Ok(answer) => {
            let (head, body) = answer.into_parts();
            let status = head.status();
            match body.try_into_bytes() {
                Ok(body) => {
                    let kept = written(head.headers(), &body);
                    (Ok(head.set_body(BoxBody::new(body))), status, kept)
                }
                Err(body) => (Ok(head.set_body(body)), status, None),
            }
        }
        Err(error) => {
            let (head, body) = error.response(None).into_parts();
            let kept = body.try_into_bytes().ok().and_then(|body| written(head.headers(), &body));
            (Err(error), head.status(), kept)
        }
    }
}

fn written(headers: &HeaderMap, body: &[u8]) -> Option<String> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let kept = KeptHeaders { content_type: text(CONTENT_TYPE), location: text(LOCATION), etag: text(ETAG) };
    let first = serde_json::to_string(&kept).ok()?;
    Some(format!("{first}\n{}", std::str::from_utf8(body).ok()?))
}

/// The answer from its text.
fn replay(status: u16, kept: &str) -> Answer {
    let read = || {
        let (first, body) = kept.split_once('\n')?;
        let headers: KeptHeaders = serde_json::from_str(first).ok()?;
        Some((StatusCode::from_u16(status).ok()?, headers, body.to_owned()))
    };
    let Some((status, headers, body)) = read() else {
        tracing::error!(status, "a kept answer can't be read");
        return Err(ApiError::new(Code::Internal));
    };
    let mut answer = HttpResponse::build(status);
    let named = [(CONTENT_TYPE, headers.content_type), (LOCATION, headers.location), (ETAG, headers.etag)];
    for (name, value) in named {
        if let Some(value) = value {
            answer.insert_header((name, value));
        }
    }
    Ok(answer.body(body))
}

/// The client's key. It is opaque: quotes, if it has any, are part of it.
fn key_of(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let mut all = headers.get_all(IDEMPOTENCY_KEY);
    let Some(first) = all.next() else { return Ok(None) };
    let good = |bytes: &[u8]| {
        (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
    };
    match (first.to_str(), all.next()) {
        (Ok(key), None) if good(key.as_bytes()) => Ok(Some(key)),
        _ => Err(ApiError::new(Code::IdempotencyKeyInvalid)),
    }
}

fn digest(body: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body))
}

#[cfg(test)]
#[path = "keyed_tests.rs"]
mod tests;
