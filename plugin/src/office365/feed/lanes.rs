//! The lanes of a content type: the live one, and the later passes, each with its window.
//!
//! Invariant: the live lane goes first whenever it is due. A pass lists what the frontiers say, a few requests at a time,
//! and what fails in it waits alone.

use super::super::state::{OpenWindow, PassPause, PassWindow};
use super::{FeedMachine, PASS_PAUSE, PASS_REQUESTS, Phase, REACH, WIDEST, Window};
use crate::call::{Level, Step};
use crate::clock::{self, Interval, MINUTE};
use crate::driver::note;
use crate::error::Error;
use crate::pages::Trail;
use crate::source::Discovery;

impl FeedMachine {
    /// How long until the live lane lists again, in milliseconds.
    pub(super) fn live_due_in(&self) -> u64 {
        match self.state.live_at {
            Some(at) if at <= self.now => (at + self.poll).saturating_sub(self.now),
            _ => self.poll,
        }
    }

    /// Whether the live lane goes first in this call.
    pub(super) fn live_is_due(&self) -> bool {
        self.state.window.is_some()
            // A host may come a little early: its own clock runs on meanwhile.
            || self.state.live_at.is_none_or(|at| at > self.now || self.live_due_in() <= clock::SECOND)
    }

    /// Whether a pass has something to list.
    pub(super) fn pass_is_due(&self) -> bool {
        let waiting = self.state.pass_pause.as_ref().is_some_and(|pause| pause.until > self.now);
        !waiting && (self.state.pass_window.is_some() || self.state.passes.due(self.listable(), WIDEST).is_some())
    }

    /// Keeps the window of this call with its next page.
    pub(super) fn keep_window(&mut self) {
        if let Some(Window { start, end, known_until: Some(known_until), page: Some(next), trail, .. }) =
            self.window.take()
        {
            let window = OpenWindow { start, end, known_until, next, at: self.now, trail };
            match self.pass {
                None => self.state.window = Some(window),
                Some(age) => self.state.pass_window = Some(PassWindow { age, window }),
            }
        }
    }

    /// Ends a call of a pass that failed: the pass is tried again later, and the live lane goes on as usual.
    pub(super) fn pause_passes(&mut self, error: &Error) -> Step<Discovery> {
        self.keep_window();
        let failures = self.state.pass_pause.as_ref().map_or(0, |pause| pause.failures).saturating_add(1);
        let (first, longest) = PASS_PAUSE;
        let pause = first.saturating_mul(1 << (failures - 1).min(10)).min(longest);
        self.state.pass_pause =
            Some(PassPause { failures, until: self.now.saturating_add(pause.max(error.retry_after_ms.unwrap_or(0))) });
        self.notes.push(note(
            Level::Warn,
            format!(
                "A later pass over {} failed and is tried again in {} minutes; new content isn't concerned: {}",
                self.content_type,
                pause / MINUTE,
                error.message
            ),
        ));
        self.done(false)
    }

    /// Where a stream that was never listed begins: one answer alone doesn't put it further back.
    fn first(&self) -> u64 {
        self.now.saturating_add_signed(self.state.skew_ms).saturating_sub(self.lookback)
    }

    /// Chooses the lane and its window and asks for the first page, or goes on with the window of the state.
    pub(super) fn list_window(&mut self) -> Step<Discovery> {
        let now = self.service_now();
        self.window_skew = self.state.skew_ms;
        let floor = clock::whole_second(now.saturating_sub(REACH));
        let mut watermark = self.state.watermark.unwrap_or_else(|| self.first());
        if watermark < floor {
            if self.state.watermark.is_some() {
                self.lost.push((
                    Interval { start: watermark, end: floor },
                    "The service lists content of the last 7 days only, and this stretch wasn't listed in time."
                        .to_owned(),
                ));
            }
            watermark = floor;
        }
        self.state.watermark = Some(watermark);
        self.state.passes.align(&self.ages, clock::whole_second(watermark));
        if let Some(missed) = self.state.passes.skip_to(floor) {
            self.notes.push(note(
                Level::Warn,
                format!(
                    "Content between {} and {} UTC was listed, but not as often as it should: it is older than the service lists. What showed up late in it isn't found.",
                    clock::zoneless(missed.start),
                    clock::zoneless(missed.end)
                ),
            ));
        }
        if self.live_is_due() { self.live_window(watermark, floor) } else { self.next_pass() }
    }

    pub(super) fn live_window(&mut self, watermark: u64, floor: u64) -> Step<Discovery> {
        self.pass = None;
        let now = self.service_now();
        if let Some(open) = self.state.window.take()
            && self.goes_on(&open)
        {
            return self.go_on(open);
        }
        let start = clock::whole_second(watermark.saturating_sub(self.overlap).max(floor));
        let end = clock::whole_second(self.listable()).min(start.saturating_add(self.widest(start)));
        if end <= start {
            if watermark > now + MINUTE {
                self.notes.push(note(
                    Level::Warn,
                    "The stream has been listed up to a time that this machine's clock hasn't reached; check the clock.",
                ));
            }
            self.state.live_at = Some(self.now);
            return self.done(false);
        }
        self.open_window(start, end);
        self.ask()
    }

    /// Goes on with the passes as far as this call may, or ends it.
    pub(super) fn next_pass(&mut self) -> Step<Discovery> {
        if !self.pass_is_due() {
            return self.done(false);
        }
        if self.pass_requests >= PASS_REQUESTS {
            return self.done(true);
        }
        if let Some(PassWindow { age, window }) = self.state.pass_window.take()
            && self.goes_on(&window)
        {
            self.pass = Some(age);
            return self.go_on(window);
        }
        let Some(due) = self.state.passes.due(self.listable(), WIDEST) else { return self.done(false) };
        if self.pass.is_some_and(|age| age != due.age) {
            // What this call found is of one pass.
            return self.done(true);
        }
        self.pass = Some(due.age);
        let Interval { start, end } = due.stretch;
        let end = end.min(start.saturating_add(self.widest(start)));
        self.open_window(start, end);
        self.ask()
    }

    /// A window that is listed from its first page.
    fn open_window(&mut self, start: u64, end: u64) {
        let splits_before = self.splits.len();
        self.seen.clear();
        self.window =
            Some(Window { start, end, known_until: None, page: None, splits_before, trail: Trail::default() });
    }

    pub(super) fn go_on(&mut self, open: OpenWindow) -> Step<Discovery> {
        self.window = Some(Window {
            start: open.start,
            end: open.end,
            known_until: Some(open.known_until),
            page: Some(open.next),
            splits_before: self.splits.len(),
            trail: open.trail,
        });
        self.ask()
    }

    pub(super) fn ask(&mut self) -> Step<Discovery> {
        self.phase = Phase::Listing;
        self.pass_requests += u32::from(self.pass.is_some());
        match &self.window {
            Some(Window { page: Some(url), .. }) => Step::Call(self.calls.follow(url)),
            Some(window) => Step::Call(self.calls.list_content(self.content_type, window.start, window.end)),
            None => self.list_window(),
        }
    }

    /// Gives up the window of this call and what it has listed: it is listed again.
    pub(super) fn forget_window(&mut self) {
        if let Some(window) = self.window.take() {
            self.splits.truncate(window.splits_before);
            self.seen.clear();
        }
        match self.pass {
            None => self.state.window = None,
            Some(_) => self.state.pass_window = None,
        }
    }
}
