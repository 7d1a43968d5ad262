//! Reads one window of a Graph collection, page by page.
//!
//! Invariant: a window counts as read only when its last page, or the last pages of the narrower windows that it was cut
//! into, have been read after the window's end by the service's clock. A body that breaks at one place is looked for by narrower and
//! narrower pieces, down to a second, which is put aside and read again, and at last declared lost; everything around it is read.

use super::answers::{carries_page, judge, names_order, names_top, no_licence, words};
use super::filtered::Filtered;
use super::position::{Broken, MOST_BROKEN, Position};
use super::windows::WindowPayload;
use super::{Calls, alerts_legacy, query};
use crate::call::{Answer, Head, Level, Note, asked_at_root, at_root, handed_out, same_page};
use crate::clock::{self, Interval, MINUTE};
use crate::driver::{Loss, ReadStep, SplitReader, note};
use crate::error::{Error, ErrorKind};
use crate::pages::{Endless, Seen, Trail};
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
/// So often in one window a piece whose pages have no end is cut, since fewer records at once can have fewer pages; after that, what the
/// pages give is all that there is to have.
const LOOPS: u32 = 3;

/// A window being read.
#[derive(Debug)]
pub struct WindowReader {
    calls: Calls,
    stream: &'static Stream,
    collection: Collection,
    window: WindowPayload,
    now: u64,
    at: Position,
    /// Whether the position has to be kept even if nothing was read: it says how to go on.
    keep: bool,
    /// Whether the next page was handed out to this very reader.
    fresh: bool,
    /// Whether every piece was read, but for those that are put aside.
    through: bool,
    /// The broken piece that is being read again.
    again: Option<usize>,
    /// The page that was asked for.
    asked: String,
    /// The records of the piece from its second page on.
    seen: Seen,
    /// Whether the page that is being read brought something new.
    news: bool,
    filtered: Filtered,
    licence_answers: u32,
    losses: Vec<Loss>,
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
        now: u64,
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
            trail: Trail::default(),
            loops: 0,
            good: false,
            broken: Vec::new(),
        };
        let at: Position = match resume {
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
            now,
            keep: false,
            fresh: false,
            through: at.from >= window.end && !at.broken.is_empty(),
            again: None,
            asked: String::new(),
            seen: Seen::default(),
            news: false,
            filtered: Filtered::new(query(collection).time),
            licence_answers: 0,
            losses: Vec::new(),
            notes: Vec::new(),
            window,
            at,
        })
    }

    /// The bounds of the piece that is being read, both inside.
    fn piece(&self) -> (u64, u64) {
        match self.again {
            Some(index) => (self.at.broken[index].from, self.at.broken[index].to),
            None => (self.at.from, self.at.from.saturating_add(self.at.width).min(self.window.end)),
        }
    }

    /// How wide the whole window is, in milliseconds.
    fn widest(&self) -> u64 {
        self.window.end - self.window.start
    }

    /// Cuts the piece in half and starts it again, if it doesn't get narrower than `least`.
    fn narrow(&mut self, least: u64, why: &str) -> bool {
        let (from, to) = self.piece();
        let width = clock::whole_second((to - from) / 2);
        width >= least && self.cut(width, why)
    }

    /// Starts the piece again at another width.
    fn cut(&mut self, width: u64, why: &str) -> bool {
        if self.again.is_some() {
            return false;
        }
        let first = self.at.width >= self.widest();
        self.at.width = width;
        self.at.calm = 0;
        self.at.refusals = 0;
        self.keep = true;
        self.restart();
        // One line a window; each further cut is for those who look closely.
        let level = if first { Level::Info } else { Level::Debug };
        let seconds = width.div_ceil(clock::SECOND);
        self.notes.push(note(
            level,
            format!("{} is read {seconds} seconds at a time for now in this window: {why}", self.stream.api),
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

    /// The body of a page broke, or the service said behind some records that something went wrong. Once may be chance; what breaks
    /// again is looked for, and in a window that is cut already at once.
    fn breaks(&mut self, error: Error) -> Result<(), Error> {
        self.keep = true;
        if let Some(index) = self.again.take() {
            self.restart();
            let broken = &mut self.at.broken[index];
            // A connection that breaks off says nothing of the piece.
            if error.code != "body-cut" {
                broken.attempts = broken.attempts.saturating_add(1);
            }
            if broken.is_lost(self.now, self.at.good) {
                let broken = self.at.broken.remove(index);
                self.losses.push(self.loss(&broken, &error));
            }
            return Ok(());
        }
        self.at.calm = 0;
        self.at.refusals += 1;
        if self.at.width >= self.widest() && self.at.refusals < PATIENCE.0 {
            return Err(error);
        }
        let (from, to) = self.piece();
        let why = "the body of an answer breaks at one place.";
        let narrower = clock::whole_second((to - from) / 2).max(FINEST);
        if narrower < to - from {
            self.cut(narrower, why);
            return Ok(());
        }
        // Neighbouring pieces share a second; a single one is alone without its last millisecond.
        if to - from == FINEST {
            self.cut(FINEST - 1, why);
            return Ok(());
        }
        if self.at.broken.len() >= MOST_BROKEN {
            return Err(error);
        }
        self.at.broken.push(Broken { from, to, attempts: 1, since: self.now, tried: true });
        self.at.from = (to + 1).min(self.window.end);
        self.at.width = self.widest();
        self.at.refusals = 0;
        self.restart();
        self.through = to >= self.window.end;
        Ok(())
    }

    fn loss(&self, broken: &Broken, error: &Error) -> Loss {
        let stretch = broken.stretch();
        let mut message = format!(
            "{} from {} to {} UTC was read {} times in {} minutes and its body was broken each time; it is passed over. {}",
            self.stream.api,
            clock::zoneless(stretch.start),
            clock::zoneless(stretch.end),
            broken.attempts,
            self.now.saturating_sub(broken.since) / MINUTE,
            error.message
        );
        // Far below the contract's 4 KiB in any case but that of a host that tells more than that.
        if let Some((end, _)) = message.char_indices().nth(1_000) {
            message.truncate(end);
        }
        Loss { stretch: Some(stretch), code: error.code.clone(), message, oversized: None }
    }

    /// What is said while broken pieces wait.
    fn still_broken(&self) -> Error {
        let pause = self.at.broken.iter().map(Broken::pause).min();
        let times: Vec<String> = self.at.broken.iter().map(|broken| clock::zoneless(broken.stretch().start)).collect();
        let attempts = self.at.broken.iter().map(|broken| broken.attempts).min().unwrap_or_default();
        let held = if self.through { "everything else of the window was read" } else { "what comes behind it waits" };
        Error::new(
            // What is lost of it is said by the reader itself, piece by piece.
            ErrorKind::Unavailable,
            "broken-record",
            format!(
                "{} can't be read at {} UTC: the body breaks there each time, {attempts} times so far; {held}. It is tried again, and declared lost if it stays.",
                self.stream.api,
                times.join(", ")
            ),
        )
        .after(pause)
    }

    /// Starts the piece from its first page.
    fn restart(&mut self) {
        self.at.next = None;
        self.at.seen = 0;
        self.at.trail = Trail::default();
        self.fresh = false;
        self.seen.clear();
        self.filtered.clear();
    }

    /// The last page of the piece was read.
    fn complete(&mut self) {
        let (_, to) = self.piece();
        self.at.good |= self.at.seen > 0;
        self.restart();
        self.at.refusals = 0;
        if let Some(index) = self.again.take() {
            self.at.broken.remove(index);
            self.keep = true;
            return;
        }
        // A second that was read alone has all of its fractions; other pieces share their last moment with the next one.
        self.at.from = if to % clock::SECOND == clock::SECOND - 1 { to + 1 } else { to };
        self.at.calm += 1;
        if self.at.calm >= CALM && self.at.width < self.widest() {
            self.at.calm = 0;
            self.at.width = self.at.width.saturating_mul(2).min(self.widest());
        }
        self.through = to >= self.window.end;
    }

    /// The pages of the piece have no end: fewer records at once can have fewer pages. If that doesn't help, the piece is what was read.
    fn endless(&mut self, end: Endless) -> Result<(), Error> {
        if self.at.seen == 0 && !self.at.good && self.at.loops == 0 {
            // Behind empty pages there may be others. Only where pages held something before, it is how the service ends them.
            self.restart();
            self.keep = true;
            return Err(Error::new(
                ErrorKind::Protocol,
                "endless-pages",
                format!(
                    "The pages of {} {}, and hold nothing. It is tried again; if it stays, the service is at fault.",
                    self.stream.api,
                    end.words()
                ),
            ));
        }
        if self.at.seen > 0 && !self.filtered.is_ignored() {
            if self.at.loops == 0 {
                self.notes.push(note(
                    Level::Warn,
                    format!(
                        "The pages of {} {}; what they hold is read, and this stretch is read again by the later passes. The fault is the service's.",
                        self.stream.api,
                        end.words()
                    ),
                ));
            }
            self.at.loops = self.at.loops.saturating_add(1);
            if self.at.loops <= LOOPS && self.narrow(FINEST, "its pages have no end.") {
                return Ok(());
            }
            // The next pieces aren't cut for what this one has shown to be in vain.
            if self.finish() && self.at.loops == LOOPS + 1 {
                self.at.width = self.widest();
            }
            return Ok(());
        }
        self.finish();
        Ok(())
    }

    /// The pages of the piece have ended. Whether they gave all that there is; if not, it is cut.
    fn finish(&mut self) -> bool {
        let (from, to) = self.piece();
        let ignored = self.filtered.is_ignored();
        if ignored {
            if !self.window.unfiltered {
                self.notes.push(note(Level::Warn, super::filtered::told(self.stream)));
                self.window.unfiltered = true;
            }
        } else if query(self.collection).cap.is_some_and(|cap| self.at.seen >= cap) {
            if self.narrow(FINEST, "the service may leave out records of a window that has so many.") {
                return false;
            }
            self.notes.push(note(
                Level::Warn,
                format!(
                    "{} gave {} records for the time from {} to {} UTC, where the service may leave some out; the window can't be cut narrower.",
                    self.stream.api,
                    self.at.seen,
                    clock::zoneless(from),
                    clock::zoneless(to)
                ),
            ));
        }
        self.complete();
        if ignored {
            // Whatever is asked for, everything comes: narrower pieces give the same again.
            self.at.width = self.widest();
        }
        true
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
        let full = self.at.broken.len() >= MOST_BROKEN;
        if self.again.is_none() && (self.through || full) {
            // Where nothing could be read, one piece finds out whether that has changed.
            let most = if self.at.good { MOST_BROKEN } else { 1 };
            let next = self.at.broken.iter().take(most).position(|broken| !broken.tried);
            match next {
                Some(index) => {
                    self.at.broken[index].tried = true;
                    self.restart();
                    self.again = Some(index);
                }
                None if self.through && self.at.broken.is_empty() => return ReadStep::Done,
                None if self.through || full => return ReadStep::Fail(self.still_broken()),
                None => {}
            }
        }
        let request = match &self.at.next {
            Some(url) => self.calls.follow(url),
            None => {
                let (from, to) = self.piece();
                self.calls.window(from, to, self.at.top, self.at.ordered)
            }
        };
        self.asked.clone_from(&request.url);
        self.news = false;
        ReadStep::Call(request)
    }

    fn framing(&self) -> Framing {
        Framing::Collection
    }

    fn carries_records(&self, head: &Head) -> bool {
        carries_page(head, self.collection)
    }

    fn watches(&self) -> bool {
        true
    }

    fn on_record(&mut self, record: &[u8]) {
        let (from, to) = self.piece();
        self.filtered.look(record, from, to);
        // Most pieces have one page, whose records are all new.
        self.news |= self.at.next.is_none() || self.seen.is_new(record);
    }

    fn stretch(&self) -> Option<Interval> {
        let (start, to) = self.piece();
        Some(Interval { start, end: to.saturating_add(1) })
    }

    fn on_refusal(&mut self, answer: Answer, read: Option<u64>) -> Result<(), Error> {
        let said = words(&answer);
        let error: Error = judge(&answer, &said, self.stream, self.collection).into();
        if no_licence(&said) {
            self.licence_answers += 1;
            return if self.licence_answers < LICENCE_ANSWERS { Ok(()) } else { Err(error) };
        }
        self.licence_answers = 0;
        let passing = matches!(error.kind, ErrorKind::Unavailable | ErrorKind::Protocol | ErrorKind::Timeout);
        if let Some(read) = read.filter(|_| passing) {
            let message = format!("{} It came behind {read} records of a page, which were read.", error.message);
            return self.breaks(Error { message, ..error });
        }
        let status = answer.head.status;
        if self.at.next.is_some() && matches!(status, 400 | 404 | 410) && !said.html {
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
        let may_be_the_query = error.kind == ErrorKind::Protocol && self.at.next.is_none() && status == 400;
        if may_be_the_query && self.ask_less(names_order(&said), names_top(&said)) {
            return Ok(());
        }
        match error.kind {
            ErrorKind::Timeout if self.narrow(NARROWEST, "the service couldn't answer in time.") => return Ok(()),
            ErrorKind::Unavailable => self.refused(),
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

    fn on_broken(&mut self, error: Error, _read: u64) -> Result<(), Error> {
        match error.kind {
            ErrorKind::Timeout if self.narrow(NARROWEST, "the service didn't answer in time.") => Ok(()),
            ErrorKind::Unavailable | ErrorKind::Protocol | ErrorKind::TooLarge => self.breaks(error),
            _ => Err(error),
        }
    }

    fn on_page(&mut self, head: &Head, page: &Splitter) -> Result<(), Error> {
        self.licence_answers = 0;
        let (_, to) = self.piece();
        if let Some(date) = head.date_ms()
            && date < to
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
            .after(Some((to - date).min(MINUTE))));
        }
        if let Some(partial) = alerts_legacy::Partial::of(head) {
            // What the planner has told isn't told for each window again.
            let level = if self.window.told.contains(&partial.providers) { Level::Debug } else { Level::Warn };
            self.notes.push(note(level, partial.message()));
        }
        self.at.seen += page.elements();
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
        match link {
            None => {
                self.finish();
            }
            Some(link) => match self.at.trail.follow(&self.asked, &link, Some(self.news)) {
                Ok(()) => {
                    self.at.next = Some(link);
                    self.fresh = true;
                    // Whatever comes next, the pages before it are read.
                    self.keep = true;
                }
                // A page that is empty and names itself is how some collections end.
                Err(Endless::Circle) if page.elements() == 0 && same_page(&self.asked, &link) => {
                    self.finish();
                }
                Err(end) => return self.endless(end),
            },
        }
        Ok(())
    }

    fn resume(&self) -> Option<String> {
        let mut at = self.at.clone();
        if self.again.is_some() {
            // The pages of a broken piece are no place to go on from.
            (at.next, at.seen, at.trail) = (None, 0, Trail::default());
        }
        let text = serde_json::to_string(&at).ok()?;
        // The contract allows 64 KiB; a position with a longer address is left out, and the window is read from its beginning.
        (text.len() <= 64 << 10).then_some(text)
    }

    fn take_losses(&mut self) -> Vec<Loss> {
        std::mem::take(&mut self.losses)
    }

    fn take_keep(&mut self) -> bool {
        std::mem::take(&mut self.keep)
    }

    fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }
}
