//! The claims and header of an access token, as they are on the wire.
//!
//! serde refuses a claim that occurs twice and a number that is text, negative or has a fraction.

use serde::{Deserialize, Deserializer, Serialize};

use super::role::Role;

/// Who issues: the only value of `iss`.
pub const ISSUER: &str = "visionflow";
/// For whom: a value that `aud` must have or contain.
pub const AUDIENCE: &str = "visionflow";
/// The only value of the header's `typ`, so that no token made for something else passes.
pub const TOKEN_TYPE: &str = "vf-access+jwt";
/// Longest subject, in characters.
pub const SUBJECT_CHARS_MAX: usize = 128;
/// Longest token id, in characters.
pub(crate) const TOKEN_ID_CHARS_MAX: usize = 128;

/// What an access token says. Times are whole seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Claims {
    /// Who issued it.
    pub iss: String,
    /// For whom it is.
    pub aud: String,
    /// Whose it is.
    pub sub: String,
    /// What the holder may do.
    pub role: Role,
    /// Names the token.
    pub jti: String,
    /// When it was issued.
    pub iat: u64,
    /// From when on it is good.
    pub nbf: u64,
    /// Until when it is good.
    pub exp: u64,
}

/// Claims as they arrive: everything that must be there is an option, so that a refusal can name it.
#[derive(Debug, Deserialize)]
pub(crate) struct RawClaims {
    pub(crate) iss: Option<String>,
    pub(crate) aud: Option<Audience>,
    pub(crate) sub: Option<String>,
    pub(crate) role: Option<String>,
    pub(crate) jti: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) iat: Option<u64>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) nbf: Option<u64>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) exp: Option<u64>,
}

/// One audience or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    pub(crate) fn includes(&self, audience: &str) -> bool {
        match self {
            Self::One(one) => one == audience,
            Self::Many(many) => many.iter().any(|one| one == audience),
        }
    }
}

/// A header as it arrives: what we use, and what must not be there.
#[derive(Debug, Deserialize)]
pub(crate) struct RawHeader {
    pub(crate) alg: Option<String>,
    pub(crate) typ: Option<String>,
    pub(crate) kid: Option<String>,
    #[serde(default, deserialize_with = "any")]
    pub(crate) crit: bool,
    #[serde(default, deserialize_with = "any")]
    pub(crate) b64: bool,
    #[serde(default, deserialize_with = "any")]
    pub(crate) jku: bool,
    #[serde(default, deserialize_with = "any")]
    pub(crate) jwk: bool,
    #[serde(default, deserialize_with = "any")]
    pub(crate) x5u: bool,
    #[serde(default, deserialize_with = "any")]
    pub(crate) x5c: bool,
    #[serde(default, deserialize_with = "any")]
    pub(crate) x5t: bool,
    #[serde(default, rename = "x5t#S256", deserialize_with = "any")]
    pub(crate) x5t_s256: bool,
    #[serde(default, deserialize_with = "any")]
    pub(crate) enc: bool,
    #[serde(default, deserialize_with = "any")]
    pub(crate) zip: bool,
}

/// True for a member that is there, whatever its value.
fn any<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    serde::de::IgnoredAny::deserialize(deserializer).map(|_| true)
}

/// A number that is there is a number: `null` is not the same as missing.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    u64::deserialize(deserializer).map(Some)
}

/// True if `text` is fit to be a subject.
pub(crate) fn is_subject(text: &str) -> bool {
    let chars = text.chars().take(SUBJECT_CHARS_MAX + 1).count();
    (1..=SUBJECT_CHARS_MAX).contains(&chars) && !text.trim().is_empty() && !text.chars().any(char::is_control)
}
