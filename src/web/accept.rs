//! The two headers that speak of media types: `Accept` and `Content-Type`.

use actix_web::http::header::{ACCEPT, CONTENT_TYPE, HeaderMap};

/// Whether the client takes JSON: it does unless its `Accept` excludes it.
pub(crate) fn accepts_json(headers: &HeaderMap) -> bool {
    let mut any = false;
    for value in headers.get_all(ACCEPT) {
        let Ok(value) = value.to_str() else { continue };
        for range in value.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            if media.is_empty() {
                continue;
            }
            any = true;
            let refused = parts.any(is_quality_zero);
            let fits = ["*/*", "application/*", "application/json", "application/problem+json"];
            if !refused && fits.iter().any(|fit| media.eq_ignore_ascii_case(fit)) {
                return true;
            }
        }
    }
    !any
}

fn is_quality_zero(parameter: &str) -> bool {
    let quality = parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q="));
    quality.is_some_and(|number| number.starts_with('0') && number.chars().all(|c| matches!(c, '0' | '.')))
}

/// Whether the body is said to be JSON in UTF-8.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let Some(Ok(value)) = headers.get(CONTENT_TYPE).map(|value| value.to_str()) else { return false };
    let mut parts = value.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default().to_ascii_lowercase();
    let subtype = media.strip_prefix("application/").unwrap_or_default();
    let json = subtype == "json" || subtype.ends_with("+json");
    let charset_fits = parts.all(|parameter| match parameter.split_once('=') {
        Some((name, value)) if name.eq_ignore_ascii_case("charset") => {
            value.trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    });
    json && charset_fits
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    fn with(name: HeaderName, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(value).unwrap());
        headers
    }

    #[test]
    fn json_is_acceptable_unless_excluded() {
        assert!(accepts_json(&HeaderMap::new()));
        for value in
            ["*/*", "application/json", "text/html, */*;q=0.1", "application/*", "", "APPLICATION/JSON;q=1"]
        {
            assert!(accepts_json(&with(ACCEPT, value)), "{value}");
        }
        for value in ["text/html", "application/xml, text/*", "application/json;q=0", "*/*; q=0.000"] {
            assert!(!accepts_json(&with(ACCEPT, value)), "{value}");
        }
    }

    #[test]
    fn only_json_in_utf_8_is_a_json_body() {
        for value in [
            "application/json",
            "application/json; charset=utf-8",
            "Application/JSON;charset=\"UTF-8\"",
            "application/merge-patch+json",
        ] {
            assert!(is_json(&with(CONTENT_TYPE, value)), "{value}");
        }
        for value in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/json; charset=latin1",
            "text/json",
            "",
        ] {
            assert!(!is_json(&with(CONTENT_TYPE, value)), "{value}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
