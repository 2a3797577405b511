//! Entity tags: of a row's version, or of the bytes themselves.

use actix_web::http::header::{HeaderMap, IF_NONE_MATCH};

/// The tag of a row that counts its changes.
pub(crate) fn of_version(epoch: u32, version: i64) -> String {
    format!("\"{epoch}.{version}\"")
}

/// The tag of content: FNV-1a over 64 bits and the length. It tells versions apart, it proves nothing.
pub(crate) fn of_bytes(bytes: &[u8]) -> String {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("\"{hash:016x}-{:x}\"", bytes.len())
}

/// Whether the client has this version already: the weak comparison that `If-None-Match` asks for.
pub(crate) fn matches(headers: &HeaderMap, tag: &str) -> bool {
    headers.get_all(IF_NONE_MATCH).filter_map(|value| value.to_str().ok()).any(|value| {
        value.trim() == "*"
            || value.split(',').map(str::trim).any(|one| one.strip_prefix("W/").unwrap_or(one) == tag)
    })
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    #[test]
    fn a_tag_changes_with_the_content() {
        assert_eq!(of_bytes(b"a"), of_bytes(b"a"));
        assert_ne!(of_bytes(b"a"), of_bytes(b"b"));
        assert_ne!(of_bytes(b""), of_bytes(b"\0"));
        assert_ne!(of_version(1, 12), of_version(11, 2));
    }

    #[test]
    fn lists_weak_tags_and_the_star_match() {
        let tag = of_version(1, 2);
        let matching = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_NONE_MATCH, HeaderValue::from_str(value).unwrap());
            matches(&headers, &tag)
        };
        for value in ["\"1.2\"", "W/\"1.2\"", "\"x\", \"1.2\"", "*"] {
            assert!(matching(value), "{value}");
        }
        for value in ["\"1.3\"", "1.2", ""] {
            assert!(!matching(value), "{value}");
        }
        assert!(!matches(&HeaderMap::new(), &tag));
    }
}
