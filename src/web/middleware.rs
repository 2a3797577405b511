//! The layers around every handler: see the drawing in [`super`].

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, web};
use futures_util::FutureExt as _;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::accept::accepts_json;
use super::error::Code;
use super::gate::Gate;
use super::limits::REQUEST_ID_CHARS_MAX;
use super::problem::{ApiError, echo};
use crate::telemetry::clock;

/// Carries the id of a request both ways.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What is told of a request, known before it is handled.
struct Facts {
    id: String,
    method: &'static str,
    route: String,
    path: String,
    started: Instant,
}

/// The outermost layer: whatever happens within, the answer is complete, and it is logged and counted.
pub(crate) async fn observe<B: MessageBody + 'static>(
    req: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let facts = Facts::of(&req);
    let span = tracing::info_span!("request", request.id = %facts.id, subject = tracing::field::Empty);
    // a handler's call itself may panic, not only its future: the block catches both
    let handled = async move { next.call(req).await };
    let outcome = AssertUnwindSafe(handled.instrument(span.clone())).catch_unwind().await;
    let answer = match outcome {
        Ok(Ok(answer)) => Ok(complete(answer.map_into_boxed_body(), &facts)),
        Ok(Err(error)) => Err(answer_of(&error, &facts)),
        // the panic hook has logged it, with this request's span around it
        Err(_panic) => Err(ApiError::new(Code::Internal).response(Some(&facts.id))),
    };
    match answer {
        Ok(mut answer) => {
            let (path, status) = (answer.request().path().to_owned(), answer.status());
            add_headers(answer.headers_mut(), &facts.id, &path, status);
            span.in_scope(|| facts.tell(status));
            Ok(answer)
        }
        Err(mut answer) => {
            let status = answer.status();
            add_headers(answer.headers_mut(), &facts.id, &facts.path, status);
            span.in_scope(|| facts.tell(status));
            Err(InternalError::from_response("the request was refused", answer).into())
        }
    }
}

impl Facts {
    fn of(req: &ServiceRequest) -> Self {
        Self {
            id: request_id(req.headers()),
            method: method_word(req.method()),
            route: req.match_pattern().unwrap_or_else(|| "unmatched".to_owned()),
            path: req.path().to_owned(),
            started: Instant::now(),
        }
    }

    /// One line and three series for each request. The query is left out: it may hold a ticket.
    fn tell(&self, status: StatusCode) {
        let elapsed = self.started.elapsed();
        let class = match status.as_u16() {
            100..=199 => "1xx",
            200..=299 => "2xx",
            300..=399 => "3xx",
            400..=499 => "4xx",
            _ => "5xx",
        };
        metrics::counter!("visionflow_http_requests_total", "class" => class).increment(1);
        metrics::histogram!(
            "visionflow_http_request_duration_seconds",
            "method" => self.method, "route" => self.route.clone(), "class" => class
        )
        .record(elapsed.as_secs_f64());
        let elapsed_ms = (elapsed.as_secs_f64() * 1e6).round() / 1e3;
        let (method, path, status) = (self.method, &self.path, status.as_u16());
        // Debug escapes what could break or forge a line
        if status >= 500 {
            tracing::warn!(target: "visionflow::access", method, ?path, status, elapsed_ms, "answered");
        } else if self.is_quiet() {
            tracing::debug!(target: "visionflow::access", method, ?path, status, elapsed_ms, "answered");
        } else {
            tracing::info!(target: "visionflow::access", method, ?path, status, elapsed_ms, "answered");
        }
    }

    /// Whether machines ask for it all the time.
    fn is_quiet(&self) -> bool {
        self.route.starts_with("/health") || self.route == "/metrics" || self.route.ends_with("/metadata")
    }
}

/// Adds what only this layer knows to an error answer, and makes a problem of those that are none.
fn complete(answer: ServiceResponse<BoxBody>, facts: &Facts) -> ServiceResponse<BoxBody> {
    let status = answer.status();
    if !status.is_client_error() && !status.is_server_error() {
        return answer;
    }
    let known = answer.response().error().and_then(|error| error.as_error::<ApiError>()).cloned();
    let problem = match known {
        Some(error) => error,
        None if has_own_body(answer.headers()) => return answer,
        None => ApiError::new(Code::of_status(status.as_u16())),
    };
    let (request, before) = answer.into_parts();
    let mut after = problem.response(Some(&facts.id));
    // such as those that let a page of another origin read the answer
    for (name, value) in before.headers() {
        if !after.headers().contains_key(name) && *name != header::CONTENT_LENGTH {
            after.headers_mut().append(name.clone(), value.clone());
        }
    }
    ServiceResponse::new(request, after)
}

fn has_own_body(headers: &HeaderMap) -> bool {
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    media.starts_with("application/")
}

/// The answer to an error that a layer gave instead of a response.
fn answer_of(error: &Error, facts: &Facts) -> HttpResponse {
    if let Some(error) = error.as_error::<ApiError>() {
        return error.response(Some(&facts.id));
    }
    let answer = error.error_response();
    if has_own_body(answer.headers()) {
        return answer;
    }
    tracing::debug!(%error, "answering an error of the framework");
    ApiError::new(Code::of_status(answer.status().as_u16())).response(Some(&facts.id))
}

/// The client's own id of the request if it is short and plain, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '/' | '+' | '=');
    headers
        .get(&REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|id| (1..=REQUEST_ID_CHARS_MAX).contains(&id.len()) && id.chars().all(plain))
        .map_or_else(|| clock::uuid_v7().simple().to_string(), str::to_owned)
}

/// Any other method is one label, so that clients can't make series.
fn method_word(method: &Method) -> &'static str {
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    known.into_iter().find(|word| *word == method.as_str()).unwrap_or("OTHER")
}

/// Headers of every answer; those that the handler has set stay.
fn add_headers(headers: &mut HeaderMap, id: &str, path: &str, status: StatusCode) {
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return;
    }
    let mut set = |name: HeaderName, value: &'static str| {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    };
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'");
    set(header::CROSS_ORIGIN_RESOURCE_POLICY, "same-origin");
    if path.starts_with("/api/")
        || path.starts_with("/health")
        || status.is_client_error()
        || status.is_server_error()
    {
        set(header::CACHE_CONTROL, "no-store");
    }
}

/// The innermost layer: a handler that takes too long is dropped, and whether it did anything is not known.
pub(crate) async fn in_time<B: MessageBody + 'static>(
    req: ServiceRequest,
    next: Next<B>,
    timeout: Duration,
) -> Result<ServiceResponse<B>, Error> {
    match tokio::time::timeout(timeout, next.call(req)).await {
        Ok(answer) => answer,
        Err(_elapsed) => Err(ApiError::new(Code::OutcomeUnknown).into()),
    }
}

/// Refuses requests that no handler should see: a wrong `Host`, an API call that wants no JSON.
pub(crate) async fn screen<B: MessageBody + 'static>(
    req: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    check_host(&req)?;
    if req.path().starts_with("/api/") && !accepts_json(req.headers()) {
        return Err(ApiError::new(Code::NotAcceptable).into());
    }
    next.call(req).await
}

fn check_host(req: &ServiceRequest) -> Result<(), ApiError> {
    let Some(gate) = req.app_data::<web::Data<Gate>>() else { return Err(ApiError::new(Code::Internal)) };
    let mut hosts = req.headers().get_all(header::HOST);
    let first = hosts.next();
    if hosts.next().is_some() {
        return Err(ApiError::new(Code::BadRequest).detail("the request has several Host headers"));
    }
    let host = first.map(HeaderValue::to_str).transpose();
    let host = host.map_err(|_error| ApiError::new(Code::BadRequest).detail("the Host header is no text"))?;
    if gate.origins.host_allowed(host) {
        return Ok(());
    }
    metrics::counter!("visionflow_http_hosts_refused_total").increment(1);
    let name = echo(host.unwrap_or_default());
    Err(ApiError::new(Code::HostNotAllowed).detail(format!(
        "the server does not answer to the host {name:?}; use localhost, list the host's origin in \
         CORS_ALLOWED_ORIGINS, or set BIND to an address of the network"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_taken_over_only_when_it_is_short_and_plain() {
        let with = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            request_id(&headers)
        };
        assert_eq!(with("abc-123_x.y"), "abc-123_x.y");
        for bad in ["", "a b", "a\"b", &"x".repeat(65), "é", "<script>"] {
            let id = with(bad);
            assert!(id != bad && id.len() == 32, "{bad}: {id}");
        }
    }

    #[test]
    fn methods_make_no_new_series() {
        assert_eq!(method_word(&Method::PATCH), "PATCH");
        assert_eq!(method_word(&Method::from_bytes(b"BREW").unwrap()), "OTHER");
    }
}
