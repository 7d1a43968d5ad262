//! The scenarios of the conformance kit: what a tenant and its services do that a collector has to live with.
//!
//! Invariant: a scenario is data. It says what is changed about a healthy tenant, when a collector that runs now and then is
//! run, and how an honest one ends; everything that is changed is a value that the tenant reads, not a branch on a name.

mod arrival;
mod claims;
mod edges;
mod identity;
mod pages;
mod tenant;
mod throttling;
mod transport;

use std::time::Duration;

use crate::options::{Instead, Options};

/// One scenario.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Its name, for `--scenario`.
    pub name: &'static str,
    /// What happens, in one line.
    pub about: &'static str,
    /// What is different from a healthy tenant.
    pub change: fn(&mut Options),
    /// When a collector that runs now and then is run, in minutes of simulated time after the start. A collector that runs
    /// all the time has to run until the last of them.
    pub runs: &'static [u32],
    /// How an honest collector ends.
    pub ends: Ends,
}

/// How an honest collector ends a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// With everything, each time that it is run.
    Complete,
    /// With everything at the end of its last run. Runs before it may end with something that can't be had yet, and say so.
    AtLast,
    /// With everything but these streams, and tells of each what to mend.
    Blocked(&'static [&'static str]),
    /// With everything that can be had, and tells that a stretch of these streams can't.
    Gap(&'static [&'static str]),
}

/// Of the Management Activity API.
const OFFICE365: &[&str] =
    &["office365.azure-ad", "office365.exchange", "office365.sharepoint", "office365.dlp", "office365.general"];
const SIGN_INS: &[&str] = &[
    "graph.signins.interactive",
    "graph.signins.noninteractive",
    "graph.signins.service-principal",
    "graph.signins.managed-identity",
];
/// Soon after each other, then with pauses: records arrive during the first three hours.
const SOME_HOURS: &[u32] = &[0, 30, 75, 200, 260];
/// The simulated start: 2026-01-15T12:00:00Z.
const START_MS: i64 = 1_768_478_400_000;
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// Every scenario, by family.
pub const SCENARIOS: &[&[Scenario]] = &[
    arrival::SCENARIOS,
    pages::SCENARIOS,
    transport::SCENARIOS,
    throttling::SCENARIOS,
    identity::SCENARIOS,
    claims::SCENARIOS,
    tenant::SCENARIOS,
    edges::SCENARIOS,
];

/// The scenario of a name.
#[must_use]
pub fn scenario(name: &str) -> Option<&'static Scenario> {
    SCENARIOS.iter().copied().flatten().find(|scenario| scenario.name == name)
}

impl Scenario {
    /// The tenant of this scenario: some 300 records of all streams, most of them there at the start, the rest arriving within
    /// three hours of a clock that runs a hundred times as fast as the real one.
    #[must_use]
    pub fn options(&self, seed: u64) -> Options {
        let healthy = Options::new(seed, 300);
        let mut options = Options {
            now: Some(START_MS),
            speed: 100.0,
            ahead: healthy.newest_age + 3 * HOUR,
            blob_records: 5,
            content_page: 4,
            graph_page: 20,
            ..healthy
        };
        (self.change)(&mut options);
        options
    }
}

/// An answer of a gateway in front of the services.
fn html(status: u16) -> Instead {
    Instead::Answer {
        status,
        headers: vec![("content-type".to_owned(), "text/html".to_owned())],
        body: format!("<html><head><title>{status}</title></head><body>The service is unavailable.</body></html>"),
    }
}

/// An answer of JSON that the services wouldn't have given.
fn json(status: u16, body: &str) -> Instead {
    let headers = vec![("content-type".to_owned(), "application/json; charset=utf-8".to_owned())];
    Instead::Answer { status, headers, body: body.to_owned() }
}

/// An answer in the envelope that both APIs use, with `Retry-After` if it has seconds.
fn refusal(status: u16, code: &str, message: &str, retry_after: Option<u32>) -> Instead {
    let mut headers = vec![("content-type".to_owned(), "application/json; charset=utf-8".to_owned())];
    headers.extend(retry_after.map(|seconds| ("retry-after".to_owned(), seconds.to_string())));
    let body = serde_json::json!({ "error": { "code": code, "message": message } });
    Instead::Answer { status, headers, body: body.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streams::position;

    #[test]
    fn names_are_different_and_runs_go_on() {
        let all: Vec<&Scenario> = SCENARIOS.iter().copied().flatten().collect();
        let mut names: Vec<&str> = all.iter().map(|scenario| scenario.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all.len());
        for scenario in all {
            assert!(scenario.runs.is_sorted() && scenario.runs.len() > 1, "{}", scenario.name);
            assert!(!scenario.about.is_empty() && scenario.about.len() < 120, "{}", scenario.name);
            let streams = match scenario.ends {
                Ends::Complete | Ends::AtLast => &[],
                Ends::Blocked(streams) | Ends::Gap(streams) => streams,
            };
            assert!(streams.iter().all(|stream| position(stream).is_some()), "{}", scenario.name);
        }
    }
}
