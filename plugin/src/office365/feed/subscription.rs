//! The subscription to a content type: whether it is enabled, and how it is started.
//!
//! Invariant: the service is asked for one start in 15 minutes at most, over restarts too; a subscription that somebody
//! else stopped is told as a gap once.

use super::super::answers::{START_THROTTLED, Subject, judge, said_wait, words};
use super::super::listing::elements;
use super::super::state::Start;
use super::{FeedMachine, Phase, START_PAUSE};
use crate::call::{Answer, Level, Step};
use crate::clock::{self, HOUR, Interval, MINUTE};
use crate::driver::note;
use crate::error::{Error, ErrorKind};
use crate::source::Discovery;

/// What an answer to the list of subscriptions says of a content type; none if it isn't such a list.
pub(in super::super) fn is_enabled(answer: &Answer, content_type: &str) -> Option<bool> {
    let (items, _) = elements(answer).ok()?;
    let text =
        |item: &serde_json::Value, name: &str| item.get(name).and_then(|value| value.as_str()).map(str::to_owned);
    let known: Vec<(String, Option<String>)> =
        items.iter().filter_map(|item| Some((text(item, "contentType")?, text(item, "status")))).collect();
    // An element that can't be understood fails alone, but not all of them.
    (items.is_empty() || !known.is_empty()).then(|| {
        known.iter().any(|(name, status)| {
            name.eq_ignore_ascii_case(content_type)
                // The reference's own sample leaves the status out of an element.
                && status.as_deref().is_none_or(|status| status.eq_ignore_ascii_case("enabled"))
        })
    })
}

/// Whether an answer says that a subscription was started: an object that isn't an error and doesn't say that it is disabled.
fn is_started(answer: &Answer) -> bool {
    let body = serde_json::from_slice::<serde_json::Value>(&answer.body);
    answer.head.status == 200
        && body.is_ok_and(|body| {
            let status = body.get("status").and_then(|status| status.as_str());
            let says = |name: &str| body.get(name).is_some();
            // What says only that something happened is no subscription.
            let subscription = says("contentType") || says("status") || says("webhook");
            body.as_object().is_some_and(|body| body.is_empty() || subscription)
                && body.get("error").is_none_or(|error| error.is_null())
                && status.is_none_or(|status| status.eq_ignore_ascii_case("enabled"))
        })
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
            self.found_stopped = true;
        }
    }

    pub(super) fn list_subscriptions(&mut self) -> Step<Discovery> {
        self.phase = Phase::Subscriptions;
        Step::Call(self.calls.list_subscriptions())
    }

    /// Starts the subscription, unless the last start is too young.
    pub(super) fn start_subscription(&mut self) -> Step<Discovery> {
        if let Some(last) = &self.state.start {
            let until = last.until.unwrap_or(last.at + START_PAUSE).min(last.at + HOUR);
            if last.at <= self.now && self.now < until {
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
                let error = error.after(Some(until - self.now));
                if error.code == START_THROTTLED {
                    self.start_refused = Some(error);
                    return self.list_window();
                }
                return Step::Fail(error);
            }
        }
        self.phase = Phase::Starting;
        Step::Call(self.calls.start_subscription(self.content_type))
    }

    /// Keeps a failure of a start in the state, since an error would throw the state away and with it the time of the start.
    /// The next call, which follows at once, reports it.
    pub(super) fn remember_failure(&mut self, error: Error, until: Option<u64>) -> Step<Discovery> {
        self.keep_start(error, until);
        self.done(true)
    }

    fn keep_start(&mut self, error: Error, until: Option<u64>) {
        self.state.enabled_at = None;
        self.state.start = Some(Start { at: self.now, failure: Some(error), until });
        // What is there once the subscription works is read from the first attempt's lookback on.
        let first = self.service_now().saturating_sub(self.lookback);
        self.state.watermark.get_or_insert(first);
    }

    /// Whether this call has asked for a start that the service doesn't take yet: that must not be forgotten.
    pub(super) fn start_is_news(&self) -> bool {
        self.start_refused.is_some() && self.state.start.as_ref().is_some_and(|start| start.at == self.now)
    }

    /// The subscription is needed, and the service takes no start of it yet.
    pub(super) fn start_is_refused(&mut self) -> Step<Discovery> {
        let news = self.start_is_news();
        let Some(error) = self.start_refused.take() else { return self.done(false) };
        self.forget_window();
        // A refusal that came just now has to be kept in the state, which an error would throw away. The next call reports it.
        if news { self.done(true) } else { Step::Fail(error) }
    }

    /// The service takes no start of this content type for a while. That concerns starts of it, and neither its lists nor other streams.
    fn start_throttled(&mut self, answer: &Answer, error: Error) -> Step<Discovery> {
        let said = said_wait(&words(answer).text);
        // A second more than it says, since it counts in whole ones.
        let asked = answer.head.retry_after_ms().or(said).map(|wait| wait.saturating_add(clock::SECOND));
        let wait = asked.unwrap_or(START_PAUSE).clamp(MINUTE, HOUR);
        let until = self.now.saturating_add(wait);
        let error = Error::new(
            ErrorKind::Unavailable,
            START_THROTTLED,
            format!(
                "Starts of the subscription to {} are throttled until {} UTC, and it isn't started yet; it is tried again then, and other streams go on. {}",
                self.content_type,
                clock::zoneless(until),
                error.message
            ),
        );
        self.keep_start(error.clone(), Some(until));
        self.start_refused = Some(error.after(Some(wait)));
        self.list_window()
    }

    pub(super) fn on_subscriptions(&mut self, answer: &Answer) -> Step<Discovery> {
        let Some(enabled) = is_enabled(answer, self.content_type) else {
            let error = judge(answer, &words(answer), Subject::Subscriptions, self.stream);
            return Step::Fail(error.into());
        };
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
        let said = words(answer);
        // AF20024: enabled already, nothing changed.
        if is_started(answer) || said.has("AF20024") {
            self.notes.push(note(
                Level::Info,
                format!(
                    "The subscription to {} is started; the service can take up to 12 hours to list first content.",
                    self.content_type
                ),
            ));
            self.state.start = Some(Start { at: self.now, failure: None, until: None });
            // It was enabled all the time: the list that left it out was wrong.
            if said.has("AF20024") && self.found_stopped {
                self.state.stopped_since = None;
            }
            self.enabled();
            self.started = true;
            return self.list_window();
        }
        let error: Error = judge(answer, &said, Subject::Start, self.stream).into();
        if error.code == START_THROTTLED {
            return self.start_throttled(answer, error);
        }
        match error.kind {
            // Trying again soon is right, and the list of subscriptions comes first then.
            ErrorKind::Unauthenticated | ErrorKind::Forbidden | ErrorKind::Unavailable => Step::Fail(error),
            _ => self.remember_failure(error, None),
        }
    }
}
