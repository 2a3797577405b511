//! Pages of lists: `limit` and `cursor` of a query, and the cursors that answers give.
//!
//! A cursor is the key of the last entry of a page, marked with the list that it belongs to, so it neither
//! repeats nor skips entries while others come and go. Clients treat it as opaque.

use std::fmt::Display;
use std::str::FromStr;

use actix_web::web::Query;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::error::Code;
use super::limits::{CURSOR_CHARS_MAX, PAGE_DEFAULT, PAGE_MAX};
use super::problem::{ApiError, FieldError, echo};

/// The parameters of a query, each at most once.
#[derive(Debug)]
pub(crate) struct Params {
    pairs: Vec<(String, String)>,
    known: Vec<&'static str>,
}

impl Params {
    /// Takes the text after the `?`.
    ///
    /// # Errors
    /// [`Code::InvalidQuery`] when it can't be decoded.
    pub(crate) fn parse(query: &str) -> Result<Self, ApiError> {
        let pairs = Query::<Vec<(String, String)>>::from_query(query)
            .map_err(|_error| ApiError::new(Code::InvalidQuery).detail("the query can't be decoded"))?;
        Ok(Self { pairs: pairs.into_inner(), known: Vec::new() })
    }

    /// The value of a parameter.
    pub(crate) fn take(&mut self, name: &'static str) -> Option<String> {
        self.known.push(name);
        let at = self.pairs.iter().position(|(key, _)| key == name)?;
        Some(self.pairs.remove(at).1)
    }

    /// Refuses what was not asked for, or came twice.
    ///
    /// # Errors
    /// [`Code::InvalidQuery`].
    pub(crate) fn finish(self) -> Result<(), ApiError> {
        let Some((name, _)) = self.pairs.first() else { return Ok(()) };
        let known = if self.known.is_empty() { "none".to_owned() } else { self.known.join(", ") };
        let short = echo(name);
        Err(if self.known.contains(&name.as_str()) {
            refused(&short, format!("the parameter {short} occurs twice"))
        } else {
            refused(&short, format!("unknown parameter {short:?}; known: {known}"))
        })
    }
}

/// A parameter that is wrong.
pub(crate) fn refused(name: &str, detail: String) -> ApiError {
    ApiError::fields(vec![FieldError {
        pointer: format!("?{name}"),
        code: Code::InvalidQuery,
        detail,
        allowed: Vec::new(),
    }])
}

/// Which page of a list is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page<K> {
    /// Most entries, at least 1.
    pub(crate) limit: usize,
    /// Key of the last entry of the page before.
    pub(crate) after: Option<K>,
}

impl<K: FromStr + Display> Page<K> {
    /// Takes `limit` and `cursor` of a list called `list`.
    ///
    /// # Errors
    /// [`Code::InvalidQuery`] and [`Code::InvalidCursor`].
    pub(crate) fn take(params: &mut Params, list: &str) -> Result<Self, ApiError> {
        Self::take_within(params, list, PAGE_DEFAULT, PAGE_MAX)
    }

    /// As [`Page::take`], with another default and maximum.
    pub(crate) fn take_within(
        params: &mut Params,
        list: &str,
        default: usize,
        max: usize,
    ) -> Result<Self, ApiError> {
        let limit = match params.take("limit") {
            None => default,
            Some(text) => text.parse().ok().filter(|limit| (1..=max).contains(limit)).ok_or_else(|| {
                refused(
                    "limit",
                    format!("limit is {:?}; allowed: a whole number from 1 to {max}", echo(&text)),
                )
            })?,
        };
        let after = params.take("cursor").map(|text| decode(list, &text)).transpose()?;
        Ok(Self { limit, after })
    }

    /// Cuts `found`, which has up to one entry more than the page, and gives the cursor of the next one.
    pub(crate) fn cut<T>(&self, list: &str, found: &mut Vec<T>, key: impl Fn(&T) -> K) -> Option<String> {
        if found.len() <= self.limit {
            return None;
        }
        found.truncate(self.limit);
        found.last().map(|last| encode(list, &key(last)))
    }
}

/// The cursor of an entry.
pub(crate) fn encode(list: &str, key: &impl Display) -> String {
    URL_SAFE_NO_PAD.encode(format!("{list}:{key}"))
}

fn decode<K: FromStr>(list: &str, text: &str) -> Result<K, ApiError> {
    let invalid = || ApiError::new(Code::InvalidCursor);
    if text.len() > CURSOR_CHARS_MAX {
        return Err(invalid());
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_error| invalid())?;
    let plain = String::from_utf8(bytes).map_err(|_error| invalid())?;
    let key = plain.strip_prefix(list).and_then(|rest| rest.strip_prefix(':')).ok_or_else(invalid)?;
    key.parse().map_err(|_error| invalid())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::SwarmId;

    fn page(query: &str) -> Result<Page<u32>, ApiError> {
        let mut params = Params::parse(query)?;
        let page = Page::take(&mut params, "agents")?;
        params.finish()?;
        Ok(page)
    }

    #[test]
    fn pages_walk_a_list_without_repeating_or_skipping() {
        let all: Vec<u32> = (0..23).collect();
        let mut seen = Vec::new();
        let mut query = "limit=5".to_owned();
        for _ in 0..10 {
            let page = page(&query).unwrap();
            let after = page.after;
            let rest = all.iter().copied().filter(|n| after.is_none_or(|after| *n > after));
            let mut found: Vec<u32> = rest.take(page.limit + 1).collect();
            let next = page.cut("agents", &mut found, |n| *n);
            seen.extend(found);
            match next {
                Some(cursor) => query = format!("limit=5&cursor={cursor}"),
                None => break,
            }
        }
        assert_eq!(seen, all);
    }

    #[test]
    fn a_cursor_belongs_to_its_list() {
        let id = SwarmId(uuid::Uuid::from_u128(7));
        let cursor = encode("swarms", &id);
        assert_eq!(decode::<SwarmId>("swarms", &cursor).unwrap(), id);
        for (list, text) in
            [("tasks", cursor.as_str()), ("swarms", "!!"), ("swarms", ""), ("swarms", "c3dhcm1zOng")]
        {
            assert_eq!(decode::<SwarmId>(list, text).unwrap_err().code(), Code::InvalidCursor);
        }
        assert!(decode::<SwarmId>("swarms", &"A".repeat(10_000)).is_err());
    }

    #[test]
    fn limits_and_unknown_parameters_are_refused() {
        assert_eq!(page("").unwrap(), Page { limit: PAGE_DEFAULT, after: None });
        assert_eq!(page("limit=200").unwrap().limit, 200);
        for query in
            ["limit=0", "limit=201", "limit=-1", "limit=x", "limit=", "limit=5&limit=6", "page=2", "limit"]
        {
            assert_eq!(page(query).unwrap_err().code(), Code::InvalidQuery, "{query}");
        }
        assert_eq!(page("cursor=x").unwrap_err().code(), Code::InvalidCursor);
    }
}
