//! Cuts the time of a Graph stream into windows, each of which is a split.
//!
//! Invariant: the windows of consecutive polls leave no gap, and time younger than the overlap when it was planned is
//! planned again, since records appear late. Planning calls nothing, but for legacy alerts: one call finds out whether
//! they still exist.

use super::answers::{judge, refusal};
use super::{Calls, lag_ms, query};
use crate::call::{Answer, Machine, Step};
use crate::clock::{self, HOUR, Interval};
use crate::error::{Error, ErrorKind};
use crate::settings::Settings;
use crate::source::{Discovery, Split};
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
    overlap: u64,
    widest: u64,
    poll: u64,
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
            overlap: settings.graph_overlap_ms(),
            widest: settings.window_ms(),
            poll: u64::from(settings.graph_poll_seconds) * clock::SECOND,
        })
    }

    fn plan(&self) -> Discovery {
        let reach = query(self.collection).reach;
        let floor = reach.map_or(0, |reach| clock::whole_second(self.now.saturating_sub(reach)));
        let mut lost = Vec::new();
        let (mut watermark, mut from) = match &self.state {
            None => {
                let first = clock::whole_second(self.now.saturating_sub(self.lookback)).max(floor);
                (first, first)
            }
            Some(state) => (state.watermark, state.watermark.min(state.planned_at.saturating_sub(self.overlap))),
        };
        if watermark < floor {
            lost.push((
                Interval { start: watermark, end: floor },
                "Microsoft Entra keeps these logs for 30 days at most, and this stretch wasn't read in time."
                    .to_owned(),
            ));
            watermark = floor;
        }
        from = clock::whole_second(from).max(floor);
        let end = clock::whole_second(self.now.saturating_sub(self.lag));
        let to = end.min(clock::whole_second(watermark.saturating_add(self.widest)));
        if to <= watermark || to <= from {
            let state =
                State { v: 1, watermark, planned_at: self.state.as_ref().map_or(self.now, |state| state.planned_at) };
            return self.discovery(Vec::new(), &state, false, Vec::new(), lost);
        }
        let payload = WindowPayload { v: 1, start: from, end: to };
        let split = Split {
            id: format!("{}/{}", clock::zulu(from), clock::zulu(to)),
            stream: self.stream.name.to_owned(),
            // Numbers only: serialising them into memory can't fail.
            payload: serde_json::to_string(&payload).expect("a payload is plain data"),
            arrival: from,
            expires: reach.map(|reach| to.saturating_add(reach)),
        };
        let state = State { v: 1, watermark: to, planned_at: self.now };
        self.discovery(vec![split], &state, to < end, vec![Interval { start: from, end: to }], lost)
    }

    fn discovery(
        &self,
        splits: Vec<Split>,
        state: &State,
        more: bool,
        coverage: Vec<Interval>,
        lost: Vec<(Interval, String)>,
    ) -> Discovery {
        Discovery {
            splits,
            // Numbers only: serialising them into memory can't fail.
            state: serde_json::to_string(state).expect("a state is plain data"),
            more,
            next_ms: if more { 0 } else { self.poll },
            coverage,
            lost,
        }
    }
}

impl Machine for Planner {
    type Output = Discovery;

    fn start(&mut self) -> Step<Discovery> {
        if self.collection == Collection::AlertsLegacy {
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
}
