//! Blobs that are listed, and for a while can't be read.
//!
//! Invariant: the time counts from the moment at which a blob was first shown to the collector, so that nobody can be ahead of it.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::answer::Answer;
use crate::catalogue::Shelf;
use crate::clock::Ticks;
use crate::tally::lock;

/// When each blob, by stream and number, was first in a listing.
#[derive(Default)]
pub(crate) struct Missing(Mutex<HashMap<(usize, usize), Ticks>>);

impl Missing {
    /// Notes that blobs of a stream were listed.
    pub(crate) fn shown(&self, stream: usize, blobs: &[usize], now: Ticks) {
        let mut shown = lock(&self.0);
        for blob in blobs {
            shown.entry((stream, *blob)).or_insert(now);
        }
    }

    /// Until when a blob can't be read, if it is one of those and has been listed.
    pub(crate) fn until(&self, stream: usize, shelf: &Shelf, blob: usize) -> Option<Ticks> {
        let missing = shelf.missing(blob)?;
        let shown = *lock(&self.0).get(&(stream, blob))?;
        Some(shown.saturating_add(missing))
    }
}

/// What is said of a blob that can't be read for a while: always the same of one blob.
pub(super) fn answer(shelf: &Shelf, blob: usize, content_id: &str) -> Answer {
    let answer = match shelf.pick(blob, 16, 3) {
        0 => Answer::management(404, "AF20050", &format!("The specified content ({content_id}) does not exist.")),
        1 => Answer::management(
            400,
            "AF20052",
            &format!("Blob key {content_id} in the url is invalid. Please correct it."),
        ),
        _ => Answer {
            status: 404,
            body: b"<html><head><title>404 - File or directory not found.</title></head></html>".to_vec(),
            ..Answer::empty().header("content-type", "text/html")
        },
    };
    // Whoever asks has been shown it: it breaks no rule.
    Answer { code: "missing".to_owned(), ..answer }
}
