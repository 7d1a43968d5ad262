//! Why listing or reading failed, and what that means for the item: the one place that classes failures.
//!
//! The invariant: a failure keeps whose it is. What the ledger or the loading of a component did is never told as the
//! plugin's, and keeps its own sentence, its level and its exit code.

use std::time::Duration;

use tracing::Level;

use super::patience::Halt;
use crate::guest::{ErrorKind, GuestError, LoadError};

/// Why an item could not be listed or read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The plugin answered with an error, or failed itself.
    #[error(transparent)]
    Guest(#[from] GuestError),
    /// The plugin can't be loaded in the form that can be interrupted.
    #[error("The plugin can't be loaded once more, to read with care what it hung on before: {0}")]
    Load(#[from] LoadError),
    /// The run is ending: somebody asked for it, or the ledger failed for longer than it could be waited for.
    #[error("The run is ending.")]
    Halt(Halt),
}

impl From<Halt> for Failure {
    fn from(halt: Halt) -> Self {
        Self::Halt(halt)
    }
}

/// What a failure means for the item that failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Try again, after a while; the quota that was too fast, and for how long the service asked to wait.
    Retry { slow: Option<Duration>, quota: Option<String> },
    /// Forget how far it had come and start again.
    Restart,
    /// The service says that it isn't there. One such answer is a claim; the verdict is `missing`'s.
    Missing,
    /// What came of it can't be read. Try again, and weigh it as `missing` does.
    Unreadable { slow: Option<Duration> },
    /// Somebody has to mend something.
    Blocked,
    /// The service said that it is where the host doesn't call. It may say better the next time.
    Elsewhere,
    /// The run is ending.
    Stop,
}

/// Codes of what went wrong on the way to the service or at the login host: it says nothing of the item.
const ON_THE_WAY: [&str; 6] = ["cut", "http", "gzip", "content-encoding", "token-answer", "body-cut"];

impl Failure {
    /// What it means for the item (the design's table of errors).
    pub(super) fn class(&self) -> Class {
        let (kind, retry_after, quota) = match self {
            Self::Guest(GuestError::Answered { kind, retry_after, quota, .. }) => (kind, retry_after, quota),
            Self::Halt(_) => return Class::Stop,
            // The plugin itself failed, or can't be loaded.
            Self::Guest(_) | Self::Load(_) => return Class::Retry { slow: None, quota: None },
        };
        match kind {
            ErrorKind::RateLimited => Class::Retry { slow: *retry_after, quota: quota.clone() },
            ErrorKind::Unavailable
            | ErrorKind::Timeout
            | ErrorKind::BadData
            | ErrorKind::TooLarge
            | ErrorKind::Internal => Class::Retry { slow: *retry_after, quota: None },
            ErrorKind::Protocol if ON_THE_WAY.contains(&self.code()) => {
                Class::Retry { slow: *retry_after, quota: None }
            }
            ErrorKind::Protocol => Class::Unreadable { slow: *retry_after },
            ErrorKind::Restart => Class::Restart,
            ErrorKind::NotFound | ErrorKind::Gone => Class::Missing,
            ErrorKind::InvalidConfig | ErrorKind::Unauthenticated | ErrorKind::Forbidden | ErrorKind::Unlicensed => {
                Class::Blocked
            }
            ErrorKind::DeniedByHost => Class::Elsewhere,
            ErrorKind::Cancelled => Class::Stop,
        }
    }

    /// Whether the service may have refused the token for being too new: its words for one that it doesn't know yet are those for
    /// one without rights.
    pub(super) fn may_be_the_token(&self) -> bool {
        matches!(
            self,
            Self::Guest(GuestError::Answered { kind: ErrorKind::Unauthenticated | ErrorKind::Forbidden, code, .. })
                if code != "wrong-cloud"
        )
    }

    /// The short word for logs and metrics.
    pub(super) fn code(&self) -> &str {
        match self {
            Self::Guest(error) => error.code(),
            Self::Load(_) => "plugin-load",
            Self::Halt(_) => "stopped",
        }
    }

    /// How loud to tell it: what somebody has to mend is an error, what passes by itself a warning.
    pub(super) fn level(&self) -> Level {
        match self {
            Self::Load(_) => Level::ERROR,
            _ if self.class() == Class::Blocked => Level::ERROR,
            _ => Level::WARN,
        }
    }

    /// Whether our own quota held the request back.
    pub(super) fn is_held_back(&self) -> bool {
        matches!(self, Self::Guest(GuestError::Answered { kind: ErrorKind::RateLimited, code, .. }) if code == "quota")
    }

    /// Whether the service says that the item was there, and that its time has run out.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self, Self::Guest(GuestError::Answered { kind: ErrorKind::Gone, .. }))
    }

    /// Whether the plugin itself failed, and neither the service nor the host.
    pub(super) fn is_of_the_plugin(&self) -> bool {
        matches!(self, Self::Guest(GuestError::Trapped(_) | GuestError::Contract(_)))
    }

    /// Whether it is that the plugin can't be loaded, which has an exit code of its own.
    pub(super) fn is_of_loading(&self) -> bool {
        matches!(self, Self::Load(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(kind: ErrorKind, code: &str) -> Failure {
        Failure::Guest(GuestError::Answered {
            kind,
            code: code.to_owned(),
            message: "What happened.".to_owned(),
            retry_after: None,
            quota: Some("q".to_owned()),
        })
    }

    #[test]
    fn a_failure_keeps_whose_it_is() {
        let load = Failure::from(LoadError::Unreadable { path: "p.wasm".to_owned(), reason: "gone".to_owned() });
        assert_eq!((load.code(), load.level(), load.is_of_loading()), ("plugin-load", Level::ERROR, true));
        assert_eq!(load.class(), Class::Retry { slow: None, quota: None });
        assert!(load.to_string().contains("p.wasm") && !load.to_string().contains("The plugin failed"), "{load}");
        let trap = Failure::from(GuestError::Trapped("out of memory".to_owned()));
        assert_eq!((trap.code(), trap.level(), trap.is_of_loading()), ("trap", Level::WARN, false));
        assert_eq!(Failure::from(Halt::Stopped).class(), Class::Stop);
    }

    #[test]
    fn an_answer_is_classed_by_its_kind() {
        for kind in [ErrorKind::NotFound, ErrorKind::Gone] {
            assert_eq!(answered(kind, "AF20050").class(), Class::Missing);
        }
        assert_eq!(answered(ErrorKind::Protocol, "not-json").class(), Class::Unreadable { slow: None });
        assert_eq!(answered(ErrorKind::Protocol, "cut").class(), Class::Retry { slow: None, quota: None });
        let slow = answered(ErrorKind::RateLimited, "AF429");
        assert_eq!(slow.class(), Class::Retry { slow: None, quota: Some("q".to_owned()) });
        assert!(!slow.is_held_back() && answered(ErrorKind::RateLimited, "quota").is_held_back());
        assert_eq!(answered(ErrorKind::Forbidden, "x").level(), Level::ERROR);
        assert_eq!(answered(ErrorKind::Cancelled, "x").class(), Class::Stop);
    }
}
