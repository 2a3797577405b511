//! Finds variables that look like ours but are not, and the names that were probably meant.

use std::collections::BTreeMap;

use super::env::{self, FILE_SUFFIX, OUR_PREFIXES, PREFIX};
use super::error::Problem;

/// Most edits between a misspelt name and the one that is proposed.
const EDITS_MAX: usize = 3;
/// Names shorter than this resemble too much by chance.
const RESEMBLANCE_CHARS_MIN: usize = 9;

/// Reports unknown names: an unknown `VISIONFLOW__` one is a problem, others with our prefixes are warnings.
pub(super) fn report(
    origin: &str,
    vars: &BTreeMap<String, String>,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<String>,
) {
    for name in vars.iter().filter(|(_, value)| !value.is_empty()).map(|(name, _)| name) {
        if is_known(name) {
            continue;
        }
        if name.starts_with(PREFIX) {
            let names: Vec<String> = env::ROWS.iter().map(env::Row::prefixed_name).collect();
            let hint = nearest(name, names.iter().map(String::as_str))
                .map_or_else(String::new, |near| format!("; did you mean {near}?"));
            problems.push(Problem {
                name: name.clone(),
                key: None,
                value: None,
                origin: origin.to_owned(),
                reason: format!("is not a setting{hint}"),
            });
            continue;
        }
        let near = nearest(name, env::ROWS.iter().filter_map(|row| row.variable));
        if OUR_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
            || (near.is_some() && name.len() >= RESEMBLANCE_CHARS_MIN)
        {
            let hint = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
            warnings.push(format!("{name} ({origin}) is not a setting and has no effect{hint}"));
        }
    }
}

fn is_known(name: &str) -> bool {
    let with_file = |row: &env::Row| {
        row.kind.is_secret()
            && name.strip_suffix(FILE_SUFFIX).is_some_and(|start| row.variable == Some(start))
    };
    env::by_variable(name).is_some()
        || env::ROWS.iter().any(|row| with_file(row) || (row.key != "profile" && row.prefixed_name() == name))
}

/// The name with the fewest edits, if they are few.
pub(super) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names
        .map(|candidate| (edits(name, candidate), candidate))
        .min()
        .filter(|(edits, candidate)| *edits <= EDITS_MAX.min(candidate.len() / 3))
        .map(|(_, candidate)| candidate)
}

/// Edit distance: insertions, deletions and replacements of one character.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        let mut left = i + 1;
        for ((to, above), diagonal) in b.iter().zip(row.iter().skip(1)).zip(row.iter()) {
            left = (left + 1).min(above + 1).min(diagonal + usize::from(from != *to));
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}
