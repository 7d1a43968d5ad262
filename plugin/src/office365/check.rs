//! Tests a Management Activity stream without changing anything.
//!
//! Invariant: only lists are called; a subscription is never started here, since that is a write.

use super::Calls;
use super::answers::{Refusal, Subject, judge, refusal};
use crate::call::{Answer, Machine, Step};
use crate::clock::{self, HOUR};
use crate::error::Error;
use crate::settings::Settings;
use crate::source::{Finding, Severity};
use crate::streams::Stream;

/// The test of one stream.
#[derive(Debug)]
pub struct Check {
    calls: Calls,
    stream: &'static Stream,
    content_type: &'static str,
    now: u64,
    listing: bool,
    findings: Vec<Finding>,
}

impl Check {
    /// Prepares the test.
    pub fn new(settings: &Settings, stream: &'static Stream, content_type: &'static str, now: u64) -> Self {
        Self { calls: Calls::new(settings), stream, content_type, now, listing: false, findings: Vec::new() }
    }

    fn done(&mut self, finding: Finding) -> Step<Vec<Finding>> {
        self.findings.push(finding);
        Step::Done(std::mem::take(&mut self.findings))
    }

    fn list(&mut self) -> Step<Vec<Finding>> {
        self.listing = true;
        let end = clock::whole_second(self.now);
        Step::Call(self.calls.list_content(self.content_type, end.saturating_sub(HOUR), end))
    }

    fn refused(&mut self, answer: &Answer, refused: &Refusal) -> Step<Vec<Finding>> {
        let finding = Finding::failure(judge(answer, refused, Subject::List, self.stream));
        self.done(finding)
    }
}

impl Machine for Check {
    type Output = Vec<Finding>;

    fn start(&mut self) -> Step<Vec<Finding>> {
        Step::Call(self.calls.list_subscriptions())
    }

    fn on_answer(&mut self, answer: Result<Answer, Error>) -> Step<Vec<Finding>> {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return self.done(Finding::unanswered(error)),
        };
        let refused = refusal(&answer);
        if let Some(date) = answer.head.date_ms()
            && !self.listing
            && date.abs_diff(self.now) > 5 * clock::MINUTE
        {
            self.findings.push(Finding {
                severity: Severity::Note,
                code: "clock-skew".to_owned(),
                message: format!(
                    "This machine's clock differs from the service's by {} seconds.",
                    date.abs_diff(self.now) / 1000
                ),
                mend: "Set the clock by a time server.".to_owned(),
            });
        }
        if !self.listing {
            return if answer.head.status == 200 { self.list() } else { self.refused(&answer, &refused) };
        }
        if answer.head.status != 200 {
            if refused.af.as_deref() == Some("AF20022") {
                return self.done(Finding {
                    severity: Severity::Note,
                    code: "AF20022".to_owned(),
                    message: format!("The tenant isn't subscribed to {} yet.", self.content_type),
                    mend: "Nothing: the collector starts the subscription when it runs.".to_owned(),
                });
            }
            return self.refused(&answer, &refused);
        }
        let finding = match serde_json::from_slice::<Vec<serde_json::Value>>(&answer.body) {
            Ok(list) if list.is_empty() => Finding::ok(format!(
                "The subscription to {} works; no content became available in the last hour.",
                self.content_type
            )),
            Ok(list) => {
                let more = if answer.head.header("NextPageUri").is_some() { " or more" } else { "" };
                Finding::ok(format!(
                    "The subscription to {} works; {}{more} content blobs became available in the last hour.",
                    self.content_type,
                    list.len()
                ))
            }
            Err(error) => Finding {
                severity: Severity::Failure,
                code: "not-a-list".to_owned(),
                message: format!("The service's list of content isn't one: {error}."),
                mend: "Check the endpoint of the Management Activity API in the configuration.".to_owned(),
            },
        };
        self.done(finding)
    }
}
