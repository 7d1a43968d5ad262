//! Answers that aren't what they say: times, waits, good statuses with bad bodies, content that isn't there yet.

use std::time::Duration;

use super::{Ends, HOUR, MINUTE, SOME_HOURS, Scenario, html, json, refusal};
use crate::misbehaviour::{Late, Trouble, When};
use crate::options::{Instead, Wait};

/// Until long after the longest time for which something can't be read.
const A_DAY: &[u32] = &[0, 30, 75, 200, 320, 420, 560, 1_000, 1_700];
/// What the services say in place of an answer.
const INTERNAL: &str = r#"{"error":{"code":"AF50005","message":"An internal error occurred. Retry the request."}}"#;
const IN_A_LIST: &str = r#"[{"error":{"code":"AF50005","message":"An internal error occurred. Retry the request."}}]"#;
const GENERAL: &str = r#"{"error":{"code":"generalException","message":"An unspecified error has occurred."}}"#;
const NO_VALUE: &str = r#"{"@odata.context":"https://graph.microsoft.com/v1.0/$metadata#collection"}"#;
const NULL_VALUE: &str = r#"{"@odata.context":"https://graph.microsoft.com/v1.0/$metadata#collection","value":null}"#;
const NO_TOKEN: &str =
    r#"{"error":"temporarily_unavailable","error_description":"AADSTS90033: A transient error has occurred."}"#;

/// Every value of `Retry-After` that was seen and is short or no wait, on every status that may have it.
fn short_waits() -> Vec<Trouble> {
    let waits = [
        Wait::Text("0"),
        Wait::Text("0.249"),
        Wait::Text("-1"),
        Wait::Text(""),
        Wait::Text("soon"),
        Wait::Date(-600),
        Wait::Date(20),
        Wait::OldDate(-86_400),
        Wait::OldDate(20),
    ];
    let asked = |on, wait, status| Trouble { on, when: When::OneIn(150), what: Instead::AskToWait { status, wait } };
    let every = |on| waits.map(|wait| [429, 503, 500].map(|status| asked(on, wait, status)));
    [every(&["/manage/"]), every(&["/graph/"])].into_iter().flatten().flatten().collect()
}

/// Values of `Retry-After` that nobody should obey to their end, once each on both APIs.
fn long_waits() -> Vec<Trouble> {
    let waits = [
        (429, Wait::Text("86400")),
        (503, Wait::Text("31536000")),
        (429, Wait::Text("18446744073709551615")),
        (500, Wait::Text("86400")),
        (503, Wait::OldDate(86_400)),
    ];
    let asked =
        |on, (status, wait)| Trouble { on, when: When::Times(20, 1), what: Instead::AskToWait { status, wait } };
    let every = |on: &'static [&'static str]| waits.map(|wait| asked(on, wait));
    [every(&["/manage/"]), every(&["/graph/"])].into_iter().flatten().collect()
}

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "odd-dates",
        about: "The Date of one answer in twenty, and of half of a gateway's, is off by a second to ten years either way.",
        change: |options| {
            options.misbehaviour.dates.odd_every = 20;
            options.misbehaviour.dates.odd_instead_every = 2;
            options.misbehaviour.troubles = vec![
                Trouble { on: &["GET "], when: When::OneIn(30), what: html(503) },
                Trouble { on: &["GET "], when: When::OneIn(60), what: html(200) },
                Trouble {
                    on: &["GET /manage/"],
                    when: When::OneIn(40),
                    what: refusal(500, "AF50000", "An internal error occurred. Retry the request.", None),
                },
                Trouble { on: &["POST /login/"], when: When::OneIn(4), what: html(503) },
            ];
        },
        runs: SOME_HOURS,
        ends: Ends::Complete,
    },
    Scenario {
        name: "odd-retry-after",
        about: "429, 503 and 500 come with Retry-After of 0, 0.249, -1, a date that is past, a day, a year, 2^64-1, or nonsense.",
        change: |options| {
            options.misbehaviour.troubles = [long_waits(), short_waits()].concat();
            // Some of these waits are obeyed for an hour.
            options.speed = 500.0;
        },
        runs: &[0, 30, 75, 200, 260, 400, 520],
        ends: Ends::AtLast,
    },
    Scenario {
        name: "errors-in-200",
        about: "One answer in five has status 200 and an error in its body, another shape, no value, or half of a page.",
        change: |options| {
            options.misbehaviour.bodies.error_member_every = 10;
            let trouble = |on, one_in, body| Trouble { on, when: When::OneIn(one_in), what: json(200, body) };
            options.misbehaviour.troubles = vec![
                trouble(&["GET /manage/"], 12, INTERNAL),
                trouble(&["GET /manage/", "/subscriptions/"], 20, r#"{"value":[]}"#),
                trouble(&["GET /manage/", "/subscriptions/"], 30, "null"),
                trouble(&["GET /manage/", "/subscriptions/"], 20, IN_A_LIST),
                trouble(&["GET /manage/", "/audit/"], 30, "{}"),
                trouble(&["GET /manage/", "/audit/"], 30, IN_A_LIST),
                trouble(&["POST /manage/"], 4, INTERNAL),
                trouble(&["/graph/"], 15, GENERAL),
                trouble(&["/graph/"], 30, NULL_VALUE),
                trouble(&["/graph/"], 30, NO_VALUE),
                trouble(&["/graph/"], 60, "[]"),
                trouble(&["POST /login/"], 4, NO_TOKEN),
            ];
        },
        runs: SOME_HOURS,
        // A start takes a token, a list, a start and a list again: all of it can fail more often than a run waits for.
        ends: Ends::AtLast,
    },
    Scenario {
        name: "missing-for-a-while",
        about: "One blob in three answers 404, AF20050 or AF20052 for 5 minutes to 4 hours after it was listed.",
        change: |options| {
            let late = Late { one_in: 3, least: 5 * MINUTE, most: 4 * HOUR };
            options.misbehaviour.arrival.missing_blobs = Some(late);
        },
        runs: A_DAY,
        ends: Ends::AtLast,
    },
    Scenario {
        name: "wrong-urls",
        about: "For five hours every blob is refused: 400 AF20052, the key in its address is invalid.",
        change: |options| {
            options.misbehaviour.troubles = vec![Trouble {
                on: &["GET /manage/", "/audit/"],
                when: When::Between(Duration::ZERO, 5 * HOUR),
                what: refusal(400, "AF20052", "Blob key in the url is invalid. Please correct the url.", None),
            }];
        },
        runs: A_DAY,
        ends: Ends::AtLast,
    },
    Scenario {
        name: "broken-record",
        about: "The JSON of audits, of non-interactive sign-ins and of a blob always breaks at the same record.",
        change: |options| options.misbehaviour.bodies.broken_records = BROKEN,
        runs: A_DAY,
        ends: Ends::Gap(BROKEN),
    },
    Scenario {
        name: "filter-ignored",
        about: "The legacy alerts ignore the time filter: all of them come, whatever time is asked for.",
        change: |options| {
            options.misbehaviour.pages.legacy_filter_ignored = true;
            // More than the collection gives in one answer, and than a collector that believes in the filter would narrow it for.
            options.streams = ["graph.alerts-legacy".to_owned()].into();
            options.events = 1_800;
            options.graph_page = 500;
        },
        runs: SOME_HOURS,
        ends: Ends::Complete,
    },
];

/// Streams of both APIs.
const BROKEN: &[&str] = &["office365.exchange", "graph.signins.noninteractive", "graph.directory-audits"];
