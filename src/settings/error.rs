//! What is wrong with a configuration: all problems at once, each with its name, value and remedy.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

/// Exit code of a program whose configuration is bad (`EX_CONFIG` of sysexits).
pub const EXIT_BAD_CONFIGURATION: u8 = 78;

/// One bad setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The variable, key or file that is wrong, as the user spelled it.
    pub name: String,
    /// The key that it sets, if it sets one.
    pub key: Option<&'static str>,
    /// The value, masked if it is a secret; none if the value is missing or is a whole file.
    pub value: Option<String>,
    /// Where it was found, such as `.env`; empty if nowhere.
    pub origin: String,
    /// What is wrong and what is allowed.
    pub reason: String,
}

impl Problem {
    /// A problem with a whole file.
    pub(super) fn of_file(name: &str, reason: String) -> Self {
        Self { name: name.to_owned(), key: None, value: None, origin: String::new(), reason }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(value) = &self.value {
            write!(f, " = {value:?}")?;
        }
        if !self.origin.is_empty() {
            write!(f, " ({})", self.origin)?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// Why settings could not be had.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// At least one setting is wrong; the text lists all of them. Ends a start with code 78.
    #[error("configuration is not valid:\n{}", lines(.0))]
    Invalid(Vec<Problem>),
    /// The data folder cannot be made.
    #[error("creating the data folder {} [DATA_DIR]", path.display())]
    DataDir {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The generated secret cannot be kept or read.
    #[error("keeping the generated signing secret in {}; set JWT_SECRET to do without it", path.display())]
    SecretFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file of the generated secret holds something else.
    #[error(
        "reading the generated signing secret: {} is not one ({reason}); delete it to have a new one, \
         which ends all tokens, or set JWT_SECRET",
        path.display()
    )]
    SecretUnusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl SettingsError {
    /// The bad settings; empty for the other errors.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Invalid(problems) => problems,
            Self::DataDir { .. } | Self::SecretFile { .. } | Self::SecretUnusable { .. } => &[],
        }
    }
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("  - {problem}")).collect::<Vec<_>>().join("\n")
}
