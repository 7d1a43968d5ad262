//! Tokens that end early, and clocks that differ.

use std::time::Duration;

use super::{Ends, SOME_HOURS, Scenario};
use crate::misbehaviour::{Trouble, When};
use crate::options::Instead;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "short-tokens",
        about: "Tokens are good for 70 seconds, so that they expire between the pages of a listing.",
        change: |options| {
            options.token_lifetime = Duration::from_secs(70);
            options.latency = Duration::from_millis(4);
        },
        runs: SOME_HOURS,
        ends: Ends::Complete,
    },
    Scenario {
        name: "revoked-tokens",
        about: "Every twenty-five answers, tokens older than a minute are revoked long before expires_in.",
        change: |options| {
            options.misbehaviour.identity.revoke_every = Some(25);
            options.latency = Duration::from_millis(4);
        },
        runs: SOME_HOURS,
        ends: Ends::Complete,
    },
    Scenario {
        name: "fresh-token-401",
        about: "Every second token is refused for up to 20 seconds after its issue; and now and then comes an empty 403.",
        change: |options| {
            options.misbehaviour.identity.refuse_fresh = Some(20);
            let empty = || Instead::Answer { status: 403, headers: Vec::new(), body: String::new() };
            options.misbehaviour.troubles = vec![
                Trouble { on: &["/manage/"], when: When::Alone(15), what: empty() },
                Trouble { on: &["/graph/"], when: When::Alone(15), what: empty() },
            ];
        },
        runs: SOME_HOURS,
        ends: Ends::Complete,
    },
    Scenario {
        name: "clock-ahead",
        about: "The collector's clock is 25 minutes ahead of the service's.",
        change: |options| options.misbehaviour.identity.collector_ahead_ms = 25 * 60_000,
        runs: SOME_HOURS,
        ends: Ends::Complete,
    },
    Scenario {
        name: "clock-behind",
        about: "The collector's clock is 25 minutes behind the service's.",
        change: |options| options.misbehaviour.identity.collector_ahead_ms = -25 * 60_000,
        runs: SOME_HOURS,
        ends: Ends::Complete,
    },
    Scenario {
        name: "clock-far-ahead",
        about: "The collector's clock is three hours ahead of the service's: a wrong time zone.",
        change: |options| options.misbehaviour.identity.collector_ahead_ms = 180 * 60_000,
        runs: SOME_HOURS,
        ends: Ends::Complete,
    },
];
