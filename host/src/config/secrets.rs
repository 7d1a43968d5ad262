//! Secrets come from an environment variable or a file, never from the text of the configuration.

use super::{Config, ConfigError};
use crate::http::Secret;

impl Config {
    /// The client secret, from where the configuration says.
    ///
    /// # Errors
    /// If neither or both places are named, or the place is empty or can't be read.
    pub fn client_secret(&self) -> Result<Secret, ConfigError> {
        let (text, place) = match (&self.client_secret_env, &self.client_secret_file) {
            (Some(name), None) => {
                let text = std::env::var(name).map_err(|_| {
                    ConfigError(format!(
                        "The environment variable {name} that `client_secret_env` names isn't set. Set it to the client secret."
                    ))
                })?;
                (text, format!("The environment variable {name}"))
            }
            (None, Some(path)) => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    ConfigError(format!(
                        "The file {} that `client_secret_file` names can't be read: {error}.",
                        path.display()
                    ))
                })?;
                (text, format!("The file {}", path.display()))
            }
            (None, None) => {
                return Err(ConfigError(
                    "No client secret is configured. Name where it is, by `client_secret_env` or `client_secret_file`."
                        .to_owned(),
                ));
            }
            (Some(_), Some(_)) => {
                return Err(ConfigError(
                    "Both `client_secret_env` and `client_secret_file` are set. Keep one of them.".to_owned(),
                ));
            }
        };
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            return Err(ConfigError(format!("{place} is empty. Put the client secret's Value there.")));
        }
        Ok(Secret::new(text.to_owned()))
    }
}
