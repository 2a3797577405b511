//! Error answers: RFC 9457 problem bodies.
//!
//! A body repeats at most a few characters of the input and never what went wrong inside: causes go to the
//! log, where the request id finds them.

use std::borrow::Cow;
use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use serde_json::{Map, Value};

use super::error::Code;
use super::limits::ECHO_CHARS_MAX;

/// The media type of every error answer.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// One field that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// The field as a JSON pointer, such as `/name`; empty for the whole body.
    pub pointer: String,
    /// What is wrong with it: a code of the table.
    #[serde(serialize_with = "word")]
    pub code: Code,
    /// The same in words.
    pub detail: String,
    /// What is allowed, when that is a list.
    #[serde(skip_serializing_if = "<[&str]>::is_empty")]
    pub allowed: Vec<&'static str>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn word<S: serde::Serializer>(code: &Code, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(code.as_str())
}

/// A refusal on its way to the client.
#[derive(Debug, Clone)]
pub struct ApiError(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    code: Code,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    headers: Vec<(HeaderName, HeaderValue)>,
    extra: Map<String, Value>,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    code: &'static str,
    detail: &'a str,
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    errors: &'a [FieldError],
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(flatten)]
    extra: &'a Map<String, Value>,
}

impl ApiError {
    /// A refusal whose detail is the code's meaning.
    #[must_use]
    pub fn new(code: Code) -> Self {
        Self(Box::new(Inner {
            code,
            detail: Cow::Borrowed(code.row().meaning),
            errors: Vec::new(),
            headers: Vec::new(),
            extra: Map::new(),
        }))
    }

    /// A refusal because of fields; its code and detail are those of the first.
    #[must_use]
    pub fn fields(errors: Vec<FieldError>) -> Self {
        let (code, detail) = errors.first().map_or_else(
            || (Code::ValidationFailed, Cow::Borrowed(Code::ValidationFailed.row().meaning)),
            |first| (first.code, Cow::Owned(first.detail.clone())),
        );
        let mut error = Self::new(code);
        error.0.detail = detail;
        error.0.errors = errors;
        error
    }

    /// Says what happened in this case.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.0.detail = detail.into();
        self
    }

    /// Adds a header; a value that can't be one is left out.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.0.headers.push((name, value));
        }
        self
    }

    /// Adds a member to the body.
    #[must_use]
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.0.extra.insert(member.to_owned(), value.into());
        self
    }

    /// A path that exists but not for this method; `allow` lists the methods.
    #[must_use]
    pub(crate) fn method_not_allowed(allow: &'static str) -> Self {
        Self::new(Code::MethodNotAllowed).detail(format!("this path takes {allow} only")).header(ALLOW, allow)
    }

    /// A WebSocket that a foreign page wants to open.
    #[must_use]
    pub fn forbidden_origin(origin: &str) -> Self {
        Self::new(Code::OriginForbidden).detail(format!(
            "pages of {:?} may not connect; CORS_ALLOWED_ORIGINS lists those that may",
            echo(origin)
        ))
    }

    /// The reason.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The answer, with the id of the request when it is known.
    #[must_use]
    pub fn response(&self, request_id: Option<&str>) -> HttpResponse {
        let row = self.0.code.row();
        let body = Body {
            r#type: format!("/problems/{}", row.code),
            title: row.title,
            status: row.status,
            code: row.code,
            detail: &self.0.detail,
            errors: &self.0.errors,
            retryable: row.retryable,
            retry_after: row.retry_after,
            request_id,
            extra: &self.0.extra,
        };
        let mut answer = HttpResponse::build(self.status_code());
        answer.insert_header((CONTENT_TYPE, PROBLEM_JSON));
        if let Some(seconds) = row.retry_after {
            answer.insert_header((RETRY_AFTER, seconds));
        }
        for (name, value) in &self.0.headers {
            answer.insert_header((name.clone(), value.clone()));
        }
        // all members are plain text and numbers, so this can't fail; if it did, the status still tells
        answer.body(serde_json::to_vec(&body).unwrap_or_default())
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code.as_str(), self.0.detail)
    }
}

impl std::error::Error for ApiError {}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.0.code.row().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        self.response(None)
    }
}

/// A part of an input that is short enough to repeat in an answer.
pub(crate) fn echo(text: &str) -> String {
    let printable = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    let mut chars = text.chars();
    let mut short: String = chars.by_ref().take(ECHO_CHARS_MAX).map(printable).collect();
    if chars.next().is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use actix_web::body::MessageBody as _;

    use super::*;

    fn body(error: &ApiError) -> Value {
        let bytes = error.response(Some("r-1")).into_body().try_into_bytes().unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[test]
    fn a_problem_has_every_member_that_was_promised() {
        let error = ApiError::new(Code::Busy).with("replacement", "x");
        let answer = error.response(None);
        assert_eq!(answer.status(), 503);
        assert_eq!(answer.headers().get(CONTENT_TYPE).unwrap(), PROBLEM_JSON);
        assert_eq!(answer.headers().get(RETRY_AFTER).unwrap(), "1");
        let body = body(&error);
        assert_eq!(body["type"], "/problems/busy");
        assert_eq!(body["status"], 503);
        assert_eq!(body["code"], "busy");
        assert_eq!(body["title"], "Busy");
        assert_eq!(body["retry_after"], 1);
        assert_eq!(body["request_id"], "r-1");
        assert_eq!(body["replacement"], "x");
        assert!(body.get("errors").is_none());
    }

    #[test]
    fn wrong_fields_are_named_and_the_first_gives_the_code() {
        let field = FieldError {
            pointer: "/topology".into(),
            code: Code::ValidationFailed,
            detail: "no".into(),
            allowed: vec!["mesh", "ring"],
        };
        let body = body(&ApiError::fields(vec![field]));
        assert_eq!((body["status"].as_u64(), body["code"].as_str()), (Some(422), Some("validation_failed")));
        assert_eq!(body["errors"][0]["pointer"], "/topology");
        assert_eq!(body["errors"][0]["allowed"][1], "ring");
    }

    #[test]
    fn an_answer_repeats_little_of_an_input() {
        assert_eq!(echo("short"), "short");
        assert_eq!(echo("a\0\u{1b}[2J"), "a\u{fffd}\u{fffd}[2J");
        assert_eq!(echo(&"ü".repeat(10_000)).chars().count(), ECHO_CHARS_MAX + 1);
    }

    #[test]
    fn a_header_that_would_split_the_answer_is_left_out() {
        let answer = ApiError::new(Code::Busy).header(ALLOW, "GET\r\nX: y").response(None);
        assert!(answer.headers().get(ALLOW).is_none());
    }
}
