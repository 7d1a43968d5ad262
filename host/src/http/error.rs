//! What a call through the way out can fail with: the same closed set of kinds as the plugin contract.
//!
//! Invariant: no text here ever holds a secret, a token, or the query of a URL.

use std::fmt;
use std::time::Duration;

/// What went wrong, as a closed set on which the host acts. The cases and their meaning are those of
/// `error-kind` in `wit/types.wit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorKind {
    /// The settings can't be used until they change.
    InvalidConfig,
    /// The credentials were refused, or no token could be had.
    Unauthenticated,
    /// The credentials are good and a right is missing.
    Forbidden,
    /// The tenant lacks a licence or a setting.
    Unlicensed,
    /// The item isn't there.
    NotFound,
    /// The item's time has run out.
    Gone,
    /// The service asks for fewer requests.
    RateLimited,
    /// The service or the way to it failed for now.
    Unavailable,
    /// No answer within the time limit.
    Timeout,
    /// The answer breaks the protocol.
    Protocol,
    /// What was handed over can't be understood.
    BadData,
    /// The host's policy refused the request; it was not sent.
    DeniedByHost,
    /// A limit on size was reached.
    TooLarge,
    /// The host is stopping.
    Cancelled,
    /// The position that the call started from is no longer valid.
    Restart,
    /// A fault in the host or the plugin.
    Internal,
}

impl ErrorKind {
    /// The name as the plugin contract spells it, for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidConfig => "invalid-config",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::Unlicensed => "unlicensed",
            Self::NotFound => "not-found",
            Self::Gone => "gone",
            Self::RateLimited => "rate-limited",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Protocol => "protocol",
            Self::BadData => "bad-data",
            Self::DeniedByHost => "denied-by-host",
            Self::TooLarge => "too-large",
            Self::Cancelled => "cancelled",
            Self::Restart => "restart",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failure, for the host to act upon and for a person to read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What the host acts upon.
    pub kind: ErrorKind,
    /// A short, stable word of few distinct values, for metrics and for searching. Never an id.
    pub code: String,
    /// One or more full sentences: what happened, where, and what to do.
    pub message: String,
    /// How long the service asked to wait, if it did.
    pub retry_after: Option<Duration>,
}

impl Error {
    /// An error without a wish of the service about when to come back.
    pub fn new(kind: ErrorKind, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind, code: code.into(), message: message.into(), retry_after: None }
    }

    /// The same error, with the time after which the service may be asked again.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// The error of every call that was given up because the host is stopping.
    pub fn cancelled() -> Self {
        Self::new(ErrorKind::Cancelled, "cancelled", "The host is stopping and gave up the call.")
    }
}
