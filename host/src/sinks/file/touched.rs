//! What somebody else did to a file, in words: what happened, what is missing, what to do.

use std::path::{Path, PathBuf};

use super::mark::Mark;
use crate::times::{long, utc};

/// What somebody else did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Touch {
    /// Its last name was taken away.
    Deleted,
    /// A copy of it is in its place.
    Copied,
    /// It has another name, and is whole. None where the system doesn't tell the name.
    Renamed(Option<PathBuf>),
    /// Its folder isn't where it was, or can't be looked into.
    Hidden(Option<PathBuf>),
    /// Only so many bytes of it are left.
    Cut(u64),
    /// It is as long as it was or longer, and holds something else.
    Overwritten,
    /// So many bytes were written behind ours.
    Appended(u64),
    /// While nothing ran, it was deleted, cut, or moved to another folder.
    Gone(u64),
}

impl Touch {
    /// Tells what happened to a file, whose mark was this one.
    pub(super) fn tell(&self, path: &Path, mark: Mark, now_ms: u64) {
        let file = path.display();
        let missing = missing(mark, now_ms);
        let then = "Where no copy is left, collect that time again with another `data_dir` into another file, while the service still shows it. Let `rotate` put full files aside, or rename them.";
        match self {
            Self::Deleted | Self::Gone(0) if mark.length == 0 => {
                tracing::info!(
                    "The file {file} was deleted by somebody else before anything was delivered to it. Delivery goes on in a new one."
                );
            }
            Self::Deleted => tracing::error!(
                "The file {file} was deleted by somebody else, with {missing}. Delivery goes on in a new file. {then}"
            ),
            Self::Copied => tracing::info!(
                "The file {file} was replaced by somebody else by a copy of it, with {missing}. Nothing is missing: delivery goes on at its end."
            ),
            Self::Renamed(to) => tracing::info!(
                "The file {file} was renamed by somebody else{}, with {missing}. Nothing is missing: delivery goes on in a new file.",
                name(to)
            ),
            Self::Hidden(to) => tracing::error!(
                "The file {file} isn't where it was: its folder was moved by somebody else, or can't be looked into. Nothing is missing: delivery goes on into the same file{}, but a start would not find it. Put the folder back, or change `path` and start again.",
                name(to)
            ),
            Self::Cut(left) => tracing::error!(
                "The file {file} was cut by somebody else to {left} bytes: it held {missing}, and what stood behind is missing now. Delivery goes on at its end. {then} `copytruncate` loses what is written between its copy and its cut."
            ),
            Self::Overwritten => tracing::error!(
                "The file {file} was written anew by somebody else: it held {missing}, and holds something else now. Delivery goes on at its end. {then}"
            ),
            Self::Appended(bytes) => tracing::warn!(
                "Somebody else writes to the file {file}: {bytes} bytes that aren't ours stand behind the {} that are confirmed. They are kept, and delivery goes on behind them. Let nobody else write there: after a crash, what isn't confirmed is cut off.",
                mark.length
            ),
            Self::Gone(left) => tracing::error!(
                "The file {file} was cut, deleted, or moved to another folder by somebody else while nothing ran: it held {missing}, and {left} bytes are there now. Delivery goes on at its end. If it was only moved, nothing is missing. {then}"
            ),
        }
    }
}

fn name(to: &Option<PathBuf>) -> String {
    to.as_ref().map(|to| format!(" ({} now)", to.display())).unwrap_or_default()
}

/// What a file held, as part of a sentence.
fn missing(mark: Mark, now_ms: u64) -> String {
    let between = match (mark.since, mark.until) {
        (Some(since), Some(until)) => {
            let ago = long(now_ms.saturating_sub(until));
            format!(" of events delivered between {} and {} ({ago} ago)", utc(since), utc(until))
        }
        _ => String::new(),
    };
    format!("{} confirmed bytes{between}", mark.length)
}
