//! Reads `.env` into a map; the process environment stays as it is.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use super::error::Problem;

/// Reads `.env` without touching the process environment; a missing file is an empty one.
pub(super) fn read(path: &Path, problems: &mut Vec<Problem>) -> BTreeMap<String, String> {
    let mut vars = BTreeMap::new();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return vars,
        Err(error) => {
            problems.push(Problem::of_file(".env", format!("cannot be read: {error}")));
            return vars;
        }
    };
    let text = text.trim_start_matches('\u{feff}');
    for line in dotenvy::from_read_iter(text.as_bytes()) {
        match line {
            Ok((name, value)) => {
                vars.insert(name, value);
            }
            Err(dotenvy::Error::LineParse(part, _)) => problems.push(unparsed_line(text, &part)),
            Err(error) => {
                problems.push(Problem::of_file(".env", format!("cannot be read: {error}")));
                break;
            }
        }
    }
    vars
}

/// Says which line of `.env` is wrong; it may hold a secret, so only its number and its name are shown.
fn unparsed_line(text: &str, part: &str) -> Problem {
    let found = text.lines().zip(1..).find(|(line, _)| line.contains(part.trim()));
    let place = found.map_or_else(String::new, |(_, number)| format!(" line {number}"));
    let name = found.and_then(|(line, _)| line.split_once('=')).map_or("a line", |(name, _)| name.trim());
    Problem {
        name: name.to_owned(),
        key: None,
        value: None,
        origin: format!(".env{place}"),
        reason: "cannot be parsed; write NAME=value, with single quotes around a value that has blanks"
            .to_owned(),
    }
}
