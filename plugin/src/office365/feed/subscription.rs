//! The subscription to a content type: whether it is enabled, and how it is started.
//!
//! Invariant: the service is asked for one start in 15 minutes at most, over restarts too; a subscription that somebody
//! else stopped is told as a gap once.

use super::super::answers::{Subject, judge, refusal};
use super::super::state::Start;
use super::{FeedMachine, Phase, START_PAUSE, unexpected};
use crate::call::{Answer, Level, Step};
use crate::clock::{self, Interval};
use crate::driver::note;
use crate::error::{Error, ErrorKind};
use crate::source::Discovery;

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Subscription {
    #[serde(default)]
    content_type: String,
    status: Option<String>,
}

impl FeedMachine {
    /// The subscription works (again): what became available while it didn't is a gap.
    pub(super) fn enabled(&mut self) {
        self.state.enabled_at = Some(self.now);
        if let Some(since) = self.state.stopped_since.take() {
            let until = self.service_now().max(since);
            self.lost.push((
                Interval { start: since, end: until },
                format!(
                    "The subscription to {} was found stopped or disabled, by somebody else than this program; the service doesn't keep content that becomes available meanwhile. What it lists all the same is read.",
                    self.content_type
                ),
            ));
        }
    }

    /// The subscription was found stopped: since when, on the arrival clock, is as late as it was last listed.
    pub(super) fn stopped(&mut self) {
        self.state.enabled_at = None;
        if self.state.live_at.is_some() && self.state.stopped_since.is_none() {
            self.state.stopped_since = self.state.watermark;
        }
    }

    pub(super) fn list_subscriptions(&mut self) -> Step<Discovery> {
        self.phase = Phase::Subscriptions;
        Step::Call(self.calls.list_subscriptions())
    }

    /// Starts the subscription, unless the last start is too young.
    pub(super) fn start_subscription(&mut self) -> Step<Discovery> {
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
    pub(super) fn remember_failure(&mut self, error: Error) -> Step<Discovery> {
        self.state.enabled_at = None;
        self.state.start = Some(Start { at: self.now, failure: Some(error) });
        // What is there once the subscription works is read from the first attempt's lookback on.
        let first = self.service_now().saturating_sub(self.lookback);
        self.state.watermark.get_or_insert(first);
        self.done(true)
    }

    pub(super) fn on_subscriptions(&mut self, answer: &Answer) -> Step<Discovery> {
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
            self.stopped();
            return self.start_subscription();
        }
        self.enabled();
        if let Some(start) = &mut self.state.start {
            start.failure = None;
        }
        self.list_window()
    }

    pub(super) fn on_start(&mut self, answer: &Answer) -> Step<Discovery> {
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
            self.enabled();
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
}
