//! Reads lifetimes such as `12h`.

use std::time::Duration;

use thiserror::Error;

/// Longest lifetime of a token.
pub const TTL_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// A text that is no lifetime.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "reading lifetime {0:?}: a whole number with s, m, h or d, from 1s to 366d, such as 90s, 30m, 12h or 7d"
)]
pub struct TtlError(pub String);

/// Parses a lifetime: `90s`, `30m`, `12h`, `7d`; from one second to [`TTL_MAX`].
///
/// # Errors
/// [`TtlError`] for anything else.
pub fn parse_ttl(text: &str) -> Result<Duration, TtlError> {
    let refused = || TtlError(text.to_owned());
    let units = [('s', 1), ('m', 60), ('h', 60 * 60), ('d', 24 * 60 * 60)];
    let (digits, unit) = units
        .into_iter()
        .find_map(|(mark, seconds)| Some((text.strip_suffix(mark)?, seconds)))
        .ok_or_else(refused)?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(refused());
    }
    let seconds =
        digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).ok_or_else(refused)?;
    let ttl = Duration::from_secs(seconds);
    if ttl.is_zero() || ttl > TTL_MAX { Err(refused()) } else { Ok(ttl) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_have_a_unit_and_limits() {
        for (text, seconds) in
            [("90s", 90), ("30m", 1_800), ("12h", 43_200), ("7d", 604_800), ("366d", 31_622_400)]
        {
            assert_eq!(parse_ttl(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "h",
            "12",
            "0s",
            "-1h",
            "+1h",
            "1.5h",
            " 1h",
            "1 h",
            "367d",
            "1w",
            "1H",
            "99999999999999999999d",
            "18446744073709551615d",
            "١h",
        ] {
            assert!(parse_ttl(text).is_err(), "{text}");
        }
    }
}
