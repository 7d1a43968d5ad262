//! Reads one content blob.
//!
//! Invariant: a blob is read from its beginning or not at all, since nothing says that it comes back in the same order;
//! the host drops the records that it has delivered before.

use super::Calls;
use super::answers::{Subject, judge, words};
use crate::call::{Answer, Head, Level, Note, asked_at_root, at_root, excerpt, handed_out, host_of, same_page};
use crate::driver::{ReadStep, SplitReader, note};
use crate::error::{Error, ErrorKind};
use crate::pages::{Endless, Seen, Trail};
use crate::settings::Settings;
use crate::source::Split;
use crate::splitter::{Framing, Splitter};
use crate::streams::Stream;

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
    /// The pages that were followed. A blob has one as far as the reference says.
    trail: Trail,
    /// The records from the second page on, and whether the page that is being read brought something new.
    seen: Seen,
    news: bool,
    first: bool,
    /// The blob's address below the configured root, if it isn't the one that was handed out.
    own: Option<String>,
    notes: Vec<Note>,
}

impl BlobReader {
    /// Takes a split of `feed`. Calls nothing.
    ///
    /// # Errors
    /// `bad-data` for a payload of something else.
    pub fn open(settings: &Settings, stream: &'static Stream, split: &Split) -> Result<Self, Error> {
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
        let calls = Calls::new(settings);
        // An id that is an address is of content that was listed without an id.
        let own = Some(calls.content_uri(&split.id)).filter(|own| *own != payload.uri && !split.id.contains(':'));
        Ok(Self {
            calls,
            stream,
            next: Some(payload.uri),
            current: String::new(),
            trail: Trail::default(),
            seen: Seen::default(),
            news: false,
            first: true,
            own,
            notes: Vec::new(),
        })
    }
}

impl SplitReader for BlobReader {
    fn next_step(&mut self) -> ReadStep {
        match self.next.take() {
            Some(url) => {
                let request = self.calls.follow(&url);
                self.current = url;
                self.news = false;
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

    fn watches(&self) -> bool {
        !self.trail.is_empty()
    }

    fn on_record(&mut self, record: &[u8]) {
        self.news |= self.seen.is_new(record);
    }

    fn on_refusal(&mut self, answer: Answer, read: Option<u64>) -> Result<(), Error> {
        let mut error: Error = judge(&answer, &words(&answer), Subject::Content, self.stream).into();
        if let Some(read) = read {
            error.message.push_str(&format!(" It came behind {read} records, which were read."));
        }
        Err(error)
    }

    /// A blob has no narrower pieces: what came before the break is handed on, and the host tries it again.
    fn on_broken(&mut self, error: Error, _read: u64) -> Result<(), Error> {
        let message = format!("A content blob of {} can't be read to its end. {}", self.stream.api, error.message);
        Err(Error { message, ..error })
    }

    fn on_failure(&mut self, error: Error) -> Result<(), Error> {
        if error.kind == ErrorKind::DeniedByHost
            && self.first
            && let Some(own) = self.own.take()
        {
            self.notes.push(note(
                Level::Warn,
                format!(
                    "The service handed out a content blob at {}, which isn't the configured root {} and isn't called; the blob is asked for by its id there.",
                    excerpt(host_of(&self.current)),
                    self.calls.root()
                ),
            ));
            self.next = Some(own);
            return Ok(());
        }
        let what = if self.first { "content blob (contentUri)" } else { "next page of a content blob (NextPageUri)" };
        if error.kind == ErrorKind::DeniedByHost
            && !self.first
            && let Some(own) = at_root(&self.current, self.calls.root())
        {
            self.notes.push(asked_at_root(what, &self.current, self.calls.root()));
            self.next = Some(own);
            return Ok(());
        }
        Err(handed_out(error, self.calls.root(), what, &self.current))
    }

    fn on_page(&mut self, head: &Head, page: &Splitter) -> Result<(), Error> {
        self.first = false;
        let Some(next) = head.header("NextPageUri").filter(|url| !url.is_empty()) else { return Ok(()) };
        let news = if self.trail.is_empty() { page.elements() > 0 } else { self.news };
        match self.trail.follow(&self.current, next, Some(news)) {
            Ok(()) => self.next = Some(next.to_owned()),
            // An empty page that names itself is an end.
            Err(Endless::Circle) if page.elements() == 0 && same_page(&self.current, next) => {}
            // Nobody lists a blob again for what is behind.
            Err(end) => {
                return Err(Error::new(
                    ErrorKind::Protocol,
                    "endless-pages",
                    format!(
                        "The pages of a content blob of {} {}. What they hold is read, and the blob is tried again; if it stays, the service is at fault.",
                        self.stream.api,
                        end.words()
                    ),
                ));
            }
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
