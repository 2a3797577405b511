//! Who is calling: access tokens, roles, and single-use tickets that open a browser's WebSocket.
//!
//! Time comes in as an argument and nothing here does I/O. Which header or subprotocol carries a token is
//! in `bearer.rs`; whether a token id was revoked is the store's knowledge, asked by the web layer.

mod bearer;
mod claims;
mod error;
mod issue;
mod role;
#[cfg(test)]
mod tests;
mod tickets;
mod ttl;
mod verify;

use std::sync::OnceLock;

use chrono::{DateTime, Utc};

pub use self::bearer::{SUBPROTOCOL_PREFIX, from_authorization, from_subprotocols};
pub use self::claims::{AUDIENCE, Claims, ISSUER, SUBJECT_CHARS_MAX, TOKEN_TYPE};
pub use self::error::{IssueError, TokenError};
pub use self::issue::TokenIssuer;
pub use self::role::{Role, UnknownRole};
pub use self::tickets::{
    TICKET_LIFE, TICKETS_MAX, TICKETS_PER_SUBJECT_MAX, Ticket, TicketBook, TicketCounts, TicketError,
};
pub use self::ttl::{TTL_MAX, TtlError, parse_ttl};
pub use self::verify::{LEEWAY, TOKEN_BYTES_MAX, TokenVerifier};

/// A caller whose token was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Who: 1–128 characters without control characters.
    pub subject: String,
    /// What the caller may do.
    pub role: Role,
    /// Names the token, so that it can be revoked.
    pub token_id: String,
    /// When the token ends, to the second; it is accepted [`LEEWAY`] longer.
    pub expires_at: DateTime<Utc>,
}

/// Chooses the cryptography for the process; further calls do nothing.
///
/// Issuers and verifiers call it themselves. Without a choice the library takes one at first use, and
/// panics there if its features name two.
pub fn init() {
    static CHOSEN: OnceLock<()> = OnceLock::new();
    CHOSEN.get_or_init(|| {
        if jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default().is_err() {
            tracing::debug!("the provider of token cryptography was chosen before");
        }
    });
}
