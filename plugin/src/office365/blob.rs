//! Reads one content blob.
//!
//! Invariant: a blob is read from its beginning or not at all, since nothing says that it comes back in the same order;
//! the host drops the records that it has delivered before.

use super::Calls;
use super::answers::{Subject, judge, refusal};
use crate::call::{Answer, Head, Level, Note, asked_at_root, at_root, handed_out, host_of, same_page};
use crate::clock;
use crate::driver::{ReadStep, SplitReader, note};
use crate::error::{Error, ErrorKind};
use crate::settings::Settings;
use crate::source::Split;
use crate::splitter::{Framing, Splitter};
use crate::streams::Stream;

/// A blob has one page as far as the reference says; more are followed, but not without end.
const PAGES: u32 = 1_000;

/// The payload of a split: what `open` needs to get the blob.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct BlobPayload {
    /// The version of this form.
    pub v: u32,
    /// The address that the service handed out.
    pub uri: String,
    /// The content type that it was listed under.
    #[serde(rename = "type")]
    pub content_type: String,
}

/// A content blob being read.
#[derive(Debug)]
pub struct BlobReader {
    calls: Calls,
    stream: &'static Stream,
    next: Option<String>,
    current: String,
    pages: u32,
    /// The blob's address below the configured root, if it isn't the one that was handed out.
    own: Option<String>,
    notes: Vec<Note>,
}

impl BlobReader {
    /// Takes a split of `feed`. Calls nothing.
    ///
    /// # Errors
    /// `bad-data` for a payload of something else, `gone` if the blob's time is over.
    pub fn open(settings: &Settings, stream: &'static Stream, split: &Split, now: u64) -> Result<Self, Error> {
        let payload: BlobPayload =
            serde_json::from_str(&split.payload).map_err(|error| Error::unreadable("split's payload", &error))?;
        if payload.v != 1 {
            return Err(Error::new(
                ErrorKind::BadData,
                "newer-position",
                format!(
                    "The split's payload has version {}, and this plugin reads version 1; install a newer plugin.",
                    payload.v
                ),
            ));
        }
        if let Some(expires) = split.expires
            && expires <= now
        {
            return Err(Error::new(
                ErrorKind::Gone,
                "expired",
                format!(
                    "A content blob of {} expired at {} UTC before it was read and is lost; the rest goes on.",
                    stream.api,
                    clock::zoneless(expires)
                ),
            ));
        }
        let calls = Calls::new(settings);
        // An id that is an address is of content that was listed without an id.
        let own = Some(calls.content_uri(&split.id)).filter(|own| *own != payload.uri && !split.id.contains(':'));
        Ok(Self { calls, stream, next: Some(payload.uri), current: String::new(), pages: 0, own, notes: Vec::new() })
    }
}

impl SplitReader for BlobReader {
    fn next_step(&mut self) -> ReadStep {
        match self.next.take() {
            Some(url) => {
                let request = self.calls.follow(&url);
                self.current = url;
                ReadStep::Call(request)
            }
            None => ReadStep::Done,
        }
    }

    fn framing(&self) -> Framing {
        Framing::Array
    }

    fn carries_records(&self, head: &Head) -> bool {
        head.status == 200
    }

    fn on_refusal(&mut self, answer: Answer) -> Result<(), Error> {
        Err(judge(&answer, &refusal(&answer), Subject::Content, self.stream).into())
    }

    fn on_failure(&mut self, error: Error) -> Result<(), Error> {
        if error.kind == ErrorKind::DeniedByHost
            && self.pages == 0
            && let Some(own) = self.own.take()
        {
            self.notes.push(note(
                Level::Warn,
                format!(
                    "The service handed out a content blob at {}, which isn't the configured root {} and isn't called; the blob is asked for by its id there.",
                    host_of(&self.current),
                    self.calls.root()
                ),
            ));
            self.next = Some(own);
            return Ok(());
        }
        let what =
            if self.pages == 0 { "content blob (contentUri)" } else { "next page of a content blob (NextPageUri)" };
        if error.kind == ErrorKind::DeniedByHost
            && self.pages > 0
            && let Some(own) = at_root(&self.current, self.calls.root())
        {
            self.notes.push(asked_at_root(what, &self.current, self.calls.root()));
            self.next = Some(own);
            return Ok(());
        }
        Err(handed_out(error, self.calls.root(), what, &self.current))
    }

    fn on_page(&mut self, head: &Head, _page: &Splitter) -> Result<(), Error> {
        self.pages += 1;
        if let Some(next) = head.header("NextPageUri").filter(|url| !url.is_empty()) {
            if same_page(next, &self.current) || self.pages >= PAGES {
                return Err(Error::new(
                    ErrorKind::Protocol,
                    "page-loop",
                    "The pages of a content blob have no end; it is tried again with patience.",
                ));
            }
            self.next = Some(next.to_owned());
        }
        Ok(())
    }

    fn resume(&self) -> Option<String> {
        None
    }

    fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }
}
