//! Which code each refusal of the other layers becomes.

use actix_web::http::header::WWW_AUTHENTICATE;

use super::error::Code;
use super::problem::{ApiError, FieldError};
use crate::actors::CommandError;
use crate::actors::session::TooManySessions;
use crate::domain::{DomainError, SwarmState, UnknownWord};
use crate::identity::{TicketError, TokenError};

impl From<DomainError> for ApiError {
    fn from(error: DomainError) -> Self {
        let text = error.to_string();
        match error {
            DomainError::Length { field, .. }
            | DomainError::ControlCharacter { field }
            | DomainError::OutOfRange { field, .. }
            | DomainError::TooMany { field, .. } => invalid(field, text, Vec::new()),
            DomainError::UnknownWord(UnknownWord { what, allowed, .. }) => {
                invalid(field_of(what), text, allowed.to_vec())
            }
            DomainError::SwarmLimit { .. } => Self::new(Code::SwarmLimitReached).detail(text),
            DomainError::AgentLimit { .. } => Self::new(Code::AgentLimitReached).detail(text),
            DomainError::TaskLimit { .. } => Self::new(Code::TaskLimitReached).detail(text),
            DomainError::WrongSwarmState { state: SwarmState::Failed, .. } => {
                Self::new(Code::SwarmFailed).detail(text)
            }
            DomainError::WrongSwarmState { state: SwarmState::Creating, .. } => {
                Self::new(Code::SwarmNotReady)
            }
            DomainError::WrongSwarmState { .. } => Self::new(Code::SwarmStateConflict).detail(text),
            DomainError::WrongTaskState { .. } => Self::new(Code::TaskStateConflict).detail(text),
            DomainError::NoAgent(_) => Self::new(Code::AgentNotFound),
            DomainError::NoTask(_) => Self::new(Code::TaskNotFound),
        }
    }
}

fn invalid(field: &'static str, detail: String, allowed: Vec<&'static str>) -> ApiError {
    let pointer = format!("/{field}");
    ApiError::fields(vec![FieldError { pointer, code: Code::ValidationFailed, detail, allowed }])
}

/// The body's field that holds a word of this kind.
fn field_of(what: &'static str) -> &'static str {
    match what {
        "agent type" => "type",
        "task strategy" => "strategy",
        "swarm state" => "status",
        other => other,
    }
}

impl From<CommandError> for ApiError {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Domain(error) => error.into(),
            CommandError::NoSwarm(id) => {
                Self::new(Code::SwarmNotFound).detail(format!("there is no swarm {id}"))
            }
            CommandError::SwarmFailed { reason } => {
                Self::new(Code::SwarmFailed).detail(format!("the swarm has failed: {reason}"))
            }
            CommandError::RuntimeRefused { message } => {
                Self::new(Code::RuntimeRefused).detail(format!("the agent runtime refused: {message}"))
            }
            CommandError::Busy(call) if call.outcome_unknown() => Self::new(Code::OutcomeUnknown),
            CommandError::Busy(_) => Self::new(Code::Busy),
            CommandError::Store(cause) => {
                // the cause names tables and files: it is for the log only
                tracing::error!(error = %cause, "the database failed a request");
                Self::new(Code::DatabaseUnavailable)
            }
        }
    }
}

impl From<TokenError> for ApiError {
    fn from(error: TokenError) -> Self {
        // the details help an attacker more than a caller
        tracing::debug!(reason = %error, "refused a token");
        unauthorized(Code::find(error.code()).unwrap_or(Code::TokenMalformed))
    }
}

impl From<TooManySessions> for ApiError {
    fn from(error: TooManySessions) -> Self {
        Self::new(Code::Overloaded).detail(error.to_string())
    }
}

impl From<TicketError> for ApiError {
    fn from(error: TicketError) -> Self {
        match error {
            TicketError::Full => {
                Self::new(Code::Overloaded).detail("too many WebSocket tickets wait to be used")
            }
            TicketError::TooManyForSubject => Self::new(Code::TicketLimitReached),
            TicketError::Unknown | TicketError::Expired { .. } => unauthorized(Code::TicketInvalid),
        }
    }
}

impl From<actix_web::Error> for ApiError {
    /// The framework's own refusals keep their meaning by status; their words stay in the log.
    fn from(error: actix_web::Error) -> Self {
        if let Some(own) = error.as_error::<Self>() {
            return own.clone();
        }
        tracing::debug!(%error, "the framework refused a request");
        // some of its errors leave `status_code` at 500 and say what they mean in their answer alone
        Self::new(Code::of_status(error.error_response().status().as_u16()))
    }
}

/// A 401 with the challenge that it must carry.
pub(crate) fn unauthorized(code: Code) -> ApiError {
    let challenge = if code == Code::TokenMissing {
        r#"Bearer realm="visionflow""#.to_owned()
    } else {
        format!(
            r#"Bearer realm="visionflow", error="invalid_token", error_description="{}""#,
            code.row().title
        )
    };
    ApiError::new(code).header(WWW_AUTHENTICATE, &challenge)
}

#[cfg(test)]
mod tests {
    use actix_web::body::MessageBody as _;
    use serde_json::Value;

    use super::*;
    use crate::domain::{NewAgent, NewSwarm, NewTask, Topology};
    use crate::runtime::CallError;

    fn body(error: &ApiError) -> Value {
        serde_json::from_slice(&error.response(None).into_body().try_into_bytes().unwrap()).unwrap()
    }

    #[test]
    fn the_domain_s_field_names_are_those_of_the_body() {
        let swarm = |topology, strategy, max| {
            NewSwarm::parse("a".into(), topology, strategy, max, Topology::Mesh, 200).unwrap_err()
        };
        let cases: Vec<(DomainError, &str, usize)> = vec![
            (swarm(Some("torus"), None, None), "/topology", 4),
            (swarm(None, Some("x"), None), "/strategy", 3),
            (swarm(None, None, Some(201)), "/max_agents", 0),
            (NewAgent::parse("wizard", None, vec![]).unwrap_err(), "/type", 12),
            (NewAgent::parse("coder", None, vec!["x".into(); 33]).unwrap_err(), "/capabilities", 0),
            (NewTask::parse("x".into(), Some("x"), None, None).unwrap_err(), "/priority", 4),
            (NewTask::parse("x".into(), None, Some("x"), None).unwrap_err(), "/strategy", 3),
            (NewTask::parse(String::new(), None, None, None).unwrap_err(), "/description", 0),
        ];
        for (error, pointer, words) in cases {
            let body = body(&error.into());
            assert_eq!(body["errors"][0]["pointer"], pointer);
            assert_eq!(body["errors"][0]["allowed"].as_array().map_or(0, Vec::len), words, "{pointer}");
            assert_eq!(body["status"], 422);
        }
    }

    #[test]
    fn a_lost_answer_is_not_reported_as_nothing_done() {
        for (call, code) in [
            (CallError::Full, Code::Busy),
            (CallError::Deadline, Code::OutcomeUnknown),
            (CallError::Crashed, Code::OutcomeUnknown),
            (CallError::Gone, Code::OutcomeUnknown),
        ] {
            assert_eq!(ApiError::from(CommandError::Busy(call)).code(), code, "{call:?}");
        }
    }

    #[test]
    fn a_401_carries_its_challenge_and_no_details() {
        let error = ApiError::from(TokenError::BadClaim { claim: "exp", reason: "is missing" });
        let answer = error.response(None);
        assert_eq!(answer.status(), 401);
        let challenge = answer.headers().get(WWW_AUTHENTICATE).unwrap().to_str().unwrap();
        assert!(challenge.starts_with("Bearer ") && challenge.contains("invalid_token"), "{challenge}");
        assert!(!body(&error).to_string().contains("exp"), "the claim is not told");
        let missing = ApiError::from(TokenError::Missing).response(None);
        assert_eq!(missing.headers().get(WWW_AUTHENTICATE).unwrap(), r#"Bearer realm="visionflow""#);
    }

    #[test]
    fn the_runtime_s_words_reach_the_client() {
        let error = ApiError::from(CommandError::RuntimeRefused { message: "no such model".into() });
        assert_eq!(error.code(), Code::RuntimeRefused);
        assert!(body(&error)["detail"].as_str().unwrap().contains("no such model"));
    }
}
