//! Request bodies: read before routing, so that no answer leaves unread bytes on the connection.
//!
//! A server that answers without reading makes the client's next write fail, and the client never sees why.
//! A body that is too large is read to its end, or to a limit, and thrown away.

use std::future::{Ready, ready};

use actix_web::body::MessageBody;
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use actix_web::middleware::Next;
use actix_web::{Error, FromRequest, HttpMessage as _, HttpRequest};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;

use super::accept::is_json;
use super::error::Code;
use super::limits::{BODY_BYTES_MAX, BODY_DRAIN_BYTES_MAX, BODY_TIMEOUT};
use super::problem::ApiError;

/// The body as read by [`take_body`].
#[derive(Debug, Clone)]
struct Taken(Bytes);

/// A body that is said to be JSON; its text is not checked yet.
#[derive(Debug)]
pub(crate) struct JsonText(pub(crate) Bytes);

impl FromRequest for JsonText {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(if is_json(req.headers()) {
            Ok(Self(taken(req)))
        } else {
            Err(ApiError::new(Code::UnsupportedMediaType))
        })
    }
}

/// A JSON body that may be left out.
#[derive(Debug)]
pub(crate) struct OptionalJson(pub(crate) Option<Bytes>);

impl FromRequest for OptionalJson {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let body = taken(req);
        ready(if body.is_empty() {
            Ok(Self(None))
        } else if is_json(req.headers()) {
            Ok(Self(Some(body)))
        } else {
            Err(ApiError::new(Code::UnsupportedMediaType))
        })
    }
}

/// The body, empty when there is none, whatever it is said to be.
pub(crate) fn taken(req: &HttpRequest) -> Bytes {
    req.extensions().get::<Taken>().map(|taken| taken.0.clone()).unwrap_or_default()
}

/// Reads the body of every request but those that become a WebSocket.
pub(crate) async fn take_body<B: MessageBody + 'static>(
    mut req: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    if has_body(&req) {
        match tokio::time::timeout(BODY_TIMEOUT, read(req.take_payload())).await {
            Ok(Ok(body)) => {
                req.extensions_mut().insert(Taken(body));
            }
            Ok(Err(refusal)) => return Err(refused(refusal).into()),
            Err(_elapsed) => {
                return Err(refused(ApiError::new(Code::BodyTimeout).header(CONNECTION, "close")).into());
            }
        }
    }
    next.call(req).await
}

fn has_body(req: &ServiceRequest) -> bool {
    let headers = req.headers();
    let length = headers.get(CONTENT_LENGTH);
    !req.head().upgrade()
        && (headers.contains_key(TRANSFER_ENCODING) || length.is_some_and(|length| length.as_bytes() != b"0"))
}

async fn read(mut payload: Payload) -> Result<Bytes, ApiError> {
    let mut body = BytesMut::new();
    let mut count = 0_usize;
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| {
            tracing::debug!(%error, "reading a body");
            ApiError::new(Code::BodyIncomplete).header(CONNECTION, "close")
        })?;
        count = count.saturating_add(chunk.len());
        if count <= BODY_BYTES_MAX {
            body.extend_from_slice(&chunk);
        } else if count > BODY_DRAIN_BYTES_MAX {
            return Err(ApiError::new(Code::BodyTooLarge).header(CONNECTION, "close"));
        } else {
            body = BytesMut::new();
        }
    }
    if count > BODY_BYTES_MAX { Err(ApiError::new(Code::BodyTooLarge)) } else { Ok(body.freeze()) }
}

fn refused(error: ApiError) -> ApiError {
    metrics::counter!("visionflow_http_bodies_refused_total", "code" => error.code().as_str()).increment(1);
    error
}
