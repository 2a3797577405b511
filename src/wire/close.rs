//! The close codes of `/wss`: what each means, and whether a client may come back by itself.

/// Why the server closes a WebSocket.
///
/// 4400–4499 and the codes of RFC 6455 here allow a reconnect with backoff; 4500–4599 are terminal: the same client would be
/// refused again until something is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseCode {
    /// 1000: the session ended as the client asked.
    Normal,
    /// 1001: the server shuts down.
    GoingAway,
    /// 1011: the server failed.
    Internal,
    /// 1012: the server restarts or is drained.
    Restart,
    /// 4401: the token expired; come back with a fresh one.
    TokenExpired,
    /// 4408: the client reads too slowly or answers no ping.
    Slow,
    /// 4410: the stream cannot be continued from what the client holds; subscribe anew.
    InsufficientState,
    /// 4429: too many connections or messages.
    TooMany,
    /// 4500: the client sends what the protocol does not allow.
    BadRequest,
    /// 4501: the token is malformed, forged or revoked, or none came.
    InvalidToken,
    /// 4503: the token does not allow this.
    Forbidden,
    /// 4504: more subscriptions than a session may hold, again and again.
    SwarmLimit,
    /// 4506: the client speaks another version of the protocol.
    ProtocolVersion,
}

impl CloseCode {
    /// Every code, for documentation and tests.
    pub const ALL: [Self; 13] = [
        Self::Normal,
        Self::GoingAway,
        Self::Internal,
        Self::Restart,
        Self::TokenExpired,
        Self::Slow,
        Self::InsufficientState,
        Self::TooMany,
        Self::BadRequest,
        Self::InvalidToken,
        Self::Forbidden,
        Self::SwarmLimit,
        Self::ProtocolVersion,
    ];

    /// Gives the number of the close frame.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::GoingAway => 1001,
            Self::Internal => 1011,
            Self::Restart => 1012,
            Self::TokenExpired => 4401,
            Self::Slow => 4408,
            Self::InsufficientState => 4410,
            Self::TooMany => 4429,
            Self::BadRequest => 4500,
            Self::InvalidToken => 4501,
            Self::Forbidden => 4503,
            Self::SwarmLimit => 4504,
            Self::ProtocolVersion => 4506,
        }
    }

    /// Gives the reason of the close frame, which is also the stable code in `goodbye` and `error`.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::GoingAway => "going_away",
            Self::Internal => "internal",
            Self::Restart => "restart",
            Self::TokenExpired => "token_expired",
            Self::Slow => "slow",
            Self::InsufficientState => "insufficient_state",
            Self::TooMany => "too_many",
            Self::BadRequest => "bad_request",
            Self::InvalidToken => "invalid_token",
            Self::Forbidden => "forbidden",
            Self::SwarmLimit => "swarm_limit",
            Self::ProtocolVersion => "protocol_version",
        }
    }

    /// Tells whether a client may reconnect by itself, with backoff.
    #[must_use]
    pub const fn may_reconnect(self) -> bool {
        match self {
            Self::GoingAway
            | Self::Internal
            | Self::Restart
            | Self::TokenExpired
            | Self::Slow
            | Self::InsufficientState
            | Self::TooMany => true,
            Self::Normal
            | Self::BadRequest
            | Self::InvalidToken
            | Self::Forbidden
            | Self::SwarmLimit
            | Self::ProtocolVersion => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_alone_tells_whether_to_come_back() {
        for code in CloseCode::ALL {
            let by_number = match code.number() {
                4400..=4499 => true,
                4500..=4599 => false,
                number => number != 1000,
            };
            assert_eq!(code.may_reconnect(), by_number, "{code:?}");
            assert!(code.reason().len() <= 123, "a close frame carries at most 123 bytes of reason");
        }
    }

    #[test]
    fn the_document_knows_every_code() {
        let document = include_str!("../docs/protocol.md");
        for code in CloseCode::ALL {
            assert!(document.contains(&format!("| {} | `{}` |", code.number(), code.reason())), "{code:?}");
        }
    }
}
