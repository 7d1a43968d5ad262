//! Tests a Graph stream with one small read.
//!
//! Invariant: nothing is changed, and an empty answer is no failure.

use super::answers::{judge, no_licence, page, words};
use super::{Calls, alerts_legacy};
use crate::call::{Answer, Machine, Step};
use crate::clock::{self, HOUR, MINUTE};
use crate::error::{Error, ErrorKind};
use crate::settings::Settings;
use crate::source::{Finding, Severity};
use crate::streams::{Collection, Stream};

/// How much time is asked for where the service can't answer an hour, in milliseconds.
const NARROW: u64 = 5 * MINUTE;

/// The test of one stream.
#[derive(Debug)]
pub struct Check {
    calls: Calls,
    stream: &'static Stream,
    collection: Collection,
    now: u64,
    /// How much time is asked for, in milliseconds.
    width: u64,
    licence_answers: u32,
}

impl Check {
    /// Prepares the test.
    pub fn new(settings: &Settings, stream: &'static Stream, collection: Collection, now: u64) -> Self {
        Self {
            calls: Calls::new(settings, stream, collection),
            stream,
            collection,
            now,
            width: HOUR,
            licence_answers: 0,
        }
    }

    fn call(&self) -> Step<Vec<Finding>> {
        let now = clock::whole_second(self.now);
        Step::Call(self.calls.window(now.saturating_sub(self.width), now, 1, false))
    }

    /// Asks for less time, as a run does when the service can't answer.
    fn less(&mut self) -> Step<Vec<Finding>> {
        self.width = NARROW;
        self.call()
    }

    fn passed(&self, answer: &Answer, is_empty: bool) -> Vec<Finding> {
        let mut findings = Vec::new();
        if let Some(date) = answer.head.date_ms()
            && date.abs_diff(self.now) > 5 * MINUTE
        {
            findings.push(Finding {
                severity: Severity::Note,
                code: "clock-skew".to_owned(),
                message: format!(
                    "This machine's clock differs from the service's by {} seconds.",
                    date.abs_diff(self.now) / 1000
                ),
                mend: "Set the clock by a time server.".to_owned(),
            });
        }
        if let Some(partial) = alerts_legacy::Partial::of(&answer.head) {
            findings.push(Finding {
                severity: Severity::Note,
                code: "partial".to_owned(),
                message: partial.message(),
                mend: String::new(),
            });
        }
        if self.collection == Collection::AlertsLegacy {
            findings.push(Finding {
                severity: Severity::Note,
                code: "retiring".to_owned(),
                message: "Legacy alerts still answer, and can stop on any day.".to_owned(),
                mend: alerts_legacy::RETIREMENT.to_owned(),
            });
        }
        findings.push(Finding::ok(if is_empty {
            format!("{} can be read; it has no records of the last {} minutes.", self.stream.api, self.width / MINUTE)
        } else {
            format!("{} can be read; it has records of the last {} minutes.", self.stream.api, self.width / MINUTE)
        }));
        findings
    }
}

impl Machine for Check {
    type Output = Vec<Finding>;

    fn start(&mut self) -> Step<Vec<Finding>> {
        self.call()
    }

    fn on_answer(&mut self, answer: Result<Answer, Error>) -> Step<Vec<Finding>> {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if error.kind == ErrorKind::Timeout && self.width > NARROW => return self.less(),
            Err(error) => return Step::Done(vec![Finding::unanswered(error)]),
        };
        if let Some(records) = page(&answer, self.collection) {
            return Step::Done(self.passed(&answer, records.is_empty()));
        }
        let said = words(&answer);
        if no_licence(&said) {
            self.licence_answers += 1;
            if self.licence_answers < 3 {
                return self.call();
            }
        }
        let diagnosis = judge(&answer, &said, self.stream, self.collection);
        if diagnosis.error.kind == ErrorKind::Timeout && self.width > NARROW {
            return self.less();
        }
        Step::Done(vec![Finding::refused(diagnosis)])
    }
}
