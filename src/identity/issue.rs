//! Issues access tokens.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::{ExposeSecret, SecretString};

use super::claims::{AUDIENCE, Claims, ISSUER, TOKEN_TYPE, is_subject};
use super::error::IssueError;
use super::role::Role;
use super::ttl::TTL_MAX;
use crate::telemetry::clock;

/// What is signed to name a key: the name tells nothing about the secret that a token does not tell anyway.
const KEY_ID_MESSAGE: &[u8] = b"visionflow key id";
/// Characters of a key id: 60 bits, ample to tell two secrets apart.
const KEY_ID_CHARS: usize = 10;

/// Signs tokens with the current secret.
pub struct TokenIssuer {
    key: EncodingKey,
    key_id: String,
}

impl TokenIssuer {
    /// An issuer that signs with this secret.
    ///
    /// # Errors
    /// [`IssueError::Sign`] if the cryptography fails.
    pub fn new(secret: &SecretString) -> Result<Self, IssueError> {
        Ok(Self { key: EncodingKey::from_secret(secret.expose_secret().as_bytes()), key_id: key_id(secret)? })
    }

    /// Issues a token that is good from `now`, cut to the second, for `ttl`, rounded down to the second.
    ///
    /// # Errors
    /// [`IssueError::Subject`] or [`IssueError::Lifetime`] if those are out of range, [`IssueError::Sign`] if
    /// the cryptography fails.
    pub fn issue(
        &self,
        subject: &str,
        role: Role,
        ttl: Duration,
        now: DateTime<Utc>,
    ) -> Result<(String, Claims), IssueError> {
        if !is_subject(subject) {
            return Err(IssueError::Subject);
        }
        if ttl.as_secs() == 0 || ttl > TTL_MAX {
            return Err(IssueError::Lifetime { role });
        }
        let start = u64::try_from(now.timestamp()).unwrap_or(0);
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: subject.to_owned(),
            role,
            jti: clock::uuid_v7().to_string(),
            iat: start,
            nbf: start,
            exp: start.saturating_add(ttl.as_secs()),
        };
        let mut header = Header::new(Algorithm::HS256);
        header.typ = Some(TOKEN_TYPE.to_owned());
        header.kid = Some(self.key_id.clone());
        Ok((jsonwebtoken::encode(&header, &claims, &self.key)?, claims))
    }
}

impl fmt::Debug for TokenIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenIssuer").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// Names a secret, the same in every process that has it.
pub(crate) fn key_id(secret: &SecretString) -> Result<String, jsonwebtoken::errors::Error> {
    super::init();
    let key = EncodingKey::from_secret(secret.expose_secret().as_bytes());
    let signature = jsonwebtoken::crypto::sign(KEY_ID_MESSAGE, &key, Algorithm::HS256)?;
    Ok(signature.chars().take(KEY_ID_CHARS).collect())
}
