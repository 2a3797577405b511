//! The effective settings, as `visionflow config` prints them: secrets masked, each with its source.

use std::fmt::Write as _;

use serde::Serialize;

/// One setting as it applies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Effective {
    /// The variable that sets it.
    pub variable: String,
    /// Its key in the files.
    pub key: &'static str,
    /// Its value, masked if secret; none if it is unset.
    pub value: Option<String>,
    /// Unit of a number; empty if it has none.
    pub unit: &'static str,
    /// Where the value came from: `default`, a file, `.env`, `environment` or `command line`.
    pub source: String,
}

/// Renders a table for people: variable, value with unit, source.
#[must_use]
pub fn render_text(rows: &[Effective]) -> String {
    let cells: Vec<(&str, String, &str)> = rows
        .iter()
        .map(|row| {
            let value = match (&row.value, row.unit) {
                (None, _) => "(unset)".to_owned(),
                (Some(value), "") => value.clone(),
                (Some(value), unit) => format!("{value} {unit}"),
            };
            (row.variable.as_str(), value, row.source.as_str())
        })
        .collect();
    let names = cells.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or(0);
    let values = cells.iter().map(|(_, value, _)| value.chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    for (name, value, source) in cells {
        // Writing to a String cannot fail.
        if writeln!(out, "{name:<names$}  {value:<values$}  {source}").is_err() {
            break;
        }
    }
    out
}

/// Renders a JSON array with one object for each setting.
///
/// # Errors
/// Never in practice: the rows are plain text.
pub fn render_json(rows: &[Effective]) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(rows)
}
