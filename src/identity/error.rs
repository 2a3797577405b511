//! Why a token was refused or could not be issued. No text repeats the token or its signature.

use chrono::{DateTime, Utc};
use thiserror::Error;

use super::role::Role;

/// Why a caller is not let in.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TokenError {
    /// There is none.
    #[error("no token was sent: send the header authorization: bearer <token>")]
    Missing,
    /// It is longer than any of ours.
    #[error("the token has more than {max} bytes")]
    TooLarge {
        /// The limit, in bytes.
        max: usize,
    },
    /// It is not three parts of base64url without padding, with JSON objects in the first two.
    #[error("the token is malformed: {0}")]
    Malformed(&'static str),
    /// It asks for something that is never done here, such as another algorithm or an embedded key.
    #[error("the token is of an unsupported kind: {0}")]
    Unsupported(&'static str),
    /// It names a key that is not in use, perhaps one before the previous.
    #[error("the token was signed with a key that is not in use: get a new token")]
    UnknownKey,
    /// The signature is not ours.
    #[error("the token's signature does not match")]
    Forged,
    /// It was issued by someone else.
    #[error("the token's issuer is not visionflow")]
    WrongIssuer,
    /// It was issued for something else.
    #[error("the token's audience is not visionflow")]
    WrongAudience,
    /// A claim is missing or out of range.
    #[error("the token's claim {claim} {reason}")]
    BadClaim {
        /// The claim.
        claim: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// It was good until then.
    #[error("the token expired at {at}: get a new token")]
    Expired {
        /// The end that it names.
        at: DateTime<Utc>,
    },
    /// It will be good from then on, or the clocks differ.
    #[error("the token is not valid before {at}: compare the clocks")]
    NotYetValid {
        /// The start that it names.
        at: DateTime<Utc>,
    },
}

impl TokenError {
    /// A stable word for problem bodies and metric labels.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing => "token_missing",
            Self::TooLarge { .. } | Self::Malformed(_) | Self::BadClaim { .. } => "token_malformed",
            Self::Unsupported(_) => "token_unsupported",
            Self::UnknownKey | Self::Forged => "token_forged",
            Self::WrongIssuer => "token_wrong_issuer",
            Self::WrongAudience => "token_wrong_audience",
            Self::Expired { .. } => "token_expired",
            Self::NotYetValid { .. } => "token_not_yet_valid",
        }
    }
}

/// Why a token could not be issued.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IssueError {
    /// The subject is empty, too long, or has control characters.
    #[error("issuing a token: the subject must have 1 to 128 characters, none of them control characters")]
    Subject,
    /// The lifetime is zero or longer than a token may live.
    #[error("issuing a token for {role}: the lifetime must be from 1 second to 366 days")]
    Lifetime {
        /// For whom.
        role: Role,
    },
    /// The library failed.
    #[error("signing a token")]
    Sign(#[from] jsonwebtoken::errors::Error),
}
