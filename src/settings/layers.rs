//! Collects the layers: embedded defaults, files, `.env`, environment, command line; later wins.
//!
//! Values stay text here, each with where it came from; their meaning is `read.rs`'s business. Nothing in
//! this file looks at the process environment: variables are handed in.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use config::{Config, ConfigError, FileFormat, Map, Source, Value, ValueKind};

use super::env::{self, Kind, Row};
use super::error::Problem;
use super::values::Profile;
use super::{dotenv, unknown};

const DEFAULT_TOML: &str = include_str!("../../config/default.toml");
const PRODUCTION_TOML: &str = include_str!("../../config/production.toml");
const TEST_TOML: &str = include_str!("../../config/test.toml");

/// Longest file that a `*_FILE` variable may name, in bytes.
const SECRET_FILE_BYTES_MAX: u64 = 64 * 1024;
/// Origin of a value that comes with the program.
pub(crate) const DEFAULT: &str = "default";

/// A value and where it came from.
#[derive(Clone)]
pub(crate) struct Found {
    pub(crate) text: String,
    /// Such as `default`, `config/production.toml`, `.env`, `environment`.
    pub(crate) origin: String,
    /// As the user spelled it: a variable, or a key of a file.
    pub(crate) name: String,
}

/// All layers, merged.
pub(crate) struct Layers {
    pub(crate) profile: Profile,
    pub(crate) profile_origin: String,
    pub(crate) found: BTreeMap<String, Found>,
    pub(crate) problems: Vec<Problem>,
    pub(crate) warnings: Vec<String>,
}

/// What the layers are made of.
pub(crate) struct Parts<'a> {
    pub(crate) dir: &'a Path,
    pub(crate) vars: &'a BTreeMap<String, String>,
    pub(crate) flags: &'a BTreeMap<String, String>,
    pub(crate) profile: Option<&'a str>,
}

/// Reads all files and merges everything. Blocks on the disk.
pub(crate) fn collect(parts: &Parts<'_>) -> Layers {
    let mut problems = Vec::new();
    let mut warnings = Vec::new();
    let dotenv = dotenv::read(&parts.dir.join(".env"), &mut problems);
    let (profile, profile_origin) = choose_profile(parts, &dotenv, &mut problems);
    let mut stack = file_layers(parts.dir, &profile, &mut problems);
    for (origin, vars) in [(".env", &dotenv), ("environment", parts.vars)] {
        stack.push(variable_layer(origin, vars, parts.dir, &mut problems));
        unknown::report(origin, vars, &mut problems, &mut warnings);
    }
    stack.push(flag_layer(parts.flags, &mut problems));
    let found = merge(stack, &mut problems);
    Layers { profile, profile_origin, found, problems, warnings }
}

fn choose_profile(
    parts: &Parts<'_>,
    dotenv: &BTreeMap<String, String>,
    problems: &mut Vec<Problem>,
) -> (Profile, String) {
    let candidates = [
        (parts.profile, "command line"),
        (parts.vars.get("APP_ENV").map(String::as_str), "environment"),
        (dotenv.get("APP_ENV").map(String::as_str), ".env"),
    ];
    let chosen = candidates.into_iter().find_map(|(text, origin)| {
        text.map(str::trim).filter(|text| !text.is_empty()).map(|text| (text.to_owned(), origin))
    });
    let Some((text, origin)) = chosen else { return (Profile::Development, DEFAULT.to_owned()) };
    match Profile::parse(&text) {
        Ok(profile) => (profile, origin.to_owned()),
        Err(reason) => {
            problems.push(Problem {
                name: "APP_ENV".to_owned(),
                key: Some("profile"),
                value: Some(text),
                origin: origin.to_owned(),
                reason: format!("{reason}; allowed: {}", Kind::Profile.allowed("")),
            });
            // The strictest one, so that nothing is guessed for a deployment whose profile is unknown.
            (Profile::Production, DEFAULT.to_owned())
        }
    }
}

/// The embedded files and the ones on disk that cover them.
fn file_layers(dir: &Path, profile: &Profile, problems: &mut Vec<Problem>) -> Vec<Layer> {
    let embedded_profile = match profile {
        Profile::Production => Some(PRODUCTION_TOML),
        Profile::Test => Some(TEST_TOML),
        Profile::Development | Profile::Other(_) => None,
    };
    let mut stack = vec![parse_toml(DEFAULT, DEFAULT_TOML, problems)];
    stack.extend(disk_layer(dir, "config/default.toml", Some(DEFAULT_TOML), problems));
    if let Some(text) = embedded_profile {
        stack.push(parse_toml(&profile_origin(profile), text, problems));
    }
    let name = format!("config/{}.toml", profile.as_str());
    let layer = disk_layer(dir, &name, embedded_profile, problems);
    if layer.is_none() && matches!(profile, Profile::Other(_)) && !dir.join(&name).exists() {
        problems.push(Problem {
            name: "APP_ENV".to_owned(),
            key: Some("profile"),
            value: Some(profile.as_str().to_owned()),
            origin: String::new(),
            reason: format!("has no file {name}; allowed: {}", Kind::Profile.allowed("")),
        });
    }
    stack.extend(layer);
    stack
}

/// Origin of a value that comes with the program for a profile.
pub(crate) fn profile_origin(profile: &Profile) -> String {
    format!("default of {}", profile.as_str())
}

/// A file on disk, unless it says the same as the embedded one.
fn disk_layer(dir: &Path, name: &str, embedded: Option<&str>, problems: &mut Vec<Problem>) -> Option<Layer> {
    match std::fs::read_to_string(dir.join(name)) {
        Ok(text) if Some(text.as_str()) == embedded => None,
        Ok(text) => Some(parse_toml(name, &text, problems)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            problems.push(Problem::of_file(name, format!("cannot be read: {error}")));
            None
        }
    }
}

fn parse_toml(origin: &str, text: &str, problems: &mut Vec<Problem>) -> Layer {
    let parsed = Config::builder()
        .add_source(config::File::from_str(text, FileFormat::Toml))
        .build()
        .and_then(|config| config.collect());
    let mut layer = Layer::default();
    match parsed {
        Ok(table) => {
            let mut leaves = BTreeMap::new();
            flatten("", table, &mut leaves);
            for (key, kind) in leaves {
                layer.take_leaf(origin, &key, kind, problems);
            }
        }
        // A message of the parser quotes the line at fault, which may hold a secret: its first line says where.
        Err(error) => {
            let text = error.to_string();
            let place = text.lines().next().unwrap_or("").trim();
            problems.push(Problem::of_file(origin, format!("is not TOML: {place}")));
        }
    }
    layer
}

fn flatten(prefix: &str, table: Map<String, Value>, out: &mut BTreeMap<String, ValueKind>) {
    let sorted: BTreeMap<String, Value> = table.into_iter().collect();
    for (name, value) in sorted {
        let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        if let ValueKind::Table(table) = value.kind {
            flatten(&key, table, out);
        } else {
            out.insert(key, value.kind);
        }
    }
}

/// A layer that the `config` crate merges.
#[derive(Clone, Default)]
struct Layer {
    values: BTreeMap<String, Value>,
}

impl Layer {
    fn put(&mut self, row: &Row, origin: &str, name: &str, text: String) {
        // `config` carries one text of origin: ours holds two, split again after the merge.
        let tag = format!("{origin}{TAG}{name}");
        self.values.insert(row.key.to_owned(), Value::new(Some(&tag), text));
    }

    fn take_leaf(&mut self, origin: &str, key: &str, kind: ValueKind, problems: &mut Vec<Problem>) {
        let Some(row) = env::by_key(key).filter(|row| row.kind != Kind::Profile) else {
            let hint = unknown::nearest(key, env::ROWS.iter().map(|row| row.key))
                .map_or_else(String::new, |near| format!("; did you mean {near}?"));
            problems.push(Problem {
                name: key.to_owned(),
                key: None,
                value: None,
                origin: origin.to_owned(),
                reason: format!("is not a setting{hint}"),
            });
            return;
        };
        match leaf_text(row, kind) {
            // Empty is unset; an empty list of origins is a list that allows nobody.
            Ok(text) if text.is_empty() && row.kind != Kind::Origins => {}
            Ok(text) => self.put(row, origin, key, text),
            Err(reason) => problems.push(Problem {
                name: key.to_owned(),
                key: Some(row.key),
                value: None,
                origin: origin.to_owned(),
                reason: format!("{reason}; allowed: {}", row.allowed()),
            }),
        }
    }
}

const TAG: char = '\u{1f}';

/// Text of a TOML value, so that files and variables are read by the same rules.
fn leaf_text(row: &Row, kind: ValueKind) -> Result<String, &'static str> {
    match kind {
        ValueKind::Array(items) if row.kind == Kind::Origins => {
            let texts: Result<Vec<String>, _> = items.into_iter().map(Value::into_string).collect();
            texts.map(|texts| texts.join(",")).map_err(|_error: ConfigError| "has an item that is no text")
        }
        ValueKind::Array(_) => Err("is a list"),
        ValueKind::Table(_) => Err("is a section"),
        ValueKind::Nil => Ok(String::new()),
        ValueKind::String(text) => Ok(text),
        kind @ (ValueKind::Boolean(_)
        | ValueKind::I64(_)
        | ValueKind::I128(_)
        | ValueKind::U64(_)
        | ValueKind::U128(_)
        | ValueKind::Float(_)) => Ok(kind.to_string()),
    }
}

impl fmt::Debug for Layer {
    // Values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layer").field("keys", &self.values.keys()).finish()
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.values.clone().into_iter().collect())
    }
}

fn variable_layer(
    origin: &str,
    vars: &BTreeMap<String, String>,
    dir: &Path,
    problems: &mut Vec<Problem>,
) -> Layer {
    let mut layer = Layer::default();
    for row in env::ROWS.iter().filter(|row| row.kind != Kind::Profile) {
        let mut names = vec![row.prefixed_name()];
        names.extend(row.variable.map(str::to_owned));
        // An empty variable counts as unset: compose files turn a missing ${X} into one.
        let mut found: Vec<(String, String)> = names
            .into_iter()
            .filter_map(|name| {
                vars.get(&name).filter(|text| !text.is_empty()).map(|text| (name, text.clone()))
            })
            .collect();
        found.extend(from_secret_file(row, origin, vars, dir, problems));
        if let Some(((first, text), others)) = found.split_first() {
            if let Some((other, _)) = others.iter().find(|(_, other)| other != text) {
                problems.push(Problem {
                    name: first.clone(),
                    key: Some(row.key),
                    value: None,
                    origin: origin.to_owned(),
                    reason: format!("is set to another value by {other}; set one of the two"),
                });
            }
            layer.put(row, origin, first, text.clone());
        }
    }
    layer
}

/// The value of a secret whose variable ends in `_FILE`.
fn from_secret_file(
    row: &Row,
    origin: &str,
    vars: &BTreeMap<String, String>,
    dir: &Path,
    problems: &mut Vec<Problem>,
) -> Option<(String, String)> {
    let name = format!("{}{}", row.variable.filter(|_| row.kind.is_secret())?, env::FILE_SUFFIX);
    let path = vars.get(&name).filter(|text| !text.is_empty())?;
    match read_limited(&dir.join(path)) {
        Ok(text) => {
            Some((name, text.trim_end_matches(['\r', '\n']).to_owned())).filter(|(_, text)| !text.is_empty())
        }
        Err(error) => {
            problems.push(Problem {
                name,
                key: Some(row.key),
                value: Some(path.clone()),
                origin: origin.to_owned(),
                reason: format!("names a file that cannot be read: {error}"),
            });
            None
        }
    }
}

fn read_limited(path: &Path) -> std::io::Result<String> {
    if std::fs::metadata(path)?.len() > SECRET_FILE_BYTES_MAX {
        return Err(std::io::Error::other(format!("it is longer than {SECRET_FILE_BYTES_MAX} bytes")));
    }
    std::fs::read_to_string(path)
}

fn flag_layer(flags: &BTreeMap<String, String>, problems: &mut Vec<Problem>) -> Layer {
    let mut layer = Layer::default();
    for (key, text) in flags {
        layer.take_leaf("command line", key, ValueKind::String(text.clone()), problems);
    }
    layer
}

fn merge(stack: Vec<Layer>, problems: &mut Vec<Problem>) -> BTreeMap<String, Found> {
    let mut builder = Config::builder();
    for layer in stack {
        builder = builder.add_source(layer);
    }
    let mut found = BTreeMap::new();
    match builder.build().and_then(|config| config.collect()) {
        Ok(table) => take_found("", table, &mut found),
        Err(error) => problems.push(Problem::of_file("configuration", format!("cannot be merged: {error}"))),
    }
    found
}

fn take_found(prefix: &str, table: Map<String, Value>, out: &mut BTreeMap<String, Found>) {
    let sorted: BTreeMap<String, Value> = table.into_iter().collect();
    for (name, value) in sorted {
        let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        let tag = value.origin().unwrap_or(DEFAULT).to_owned();
        if let ValueKind::Table(table) = value.kind {
            take_found(&key, table, out);
        } else {
            let (origin, name) = tag.split_once(TAG).unwrap_or((&tag, &key));
            let (origin, name) = (origin.to_owned(), name.to_owned());
            out.insert(key, Found { text: value.kind.to_string(), origin, name });
        }
    }
}
