//! Services that ask for fewer requests, or fail inside.

use std::time::Duration;

use super::{Ends, HOUR, MINUTE, SIGN_INS, SOME_HOURS, Scenario, html, refusal};
use crate::misbehaviour::{Trouble, When};
use crate::options::Instead;

const STORM: When = When::Between(MINUTE.saturating_mul(0), MINUTE.saturating_mul(3));

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "storm",
        about: "For three minutes every request of both APIs is answered with 429 and Retry-After: 60.",
        change: |options| {
            options.misbehaviour.troubles = vec![
                Trouble { on: &["/manage/"], when: STORM, what: refusal(429, "AF429", "Too many requests.", Some(60)) },
                Trouble {
                    on: &["/graph/"],
                    when: STORM,
                    what: refusal(429, "TooManyRequests", "Too many requests.", Some(60)),
                },
            ];
        },
        runs: SOME_HOURS,
        ends: Ends::Complete,
    },
    Scenario {
        name: "silent-storm",
        about: "For three minutes, and one request in six after it, 429 comes without Retry-After.",
        change: |options| {
            let graph = || refusal(429, "TooManyRequests", "Too many requests. Please wait and try again.", None);
            let manage = || refusal(429, "AF429", "Too many requests.", None);
            options.misbehaviour.troubles = vec![
                Trouble { on: &["/manage/"], when: STORM, what: manage() },
                Trouble { on: &["/graph/"], when: STORM, what: graph() },
                Trouble { on: &["/manage/"], when: When::OneIn(6), what: manage() },
                Trouble { on: &["/graph/"], when: When::OneIn(6), what: graph() },
            ];
        },
        runs: SOME_HOURS,
        ends: Ends::Complete,
    },
    Scenario {
        name: "af429-as-403",
        about: "One request of the Management Activity API in five is throttled as 403 with AF429 in its body.",
        change: |options| {
            let message = "Too many requests. Method=GetBlob, PublisherId=00000000-0000-0000-0000-000000000000";
            options.misbehaviour.troubles =
                vec![Trouble { on: &["/manage/"], when: When::OneIn(5), what: refusal(403, "AF429", message, None) }];
        },
        runs: SOME_HOURS,
        ends: Ends::Complete,
    },
    Scenario {
        name: "af50000",
        about: "One request of the Management Activity API in five fails inside: AF50000, AF50005, AF50006.",
        change: |options| {
            options.misbehaviour.troubles = ["AF50000", "AF50005", "AF50006"]
                .into_iter()
                .map(|code| Trouble {
                    on: &["/manage/"],
                    when: When::OneIn(15),
                    what: refusal(500, code, "An internal error occurred. Retry the request.", None),
                })
                .collect();
        },
        runs: SOME_HOURS,
        ends: Ends::Complete,
    },
    Scenario {
        name: "throttled-login",
        about: "The login answers its first two token requests with 429, and one in four after it with 503.",
        change: |options| {
            options.misbehaviour.troubles = vec![
                Trouble {
                    on: &["POST /login/"],
                    when: When::First(2),
                    what: refusal(429, "temporarily_unavailable", "Too many requests.", Some(2)),
                },
                Trouble {
                    on: &["POST /login/"],
                    when: When::OneIn(4),
                    what: refusal(503, "temporarily_unavailable", "AADSTS90033: A transient error has occurred.", None),
                },
            ];
        },
        runs: SOME_HOURS,
        ends: Ends::Complete,
    },
    Scenario {
        name: "start-throttled",
        about: "Two subscriptions can't be started for 10 to 14 minutes: 403 or 429, with the time in its text alone.",
        change: |options| {
            options.misbehaviour.subscriptions.throttled_starts = Some((10 * MINUTE, 14 * MINUTE));
            // Slow enough that a busy machine reads the others meanwhile.
            options.speed = 50.0;
        },
        runs: SOME_HOURS,
        ends: Ends::AtLast,
    },
    Scenario {
        name: "deaf-quota",
        about: "The quotas go on counting while the collector ends and starts again: 5 requests in 10 seconds, whoever asks.",
        change: |options| {
            // Slow enough that the start of a process is short beside a quota's period.
            options.speed = 10.0;
            options.ahead = HOUR;
            options.streams = SIGN_INS.iter().map(|stream| (*stream).to_owned()).collect();
        },
        runs: &[0, 30, 75],
        ends: Ends::Complete,
    },
    Scenario {
        name: "bad-ten-minutes",
        about: "For ten minutes three requests in four fail: 429, 503, 504, resets and silence, as often in a row as it comes.",
        change: |options| {
            let until = MINUTE.saturating_mul(10);
            let bad = |on, one_in, what| Trouble { on, when: When::OneInBetween(one_in, Duration::ZERO, until), what };
            options.misbehaviour.troubles = vec![
                bad(&["/manage/"], 4, refusal(429, "AF429", "Too many requests.", None)),
                bad(&["/graph/"], 4, refusal(429, "TooManyRequests", "Too many requests.", Some(10))),
                bad(&[], 4, html(503)),
                bad(&[], 6, html(504)),
                bad(&[], 4, Instead::Reset),
                bad(&[], 6, Instead::Silence(Duration::from_millis(300))),
            ];
        },
        runs: SOME_HOURS,
        ends: Ends::AtLast,
    },
];
