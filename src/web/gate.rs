//! Who is let in: tokens, tickets, revocations, origins. Shared by requests and sessions.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use secrecy::{ExposeSecret as _, SecretString};

use super::error::Code;
use super::origin::OriginPolicy;
use super::problem::ApiError;
use super::refusals::unauthorized;
use crate::domain::Timestamp;
use crate::identity::{Identity, TicketBook, TokenVerifier, from_authorization};
use crate::telemetry::clock;

/// A revocation was not kept. The cause is in the log of whoever keeps them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("keeping a revocation")]
pub struct RevocationFailed;

/// The token ids that are no longer good. Kept in the database; asked from memory.
pub trait Revocations: fmt::Debug + Send + Sync {
    /// Whether the token was revoked. Asked for every request, so it must not block.
    fn is_revoked(&self, token_id: &str) -> bool;

    /// Revokes a token for good; the future ends once that is kept and [`Self::is_revoked`] tells.
    /// From `expires_at` on the token is refused anyway, so the revocation may be forgotten.
    fn revoke(
        &self,
        token_id: String,
        expires_at: Timestamp,
    ) -> Pin<Box<dyn Future<Output = Result<(), RevocationFailed>> + '_>>;
}

/// Everything that decides whether a request or a WebSocket is let in.
#[derive(Debug)]
pub struct Gate {
    /// Checks tokens.
    pub verifier: Arc<TokenVerifier>,
    /// Tickets that wait to open a WebSocket.
    pub tickets: TicketBook,
    /// Token ids that are no longer good.
    pub revocations: Arc<dyn Revocations>,
    /// Pages that may talk to us, and names that we answer to.
    pub origins: OriginPolicy,
    /// `METRICS_PUBLIC`: `/metrics` needs no token.
    pub metrics_public: bool,
    /// `METRICS_TOKEN`: a bearer token for `/metrics` alone.
    pub metrics_token: Option<SecretString>,
    /// Set while the server stops: no new work is taken.
    pub draining: Arc<AtomicBool>,
}

impl Gate {
    /// The caller whose token the `Authorization` header carries.
    ///
    /// # Errors
    /// A 401 with the code of what is wrong.
    pub fn identify(&self, headers: &HeaderMap) -> Result<Identity, ApiError> {
        self.identify_token(from_authorization(authorization(headers)?)?)
    }

    /// The caller whose token this is.
    ///
    /// # Errors
    /// As for [`Self::identify`].
    pub fn identify_token(&self, token: &str) -> Result<Identity, ApiError> {
        self.admit(self.verifier.verify(token, clock::now())?)
    }

    /// The caller whose ticket this is; it is used up.
    ///
    /// # Errors
    /// As for [`Self::identify`].
    pub fn identify_ticket(&self, ticket: &str) -> Result<Identity, ApiError> {
        self.admit(self.tickets.take(ticket, clock::now())?)
    }

    /// Whether the header carries `METRICS_TOKEN`.
    #[must_use]
    pub fn is_scraper(&self, headers: &HeaderMap) -> bool {
        let Some(expected) = &self.metrics_token else { return false };
        let sent = authorization(headers).ok().and_then(|header| from_authorization(header).ok());
        sent.is_some_and(|sent| same(sent.as_bytes(), expected.expose_secret().as_bytes()))
    }

    /// Whether the server is about to stop.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    fn admit(&self, identity: Identity) -> Result<Identity, ApiError> {
        if self.revocations.is_revoked(&identity.token_id) {
            return Err(unauthorized(Code::TokenRevoked));
        }
        Ok(identity)
    }
}

/// The one `Authorization` header: with two, whoever reads the other one is fooled.
fn authorization(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let mut all = headers.get_all(AUTHORIZATION);
    let Some(first) = all.next() else { return Ok(None) };
    match (first.to_str(), all.next()) {
        (Ok(text), None) => Ok(Some(text)),
        _ => Err(unauthorized(Code::TokenMalformed)),
    }
}

/// Compares secrets in a time that does not tell where they differ.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_the_same_only_when_every_byte_is() {
        assert!(same(b"", b""));
        assert!(same(b"secret", b"secret"));
        for other in [&b"secreT"[..], b"Secret", b"secre", b"secret "] {
            assert!(!same(b"secret", other));
        }
    }
}
