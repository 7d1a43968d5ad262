//! Cuts the time of a Graph stream into windows, each of which is a split.
//!
//! Invariant: the windows of consecutive polls leave no gap, and every stretch is planned again at the ages of the passes,
//! since records appear late. A call plans one window: of the live lane whenever that is due, and otherwise of a pass.
//! Planning calls nothing, but for legacy alerts: one call finds out whether they still exist, and heed the filter.

use super::alerts_legacy::Partial;
use super::answers::{judge, page, words};
use super::filtered::{self, Filtered};
use super::{Calls, lag_ms, query};
use crate::call::{Answer, Level, Machine, Note, Step};
use crate::clock::{self, HOUR, Interval};
use crate::driver::note;
use crate::error::{Error, ErrorKind};
use crate::passes::{self, Due, Passes};
use crate::settings::Settings;
use crate::source::{Discovery, LIVE, Split};
use crate::streams::{Collection, Stream};

/// The state of a Graph stream between two polls. Members that a later version adds are ignored by this one.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct State {
    /// The version of this form: 1.
    pub v: u32,
    /// Everything before it has been planned, once at least. Milliseconds since 1970.
    pub watermark: u64,
    /// When that was.
    pub planned_at: u64,
    /// How far the later passes have come. Earlier versions knew none.
    #[serde(default, skip_serializing_if = "Passes::is_empty")]
    pub passes: Passes,
    /// Which providers of legacy alerts were told to be missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<String>,
    /// Whether the collection ignores the filter by time, which is told once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unfiltered: bool,
}

/// How long before now the hour ends that the probe asks for, in milliseconds.
const PROBE_AGE: u64 = 24 * HOUR;
/// So many texts are remembered as told.
const TOLD: usize = 8;

/// The payload of a split: the window, in milliseconds since 1970, both bounds inside.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct WindowPayload {
    /// The version of this form: 1.
    pub v: u32,
    /// The first moment.
    pub start: u64,
    /// The last moment.
    pub end: u64,
    /// What the planner has told of missing providers, so that it isn't told for each window.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<String>,
    /// Whether it has told that the filter by time is ignored.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unfiltered: bool,
}

/// One call of `discover`.
#[derive(Debug)]
pub struct Planner {
    stream: &'static Stream,
    collection: Collection,
    calls: Calls,
    state: Option<State>,
    now: u64,
    lag: u64,
    lookback: u64,
    ages: Vec<u64>,
    widest: u64,
    poll: u64,
    /// What the probe of legacy alerts found out, if there was one.
    probed: Option<Probed>,
    notes: Vec<Note>,
}

/// What the probe of legacy alerts found out.
#[derive(Debug)]
struct Probed {
    partial: Option<Partial>,
    /// Whether the filter by time was ignored; none if the answer fits both.
    unfiltered: Option<bool>,
}

impl Planner {
    /// Prepares one call of `discover`.
    ///
    /// # Errors
    /// `bad-data` if the state isn't one of this plugin's.
    pub fn new(
        settings: &Settings,
        stream: &'static Stream,
        collection: Collection,
        state: Option<&str>,
        now: u64,
    ) -> Result<Self, Error> {
        let state: Option<State> = match state {
            None => None,
            Some(text) => Some(serde_json::from_str(text).map_err(|error| Error::unreadable("stream state", &error))?),
        };
        if let Some(state) = &state
            && state.v != 1
        {
            return Err(Error::new(
                ErrorKind::BadData,
                "newer-position",
                format!(
                    "The stream's state has version {}, and this plugin reads version 1; install a newer plugin.",
                    state.v
                ),
            ));
        }
        Ok(Self {
            stream,
            collection,
            calls: Calls::new(settings, stream, collection),
            state,
            now,
            lag: lag_ms(collection, settings),
            lookback: settings.lookback_ms(),
            ages: settings.graph_passes(),
            widest: settings.window_ms(),
            poll: u64::from(settings.graph_poll_seconds) * clock::SECOND,
            probed: None,
            notes: Vec::new(),
        })
    }

    /// Tells what the probe found, once.
    fn tell(&mut self, state: &mut State) {
        let Some(Probed { partial, unfiltered }) = self.probed.take() else { return };
        if let Some(partial) = partial
            && !state.told.contains(&partial.providers)
        {
            self.notes.push(note(Level::Warn, partial.message()));
            state.told.push(partial.providers);
            if state.told.len() > TOLD {
                state.told.remove(0);
            }
        }
        if let Some(unfiltered) = unfiltered {
            if unfiltered && !state.unfiltered {
                self.notes.push(note(Level::Warn, filtered::told(self.stream)));
            }
            state.unfiltered = unfiltered;
        }
    }

    /// How long until the live lane plans again, in milliseconds: at once while it is behind.
    fn live_due_in(&self) -> u64 {
        match &self.state {
            Some(state)
                if state.planned_at <= self.now
                    && state.watermark >= clock::whole_second(state.planned_at.saturating_sub(self.lag)) =>
            {
                (state.planned_at + self.poll).saturating_sub(self.now)
            }
            _ => 0,
        }
    }

    /// Whether the live lane goes first in this call. A host may come a little early: its own clock runs on meanwhile.
    fn live_is_due(&self) -> bool {
        self.live_due_in() <= clock::SECOND
    }

    fn plan(&mut self) -> Discovery {
        let reach = query(self.collection).reach;
        let floor = reach.map_or(0, |reach| clock::whole_second(self.now.saturating_sub(reach)));
        let live = self.live_is_due();
        let first = clock::whole_second(self.now.saturating_sub(self.lookback)).max(floor);
        let latest = self.now.saturating_add(clock::SLACK);
        let mut state = self.state.clone().unwrap_or(State {
            v: 1,
            watermark: first,
            planned_at: 0,
            passes: Passes::default(),
            told: Vec::new(),
            unfiltered: false,
        });
        // What can't have happened yet is taken back: a clock was wrong, or was put back.
        state.watermark = state.watermark.min(latest);
        state.passes.bound(latest);
        self.tell(&mut state);
        // Each window brings everything then: one is enough.
        let widest = if state.unfiltered { u64::MAX } else { self.widest };
        let mut lost = Vec::new();
        if state.watermark < floor {
            lost.push((
                Interval { start: state.watermark, end: floor },
                "Microsoft Entra keeps these logs for 30 days at most, and this stretch wasn't read in time."
                    .to_owned(),
            ));
            state.watermark = floor;
        }
        state.passes.align(&self.ages, clock::whole_second(state.watermark));
        if let Some(missed) = state.passes.skip_to(floor) {
            self.notes.push(note(
                Level::Warn,
                format!(
                    "Records between {} and {} UTC were read, but not as often as they should: they are older than the service keeps them. What showed up late isn't found.",
                    clock::zoneless(missed.start),
                    clock::zoneless(missed.end)
                ),
            ));
        }
        let (stretch, pass) = if live {
            state.planned_at = self.now;
            let from = clock::whole_second(state.watermark);
            let end = clock::whole_second(self.now.saturating_sub(self.lag));
            (Interval { start: from, end: end.min(from.saturating_add(widest)) }, None)
        } else {
            match state.passes.due(self.now, widest) {
                Some(Due { age, stretch }) => (stretch, Some(age)),
                None => (Interval { start: state.watermark, end: state.watermark }, None),
            }
        };
        let mut splits = Vec::new();
        let mut coverage = Vec::new();
        if stretch.end > stretch.start {
            splits.push(self.split(stretch, pass, &state));
            coverage.push(stretch);
            state.passes.listed(stretch, self.now);
            if live {
                state.watermark = stretch.end;
            }
        }
        self.state = Some(state.clone());
        let more = self.live_due_in() == 0 && !splits.is_empty() || state.passes.due(self.now, widest).is_some();
        Discovery {
            splits,
            sealed: state.passes.sealed().or(Some(state.watermark)),
            // Numbers and strings only: serialising them into memory can't fail.
            state: serde_json::to_string(&state).expect("a state is plain data"),
            more,
            next_ms: if more { 0 } else { self.live_due_in() },
            coverage,
            pass: pass.map_or_else(|| LIVE.to_owned(), passes::name),
            lost,
        }
    }

    /// What the probe asks for: an hour from which a collection that gives everything hardly begins, whatever its order.
    fn probe(&self) -> (u64, u64) {
        let end = clock::whole_second(self.now).saturating_sub(PROBE_AGE);
        (end.saturating_sub(HOUR), end)
    }

    /// A window as a split. That of a pass has an id of its own: the same window may have been read before.
    fn split(&self, stretch: Interval, pass: Option<u64>, state: &State) -> Split {
        let Interval { start, end } = stretch;
        let mut id = format!("{}/{}", clock::zulu(start), clock::zulu(end));
        if let Some(age) = pass {
            id = format!("{id} {}", passes::name(age));
        }
        let payload = WindowPayload { v: 1, start, end, told: state.told.clone(), unfiltered: state.unfiltered };
        Split {
            id,
            stream: self.stream.name.to_owned(),
            // Numbers and strings only: serialising them into memory can't fail.
            payload: serde_json::to_string(&payload).expect("a payload is plain data"),
            arrival: start,
            expires: query(self.collection).reach.map(|reach| end.saturating_add(reach)),
        }
    }
}

impl Machine for Planner {
    type Output = Discovery;

    fn start(&mut self) -> Step<Discovery> {
        if self.collection == Collection::AlertsLegacy && self.live_is_due() {
            let (from, to) = self.probe();
            return Step::Call(self.calls.window(from, to, 1, false));
        }
        Step::Done(self.plan())
    }

    fn on_answer(&mut self, answer: Result<Answer, Error>) -> Step<Discovery> {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Step::Fail(error),
        };
        let Some(records) = page(&answer, self.collection) else {
            return Step::Fail(judge(&answer, &words(&answer), self.stream, self.collection).into());
        };
        let (from, to) = self.probe();
        let mut filtered = Filtered::new(query(self.collection).time);
        for record in &records {
            filtered.judge(record, from, to);
        }
        let unfiltered = match (filtered.is_ignored(), records.is_empty()) {
            (true, _) => Some(true),
            (false, true) => Some(false),
            (false, false) => None,
        };
        self.probed = Some(Probed { partial: Partial::of(&answer.head), unfiltered });
        Step::Done(self.plan())
    }

    fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }
}
