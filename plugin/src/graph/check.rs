//! Tests a Graph stream with one small read.
//!
//! Invariant: nothing is changed, and an empty answer is no failure.

use super::answers::{judge, refusal};
use super::{Calls, alerts_legacy};
use crate::call::{Answer, Machine, Step};
use crate::clock::{self, HOUR, MINUTE};
use crate::error::Error;
use crate::settings::Settings;
use crate::source::{Finding, Severity};
use crate::streams::{Collection, Stream};

/// The test of one stream.
#[derive(Debug)]
pub struct Check {
    calls: Calls,
    stream: &'static Stream,
    collection: Collection,
    now: u64,
    licence_answers: u32,
}

impl Check {
    /// Prepares the test.
    pub fn new(settings: &Settings, stream: &'static Stream, collection: Collection, now: u64) -> Self {
        Self { calls: Calls::new(settings, stream, collection), stream, collection, now, licence_answers: 0 }
    }

    fn call(&self) -> Step<Vec<Finding>> {
        let now = clock::whole_second(self.now);
        Step::Call(self.calls.window(now.saturating_sub(HOUR), now, 1, false))
    }

    fn passed(&self, answer: &Answer) -> Vec<Finding> {
        #[derive(serde::Deserialize)]
        struct Page {
            value: Vec<serde_json::Value>,
        }
        let mut findings = Vec::new();
        let page: Page = match serde_json::from_slice(&answer.body) {
            Ok(page) => page,
            Err(error) => {
                return vec![Finding {
                    severity: Severity::Failure,
                    code: "not-a-collection".to_owned(),
                    message: format!("The service's answer isn't a collection of Graph: {error}."),
                    mend: "Check the endpoint of Microsoft Graph in the configuration.".to_owned(),
                }];
            }
        };
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
        if let Some(message) = alerts_legacy::failed_providers(&answer.head) {
            findings.push(Finding {
                severity: Severity::Note,
                code: "partial".to_owned(),
                message,
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
        findings.push(Finding::ok(if page.value.is_empty() {
            format!("{} can be read; it has no records of the last hour.", self.stream.api)
        } else {
            format!("{} can be read; it has records of the last hour.", self.stream.api)
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
            Err(error) => return Step::Done(vec![Finding::unanswered(error)]),
        };
        if matches!(answer.head.status, 200 | 206) {
            return Step::Done(self.passed(&answer));
        }
        let refused = refusal(&answer);
        if refused.no_licence() {
            self.licence_answers += 1;
            if self.licence_answers < 3 {
                return self.call();
            }
        }
        Step::Done(vec![Finding::failure(judge(&answer, &refused, self.stream, self.collection))])
    }
}
