//! The signing secrets: given by the configuration, or generated once and kept in the data folder.
//!
//! Several processes may start at once on one folder: the first to link its file wins, all read that one.

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io::{Error, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::env::JWT_SECRET_BYTES_MIN;
use super::error::SettingsError;

/// Name of the file within the data folder.
pub(crate) const SECRET_FILE: &str = "jwt_secret";
/// Random bytes of a generated secret; kept as twice as many hexadecimal digits.
const RANDOM_BYTES: usize = 32;

/// The secrets that sign and verify access tokens.
#[derive(Debug, Clone)]
pub struct SigningSecrets {
    /// Signs, and verifies.
    pub current: SecretString,
    /// Verifies only, while secrets are being changed.
    pub previous: Option<SecretString>,
}

/// Makes the data folder, closed to other users, unless it is there.
pub(crate) fn prepare_folder(dir: &Path) -> Result<(), SettingsError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o750)
        .create(dir)
        .map_err(|source| SettingsError::DataDir { path: dir.to_owned(), source })
}

/// Reads the kept secret, or generates it. Blocks on the disk.
pub(crate) fn kept_secret(dir: &Path) -> Result<SecretString, SettingsError> {
    prepare_folder(dir)?;
    let path = dir.join(SECRET_FILE);
    let failed = |source| SettingsError::SecretFile { path: path.clone(), source };
    match read(&path) {
        Err(ReadError::Io(error)) if error.kind() == ErrorKind::NotFound => {}
        other => return other.map_err(|error| error.at(&path)),
    }
    let mut bytes = [0_u8; RANDOM_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| failed(Error::other(error)))?;
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    publish(dir, &path, &text).map_err(failed)?;
    read(&path).map_err(|error| error.at(&path))
}

/// Puts a complete file at `path` unless there is one: a link never replaces and never shows half a file.
fn publish(dir: &Path, path: &Path, text: &str) -> Result<(), Error> {
    let mut nonce = [0_u8; 8];
    getrandom::fill(&mut nonce).map_err(Error::other)?;
    let temporary = dir.join(format!(".{SECRET_FILE}.{:016x}", u64::from_be_bytes(nonce)));
    let written =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()
        });
    let linked = written.and_then(|()| match std::fs::hard_link(&temporary, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    let removed = std::fs::remove_file(&temporary);
    linked.and(removed)
}

enum ReadError {
    Io(Error),
    Unusable(&'static str),
}

impl ReadError {
    fn at(self, path: &Path) -> SettingsError {
        let path: PathBuf = path.to_owned();
        match self {
            Self::Io(source) => SettingsError::SecretFile { path, source },
            Self::Unusable(reason) => SettingsError::SecretUnusable { path, reason },
        }
    }
}

fn read(path: &Path) -> Result<SecretString, ReadError> {
    let text = std::fs::read_to_string(path).map_err(ReadError::Io)?;
    let mode = std::fs::metadata(path).map_err(ReadError::Io)?.permissions().mode();
    if mode & 0o077 != 0 {
        std::fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(ReadError::Io)?;
    }
    let text = text.trim_end_matches(['\r', '\n']);
    if text.len() < JWT_SECRET_BYTES_MIN {
        return Err(ReadError::Unusable("it is too short"));
    }
    Ok(SecretString::from(text))
}
