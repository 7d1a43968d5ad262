//! What to list next of a content type: subscription, window, pages.
//!
//! Invariant: the watermark never passes time that hasn't been listed to its last page, nor the service's own clock at the
//! moment of the listing. Whatever goes wrong, listing again from the stored state finds everything.

use super::Calls;
use super::answers::{Subject, judge, refusal};
use super::blob::BlobPayload;
use super::state::{OpenWindow, Start, State};
use crate::call::{Answer, Level, Machine, Note, Step, handed_out};
use crate::clock::{self, DAY, HOUR, Interval, MINUTE};
use crate::driver::note;
use crate::error::{Error, ErrorKind};
use crate::settings::Settings;
use crate::source::{Discovery, Split};
use crate::streams::Stream;

/// How far back a window may begin: the service lists 7 days, and a call takes a moment to arrive.
pub const REACH: u64 = 7 * DAY - 5 * MINUTE;
/// The widest window (Microsoft: Management Activity API reference). A wider one can give a part with status 200.
pub const WIDEST: u64 = DAY;
/// How long to wait between two starts of a subscription (Microsoft: Management Activity API reference).
pub const START_PAUSE: u64 = 15 * MINUTE;
/// How long a subscription that was seen enabled is taken to be so.
const RECHECK: u64 = HOUR;
/// How long the address of a next page is used.
const PAGE_LIFE: u64 = HOUR;
/// How long to wait, in milliseconds, after a failure in the middle of a listing.
const PAUSE: u64 = 5 * clock::SECOND;
/// A call to `discover` ends after this many splits; the next one goes on with the next page.
const SPLITS_A_CALL: usize = 2_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Subscriptions,
    Starting,
    Listing,
}

/// One call of `discover`.
#[derive(Debug)]
pub struct FeedMachine {
    calls: Calls,
    stream: &'static Stream,
    content_type: &'static str,
    state: State,
    /// This machine's clock.
    now: u64,
    lookback: u64,
    overlap: u64,
    poll: u64,
    phase: Phase,
    window: Option<Window>,
    splits: Vec<Split>,
    coverage: Vec<Interval>,
    lost: Vec<(Interval, String)>,
    notes: Vec<Note>,
    skew_corrected: bool,
    restarted: bool,
    /// Whether this call has started the subscription: that must not be forgotten.
    started: bool,
}

#[derive(Clone, Debug)]
struct Window {
    start: u64,
    end: u64,
    known_until: Option<u64>,
    /// The page that is being asked for, if it isn't the first.
    page: Option<String>,
    /// The splits before it in this call.
    splits_before: usize,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Subscription {
    #[serde(default)]
    content_type: String,
    status: Option<String>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    content_id: Option<String>,
    content_uri: Option<String>,
    content_created: Option<String>,
    content_expiration: Option<String>,
}

impl FeedMachine {
    /// Prepares one call of `discover`.
    ///
    /// # Errors
    /// `bad-data` if the state isn't one of this plugin's.
    pub fn new(
        settings: &Settings,
        stream: &'static Stream,
        content_type: &'static str,
        state: Option<&str>,
        now: u64,
    ) -> Result<Self, Error> {
        Ok(Self {
            calls: Calls::new(settings),
            stream,
            content_type,
            state: State::read(state)?,
            now,
            lookback: settings.lookback_ms().min(REACH),
            overlap: settings.office365_overlap_ms(),
            poll: u64::from(settings.office365_poll_seconds) * clock::SECOND,
            phase: Phase::Subscriptions,
            window: None,
            splits: Vec::new(),
            coverage: Vec::new(),
            lost: Vec::new(),
            notes: Vec::new(),
            skew_corrected: false,
            restarted: false,
            started: false,
        })
    }

    /// The service's clock, as far as it is known.
    fn service_now(&self) -> u64 {
        self.now.saturating_add_signed(self.state.skew_ms)
    }

    fn done(&mut self, more: bool) -> Step<Discovery> {
        self.splits.sort_by(|a, b| a.arrival.cmp(&b.arrival).then_with(|| a.id.cmp(&b.id)));
        self.splits.dedup_by(|a, b| a.id == b.id);
        Step::Done(Discovery {
            splits: std::mem::take(&mut self.splits),
            state: self.state.write(),
            more,
            next_ms: if more { 0 } else { self.poll },
            coverage: std::mem::take(&mut self.coverage),
            lost: std::mem::take(&mut self.lost),
        })
    }

    /// Ends with an error, unless this call has got somewhere: then with what it has, and the next call goes on from there.
    fn fail(&mut self, error: Error) -> Step<Discovery> {
        if self.splits.is_empty() && !self.started {
            return Step::Fail(error);
        }
        if let Some(Window { start, end, known_until: Some(known_until), page: Some(next), .. }) = self.window.take() {
            self.state.window = Some(OpenWindow { start, end, known_until, next, at: self.now });
        }
        self.notes.push(note(Level::Warn, format!("The listing stopped and goes on later: {}", error.message)));
        // The failure isn't an error to the host, so the pause is asked for here.
        let pause = error.retry_after_ms.unwrap_or(PAUSE).min(self.poll.max(PAUSE));
        match self.done(true) {
            Step::Done(found) => Step::Done(Discovery { next_ms: pause, ..found }),
            step => step,
        }
    }

    fn list_subscriptions(&mut self) -> Step<Discovery> {
        self.phase = Phase::Subscriptions;
        Step::Call(self.calls.list_subscriptions())
    }

    /// Starts the subscription, unless the last start is too young.
    fn start_subscription(&mut self) -> Step<Discovery> {
        if let Some(last) = &self.state.start {
            let age = self.now.saturating_sub(last.at);
            if age < START_PAUSE {
                let error = last.failure.clone().unwrap_or_else(|| {
                    Error::new(
                        ErrorKind::Unavailable,
                        "subscription-pending",
                        format!(
                            "The subscription to {} was started at {} UTC and isn't effective yet. The service takes one start in 15 minutes; it is tried again after that.",
                            self.content_type,
                            clock::zoneless(last.at)
                        ),
                    )
                });
                return Step::Fail(error.after(Some(START_PAUSE - age)));
            }
        }
        self.phase = Phase::Starting;
        Step::Call(self.calls.start_subscription(self.content_type))
    }

    /// Keeps a failure of a start in the state, since an error would throw the state away and with it the time of the start.
    /// The next call, which follows at once, reports it.
    fn remember_failure(&mut self, error: Error) -> Step<Discovery> {
        self.state.enabled_at = None;
        self.state.start = Some(Start { at: self.now, failure: Some(error) });
        // What is there once the subscription works is read from the first attempt's lookback on.
        let first = self.service_now().saturating_sub(self.lookback);
        self.state.watermark.get_or_insert(first);
        self.done(true)
    }

    fn on_subscriptions(&mut self, answer: &Answer) -> Step<Discovery> {
        if answer.head.status != 200 {
            let error = judge(answer, &refusal(answer), Subject::List, self.stream);
            return Step::Fail(error.into());
        }
        let list: Vec<Subscription> = match serde_json::from_slice(&answer.body) {
            Ok(list) => list,
            Err(error) => return Step::Fail(unexpected("list of subscriptions", &error)),
        };
        let enabled = list.iter().any(|subscription| {
            subscription.content_type.eq_ignore_ascii_case(self.content_type)
                // The reference's own sample leaves the status out of an element.
                && subscription.status.as_deref().is_none_or(|status| status.eq_ignore_ascii_case("enabled"))
        });
        if !enabled {
            return self.start_subscription();
        }
        self.state.enabled_at = Some(self.now);
        if let Some(start) = &mut self.state.start {
            start.failure = None;
        }
        self.list_window()
    }

    fn on_start(&mut self, answer: &Answer) -> Step<Discovery> {
        let refused = refusal(answer);
        // AF20024: enabled already, nothing changed.
        if (200..300).contains(&answer.head.status) || refused.af.as_deref() == Some("AF20024") {
            self.notes.push(note(
                Level::Info,
                format!(
                    "The subscription to {} is started; the service can take up to 12 hours to list first content.",
                    self.content_type
                ),
            ));
            self.state.start = Some(Start { at: self.now, failure: None });
            self.state.enabled_at = Some(self.now);
            self.started = true;
            return self.list_window();
        }
        let error: Error = judge(answer, &refused, Subject::List, self.stream).into();
        match error.kind {
            // Trying again soon is right, and the list of subscriptions comes first then.
            ErrorKind::Unauthenticated | ErrorKind::Forbidden | ErrorKind::Unavailable => Step::Fail(error),
            _ => self.remember_failure(error),
        }
    }

    /// Chooses the window and asks for its first page, or goes on with the window of the state.
    fn list_window(&mut self) -> Step<Discovery> {
        let now = self.service_now();
        let floor = now.saturating_sub(REACH);
        let mut watermark = self.state.watermark.unwrap_or_else(|| now.saturating_sub(self.lookback));
        if watermark < floor {
            if self.state.watermark.is_some() {
                self.lost.push((
                    Interval { start: watermark, end: floor },
                    "The service lists content of the last 7 days only, and this stretch wasn't listed in time."
                        .to_owned(),
                ));
                self.notes.push(note(
                    Level::Warn,
                    format!(
                        "Content between {} and {} UTC can no longer be listed and is lost.",
                        clock::zoneless(watermark),
                        clock::zoneless(floor)
                    ),
                ));
            }
            watermark = floor;
        }
        self.state.watermark = Some(watermark);
        if let Some(open) = self.state.window.take()
            && open.start >= floor
            && self.now.saturating_sub(open.at) < PAGE_LIFE
        {
            self.window = Some(Window {
                start: open.start,
                end: open.end,
                known_until: Some(open.known_until),
                page: Some(open.next),
                splits_before: self.splits.len(),
            });
            return self.ask();
        }
        let start = clock::whole_second(watermark.saturating_sub(self.overlap).max(floor));
        let end = clock::whole_second(now).min(start + WIDEST);
        if end <= start {
            if watermark > now + MINUTE {
                self.notes.push(note(
                    Level::Warn,
                    "The stream has been listed up to a time that this machine's clock hasn't reached; check the clock.",
                ));
            }
            return self.done(false);
        }
        self.window = Some(Window { start, end, known_until: None, page: None, splits_before: self.splits.len() });
        self.ask()
    }

    fn ask(&mut self) -> Step<Discovery> {
        self.phase = Phase::Listing;
        match &self.window {
            Some(Window { page: Some(url), .. }) => Step::Call(self.calls.follow(url)),
            Some(window) => Step::Call(self.calls.list_content(self.content_type, window.start, window.end)),
            None => self.list_window(),
        }
    }

    fn on_content(&mut self, answer: &Answer) -> Step<Discovery> {
        if answer.head.status != 200 {
            return self.on_content_refused(answer);
        }
        let list: Vec<Content> = match serde_json::from_slice(&answer.body) {
            Ok(list) => list,
            Err(error) => return self.fail(unexpected("list of content", &error)),
        };
        let Some(mut window) = self.window.clone() else { return self.list_window() };
        if window.known_until.is_none() {
            // What becomes available after the service's clock can't be in this list.
            window.known_until = Some(answer.head.date_ms().unwrap_or(window.end).min(window.end));
        }
        let page: Result<Vec<Split>, Error> = list.into_iter().map(|item| self.split(item, window.start)).collect();
        match page {
            Ok(mut splits) => self.splits.append(&mut splits),
            Err(error) => return self.fail(error),
        }
        let known_until = window.known_until.unwrap_or(window.start);
        let next = answer.head.header("NextPageUri").filter(|url| !url.is_empty());
        if let Some(next) = next {
            if window.page.as_deref() == Some(next) {
                return Step::Fail(Error::new(
                    ErrorKind::Protocol,
                    "page-loop",
                    "The service names a page of the list as its own next page; the window is listed again.",
                ));
            }
            window.page = Some(next.to_owned());
            if self.splits.len() >= SPLITS_A_CALL {
                self.state.window = Some(OpenWindow {
                    start: window.start,
                    end: window.end,
                    known_until,
                    next: next.to_owned(),
                    at: self.now,
                });
                return self.done(true);
            }
            self.window = Some(window);
            return self.ask();
        }
        self.state.window = None;
        if known_until > window.start {
            self.coverage.push(Interval { start: window.start, end: known_until });
            self.state.watermark = Some(self.state.watermark.unwrap_or(0).max(known_until));
        }
        // Behind by less than a poll: the next one takes it.
        let more = known_until == window.end && window.end.saturating_add(self.poll) <= self.service_now();
        self.done(more)
    }

    fn on_content_refused(&mut self, answer: &Answer) -> Step<Discovery> {
        let refused = refusal(answer);
        let error: Error = judge(answer, &refused, Subject::List, self.stream).into();
        match refused.af.as_deref() {
            Some("AF20022" | "AF20023") if self.started => self.remember_failure(error),
            Some("AF20022" | "AF20023") => {
                self.state.enabled_at = None;
                self.forget_window();
                self.start_subscription()
            }
            Some("AF20031") if !self.restarted && self.window.as_ref().is_some_and(|window| window.page.is_some()) => {
                self.restarted = true;
                self.forget_window();
                self.notes.push(note(
                    Level::Info,
                    "The next page of a list was no longer valid; the window is listed from its beginning.",
                ));
                self.list_window()
            }
            Some("AF20030" | "AF20055") if !self.skew_corrected => {
                self.skew_corrected = true;
                self.forget_window();
                let Some(date) = answer.head.date_ms() else { return Step::Fail(error) };
                let skew = i64::try_from(i128::from(date) - i128::from(self.now)).unwrap_or(0);
                self.state.skew_ms = skew;
                self.notes.push(note(
                    Level::Warn,
                    format!(
                        "The service refused a window of time; its clock differs from this machine's by {} seconds, which is taken into account now.",
                        skew / 1000
                    ),
                ));
                self.list_window()
            }
            Some("AF20030" | "AF20055" | "AF20031") => {
                self.forget_window();
                Step::Fail(error)
            }
            _ => self.fail(error),
        }
    }

    /// Gives up the window of this call and what it has listed: it is listed again.
    fn forget_window(&mut self) {
        if let Some(window) = self.window.take() {
            self.splits.truncate(window.splits_before);
        }
        self.state.window = None;
    }

    fn split(&self, item: Content, window_start: u64) -> Result<Split, Error> {
        let uri = match (item.content_uri, &item.content_id) {
            (Some(uri), _) if !uri.is_empty() => uri,
            (_, Some(id)) if !id.is_empty() => self.calls.content_uri(id),
            _ => {
                return Err(Error::new(
                    ErrorKind::Protocol,
                    "content-without-address",
                    "The service listed content with neither contentUri nor contentId; the window is listed again.",
                ));
            }
        };
        let id = item.content_id.filter(|id| !id.is_empty()).unwrap_or_else(|| uri.clone());
        let payload = BlobPayload { v: 1, uri, content_type: self.content_type.to_owned() };
        Ok(Split {
            id: short(id),
            stream: self.stream.name.to_owned(),
            // Strings only: serialising them into memory can't fail.
            payload: serde_json::to_string(&payload).expect("a payload is plain data"),
            arrival: item.content_created.as_deref().and_then(clock::parse).unwrap_or(window_start),
            expires: item.content_expiration.as_deref().and_then(clock::parse),
        })
    }

    /// Once a difference of the clocks is known, every call measures it anew, so that it goes away with its cause.
    fn measure_skew(&mut self, answer: &Answer) {
        if self.state.skew_ms != 0
            && !self.skew_corrected
            && let Some(date) = answer.head.date_ms()
        {
            let skew = i64::try_from(i128::from(date) - i128::from(self.now)).unwrap_or(0);
            self.state.skew_ms = if skew.unsigned_abs() < MINUTE { 0 } else { skew };
        }
    }
}

/// An id within the 512 bytes that the contract allows; a longer one becomes its digest.
fn short(id: String) -> String {
    use sha2::Digest;
    if id.len() <= 512 {
        return id;
    }
    sha2::Sha256::digest(id.as_bytes()).iter().fold("sha256:".to_owned(), |mut text, byte| {
        use std::fmt::Write;
        // Writing into a string can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unexpected(what: &str, error: &serde_json::Error) -> Error {
    Error::new(
        ErrorKind::Protocol,
        "not-a-list",
        format!("The service's {what} isn't one: {error}. It is tried again; if it stays, the service is at fault."),
    )
}

impl Machine for FeedMachine {
    type Output = Discovery;

    fn start(&mut self) -> Step<Discovery> {
        let fresh = self.state.enabled_at.is_some_and(|at| self.now >= at && self.now - at < RECHECK);
        if fresh { self.list_window() } else { self.list_subscriptions() }
    }

    fn on_answer(&mut self, answer: Result<Answer, Error>) -> Step<Discovery> {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                let page = self.window.as_ref().and_then(|window| window.page.as_deref());
                let error = match page {
                    Some(url) => handed_out(error, self.calls.root(), "next page of a list (NextPageUri)", url),
                    None => error,
                };
                return self.fail(error);
            }
        };
        self.measure_skew(&answer);
        match self.phase {
            Phase::Subscriptions => self.on_subscriptions(&answer),
            Phase::Starting => self.on_start(&answer),
            Phase::Listing => self.on_content(&answer),
        }
    }

    fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }
}
