//! Values that are more than a number: the profile, the agent runtime's place, the database, origins.
//!
//! Each parser gives the reason of a refusal in words that follow the value in a message.

use std::fmt;
use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

/// Most origins that the allow-list takes.
const ORIGINS_MAX: usize = 64;
/// Longest profile name, in characters.
const PROFILE_CHARS_MAX: usize = 32;
/// Port of an agent runtime whose URL names none.
const MCP_PORT_DEFAULT: u16 = 9500;

/// Which set of defaults applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Profile {
    /// On one's own machine: a secret is generated when none is set.
    Development,
    /// For others to use: nothing is guessed.
    Production,
    /// For automated tests: free ports.
    Test,
    /// A profile with its own file, as strict as production.
    Other(String),
}

impl Profile {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "development" => Ok(Self::Development),
            "production" => Ok(Self::Production),
            "test" => Ok(Self::Test),
            other => {
                // The name becomes a file name: no separators, no dots.
                let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
                if other.len() <= PROFILE_CHARS_MAX && other.chars().all(plain) {
                    Ok(Self::Other(other.to_owned()))
                } else {
                    Err("is not a name of lower-case letters, digits, - and _".to_owned())
                }
            }
        }
    }

    /// The name, as `APP_ENV` gives it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Development => "development",
            Self::Production => "production",
            Self::Test => "test",
            Self::Other(name) => name,
        }
    }

    /// True if a signing secret may be generated: others than the owner of this machine rely on the rest.
    #[must_use]
    pub fn generates_secret(&self) -> bool {
        matches!(self, Self::Development | Self::Test)
    }
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// Where the agent runtime is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum McpServer {
    /// In this process, on the loopback address.
    Embedded,
    /// Behind a TCP port.
    Tcp {
        /// Host name or IP address; an IPv6 address without brackets.
        host: String,
        /// Port, never 0.
        port: u16,
    },
    /// A child process for each pool slot, spoken to over its standard input and output.
    Stdio {
        /// The program.
        program: String,
        /// Its arguments, already split as a shell would.
        args: Vec<String>,
    },
}

impl McpServer {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text == "embedded" {
            return Ok(Self::Embedded);
        }
        if let Some(address) = text.strip_prefix("tcp://") {
            let (host, port) = host_and_port(address.strip_suffix('/').unwrap_or(address))?;
            return Ok(Self::Tcp { host, port: port.unwrap_or(MCP_PORT_DEFAULT) });
        }
        if let Some(command) = text.strip_prefix("stdio:") {
            let mut words = split_command(command)?.into_iter();
            let program = words.next().ok_or("names no command after stdio:")?;
            return Ok(Self::Stdio { program, args: words.collect() });
        }
        Err("is none of the forms known".to_owned())
    }
}

impl fmt::Display for McpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => f.write_str("embedded"),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
            Self::Stdio { program, .. } => write!(f, "stdio:{program}"),
        }
    }
}

/// Which database, and where.
#[derive(Debug, Clone)]
pub enum DatabaseUrl {
    /// A SQLite file.
    Sqlite {
        /// The file; relative paths start at the working directory.
        path: PathBuf,
    },
    /// A PostgreSQL database: the whole URL, which may hold a password.
    Postgres(SecretString),
}

impl DatabaseUrl {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if ["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme)) {
            let rest = text.split_once("://").map_or("", |(_, rest)| rest);
            if rest.is_empty() || rest.contains(char::is_whitespace) {
                return Err("names no host and database".to_owned());
            }
            return Ok(Self::Postgres(SecretString::from(text)));
        }
        let path = text
            .strip_prefix("sqlite://")
            .or_else(|| text.strip_prefix("sqlite:"))
            .ok_or("does not start with sqlite:// or postgres://")?;
        if path.is_empty() {
            return Err("names no file".to_owned());
        }
        if path.contains(":memory:") {
            return Err(
                "is in memory, where each connection has a database of its own: name a file".to_owned()
            );
        }
        if path.contains('?') {
            return Err("has parameters, which a SQLite file does not take".to_owned());
        }
        Ok(Self::Sqlite { path: PathBuf::from(path) })
    }

    /// The URL in full, password included: for the store, never for a log.
    #[must_use]
    pub fn expose(&self) -> String {
        match self {
            Self::Sqlite { path } => format!("sqlite://{}", path.display()),
            Self::Postgres(url) => url.expose_secret().to_owned(),
        }
    }
}

/// Masks the password of a URL: between the first `:` of the user part and the `@`, and in parameters.
pub(crate) fn mask_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (before_query, query) = rest.split_once('?').map_or((rest, None), |(a, b)| (a, Some(b)));
    // The last `@`: a password may hold one that nobody encoded.
    let shown = match before_query.rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((user, _)) => format!("{user}:***@{host}"),
            None => before_query.to_owned(),
        },
        None => before_query.to_owned(),
    };
    let query = query.map_or_else(String::new, |query| {
        let parts = query.split('&').map(|part| match part.split_once('=') {
            Some((name, _)) if name.to_ascii_lowercase().contains("pass") => format!("{name}=***"),
            _ => part.to_owned(),
        });
        format!("?{}", parts.collect::<Vec<_>>().join("&"))
    });
    format!("{scheme}://{shown}{query}")
}

/// Parses a list of origins into the form in which browsers send them.
pub(crate) fn parse_origins(text: &str) -> Result<Vec<String>, String> {
    let mut origins: Vec<String> = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let origin = parse_origin(part)?;
        if !origins.contains(&origin) {
            origins.push(origin);
        }
    }
    if origins.len() > ORIGINS_MAX {
        return Err(format!("has more than {ORIGINS_MAX} origins"));
    }
    Ok(origins)
}

fn parse_origin(text: &str) -> Result<String, String> {
    if text == "*" {
        return Err("allows every origin, which is unsafe for requests with credentials".to_owned());
    }
    let lower = text.to_ascii_lowercase();
    let (scheme, rest) =
        lower.split_once("://").ok_or_else(|| format!("has {text:?} without http:// or https://"))?;
    let usual_port = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return Err(format!("has {text:?}, which is neither http nor https")),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = host_and_port(rest).map_err(|reason| format!("has {text:?}, which {reason}"))?;
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    Ok(match port {
        Some(port) if port != usual_port => format!("{scheme}://{host}:{port}"),
        _ => format!("{scheme}://{host}"),
    })
}

/// Splits `host`, `host:port` or `[v6]:port`; a port of 0 is refused.
fn host_and_port(text: &str) -> Result<(String, Option<u16>), String> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or("has no closing ]")?;
        if host.parse::<std::net::Ipv6Addr>().is_err() {
            return Err("has no IPv6 address within [ ]".to_owned());
        }
        match after.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if after.is_empty() => (host, None),
            None => return Err("has text after ]".to_owned()),
        }
    } else {
        let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.' || c == '_';
        if host.is_empty() || !host.chars().all(plain) {
            return Err("names no host".to_owned());
        }
        (host, port)
    };
    let port = match port {
        None => None,
        Some(digits) => match digits.parse::<u16>() {
            Ok(port) if port > 0 => Some(port),
            _ => return Err("has no port from 1 to 65535".to_owned()),
        },
    };
    Ok((host.to_owned(), port))
}

/// Splits a command at blanks; single and double quotes keep blanks together, `\` takes the next character.
fn split_command(command: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut chars = command.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => match chars.next() {
                Some(next) => word.get_or_insert_default().push(next),
                None => return Err("ends with a \\ that takes nothing".to_owned()),
            },
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err("has a quote that is not closed".to_owned());
    }
    words.extend(word);
    Ok(words)
}
