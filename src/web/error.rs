//! The one table of error codes: what each means, its HTTP status, and whether repeating helps.
//!
//! A row is a promise to clients: codes are never renamed, and a code keeps its status. Malformed input is
//! 400 when it could not be read, 422 when it could but its values are not allowed.

use serde::Serialize;

/// Whether the same request may succeed later without any change to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// No.
    No,
    /// Yes, after so many seconds; sent as `Retry-After`.
    After(u32),
}

/// One row of the table.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Row {
    /// The stable word.
    pub code: &'static str,
    /// HTTP status.
    pub status: u16,
    /// A few words for people.
    pub title: &'static str,
    /// Whether repeating the request as it is may succeed.
    pub retryable: bool,
    /// Seconds to wait before that, when it makes sense to say.
    pub retry_after: Option<u32>,
    /// What happened and what to do.
    pub meaning: &'static str,
}

macro_rules! codes {
    ($($variant:ident = $code:literal, $status:literal, $title:literal, $retry:expr, $meaning:literal;)+) => {
        /// A reason for an error answer. The word, status, title and meaning of each are in [`Code::row`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = concat!("`", $code, "`: ", $title, ".")] $variant),+
        }

        impl Code {
            /// Every code in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// What is promised of the code.
            #[must_use]
            pub const fn row(self) -> Row {
                match self {
                    $(Self::$variant => row($code, $status, $title, $retry, $meaning)),+
                }
            }
        }
    };
}

const fn row(
    code: &'static str,
    status: u16,
    title: &'static str,
    retry: Retry,
    meaning: &'static str,
) -> Row {
    let retry_after = match retry {
        Retry::No => None,
        Retry::After(seconds) => Some(seconds),
    };
    Row { code, status, title, retryable: retry_after.is_some(), retry_after, meaning }
}

use Retry::{After, No};

codes! {
    BadRequest = "bad_request", 400, "Bad request", No,
        "The request is not valid HTTP, or something of it could not be read.";
    MalformedJson = "malformed_json", 400, "Malformed JSON", No,
        "The body is not a JSON document. The detail names the line and column.";
    BodyIncomplete = "body_incomplete", 400, "Incomplete body", No,
        "The connection ended or broke the rules of HTTP before the body was complete.";
    InvalidQuery = "invalid_query", 400, "Invalid query", No,
        "A parameter of the query is unknown, occurs twice or has a value that is not allowed.";
    InvalidCursor = "invalid_cursor", 400, "Invalid cursor", No,
        "The cursor is not one that this list gave. Start again without it.";
    IdempotencyKeyInvalid = "idempotency_key_invalid", 400, "Invalid Idempotency-Key", No,
        "The header Idempotency-Key must occur once, with 1 to 255 visible ASCII characters.";
    TokenMissing = "token_missing", 401, "No token", No,
        "The call needs the header Authorization: Bearer <token>. `visionflow token` issues one.";
    TokenMalformed = "token_malformed", 401, "Malformed token", No,
        "The token can't be read, or lacks a claim that is needed.";
    TokenUnsupported = "token_unsupported", 401, "Unsupported token", No,
        "The token is of a kind that is not accepted: only HS256 tokens of this server are.";
    TokenForged = "token_forged", 401, "Wrong signature", No,
        "The token was not signed with a key in use here. Get a new one.";
    TokenWrongIssuer = "token_wrong_issuer", 401, "Wrong issuer", No,
        "The token was issued by somebody else.";
    TokenWrongAudience = "token_wrong_audience", 401, "Wrong audience", No,
        "The token was issued for something else.";
    TokenExpired = "token_expired", 401, "Expired token", No,
        "The token has expired. Get a new one.";
    TokenNotYetValid = "token_not_yet_valid", 401, "Token not valid yet", No,
        "The token becomes valid later, or the clocks differ.";
    TokenRevoked = "token_revoked", 401, "Revoked token", No,
        "The token was revoked. Get a new one.";
    TicketInvalid = "ticket_invalid", 401, "Invalid ticket", No,
        "The WebSocket ticket is unknown, was used, or is older than 30 seconds. Get another one.";
    RoleTooLow = "role_too_low", 403, "Not allowed", No,
        "The token's role may not do this. Changes need the role operator.";
    OriginForbidden = "origin_forbidden", 403, "Origin not allowed", No,
        "Pages of this origin may not connect. CORS_ALLOWED_ORIGINS lists those that may.";
    RouteNotFound = "route_not_found", 404, "No such path", No,
        "Nothing is served under this path.";
    SwarmNotFound = "swarm_not_found", 404, "No such swarm", No,
        "There is no swarm with this id among those that the caller may see.";
    AgentNotFound = "agent_not_found", 404, "No such agent", No,
        "The swarm has no agent with this id.";
    TaskNotFound = "task_not_found", 404, "No such task", No,
        "There is no task with this id among those that the caller may see.";
    MethodNotAllowed = "method_not_allowed", 405, "Method not allowed", No,
        "The path exists but does not take this method. The header Allow lists those that it takes.";
    NotAcceptable = "not_acceptable", 406, "Not acceptable", No,
        "The API answers in JSON only, and the header Accept excludes that.";
    BodyTimeout = "body_timeout", 408, "Body too slow", No,
        "The body did not arrive within 15 seconds.";
    SwarmLimitReached = "swarm_limit_reached", 409, "Too many swarms", No,
        "The caller owns as many live swarms as MAX_SWARMS_PER_CLIENT allows. Delete one first.";
    AgentLimitReached = "agent_limit_reached", 409, "Too many agents", No,
        "The swarm has as many agents as its max_agents allows. Remove one first.";
    TaskLimitReached = "task_limit_reached", 409, "Too many tasks", No,
        "The swarm has as many unfinished tasks as allowed. Wait for some to end, or cancel one.";
    SwarmStateConflict = "swarm_state_conflict", 409, "Wrong state of the swarm", No,
        "The swarm's state does not allow the call.";
    TaskStateConflict = "task_state_conflict", 409, "Wrong state of the task", No,
        "The task's state does not allow the call.";
    IdempotencyKeyInUse = "idempotency_key_in_use", 409, "Idempotency-Key in use", After(2),
        "The first call with this Idempotency-Key still runs, or its outcome is not known yet. Nothing was done twice.";
    LinksTooMany = "links_too_many", 409, "Too many links to list", No,
        "The swarm has over a million links. They follow from its topology and its list of agents.";
    V1CallGone = "v1_call_gone", 410, "Call of version 1", No,
        "The call belongs to VisionFlow 1. The body names the call that replaced it.";
    BodyTooLarge = "body_too_large", 413, "Body too large", No,
        "A body may have at most 1 MiB.";
    UnsupportedMediaType = "unsupported_media_type", 415, "Unsupported media type", No,
        "The body must be JSON, with the header Content-Type: application/json.";
    HostNotAllowed = "host_not_allowed", 421, "Wrong host", No,
        "The server listens on this machine only and does not answer to the name in the header Host.";
    ValidationFailed = "validation_failed", 422, "Value not allowed", No,
        "A field has a value that is not allowed. `errors` names each such field and what is allowed.";
    UnknownField = "unknown_field", 422, "Unknown field", No,
        "The body has a field that the call does not know. `errors` lists the known ones.";
    MissingField = "missing_field", 422, "Missing field", No,
        "The body lacks a field that the call needs.";
    InvalidType = "invalid_type", 422, "Wrong type", No,
        "A field has a value of the wrong JSON type. `errors` names the field and the type.";
    DuplicateField = "duplicate_field", 422, "Duplicate field", No,
        "A field occurs twice in the body.";
    IdempotencyKeyReused = "idempotency_key_reused", 422, "Idempotency-Key reused", No,
        "The Idempotency-Key was used for another path or body in the last 24 hours. Each call needs its own.";
    UpgradeRequired = "upgrade_required", 426, "Not a WebSocket request", No,
        "This path speaks WebSocket only.";
    TicketLimitReached = "ticket_limit_reached", 429, "Too many tickets", After(30),
        "The caller has too many WebSocket tickets that were not used yet.";
    Internal = "internal", 500, "Internal error", No,
        "The server failed. The request id finds the reason in its log.";
    RuntimeRefused = "runtime_refused", 502, "Refused by the agent runtime", No,
        "The agent runtime said no. The detail has its own words.";
    SwarmFailed = "swarm_failed", 503, "The swarm has failed", No,
        "The swarm gave up. The detail says why. It takes no work until it is restarted or deleted.";
    SwarmNotReady = "swarm_not_ready", 503, "The swarm is being created", After(2),
        "The agent runtime has not confirmed the swarm yet. Nothing has changed.";
    Busy = "busy", 503, "Busy", After(1),
        "Too many commands wait already. Nothing has changed.";
    DatabaseUnavailable = "database_unavailable", 503, "Database unavailable", After(2),
        "The database did not answer as it should. After a call that changes something, look before repeating it.";
    Draining = "draining", 503, "Shutting down", After(5),
        "The server is about to stop and takes no new work.";
    Overloaded = "overloaded", 503, "Too many connections", After(5),
        "The server holds as many sessions as it can.";
    OutcomeUnknown = "outcome_unknown", 504, "Outcome unknown", No,
        "No answer came in time or the answer was lost. The change may have happened: look before repeating it.";
}

impl Code {
    /// The stable word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.row().code
    }

    /// The code with this word.
    #[must_use]
    pub fn find(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == word)
    }

    /// What the framework's own answers mean, by their status.
    #[must_use]
    pub(crate) const fn of_status(status: u16) -> Self {
        match status {
            401 => Self::TokenMissing,
            403 => Self::RoleTooLow,
            404 => Self::RouteNotFound,
            405 => Self::MethodNotAllowed,
            406 => Self::NotAcceptable,
            408 => Self::BodyTimeout,
            413 => Self::BodyTooLarge,
            415 => Self::UnsupportedMediaType,
            426 => Self::UpgradeRequired,
            503 => Self::Busy,
            504 => Self::OutcomeUnknown,
            400..=499 => Self::BadRequest,
            _ => Self::Internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_is_unique_found_by_its_word_and_an_error() {
        let words: BTreeSet<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(words.len(), Code::ALL.len());
        for code in Code::ALL {
            let row = code.row();
            assert_eq!(Code::find(row.code), Some(*code));
            assert!((400..600).contains(&row.status), "{}", row.code);
            assert!(row.code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'));
            assert!(row.meaning.ends_with('.') && !row.title.is_empty(), "{}", row.code);
            assert!(actix_web::http::StatusCode::from_u16(row.status).is_ok());
        }
        assert_eq!(Code::find("no_such_code"), None);
    }

    #[test]
    fn what_may_have_happened_is_never_called_retryable() {
        for code in [Code::OutcomeUnknown, Code::RuntimeRefused, Code::Internal] {
            assert!(!code.row().retryable, "{code:?}");
        }
    }

    #[test]
    fn a_status_of_the_framework_keeps_its_class() {
        for status in 400..600 {
            assert_eq!(Code::of_status(status).row().status / 100, status / 100, "{status}");
        }
    }

    #[test]
    fn every_token_error_has_a_row() {
        for word in [
            "token_missing",
            "token_malformed",
            "token_unsupported",
            "token_forged",
            "token_wrong_issuer",
            "token_wrong_audience",
            "token_expired",
            "token_not_yet_valid",
        ] {
            assert_eq!(Code::find(word).unwrap().row().status, 401, "{word}");
        }
    }
}
