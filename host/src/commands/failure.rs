//! How a command fails: one sentence for a person, one exit code for a script.

use std::fmt;
use std::process::ExitCode;

use crate::config::ConfigError;
use crate::guest::{GuestError, LoadError};
use crate::ledger::LedgerError;
use crate::pipeline::RunError;
use crate::sinks::SinkError;

/// The exit codes. They are part of the interface: scripts rely on them.
pub mod exit_codes {
    /// `validate` found something invalid, or `check` found a stream that doesn't work.
    pub const FOUND: u8 = 1;
    /// The arguments or the configuration can't be used.
    pub const CONFIGURATION: u8 = 2;
    /// `normalize` rejected records, or `dead-letters replay` did not deliver all of its letters.
    pub const REJECTS: u8 = 3;
    /// The plugin can't be loaded, or failed.
    pub const PLUGIN: u8 = 4;
    /// The run ended with streams that are blocked or not read to their end, lost something, or was stopped before it began.
    pub const INCOMPLETE: u8 = 5;
    /// A sink can't be written to, a disk is full, or the dead letters are.
    pub const SINK: u8 = 6;
    /// The data directory can't be used, or is in use by another process.
    pub const LEDGER: u8 = 7;
    /// The tenant or the credentials were refused.
    pub const REFUSED: u8 = 8;
    /// A service can't be reached.
    pub const UNREACHABLE: u8 = 9;
    /// A file can't be read or written.
    pub const INPUT: u8 = 10;
}

pub(super) const EXIT_CODES_HELP: &str = "\
Exit codes:
   0  all is well
   1  validate found something invalid; check found a stream that doesn't work
   2  the arguments or the configuration can't be used
   3  normalize rejected records; dead-letters replay did not deliver all of its letters
   4  the plugin can't be loaded, or failed
   5  run --until-caught-up ended with streams that are blocked, held or not read to their end, or
      lost something in this run; any run that was stopped before it could log in.
      A run without --until-caught-up that a signal ends tells of both and exits with 0
   6  a sink can't be written to, its disk is full, or the dead letters are
   7  the data directory can't be used, or another process uses it
   8  the tenant or the credentials were refused
   9  a service can't be reached
  10  an input or output file can't be used
  70  the plugin made no progress and the watchdog ended the process

Logs go to standard error; M365_PIPE_LOG sets their filter, such as `debug`.";

/// Why a command ended without doing its work.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// A failure with one of [`exit_codes`].
    pub fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// A file that can't be used.
    pub fn file(doing: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::StorageFull {
            return Self::new(
                exit_codes::SINK,
                format!("The disk of {} is full. Free some space and start again.", path.display()),
            );
        }
        Self::new(exit_codes::INPUT, format!("{} can't be {doing}: {error}.", path.display()))
    }

    /// Standard output that can't be written to. A closed pipe is the reader's choice and told without fuss.
    pub fn stdout(error: &std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::new(exit_codes::SINK, "standard output was closed by its reader."),
            std::io::ErrorKind::StorageFull => Self::new(
                exit_codes::SINK,
                "The disk that standard output goes to is full. Free some space and start again.",
            ),
            _ => Self::new(exit_codes::SINK, format!("Standard output can't be written to: {error}.")),
        }
    }

    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(exit_codes::CONFIGURATION, error.to_string())
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        Self::new(exit_codes::PLUGIN, error.to_string())
    }
}

impl From<GuestError> for Failure {
    fn from(error: GuestError) -> Self {
        Self::new(exit_codes::PLUGIN, error.to_string())
    }
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        let full = matches!(error, LedgerError::DiskFull { .. } | LedgerError::LettersFull { .. });
        let code = if full { exit_codes::SINK } else { exit_codes::LEDGER };
        Self::new(code, error.to_string())
    }
}

impl From<SinkError> for Failure {
    fn from(error: SinkError) -> Self {
        let configuration = error.trouble == crate::sinks::Trouble::Configuration;
        Self::new(if configuration { exit_codes::CONFIGURATION } else { exit_codes::SINK }, error.to_string())
    }
}

impl From<crate::http::Error> for Failure {
    fn from(error: crate::http::Error) -> Self {
        use crate::http::ErrorKind;
        let code = match error.kind {
            // Entra ID's own refusals, whatever they are about.
            _ if error.code.starts_with("AADSTS") => exit_codes::REFUSED,
            ErrorKind::InvalidConfig | ErrorKind::DeniedByHost => exit_codes::CONFIGURATION,
            ErrorKind::Unauthenticated | ErrorKind::Forbidden | ErrorKind::Unlicensed | ErrorKind::NotFound => {
                exit_codes::REFUSED
            }
            _ => exit_codes::UNREACHABLE,
        };
        Self::new(code, error.message)
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Sink(error) => error.into(),
            RunError::Ledger(error) => error.into(),
            RunError::Transform(_) | RunError::Thread(_) => Self::new(exit_codes::PLUGIN, error.to_string()),
        }
    }
}
