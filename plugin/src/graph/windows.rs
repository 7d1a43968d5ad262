//! Cuts the time of a Graph stream into windows, each of which is a split.
//!
//! Invariant: the windows of consecutive polls leave no gap, and every stretch is planned again at the ages of the passes,
//! since records appear late. A call plans one window: of the live lane whenever that is due, and otherwise of a pass.
//! Planning calls nothing, but for legacy alerts: one call finds out whether they still exist.

use super::answers::{judge, refusal};
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
}

/// The payload of a split: the window, in milliseconds since 1970, both bounds inside.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct WindowPayload {
    /// The version of this form: 1.
    pub v: u32,
    /// The first moment.
    pub start: u64,
    /// The last moment.
    pub end: u64,
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
    notes: Vec<Note>,
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
            notes: Vec::new(),
        })
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
        let mut state =
            self.state.clone().unwrap_or(State { v: 1, watermark: first, planned_at: 0, passes: Passes::default() });
        // What can't have happened yet is taken back: a clock was wrong, or was put back.
        state.watermark = state.watermark.min(latest);
        state.passes.bound(latest);
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
            (Interval { start: from, end: end.min(from.saturating_add(self.widest)) }, None)
        } else {
            match state.passes.due(self.now, self.widest) {
                Some(Due { age, stretch }) => (stretch, Some(age)),
                None => (Interval { start: state.watermark, end: state.watermark }, None),
            }
        };
        let mut splits = Vec::new();
        let mut coverage = Vec::new();
        if stretch.end > stretch.start {
            splits.push(self.split(stretch, pass));
            coverage.push(stretch);
            state.passes.listed(stretch, self.now);
            if live {
                state.watermark = stretch.end;
            }
        }
        self.state = Some(state.clone());
        let more = self.live_due_in() == 0 && !splits.is_empty() || state.passes.due(self.now, self.widest).is_some();
        Discovery {
            splits,
            sealed: state.passes.sealed().or(Some(state.watermark)),
            // Numbers only: serialising them into memory can't fail.
            state: serde_json::to_string(&state).expect("a state is plain data"),
            more,
            next_ms: if more { 0 } else { self.live_due_in() },
            coverage,
            pass: pass.map_or_else(|| LIVE.to_owned(), passes::name),
            lost,
        }
    }

    /// A window as a split. That of a pass has an id of its own: the same window may have been read before.
    fn split(&self, stretch: Interval, pass: Option<u64>) -> Split {
        let Interval { start, end } = stretch;
        let mut id = format!("{}/{}", clock::zulu(start), clock::zulu(end));
        if let Some(age) = pass {
            id = format!("{id} {}", passes::name(age));
        }
        Split {
            id,
            stream: self.stream.name.to_owned(),
            // Numbers only: serialising them into memory can't fail.
            payload: serde_json::to_string(&WindowPayload { v: 1, start, end }).expect("a payload is plain data"),
            arrival: start,
            expires: query(self.collection).reach.map(|reach| end.saturating_add(reach)),
        }
    }
}

impl Machine for Planner {
    type Output = Discovery;

    fn start(&mut self) -> Step<Discovery> {
        if self.collection == Collection::AlertsLegacy && self.live_is_due() {
            let now = clock::whole_second(self.now);
            return Step::Call(self.calls.window(now.saturating_sub(HOUR), now, 1, false));
        }
        Step::Done(self.plan())
    }

    fn on_answer(&mut self, answer: Result<Answer, Error>) -> Step<Discovery> {
        match answer {
            Ok(answer) if matches!(answer.head.status, 200 | 206) => Step::Done(self.plan()),
            Ok(answer) => Step::Fail(judge(&answer, &refusal(&answer), self.stream, self.collection).into()),
            Err(error) => Step::Fail(error),
        }
    }

    fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }
}
