//! `/api/auth`: who the caller is, tickets that open a WebSocket, revoking a token.

use actix_web::{HttpResponse, web};
use serde_json::json;

use super::auth::Caller;
use super::body::OptionalJson;
use super::error::Code;
use super::fields::Fields;
use super::gate::RevocationFailed;
use super::problem::ApiError;
use super::state::AppState;
use crate::identity::{LEEWAY, Role, TICKET_LIFE, TTL_MAX};
use crate::telemetry::clock;

type Answer = Result<HttpResponse, ApiError>;

/// `GET /api/auth/me`: what the token says, and the limits that apply.
pub(crate) async fn me(caller: Caller, state: web::Data<AppState>) -> Answer {
    let (identity, limits) = (&caller.0, &state.limits);
    Ok(HttpResponse::Ok().json(json!({
        "subject": identity.subject,
        "role": identity.role,
        "token_id": identity.token_id,
        "expires_at": identity.expires_at,
        "limits": {
            "max_swarms": limits.max_swarms_per_client,
            "max_agents_per_swarm": limits.max_agents_per_swarm,
        },
        "poll_rate_ms": limits.poll_rate.as_millis(),
    })))
}

/// `POST /api/auth/ws-ticket`: a single-use ticket that opens one WebSocket.
pub(crate) async fn ws_ticket(caller: Caller, state: web::Data<AppState>) -> Answer {
    let secret = clock::random_bytes().map_err(|error| {
        tracing::error!(%error, "the operating system gave no random bytes");
        ApiError::new(Code::Internal)
    })?;
    let ticket = state.gate.tickets.issue(caller.0, secret, clock::now())?;
    Ok(HttpResponse::Ok().json(json!({
        "ticket": ticket.value,
        "expires_at": ticket.expires_at,
        "expires_in_ms": TICKET_LIFE.as_millis(),
    })))
}

/// `POST /api/auth/revoke {token_id?}`: the caller's own token, or any other one for an admin.
pub(crate) async fn revoke(caller: Caller, state: web::Data<AppState>, text: OptionalJson) -> Answer {
    let own = &caller.0;
    let mut asked = None;
    if let Some(text) = text.0 {
        let mut fields = Fields::parse(&text)?;
        asked = fields.optional_text("token_id");
        fields.finish()?;
    }
    let token_id = asked.unwrap_or_else(|| own.token_id.clone());
    let is_own = token_id == own.token_id;
    if !is_own && !own.role.allows(Role::Admin) {
        return Err(
            ApiError::new(Code::RoleTooLow).detail("only an admin may revoke other tokens than its own")
        );
    }
    crate::domain::limits::check_chars("token_id", &token_id, 1, 128)?;
    // how long another one lives is not known: as long as any may
    let expires_at = if is_own { own.expires_at } else { clock::now() + TTL_MAX } + LEEWAY;
    state
        .gate
        .revocations
        .revoke(token_id, expires_at)
        .await
        .map_err(|RevocationFailed| ApiError::new(Code::DatabaseUnavailable))?;
    Ok(HttpResponse::NoContent().finish())
}
