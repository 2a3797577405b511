//! Turns merged text into typed values, noting every problem instead of stopping at the first.

use std::net::IpAddr;
use std::path::PathBuf;

use secrecy::SecretString;

use super::Purpose;
use super::effective::Effective;
use super::env::{self, Kind, Row};
use super::error::Problem;
use super::layers::{DEFAULT, Found, Layers};
use super::values::{DatabaseUrl, McpServer, mask_url, parse_origins};

/// What the guide's `.env` holds where a secret belongs.
const PLACEHOLDER: &str = "<generate-new-secret>";

/// Reads typed values out of the layers.
pub(crate) struct Reader {
    pub(crate) layers: Layers,
    purpose: Purpose,
}

impl Reader {
    pub(crate) fn new(layers: Layers, purpose: Purpose) -> Self {
        Self { layers, purpose }
    }

    /// Where the value of a key came from.
    pub(crate) fn origin(&self, key: &str) -> &str {
        self.layers.found.get(key).map_or(DEFAULT, |found| found.origin.as_str())
    }

    /// Notes a problem with a key, under the name by which it was set.
    pub(crate) fn problem(&mut self, key: &'static str, reason: String) {
        let Some(row) = env::by_key(key) else { return };
        let found = self.layers.found.get(key);
        let problem = Problem {
            name: shown_name(row, found),
            key: Some(row.key),
            value: found.map(|found| mask(row, &found.text)),
            origin: found.map_or_else(String::new, |found| found.origin.clone()),
            reason,
        };
        self.layers.problems.push(problem);
    }

    /// All problems that matter for the purpose.
    pub(crate) fn problems(&mut self) -> Vec<Problem> {
        let purpose = self.purpose;
        let mut problems = std::mem::take(&mut self.layers.problems);
        problems.retain(|problem| {
            problem.key.and_then(env::by_key).is_none_or(|row| purpose.concerns(row.section()))
        });
        problems
    }

    fn get<T>(&mut self, key: &'static str, parse: impl Fn(&Row, &str) -> Result<T, String>) -> Option<T> {
        let row = env::by_key(key)?;
        let text = self.layers.found.get(key).map(|found| found.text.clone());
        let text = text.unwrap_or_else(|| row.default.to_owned());
        if text.is_empty() && row.kind != Kind::Origins {
            return None;
        }
        let parsed = if text.chars().any(|c| c.is_control() || c == char::REPLACEMENT_CHARACTER) {
            Err("has control characters, a line break, or bytes that are not UTF-8".to_owned())
        } else {
            parse(row, &text)
        };
        match parsed {
            Ok(value) => Some(value),
            Err(reason) => {
                self.problem(key, format!("{reason}; allowed: {}", row.allowed()));
                // Only so that the remaining settings can be checked too: a load with problems fails.
                parse(row, row.default).ok()
            }
        }
    }

    pub(crate) fn whole<T: TryFrom<u64> + Default>(&mut self, key: &'static str) -> T {
        let value = self.get(key, |row, text| {
            let value = parse_whole(row, text)?;
            T::try_from(value).map_err(|_error| "is too large for this machine".to_owned())
        });
        value.unwrap_or_default()
    }

    pub(crate) fn millis(&mut self, key: &'static str) -> std::time::Duration {
        std::time::Duration::from_millis(self.whole(key))
    }

    pub(crate) fn flag(&mut self, key: &'static str) -> bool {
        let value = self.get(key, |_, text| match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err("is neither".to_owned()),
        });
        value.unwrap_or(false)
    }

    pub(crate) fn choice(&mut self, key: &'static str) -> &'static str {
        let value = self.get(key, |row, text| {
            let Kind::Choice(words) = row.kind else { return Err("is not a choice".to_owned()) };
            let wanted = text.trim().to_ascii_lowercase();
            words.iter().copied().find(|word| *word == wanted).ok_or_else(|| "is not known".to_owned())
        });
        value.unwrap_or("")
    }

    pub(crate) fn address(&mut self, key: &'static str) -> Option<IpAddr> {
        self.get(key, |_, text| text.trim().parse().map_err(|_error| "is not an IP address".to_owned()))
    }

    pub(crate) fn folder(&mut self, key: &'static str) -> PathBuf {
        self.get(key, |_, text| Ok(PathBuf::from(text))).unwrap_or_default()
    }

    pub(crate) fn text(&mut self, key: &'static str) -> String {
        self.get(key, |_, text| Ok(text.to_owned())).unwrap_or_default()
    }

    pub(crate) fn origins(&mut self, key: &'static str) -> Vec<String> {
        self.get(key, |_, text| parse_origins(text)).unwrap_or_default()
    }

    pub(crate) fn runtime(&mut self, key: &'static str) -> McpServer {
        self.get(key, |_, text| McpServer::parse(text.trim())).unwrap_or(McpServer::Embedded)
    }

    pub(crate) fn database(&mut self, key: &'static str) -> Option<DatabaseUrl> {
        self.get(key, |_, text| DatabaseUrl::parse(text.trim()))
    }

    pub(crate) fn secret(&mut self, key: &'static str) -> Option<SecretString> {
        self.get(key, |row, text| {
            let Kind::Secret { min_bytes } = row.kind else { return Err("is not a secret".to_owned()) };
            if text.trim() == PLACEHOLDER {
                return Err(
                    "still holds the placeholder of the guide; make one with: openssl rand -base64 48"
                        .to_owned(),
                );
            }
            if text.len() < min_bytes {
                return Err(format!("has only {} bytes", text.len()));
            }
            Ok(SecretString::from(text))
        })
    }

    /// Every setting with its value and source, in the order of the table.
    pub(crate) fn effective(&self, describe_unset: impl Fn(&Row) -> Option<String>) -> Vec<Effective> {
        env::ROWS.iter().map(|row| self.effective_row(row, &describe_unset)).collect()
    }

    fn effective_row(
        &self,
        row: &'static Row,
        describe_unset: &impl Fn(&Row) -> Option<String>,
    ) -> Effective {
        let shown = |value: Option<String>, source: &str| Effective {
            variable: row.name(),
            key: row.key,
            value,
            unit: row.unit,
            source: source.to_owned(),
        };
        if row.kind == Kind::Profile {
            return shown(Some(self.layers.profile.as_str().to_owned()), &self.layers.profile_origin);
        }
        match self.layers.found.get(row.key) {
            Some(found) => shown(Some(mask(row, &found.text)), &found.origin),
            None if row.default.is_empty() => shown(describe_unset(row), DEFAULT),
            None => shown(Some(row.default.to_owned()), DEFAULT),
        }
    }
}

fn shown_name(row: &Row, found: Option<&Found>) -> String {
    match found {
        // A key of a file is followed by the variable that could set it.
        Some(found) if found.name == row.key => format!("{} [{}]", row.key, row.name()),
        Some(found) => found.name.clone(),
        None => row.name(),
    }
}

fn mask(row: &Row, text: &str) -> String {
    if row.kind == Kind::Database {
        mask_url(text)
    } else if row.kind.is_secret() {
        "***".to_owned()
    } else {
        text.to_owned()
    }
}

fn parse_whole(row: &Row, text: &str) -> Result<u64, String> {
    let Kind::Whole { min, max, step } = row.kind else { return Err("is not a number".to_owned()) };
    let text = text.trim();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("is not a whole number".to_owned());
    }
    // All digits: what does not fit is too large.
    match text.parse::<u64>() {
        Ok(value) if value < min => Err("is too small".to_owned()),
        Ok(value) if value > max => Err("is too large".to_owned()),
        Ok(value) if value % step != 0 => Err(format!("is not a multiple of {step}")),
        Ok(value) => Ok(value),
        Err(_) => Err("is too large".to_owned()),
    }
}
