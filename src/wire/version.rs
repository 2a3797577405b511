//! Which protocol a WebSocket speaks: decided from what the upgrade offers, before any message. Also tells v1 clients apart.
//!
//! The token that a browser may carry in its second subprotocol is taken out here but not checked; `web::auth` does that.

use super::close::CloseCode;
use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::json;

/// The subprotocol of this version; the only one that is ever echoed.
pub const SUBPROTOCOL: &str = "visionflow.v2";
/// Prefix of the subprotocol that carries a token in unpadded base64url.
pub const BEARER_PREFIX: &str = "base64url.bearer.visionflow.";
/// Bytes of a decoded token at most.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;
/// Subprotocols looked at in one upgrade at most; the rest make it refused.
pub const MAX_OFFERED: usize = 16;
/// Bytes of one v1 position record.
const V1_RECORD_BYTES: usize = 28;
/// Bytes of a first text that may still be a v1 request.
const V1_TEXT_MAX: usize = 4096;

/// The outcome of a negotiation.
#[derive(Clone, PartialEq, Eq)]
pub enum Negotiated {
    /// The session speaks v2.
    V2 {
        /// The subprotocol to echo in the 101 answer; `None` when the client did not offer it.
        echo_subprotocol: Option<&'static str>,
        /// A token from the second subprotocol, not yet checked.
        bearer: Option<String>,
    },
    /// The session is accepted only to be told `error`, then closed with `close`.
    Refused {
        /// 4506, or 4501 for a token that cannot be decoded.
        close: CloseCode,
        /// One JSON text: what to change.
        error: String,
    },
}

// By hand, so that a token never reaches a log.
impl std::fmt::Debug for Negotiated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::V2 { echo_subprotocol, bearer } => f
                .debug_struct("V2")
                .field("echo_subprotocol", echo_subprotocol)
                .field("bearer", &bearer.as_ref().map(|_| "…"))
                .finish(),
            Self::Refused { close, error } => {
                f.debug_struct("Refused").field("close", close).field("error", error).finish()
            }
        }
    }
}

/// Decides from the offered subprotocols and the raw query string of the upgrade.
///
/// Nothing offered is v2. `visionflow.v2` wins over others offered beside it, but not over a query that asks for another
/// version: such a client contradicts itself.
#[must_use]
pub fn negotiate(offered: &[&str], query: &str) -> Negotiated {
    if offered.len() > MAX_OFFERED {
        return refuse_version(&format!("{} subprotocols", offered.len()));
    }
    if let Some(asked) = query_version(query)
        && !matches!(asked, "2" | "v2" | "2.0")
    {
        return refuse_version(&format!("version {} in the query", clip(asked)));
    }
    let mut bearer = None;
    for token in offered.iter().filter_map(|offer| offer.trim().strip_prefix(BEARER_PREFIX)) {
        match decode_token(token) {
            Ok(decoded) if bearer.is_none() => bearer = Some(decoded),
            Ok(_) => return refuse_token("more than one token is offered"),
            Err(what) => return refuse_token(what),
        }
    }
    let named = || offered.iter().map(|offer| offer.trim()).filter(|offer| !offer.starts_with(BEARER_PREFIX));
    if named().any(|offer| offer == SUBPROTOCOL) {
        return Negotiated::V2 { echo_subprotocol: Some(SUBPROTOCOL), bearer };
    }
    match named().find(|offer| !offer.is_empty()) {
        Some(other) => refuse_version(&format!("subprotocol {}", clip(other))),
        None => Negotiated::V2 { echo_subprotocol: None, bearer },
    }
}

/// Tells whether the first text of a session is that of a v1 client: `requestInitialData` and its kin, bare or as `type`.
#[must_use]
pub fn is_v1_text(text: &str) -> bool {
    let text = text.trim();
    if text.len() > V1_TEXT_MAX {
        return false;
    }
    if is_v1_name(text.trim_matches('"')) {
        return true;
    }
    let Ok(value) = serde_json::from_str::<serde_json::Value>(text) else { return false };
    value.get("type").and_then(serde_json::Value::as_str).is_some_and(is_v1_name)
}

/// Tells whether a binary message of this length can be v1 position records. v2 clients send no binary at all.
#[must_use]
pub const fn is_v1_binary(len: usize) -> bool {
    len > 0 && len.is_multiple_of(V1_RECORD_BYTES)
}

/// Gives the one JSON text for a client that turned out to be v1 after the upgrade; close 4506 follows.
#[must_use]
pub fn v1_error() -> String {
    version_error("a message of protocol v1")
}

fn is_v1_name(name: &str) -> bool {
    const EXACT: [&str; 4] =
        ["enableRandomization", "subscribe_position_updates", "requestInitialData", "startPositionUpdates"];
    let request = name.strip_prefix("request").is_some_and(|rest| {
        rest.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
            && rest.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    });
    request || EXACT.contains(&name)
}

fn query_version(query: &str) -> Option<&str> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find_map(|(key, value)| matches!(key, "protocol" | "v").then_some(value))
}

fn decode_token(encoded: &str) -> Result<String, &'static str> {
    // Checked before decoding: base64 needs four characters for three bytes.
    if encoded.len() > MAX_TOKEN_BYTES.div_ceil(3) * 4 {
        return Err("the token is longer than 8 KiB");
    }
    let engine = if encoded.ends_with('=') { URL_SAFE } else { URL_SAFE_NO_PAD };
    let bytes = engine.decode(encoded).map_err(|_bad| "the token is not base64url")?;
    let token = String::from_utf8(bytes).map_err(|_bad| "the token is not UTF-8")?;
    if token.is_empty() { Err("the token is empty") } else { Ok(token) }
}

fn refuse_version(got: &str) -> Negotiated {
    Negotiated::Refused { close: CloseCode::ProtocolVersion, error: version_error(got) }
}

fn version_error(got: &str) -> String {
    json!({
        "type": "error",
        "code": CloseCode::ProtocolVersion.reason(),
        "message": format!(
            "this server speaks visionflow.v2 but got {got}; open the socket with no subprotocol or with \"{SUBPROTOCOL}\" \
             (or ?protocol=2), read JSON control messages from text frames and positions from binary frames"
        ),
        "allowed": [SUBPROTOCOL],
    })
    .to_string()
}

fn refuse_token(what: &str) -> Negotiated {
    let error = json!({
        "type": "error",
        "code": CloseCode::InvalidToken.reason(),
        "message": format!("{what}; offer \"{BEARER_PREFIX}\" followed by the token in unpadded base64url, once"),
    });
    Negotiated::Refused { close: CloseCode::InvalidToken, error: error.to_string() }
}

fn clip(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(echo: bool, token: Option<&str>) -> Negotiated {
        Negotiated::V2 { echo_subprotocol: echo.then_some(SUBPROTOCOL), bearer: token.map(str::to_owned) }
    }

    fn close_of(negotiated: Negotiated) -> CloseCode {
        match negotiated {
            Negotiated::Refused { close, error } => {
                let value: serde_json::Value = serde_json::from_str(&error).unwrap();
                assert_eq!(value["type"], "error");
                assert_eq!(value["code"], close.reason());
                close
            }
            Negotiated::V2 { .. } => panic!("accepted"),
        }
    }

    #[test]
    fn clients_of_this_version_are_accepted() {
        let bearer = format!("{BEARER_PREFIX}{}", URL_SAFE_NO_PAD.encode("a.b.c"));
        assert_eq!(negotiate(&[], ""), v2(false, None));
        assert_eq!(negotiate(&[], "ticket=x&protocol=2"), v2(false, None));
        assert_eq!(negotiate(&[], "v=v2"), v2(false, None));
        assert_eq!(negotiate(&["visionflow.v2"], ""), v2(true, None));
        assert_eq!(negotiate(&["visionflow.v1", " visionflow.v2"], ""), v2(true, None));
        assert_eq!(negotiate(&["visionflow.v2", &bearer], ""), v2(true, Some("a.b.c")));
        assert_eq!(negotiate(&[&bearer], ""), v2(false, Some("a.b.c")));
    }

    #[test]
    fn others_are_told_what_to_change() {
        for offered in ["visionflow.v1", "visionflow.v3", "graphql-ws"] {
            assert_eq!(close_of(negotiate(&[offered], "")), CloseCode::ProtocolVersion);
        }
        assert_eq!(close_of(negotiate(&["visionflow.v2"], "protocol=1")), CloseCode::ProtocolVersion);
        assert_eq!(close_of(negotiate(&[], "v=")), CloseCode::ProtocolVersion);
        assert_eq!(close_of(negotiate(&["x"; 17], "")), CloseCode::ProtocolVersion);
        assert_eq!(CloseCode::ProtocolVersion.number(), 4506);
    }

    #[test]
    fn bad_tokens_are_refused_without_being_shown() {
        let long = format!("{BEARER_PREFIX}{}", "A".repeat(12_000));
        let one = format!("{BEARER_PREFIX}YQ");
        for offered in [&["visionflow.v2", &long][..], &[BEARER_PREFIX], &[&one, &one]] {
            assert_eq!(close_of(negotiate(offered, "")), CloseCode::InvalidToken);
        }
        let bad = format!("{BEARER_PREFIX}!!secret");
        let refused = negotiate(&[&bad], "");
        assert!(!format!("{refused:?}").contains("secret"));
        let held = negotiate(&[&one], "");
        assert_eq!(format!("{held:?}"), "V2 { echo_subprotocol: None, bearer: Some(\"…\") }");
    }

    #[test]
    fn v1_clients_are_known_by_what_they_say() {
        for text in [
            "requestInitialData",
            r#"{"type":"requestInitialData"}"#,
            r#" {"type":"requestBotsGraph","x":1} "#,
            r#"{"type":"subscribe_position_updates","data":{"interval":60}}"#,
        ] {
            assert!(is_v1_text(text), "{text}");
        }
        for text in
            ["", "{", "ping", r#"{"type":"ping"}"#, r#"{"type":"subscribe"}"#, "requested something", "null"]
        {
            assert!(!is_v1_text(text), "{text}");
        }
        assert!(is_v1_binary(28) && is_v1_binary(280));
        assert!(!is_v1_binary(0) && !is_v1_binary(40));
        assert!(v1_error().contains("visionflow.v2"));
    }
}
