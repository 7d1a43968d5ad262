//! What went wrong, in the words of the contract.
//!
//! Invariant: `kind` is what a host acts upon and `message` is what a person reads; a message never holds a secret.

use std::fmt;

/// What a host acts upon; `wit/types.wit` documents each case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)] // the cases are documented in wit/types.wit, word for word the same
pub enum ErrorKind {
    InvalidConfig,
    Unauthenticated,
    Forbidden,
    Unlicensed,
    NotFound,
    Gone,
    RateLimited,
    Unavailable,
    Timeout,
    Protocol,
    BadData,
    DeniedByHost,
    TooLarge,
    Cancelled,
    Restart,
    Internal,
}

/// A failure.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Error {
    /// What the host acts upon.
    pub kind: ErrorKind,
    /// A short, stable word such as `AF20023`.
    pub code: String,
    /// Full sentences for the person on call: what, where, what to do.
    pub message: String,
    /// How long the service asked to wait, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl Error {
    /// A failure without a wish of when to come back.
    pub fn new(kind: ErrorKind, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind, code: code.into(), message: message.into(), retry_after_ms: None }
    }

    /// The same failure with a time to wait, in milliseconds.
    #[must_use]
    pub fn after(mut self, ms: Option<u64>) -> Self {
        self.retry_after_ms = ms;
        self
    }

    /// A state, payload or resume position that this plugin can't read.
    pub fn unreadable(what: &str, error: &serde_json::Error) -> Self {
        Self::new(
            ErrorKind::BadData,
            "unreadable-position",
            format!(
                "The {what} that the host handed over can't be read: {error}. It was written by another plugin or a newer version; install that version again, or forget the position."
            ),
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

impl std::error::Error for Error {}

/// A failure with its mend apart, so that a report can show both in their places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// What happened; its message doesn't hold the mend.
    pub error: Error,
    /// One sentence: what to do. Empty if there is nothing to do but to wait.
    pub mend: String,
}

impl Diagnosis {
    /// A diagnosis.
    pub fn new(kind: ErrorKind, code: impl Into<String>, message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { error: Error::new(kind, code, message), mend: mend.into() }
    }
}

impl From<Diagnosis> for Error {
    fn from(diagnosis: Diagnosis) -> Self {
        let mut error = diagnosis.error;
        if !diagnosis.mend.is_empty() {
            error.message.push(' ');
            error.message.push_str(&diagnosis.mend);
        }
        error
    }
}
