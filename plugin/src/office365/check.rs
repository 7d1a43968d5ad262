//! Tests a Management Activity stream without changing anything.
//!
//! Invariant: only lists are called; a subscription is never started here, since that is a write.

use super::Calls;
use super::answers::{Subject, judge, words};
use super::feed::is_enabled;
use super::listing::elements;
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

    fn refused(&mut self, answer: &Answer) -> Step<Vec<Finding>> {
        let subject = if self.listing { Subject::List } else { Subject::Subscriptions };
        let finding = Finding::refused(judge(answer, &words(answer), subject, self.stream));
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
            return if is_enabled(&answer, self.content_type).is_some() { self.list() } else { self.refused(&answer) };
        }
        let Ok((list, _)) = elements(&answer) else {
            if words(&answer).has("AF20022") {
                return self.done(Finding {
                    severity: Severity::Note,
                    code: "AF20022".to_owned(),
                    message: format!("The tenant isn't subscribed to {} yet.", self.content_type),
                    mend: "Nothing: the collector starts the subscription when it runs.".to_owned(),
                });
            }
            return self.refused(&answer);
        };
        let finding = if list.is_empty() {
            Finding::ok(format!(
                "The subscription to {} works; no content became available in the last hour.",
                self.content_type
            ))
        } else {
            let more = if answer.head.header("NextPageUri").is_some() { " or more" } else { "" };
            Finding::ok(format!(
                "The subscription to {} works; {}{more} content blobs became available in the last hour.",
                self.content_type,
                list.len()
            ))
        };
        self.done(finding)
    }
}
