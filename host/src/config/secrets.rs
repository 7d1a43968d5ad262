//! Secrets come from an environment variable or a file, never from the text of the configuration.
//!
//! Invariant: what a secret's key holds is never repeated, since somebody may have put the secret itself there; and whatever the file is,
//! reading it ends.

use std::collections::BTreeSet;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Config, ConfigError};
use crate::foreign_text;
use crate::http::Secret;

/// Where a secret is: in an environment variable, or in a file.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[schemars(extend("additionalProperties" = false))]
pub struct SecretSource {
    /// The environment variable that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// The file that holds it; a line break at its end is ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
}

impl SecretSource {
    /// The secret. `key` is the configuration key to name in an error.
    ///
    /// # Errors
    /// If neither or both places are named, or the place is empty or can't be read.
    pub fn read(&self, key: &str) -> Result<Secret, ConfigError> {
        match (&self.env, &self.file) {
            (Some(name), None) => from_env(name, &format!("{key}.env")),
            (None, Some(path)) => from_file(path, &format!("{key}.file")),
            (None, None) => Err(ConfigError(format!("`{key}` names no place. Give it `env` or `file`."))),
            (Some(_), Some(_)) => Err(ConfigError(format!("`{key}` has both `env` and `file`. Keep one of them."))),
        }
    }
}

/// The value of a header: in plain text, or a secret that is somewhere else.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[schemars(extend("additionalProperties" = false))]
pub struct HeaderConfig {
    /// The value itself, for what is no secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The environment variable that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// The file that holds it; a line break at its end is ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
}

impl HeaderConfig {
    /// The value. `key` is the configuration key to name in an error.
    ///
    /// # Errors
    /// If not exactly one place is named, or the place is empty or can't be read.
    pub fn read(&self, key: &str) -> Result<Secret, ConfigError> {
        match &self.value {
            Some(value) if self.env.is_none() && self.file.is_none() => Ok(Secret::new(value.clone())),
            Some(_) => Err(ConfigError(format!("`{key}` has a `value` and another place besides. Keep one of them."))),
            None => SecretSource { env: self.env.clone(), file: self.file.clone() }.read(key),
        }
    }
}

impl Config {
    /// The client secret, from where the configuration says.
    ///
    /// # Errors
    /// If neither or both places are named, or the place is empty or can't be read.
    pub fn client_secret(&self) -> Result<Secret, ConfigError> {
        match (&self.client_secret_env, &self.client_secret_file) {
            (Some(name), None) => from_env(name, "client_secret_env"),
            (None, Some(path)) => from_file(path, "client_secret_file"),
            (None, None) => Err(ConfigError(
                "No client secret is configured. Name where it is, by `client_secret_env` or `client_secret_file`."
                    .to_owned(),
            )),
            (Some(_), Some(_)) => Err(ConfigError(
                "Both `client_secret_env` and `client_secret_file` are set. Keep one of them.".to_owned(),
            )),
        }
    }
}

fn from_env(name: &str, key: &str) -> Result<Secret, ConfigError> {
    // A name with `=` or a zero byte would make a panic of it.
    let text = if name.is_empty() || name.contains(['=', '\0']) { None } else { std::env::var(name).ok() };
    let text = text.ok_or_else(|| {
        ConfigError(format!("The environment variable that `{key}` names isn't set. Set it to the secret."))
    })?;
    secret(&text, &format!("The environment variable that `{key}` names"))
}

fn from_file(path: &Path, key: &str) -> Result<Secret, ConfigError> {
    let text = read_bounded(path, key)
        .map_err(|error| ConfigError(format!("The file that `{key}` names can't be read: {error}.")))?;
    secret(&text, &format!("The file that `{key}` names"))
}

/// The largest file that holds a secret, in bytes.
const MAX_SECRET: u64 = 64 << 10;

fn read_bounded(path: &Path, key: &str) -> io::Result<String> {
    // Opening a FIFO would otherwise wait for somebody who writes.
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = File::options().read(true).custom_flags(nonblocking).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut text = String::new();
    file.take(MAX_SECRET + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_SECRET {
        return Err(io::Error::other("it holds more than 64 KiB, and a secret is shorter"));
    }
    if may_be_read_by_others(&metadata) {
        warn_once(path, key);
    }
    Ok(text)
}

fn may_be_read_by_others(metadata: &Metadata) -> bool {
    metadata.mode() & 0o044 != 0
}

/// Says of a file that others may read it, once.
fn warn_once(path: &Path, key: &str) {
    static TOLD: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    if TOLD.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned()) {
        tracing::warn!(
            "The file that `{key}` names holds a secret, and other users of this machine may read it. Take that right away: chmod go= FILE."
        );
    }
}

fn secret(text: &str, place: &str) -> Result<Secret, ConfigError> {
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(ConfigError(format!("{place} is empty. Put the secret there.")));
    }
    foreign_text::hide(text);
    Ok(Secret::new(text.to_owned()))
}

#[cfg(test)]
#[path = "secrets_tests.rs"]
mod tests;
