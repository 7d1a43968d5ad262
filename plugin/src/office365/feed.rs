//! What to list next of a content type: subscription, lane, window, pages.
//!
//! Invariant: the watermark never passes time that hasn't been listed to its last page, nor the service's own clock at the
//! moment of the listing, nor the time that the host gives by more than a minute, whatever an answer says. Whatever goes wrong, listing again from the stored state finds everything. A call works in one
//! lane: the live one whenever it is due, and otherwise a later pass; what concerns a pass alone never holds up the live
//! lane.

mod lanes;
mod subscription;

pub(super) use subscription::is_enabled;

use super::Calls;
use super::answers::{START_THROTTLED, Subject, judge, words};
use super::listing::{Content, elements};
use super::state::{OpenWindow, State};
use crate::call::{Answer, Level, Machine, Note, Step, asked_at_root, at_root, handed_out, host_of, same_page};
use crate::clock::{self, DAY, HOUR, Interval, MINUTE};
use crate::driver::note;
use crate::error::{Error, ErrorKind};
use crate::pages::{Endless, Seen, Trail};
use crate::passes;
use crate::settings::Settings;
use crate::source::{Discovery, LIVE, Split};
use crate::streams::Stream;

/// How far back a window may begin: the service lists 7 days, and a call takes a moment to arrive.
pub const REACH: u64 = 7 * DAY - 5 * MINUTE;
/// How old the start of a window may become while its pages are followed.
const LAST_REACH: u64 = 7 * DAY - MINUTE;
/// A window that begins at most so far above the end of the reach is no wider than this and the overlap: it has to be listed to its last
/// page before it gets out of reach, or it would be begun again and again.
const EDGE: u64 = HOUR;
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
/// … or this many pages that name another one: what was listed is read meanwhile.
const PAGES_A_CALL: u32 = 60;
/// So often in a row a window is listed again whose pages lead in a circle.
const RELISTED: u32 = 3;
/// A call in the lane of a pass makes at most this many requests …
const PASS_REQUESTS: u32 = 4;
/// … and the next one follows after this long, in milliseconds. Over all five content types, passes so take at most a
/// tenth of the smallest quota that Microsoft grants, 2,000 requests a minute.
const PASS_PACE: u64 = 6 * clock::SECOND;
/// How long passes wait after a failure of their own, in milliseconds, doubling up to the second.
const PASS_PAUSE: (u64, u64) = (5 * MINUTE, 6 * HOUR);

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
    ages: Vec<u64>,
    /// The pass in whose lane this call works, by its age; none for the live lane.
    pass: Option<u64>,
    pass_requests: u32,
    phase: Phase,
    window: Option<Window>,
    splits: Vec<Split>,
    coverage: Vec<Interval>,
    lost: Vec<(Interval, String)>,
    notes: Vec<Note>,
    /// The difference of the clocks that the window was asked for with, and whether it was asked for again since a refusal told
    /// another one.
    window_skew: i64,
    asked_again: bool,
    skew_corrected: bool,
    restarted: bool,
    /// The content of the window that this call has seen, by its id.
    seen: Seen,
    /// Why the subscription isn't started yet, though it should be: what can be listed all the same is listed.
    start_refused: Option<Error>,
    /// Whether this call has started the subscription: that must not be forgotten.
    started: bool,
    /// Whether this call was the first to hear that the subscription isn't enabled.
    found_stopped: bool,
    /// The pages of this call that named another one.
    pages: u32,
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
    /// The pages that were followed.
    trail: Trail,
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
        let mut state = State::read(state)?;
        state.bound(now);
        if let Some(pause) = &mut state.pass_pause {
            pause.until = pause.until.min(now.saturating_add(PASS_PAUSE.1));
        }
        Ok(Self {
            calls: Calls::new(settings),
            stream,
            content_type,
            state,
            now,
            lookback: settings.lookback_ms().min(REACH),
            overlap: settings.office365_overlap_ms(),
            poll: u64::from(settings.office365_poll_seconds) * clock::SECOND,
            ages: settings.office365_passes(),
            pass: None,
            pass_requests: 0,
            phase: Phase::Subscriptions,
            window: None,
            splits: Vec::new(),
            coverage: Vec::new(),
            lost: Vec::new(),
            notes: Vec::new(),
            window_skew: 0,
            asked_again: false,
            skew_corrected: false,
            restarted: false,
            seen: Seen::default(),
            start_refused: None,
            started: false,
            found_stopped: false,
            pages: 0,
        })
    }

    /// How wide a window may be that begins here.
    fn widest(&self, start: u64) -> u64 {
        let edge = self.service_now().saturating_sub(REACH).saturating_add(EDGE);
        // The overlap of the live lane is no progress.
        if start < edge { (EDGE + self.overlap).min(WIDEST) } else { WIDEST }
    }

    /// Whether the pages of a window are still good to follow.
    fn goes_on(&self, open: &OpenWindow) -> bool {
        open.start >= self.service_now().saturating_sub(LAST_REACH) && self.now.saturating_sub(open.at) < PAGE_LIFE
    }

    /// The service's clock, as far as two answers agree on it; until they do, the smaller of that and what the last one told,
    /// unless that is a day away.
    fn service_now(&self) -> u64 {
        let State { skew_ms, told_ms, .. } = self.state;
        let told = (told_ms < skew_ms && skew_ms.abs_diff(told_ms) <= DAY).then_some(told_ms);
        self.now.saturating_add_signed(told.unwrap_or(skew_ms))
    }

    /// Up to when anything is listed: the service's clock, but never much beyond now, whatever the service says.
    fn listable(&self) -> u64 {
        self.service_now().min(self.now.saturating_add(clock::SLACK))
    }

    fn done(&mut self, more: bool) -> Step<Discovery> {
        // What could be listed all the same says nothing of the start that is still owed.
        if let Some(error) = self.start_refused.take() {
            let day = self.now / DAY;
            self.tell_once(&format!("{START_THROTTLED} {day}"), || error.message);
        }
        self.splits.sort_by(|a, b| a.arrival.cmp(&b.arrival).then_with(|| a.id.cmp(&b.id)));
        self.splits.dedup_by(|a, b| a.id == b.id);
        Step::Done(Discovery {
            splits: std::mem::take(&mut self.splits),
            state: self.state.write(),
            more,
            next_ms: match (more, self.pass) {
                (true, None) => 0,
                (true, Some(_)) => PASS_PACE,
                (false, _) => self.live_due_in(),
            },
            coverage: std::mem::take(&mut self.coverage),
            pass: self.pass.map_or_else(|| LIVE.to_owned(), passes::name),
            sealed: self.state.passes.sealed().or(self.state.watermark),
            lost: std::mem::take(&mut self.lost),
        })
    }

    /// Ends with an error, unless this call has got somewhere: then with what it has, and the next call goes on from there.
    fn fail(&mut self, error: Error) -> Step<Discovery> {
        // What is wrong with one window of a pass must not hold up the live lane; a service that asks for fewer calls
        // means them all.
        let own = !matches!(
            error.kind,
            ErrorKind::RateLimited | ErrorKind::Unauthenticated | ErrorKind::Forbidden | ErrorKind::Cancelled
        );
        if self.pass.is_some() && own {
            return self.pause_passes(&error);
        }
        // An error would throw the state away: a subscription that this call has seen enabled is not asked for again by the
        // next one, which under throttling would be one chance more to fail before the list.
        let passing = matches!(error.kind, ErrorKind::RateLimited | ErrorKind::Unavailable | ErrorKind::Timeout);
        let learned = self.started || self.start_is_news() || (passing && self.state.enabled_at == Some(self.now));
        if self.splits.is_empty() && !learned {
            return Step::Fail(error);
        }
        self.keep_window();
        self.notes.push(note(Level::Warn, format!("The listing stopped and goes on later: {}", error.message)));
        // The failure isn't an error to the host, so the pause is asked for here; `Retry-After: 0` is no reason for none.
        let pause = error.retry_after_ms.unwrap_or(PAUSE).clamp(clock::SECOND, self.poll.max(PAUSE));
        match self.done(true) {
            Step::Done(found) => Step::Done(Discovery { next_ms: pause, ..found }),
            step => step,
        }
    }

    fn on_content(&mut self, answer: &Answer) -> Step<Discovery> {
        let Ok((items, odd)) = elements(answer) else { return self.on_content_refused(answer) };
        let Some(mut window) = self.window.clone() else { return self.list_window() };
        if window.known_until.is_none() {
            // What becomes available after the service's clock can't be in this list.
            window.known_until = Some(answer.head.date_ms().unwrap_or(window.end).min(window.end));
        }
        let listed = Interval { start: window.start, end: window.end };
        if let Some(odd) = odd {
            self.tell_once(odd, || {
                format!("A list of content isn't proper JSON: {odd}. All that it holds was listed.")
            });
        }
        // What earlier calls have seen of the window isn't known to this one.
        let tells = window.page.is_none() || !self.seen.is_empty() || items.is_empty();
        let mut news = false;
        for item in &items {
            // One that can't be understood fails alone.
            match Content::of(item).split(&self.calls, self.stream, self.content_type, listed) {
                Ok(split) if self.seen.is_new(split.id.as_bytes()) => {
                    news = true;
                    self.splits.push(split);
                }
                Ok(_) => {}
                Err(error) => self.tell_once(&item.to_string(), || error.message),
            }
        }
        let known_until = window.known_until.unwrap_or(window.start);
        let next = answer.head.header("NextPageUri").filter(|url| !url.is_empty());
        let mut cut = false;
        if let Some(next) = next {
            let asked = match &window.page {
                Some(page) => self.calls.follow(page).url,
                None => self.calls.list_content(self.content_type, window.start, window.end).url,
            };
            match window.trail.follow(&asked, &self.calls.follow(next).url, tells.then_some(news)) {
                Ok(()) => {
                    window.page = Some(next.to_owned());
                    window.known_until = Some(known_until);
                    self.window = Some(window);
                    self.pages += 1;
                    if self.splits.len() >= SPLITS_A_CALL
                        || self.pages >= PAGES_A_CALL
                        || self.pass_requests >= PASS_REQUESTS
                    {
                        self.keep_window();
                        return self.done(true);
                    }
                    return self.ask();
                }
                // A page that is empty and names itself is how some lists end.
                Err(Endless::Circle) if items.is_empty() && same_page(&asked, &self.calls.follow(next).url) => {}
                Err(end) if self.again(end, &window) => return self.list_window(),
                Err(_) => cut = true,
            }
        }
        self.window = None;
        let listed = Interval { start: window.start, end: known_until };
        if listed.end > listed.start {
            self.coverage.push(listed);
            // What may be behind the pages is for the later passes to find.
            if !cut || self.pass.is_some() {
                self.state.passes.listed(listed, self.listable());
            }
        }
        self.state.again = None;
        if self.pass.is_some() {
            self.state.pass_pause = None;
            return self.next_pass();
        }
        self.state.window = None;
        if listed.end > listed.start {
            self.state.watermark = Some(self.state.watermark.unwrap_or(0).max(listed.end));
        }
        // Behind by less than a poll: the next one takes it.
        if known_until == window.end && window.end.saturating_add(self.poll) <= self.listable() {
            return self.done(true);
        }
        self.state.live_at = Some(self.now);
        let more = self.pass_is_due();
        self.done(more)
    }

    /// The pages of a window have no end: whether it is listed again from its first page, since a wrong address may be chance. If that
    /// happens several times in a row, the window is what was listed.
    fn again(&mut self, end: Endless, window: &Window) -> bool {
        let times = self.state.again.filter(|(start, _)| *start == window.start).map_or(0, |(_, times)| times);
        // Pages that bring nothing new behind those that did are an end that has no end.
        if end != Endless::Stale && times < RELISTED {
            self.state.again = Some((window.start, times + 1));
            // What was listed stays: it is content, whatever its page was called.
            self.window = None;
            match self.pass {
                None => self.state.window = None,
                Some(_) => self.state.pass_window = None,
            }
            return true;
        }
        let (day, content_type) = (self.now / DAY, self.content_type);
        self.tell_once(&format!("{} {day}", end.words()), || {
            format!(
                "The pages of a list of content of {content_type} {}; what they hold is listed, and this stretch is listed again by the later passes. The fault is the service's.",
                end.words()
            )
        });
        false
    }

    /// Tells something that stays so, once and not at each listing.
    fn tell_once(&mut self, what: &str, message: impl FnOnce() -> String) {
        if self.state.tells(what) {
            self.notes.push(note(Level::Warn, message()));
        }
    }

    fn on_content_refused(&mut self, answer: &Answer) -> Step<Discovery> {
        let said = words(answer);
        let error: Error = judge(answer, &said, Subject::List, self.stream).into();
        // The code that decides comes first.
        match said.codes.first().map(String::as_str) {
            Some("AF20022" | "AF20023") if self.start_refused.is_some() => self.start_is_refused(),
            Some("AF20022" | "AF20023") if self.started => self.remember_failure(error, None),
            Some("AF20022" | "AF20023") => {
                self.stopped();
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
                let skew = self.state.skew_ms;
                if skew == self.window_skew {
                    // One answer alone is no reason to go by another time.
                    if self.state.told_ms != skew && !std::mem::replace(&mut self.asked_again, true) {
                        return self.ask();
                    }
                    return self.refused_window(error);
                }
                self.skew_corrected = true;
                self.forget_window();
                self.notes.push(note(
                    Level::Warn,
                    format!(
                        "The service refused a window of time; its clock differs from this machine's by {} seconds, which is taken into account now.",
                        skew / 1000
                    ),
                ));
                self.list_window()
            }
            Some("AF20030" | "AF20055" | "AF20031") => self.refused_window(error),
            _ => self.fail(error),
        }
    }

    /// The service doesn't take the window: it is asked for anew later.
    fn refused_window(&mut self, error: Error) -> Step<Discovery> {
        self.forget_window();
        if self.pass.is_some() { self.pause_passes(&error) } else { Step::Fail(error) }
    }

    /// Every answer measures the difference of the clocks anew, so that it is known before a window is refused for it, and
    /// goes away with its cause. One answer alone may be anybody's: two in a row have to agree.
    fn measure_skew(&mut self, answer: &Answer) {
        let served = (200..500).contains(&answer.head.status);
        if !self.skew_corrected
            && served
            && let Some(date) = answer.head.date_ms()
        {
            let told = i64::try_from(i128::from(date) - i128::from(self.now)).unwrap_or(0);
            let told = if told.unsigned_abs() < MINUTE { 0 } else { told };
            if told == 0 || self.state.told_ms.abs_diff(told) < MINUTE {
                self.state.skew_ms = told;
            }
            self.state.told_ms = told;
        }
    }
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
                const WHAT: &str = "next page of a list (NextPageUri)";
                let Some(url) = self.window.as_mut().and_then(|window| window.page.as_mut()) else {
                    return self.fail(error);
                };
                let root = self.calls.root();
                if error.kind == ErrorKind::DeniedByHost
                    && let Some(own) = at_root(url, root)
                {
                    let told = asked_at_root(WHAT, url, root);
                    let elsewhere = host_of(url).to_owned();
                    *url = own;
                    self.tell_once(&elsewhere, || told.message);
                    return self.ask();
                }
                let error = handed_out(error, root, WHAT, url);
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
