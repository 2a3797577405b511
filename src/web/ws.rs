//! `GET /wss`: decides who may open a WebSocket and as whom, then hands over to the session.
//!
//! What can still be answered over HTTP is (a foreign Origin, a bad `Authorization` header, no room); what a
//! browser could not read there (it sees only "1006") is told over the socket and closed with a code: a bad
//! token in the subprotocol, a spent ticket, another version of the protocol.

use actix_web::http::header::{AUTHORIZATION, HOST, ORIGIN, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use actix_web::{HttpRequest, HttpResponse, web};

use super::error::Code;
use super::problem::ApiError;
use super::state::AppState;
use crate::actors::session::{self, Opening};
use crate::identity::{Identity, TicketError, TokenError, from_authorization};
use crate::telemetry::clock;
use crate::wire::{CloseCode, Negotiated, ServerMessage, negotiate};

/// Opens a session.
///
/// # Errors
/// [`ApiError`] for a foreign Origin (403), a request that is no WebSocket upgrade (426), a bad `Authorization`
/// header (401) and a full server (503).
pub async fn connect(
    state: web::Data<AppState>,
    request: HttpRequest,
    stream: web::Payload,
) -> Result<HttpResponse, ApiError> {
    check_origin(&state, &request)?;
    let upgrade = header(&request, UPGRADE.as_str()).unwrap_or_default();
    if !upgrade.eq_ignore_ascii_case("websocket") {
        return Err(ApiError::new(Code::UpgradeRequired));
    }
    let offered = header(&request, SEC_WEBSOCKET_PROTOCOL.as_str()).unwrap_or_default();
    let offered: Vec<&str> = offered.split(',').map(str::trim).filter(|offer| !offer.is_empty()).collect();
    let (echo, opening) = match negotiate(&offered, request.query_string()) {
        Negotiated::V2 { echo_subprotocol, bearer } => {
            (echo_subprotocol, sign_in(&state, &request, bearer.as_deref())?)
        }
        // a browser takes a socket only with a subprotocol that it offered
        Negotiated::Refused { close, error } => (None, Opening::Refused(close, error)),
    };
    let place = state.session.sessions.enter().map_err(ApiError::from)?;
    session::start(state.session.clone(), place, opening, echo, &request, stream).map_err(ApiError::from)
}

fn header<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    request.headers().get(name).and_then(|value| value.to_str().ok())
}

fn check_origin(state: &AppState, request: &HttpRequest) -> Result<(), ApiError> {
    let Some(origin) = header(request, ORIGIN.as_str()) else { return Ok(()) };
    let host = header(request, HOST.as_str());
    if state.gate.origins.allowed(origin, host) { Ok(()) } else { Err(ApiError::forbidden_origin(origin)) }
}

/// Who opens the session: by header, subprotocol or ticket, in this order; else to be said in an `auth` message.
fn sign_in(state: &AppState, request: &HttpRequest, bearer: Option<&str>) -> Result<Opening, ApiError> {
    if request.headers().contains_key(AUTHORIZATION) {
        let token = from_authorization(header(request, AUTHORIZATION.as_str()))?;
        let identity = state.gate.verifier.verify(token, clock::now())?;
        return if is_revoked(state, &identity) {
            Err(super::refusals::unauthorized(Code::TokenRevoked))
        } else {
            Ok(Opening::Session(Some(identity)))
        };
    }
    if let Some(token) = bearer {
        return Ok(match state.gate.verifier.verify(token, clock::now()) {
            Ok(identity) if !is_revoked(state, &identity) => Opening::Session(Some(identity)),
            Ok(_) => refused(CloseCode::InvalidToken, "token_revoked", "the token has been revoked"),
            Err(error) => {
                let expired = matches!(error, TokenError::Expired { .. });
                let code = if expired { CloseCode::TokenExpired } else { CloseCode::InvalidToken };
                refused(code, error.code(), &error.to_string())
            }
        });
    }
    if let Some(ticket) = ticket(request.query_string()) {
        return Ok(match state.gate.tickets.take(ticket, clock::now()) {
            Ok(identity) => Opening::Session(Some(identity)),
            Err(error @ TicketError::Expired { .. }) => {
                refused(CloseCode::TokenExpired, "ticket_expired", &error.to_string())
            }
            Err(error) => refused(CloseCode::InvalidToken, "ticket_invalid", &error.to_string()),
        });
    }
    Ok(Opening::Session(None))
}

fn is_revoked(state: &AppState, identity: &Identity) -> bool {
    (state.session.revoked.0)(&identity.token_id)
}

fn ticket(query: &str) -> Option<&str> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find_map(|(key, value)| (key == "ticket").then_some(value))
}

fn refused(close: CloseCode, code: &str, message: &str) -> Opening {
    let error = ServerMessage::Error {
        code: code.to_owned(),
        message: message.to_owned(),
        allowed: None,
        reference: None,
    };
    // a text of our own making always serialises
    Opening::Refused(close, error.to_text().unwrap_or_default())
}
