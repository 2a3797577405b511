//! Verifies access tokens.
//!
//! The header only ever narrows the choice: the algorithm is pinned, keys come from our two secrets alone.
//! The library checks the signature; everything else is checked here, since it would accept an unknown
//! `crit`, `b64: false`, a start in the future, and reads the clock itself.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, DecodingKey};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;

use super::Identity;
use super::claims::{AUDIENCE, ISSUER, RawClaims, RawHeader, TOKEN_ID_CHARS_MAX, TOKEN_TYPE, is_subject};
use super::error::{IssueError, TokenError};
use super::issue::key_id;

/// Longest token that is looked at, in bytes.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// By how much clocks may differ.
pub const LEEWAY: Duration = Duration::from_secs(30);

struct Key {
    id: String,
    key: DecodingKey,
}

impl Key {
    fn new(secret: &SecretString) -> Result<Self, IssueError> {
        Ok(Self { id: key_id(secret)?, key: DecodingKey::from_secret(secret.expose_secret().as_bytes()) })
    }
}

/// Verifies tokens against the current and the previous secret.
pub struct TokenVerifier {
    keys: Vec<Key>,
}

impl TokenVerifier {
    /// A verifier for these secrets.
    ///
    /// # Errors
    /// [`IssueError::Sign`] if the cryptography fails.
    pub fn new(current: &SecretString, previous: Option<&SecretString>) -> Result<Self, IssueError> {
        let keys: Result<Vec<Key>, IssueError> =
            std::iter::once(current).chain(previous).map(Key::new).collect();
        Ok(Self { keys: keys? })
    }

    /// Checks everything about a token but whether its id was revoked.
    ///
    /// # Errors
    /// A [`TokenError`] that says what to change. Nothing about the claims is told before the signature is
    /// known to be good.
    pub fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<Identity, TokenError> {
        if token.is_empty() {
            return Err(TokenError::Missing);
        }
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLarge { max: TOKEN_BYTES_MAX });
        }
        let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed(PARTS))?;
        let (header, claims) = message.split_once('.').ok_or(TokenError::Malformed(PARTS))?;
        if claims.contains('.') {
            return Err(TokenError::Malformed(PARTS));
        }
        let header: RawHeader = decode(header, "its header is not a JSON object in base64url")?;
        check_header(&header)?;
        self.check_signature(header.kid.as_deref(), message, signature)?;
        let claims: RawClaims =
            decode(claims, "its claims are not a JSON object with claims of the right types")?;
        check_claims(claims, now)
    }

    fn check_signature(
        &self,
        key_id: Option<&str>,
        message: &str,
        signature: &str,
    ) -> Result<(), TokenError> {
        let mut tried = false;
        for key in self.keys.iter().filter(|key| key_id.is_none_or(|id| id == key.id)) {
            tried = true;
            let verified =
                jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key.key, Algorithm::HS256);
            match verified {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(_) => return Err(TokenError::Malformed("its signature is not base64url")),
            }
        }
        Err(if tried { TokenError::Forged } else { TokenError::UnknownKey })
    }
}

impl fmt::Debug for TokenVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<&str> = self.keys.iter().map(|key| key.id.as_str()).collect();
        f.debug_struct("TokenVerifier").field("key_ids", &ids).finish()
    }
}

const PARTS: &str = "it does not have three parts separated by dots";

fn decode<T: DeserializeOwned>(part: &str, reason: &'static str) -> Result<T, TokenError> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_error| TokenError::Malformed(reason))?;
    // serde would also read a struct from an array.
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Err(TokenError::Malformed(reason));
    }
    // The error would quote parts of the token.
    serde_json::from_slice(&bytes).map_err(|_error| TokenError::Malformed(reason))
}

fn check_header(header: &RawHeader) -> Result<(), TokenError> {
    if header.alg.as_deref() != Some("HS256") {
        return Err(TokenError::Unsupported("its algorithm is not HS256"));
    }
    // Media types compare without case, and `application/` may be left out.
    let typ = header.typ.as_deref().unwrap_or("").to_ascii_lowercase();
    if typ.strip_prefix("application/").unwrap_or(&typ) != TOKEN_TYPE {
        return Err(TokenError::Unsupported("its typ is not vf-access+jwt"));
    }
    if header.crit || header.b64 {
        return Err(TokenError::Unsupported("its header demands an extension"));
    }
    if header.enc || header.zip {
        return Err(TokenError::Unsupported("it is encrypted or compressed"));
    }
    if header.jku || header.jwk || header.x5u || header.x5c || header.x5t || header.x5t_s256 {
        return Err(TokenError::Unsupported("its header brings or names a key"));
    }
    Ok(())
}

fn check_claims(claims: RawClaims, now: DateTime<Utc>) -> Result<Identity, TokenError> {
    let bad = |claim, reason| TokenError::BadClaim { claim, reason };
    if claims.iss.as_deref() != Some(ISSUER) {
        return Err(TokenError::WrongIssuer);
    }
    if !claims.aud.is_some_and(|aud| aud.includes(AUDIENCE)) {
        return Err(TokenError::WrongAudience);
    }
    let expires_at = moment("exp", claims.exp.ok_or_else(|| bad("exp", "is missing"))?)?;
    if now >= expires_at + LEEWAY {
        return Err(TokenError::Expired { at: expires_at });
    }
    for (name, seconds) in [("nbf", claims.nbf), ("iat", claims.iat)] {
        let Some(seconds) = seconds else { continue };
        let at = moment(name, seconds)?;
        if at > now + LEEWAY {
            return Err(TokenError::NotYetValid { at });
        }
    }
    let subject = claims.sub.ok_or_else(|| bad("sub", "is missing"))?;
    if !is_subject(&subject) {
        return Err(bad("sub", "does not have 1 to 128 characters without control characters"));
    }
    let role = claims.role.ok_or_else(|| bad("role", "is missing"))?;
    let role = role.parse().map_err(|_unknown| bad("role", "is none of viewer, operator, admin"))?;
    let token_id =
        claims.jti.ok_or_else(|| bad("jti", "is missing, so that the token could not be revoked"))?;
    if token_id.is_empty() || token_id.len() > TOKEN_ID_CHARS_MAX || token_id.chars().any(char::is_control) {
        return Err(bad("jti", "does not have 1 to 128 bytes without control characters"));
    }
    Ok(Identity { subject, role, token_id, expires_at })
}

/// Seconds since 1970 as a time; the limit of year 9999 keeps sums with it in range.
fn moment(claim: &'static str, seconds: u64) -> Result<DateTime<Utc>, TokenError> {
    const SECONDS_MAX: u64 = 253_402_300_799;
    i64::try_from(seconds)
        .ok()
        .filter(|_| seconds <= SECONDS_MAX)
        .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
        .ok_or(TokenError::BadClaim { claim, reason: "is no time before the year 10000" })
}
