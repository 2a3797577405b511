//! Finds the token in a request: the `Authorization` header, or a WebSocket subprotocol.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::error::TokenError;
use super::verify::TOKEN_BYTES_MAX;

/// Starts the subprotocol that carries a token; the token follows in base64url without padding. The
/// server never echoes it.
pub const SUBPROTOCOL_PREFIX: &str = "base64url.bearer.visionflow.";

/// The token of an `Authorization` header.
///
/// # Errors
/// [`TokenError::Missing`] without a header or with another scheme, [`TokenError::Malformed`] if something
/// other than one token follows `Bearer`.
pub fn from_authorization(header: Option<&str>) -> Result<&str, TokenError> {
    let header = header.ok_or(TokenError::Missing)?.trim_matches(' ');
    let (scheme, token) = header.split_once(' ').unwrap_or((header, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(TokenError::Missing);
    }
    let token = token.trim_matches(' ');
    if token.is_empty() {
        return Err(TokenError::Missing);
    }
    if token.contains(char::is_whitespace) {
        return Err(TokenError::Malformed("there is a blank within it"));
    }
    Ok(token)
}

/// The token among the values of `Sec-WebSocket-Protocol`, if one of them carries one.
///
/// # Errors
/// [`TokenError::Malformed`] if it is not base64url of text or comes twice, [`TokenError::TooLarge`] if it
/// is longer than a token.
pub fn from_subprotocols<'a>(
    offered: impl IntoIterator<Item = &'a str>,
) -> Result<Option<String>, TokenError> {
    let mut carried = offered.into_iter().filter_map(|one| one.trim().strip_prefix(SUBPROTOCOL_PREFIX));
    let Some(encoded) = carried.next() else { return Ok(None) };
    if carried.next().is_some() {
        return Err(TokenError::Malformed("it was offered twice"));
    }
    // Base64 makes 4 characters of 3 bytes.
    if encoded.len() > TOKEN_BYTES_MAX / 3 * 4 + 4 {
        return Err(TokenError::TooLarge { max: TOKEN_BYTES_MAX });
    }
    let not_text = TokenError::Malformed("its subprotocol is not base64url of text");
    let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_error| not_text.clone())?;
    String::from_utf8(bytes).map(Some).map_err(|_error| not_text)
}
