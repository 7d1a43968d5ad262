//! Reads one window of a Graph collection, page by page.
//!
//! Invariant: a window counts as read only when its last page, or the last pages of the narrower windows that it was cut
//! into, have been read after the window's end by the service's clock.

use super::answers::{judge, refusal};
use super::windows::WindowPayload;
use super::{Calls, alerts_legacy, query};
use crate::call::{Answer, Head, Level, Note, asked_at_root, at_root, handed_out, same_page};
use crate::clock::{self, MINUTE};
use crate::driver::{ReadStep, SplitReader, note};
use crate::error::{Error, ErrorKind};
use crate::settings::Settings;
use crate::splitter::{Framing, Splitter};
use crate::streams::{Collection, Stream};

/// A piece isn't cut narrower than this, in milliseconds, because the service is slow or refuses it …
const NARROWEST: u64 = 5 * MINUTE;
/// … and not narrower than this because it holds more records than the service gives: the finest time of a filter.
const FINEST: u64 = clock::SECOND;
/// After so many refusals of a piece in a row it is cut: on its first page, and on a later one, which is dearer to give up.
const PATIENCE: (u32, u32) = (2, 4);
/// After so many pieces without trouble, the next one is twice as wide again.
const CALM: u32 = 4;
/// The page sizes to fall back to when the service refuses one.
const SMALLER: [u32; 4] = [500, 100, 50, 10];
/// So many answers of a missing licence in a row are believed: tenants that have one get it now and then.
const LICENCE_ANSWERS: u32 = 3;
/// A window has fewer pages than this.
const PAGES: u32 = 20_000;

/// Where a reader is, as it goes into `resume`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Position {
    v: u32,
    /// The first moment that isn't read.
    from: u64,
    /// How wide a piece of the window is read at a time, in milliseconds.
    width: u64,
    /// The next page of that piece, if it isn't the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    /// How many records the piece gave on the pages before.
    #[serde(default)]
    seen: u64,
    top: u32,
    ordered: bool,
    /// Refusals of the piece in a row.
    #[serde(default)]
    refusals: u32,
    /// Pieces without trouble in a row.
    #[serde(default)]
    calm: u32,
}

/// A window being read.
#[derive(Debug)]
pub struct WindowReader {
    calls: Calls,
    stream: &'static Stream,
    collection: Collection,
    end: u64,
    /// How wide the whole window is, in milliseconds.
    widest: u64,
    at: Position,
    /// Whether the position has to be kept even if nothing was read: it says how to go on.
    keep: bool,
    /// Whether the next page was handed out to this very reader.
    fresh: bool,
    done: bool,
    pages: u32,
    licence_answers: u32,
    notes: Vec<Note>,
}

impl WindowReader {
    /// Takes a split of `windows`, and where to go on. Calls nothing.
    ///
    /// # Errors
    /// `bad-data` for a payload or a position of something else.
    pub fn open(
        settings: &Settings,
        stream: &'static Stream,
        collection: Collection,
        payload: &str,
        resume: Option<&str>,
    ) -> Result<Self, Error> {
        let window: WindowPayload =
            serde_json::from_str(payload).map_err(|error| Error::unreadable("split's payload", &error))?;
        let start = Position {
            v: 1,
            from: window.start,
            width: window.end.saturating_sub(window.start),
            next: None,
            seen: 0,
            top: settings.page_size,
            ordered: query(collection).ordered,
            refusals: 0,
            calm: 0,
        };
        let at = match resume {
            None => start,
            Some(text) => {
                serde_json::from_str(text).map_err(|error| Error::unreadable("split's resume position", &error))?
            }
        };
        if window.v != 1 || at.v != 1 {
            return Err(Error::new(
                ErrorKind::BadData,
                "newer-position",
                "The split was written by a newer plugin than this one, which reads version 1; install that plugin again.",
            ));
        }
        if window.start > window.end || at.from < window.start || at.from > window.end || at.top == 0 {
            return Err(Error::new(
                ErrorKind::BadData,
                "bad-position",
                "The split's position lies outside of its window; forget the position to read the window from its beginning.",
            ));
        }
        Ok(Self {
            calls: Calls::new(settings, stream, collection),
            stream,
            collection,
            end: window.end,
            widest: window.end - window.start,
            at,
            keep: false,
            fresh: false,
            done: false,
            pages: 0,
            licence_answers: 0,
            notes: Vec::new(),
        })
    }

    /// The end of the piece that is being read.
    fn to(&self) -> u64 {
        self.at.from.saturating_add(self.at.width).min(self.end)
    }

    /// Cuts the piece in half and starts it again, if it doesn't get narrower than `least`.
    fn narrow(&mut self, least: u64, why: &str) -> bool {
        let width = clock::whole_second((self.to() - self.at.from) / 2);
        if width < least {
            return false;
        }
        self.at.width = width;
        self.at.calm = 0;
        self.at.refusals = 0;
        self.keep = true;
        self.again();
        self.notes.push(note(
            Level::Info,
            format!(
                "{} is read {} seconds at a time for now in this window: {why}",
                self.stream.api,
                width / clock::SECOND
            ),
        ));
        true
    }

    /// Counts a refusal that may pass, and cuts the piece if they don't stop. The host backs off before it tries again.
    fn refused(&mut self) {
        self.at.refusals += 1;
        self.at.calm = 0;
        self.keep = true;
        let (first, later) = PATIENCE;
        if self.at.refusals >= if self.at.next.is_some() { later } else { first } {
            self.narrow(NARROWEST, "the service refused it several times in a row.");
        }
    }

    /// Starts the piece from its first page.
    fn again(&mut self) {
        self.at.next = None;
        self.at.seen = 0;
        self.fresh = false;
        self.pages = 0;
    }

    /// Asks for less on a first page that the service refuses: without order, then with a smaller page.
    fn ask_less(&mut self, names_order: bool, names_top: bool) -> bool {
        if self.at.ordered && (names_order || !names_top) {
            self.at.ordered = false;
            return true;
        }
        let smaller = SMALLER.into_iter().find(|top| *top < self.at.top);
        match smaller {
            Some(top) if names_top => {
                self.at.top = top;
                true
            }
            _ => false,
        }
    }
}

impl SplitReader for WindowReader {
    fn next_step(&mut self) -> ReadStep {
        if self.done {
            return ReadStep::Done;
        }
        ReadStep::Call(match &self.at.next {
            Some(url) => self.calls.follow(url),
            None => self.calls.window(self.at.from, self.to(), self.at.top, self.at.ordered),
        })
    }

    fn framing(&self) -> Framing {
        Framing::Collection
    }

    fn carries_records(&self, head: &Head) -> bool {
        matches!(head.status, 200 | 206)
    }

    fn on_refusal(&mut self, answer: Answer) -> Result<(), Error> {
        let refused = refusal(&answer);
        let error: Error = judge(&answer, &refused, self.stream, self.collection).into();
        if refused.no_licence() {
            self.licence_answers += 1;
            return if self.licence_answers < LICENCE_ANSWERS { Ok(()) } else { Err(error) };
        }
        self.licence_answers = 0;
        let status = answer.head.status;
        if self.at.next.is_some() && (status == 400 || status == 410) && !refused.html {
            // Graph refuses a page of its own: the address has aged, or the collection doesn't page that far.
            if self.fresh && self.narrow(FINEST, "the service refused a next page that it had handed out.") {
                return Ok(());
            }
            return Err(Error::new(
                ErrorKind::Restart,
                "stale-next-link",
                format!("{} The next page is no longer valid; the window is read from its beginning.", error.message),
            ));
        }
        if self.at.next.is_none() && status == 400 && self.ask_less(refused.names_order(), refused.names_top()) {
            return Ok(());
        }
        match error.kind {
            ErrorKind::Timeout if self.narrow(NARROWEST, "the service couldn't answer in time.") => return Ok(()),
            ErrorKind::RateLimited | ErrorKind::Unavailable => self.refused(),
            _ => {}
        }
        Err(error)
    }

    fn on_failure(&mut self, error: Error) -> Result<(), Error> {
        if error.kind == ErrorKind::Timeout && self.narrow(NARROWEST, "the service didn't answer in time.") {
            return Ok(());
        }
        const WHAT: &str = "next page (@odata.nextLink)";
        let Some(url) = &mut self.at.next else { return Err(error) };
        let root = self.calls.root();
        if error.kind == ErrorKind::DeniedByHost
            && let Some(own) = at_root(url, root)
        {
            self.notes.push(asked_at_root(WHAT, url, root));
            *url = own;
            return Ok(());
        }
        Err(handed_out(error, root, WHAT, url))
    }

    fn on_page(&mut self, head: &Head, page: &Splitter) -> Result<(), Error> {
        self.licence_answers = 0;
        if let Some(date) = head.date_ms()
            && date < self.to()
        {
            return Err(Error::new(
                ErrorKind::Unavailable,
                "clock-skew",
                format!(
                    "A window of {} ends after the service's clock, so it isn't complete yet; check that this machine's clock is right. It is tried again.",
                    self.stream.api
                ),
            )
            // The next answer may say something else.
            .after(Some((self.to() - date).min(MINUTE))));
        }
        if let Some(message) = alerts_legacy::failed_providers(head) {
            self.notes.push(note(Level::Warn, message));
        }
        self.at.seen += page.elements();
        self.pages += 1;
        let link = match page.member("@odata.nextLink") {
            None | Some("null") => None,
            Some(json) => Some(serde_json::from_str::<String>(json).map_err(|_| {
                Error::new(
                    ErrorKind::Protocol,
                    "bad-next-link",
                    "The service's next page (@odata.nextLink) isn't an address; it is tried again with patience.",
                )
            })?),
        };
        if let Some(link) = link {
            let again = self.at.next.as_deref().is_some_and(|asked| same_page(asked, &link));
            if again || self.pages >= PAGES {
                return Err(Error::new(
                    ErrorKind::Protocol,
                    "page-loop",
                    "The pages of a window have no end; it is tried again with patience.",
                ));
            }
            self.at.next = Some(link);
            self.fresh = true;
            return Ok(());
        }
        if query(self.collection).cap.is_some_and(|cap| self.at.seen >= cap) {
            if self.narrow(FINEST, "the service may leave out records of a window that has so many.") {
                return Ok(());
            }
            self.notes.push(note(
                Level::Warn,
                format!(
                    "{} gave {} records for the time from {} to {} UTC, where the service may leave some out; the window can't be cut narrower.",
                    self.stream.api,
                    self.at.seen,
                    clock::zoneless(self.at.from),
                    clock::zoneless(self.to())
                ),
            ));
        }
        let to = self.to();
        self.again();
        self.at.from = to;
        self.at.refusals = 0;
        self.at.calm += 1;
        if self.at.calm >= CALM && self.at.width < self.widest {
            self.at.calm = 0;
            self.at.width = self.at.width.saturating_mul(2).min(self.widest);
        }
        self.done = to >= self.end;
        Ok(())
    }

    fn resume(&self) -> Option<String> {
        let text = serde_json::to_string(&self.at).ok()?;
        // The contract allows 64 KiB; a position with a longer address is left out, and the window is read from its beginning.
        (text.len() <= 64 << 10).then_some(text)
    }

    fn take_keep(&mut self) -> bool {
        std::mem::take(&mut self.keep)
    }

    fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }
}
