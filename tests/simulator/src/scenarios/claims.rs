//! Answers that aren't what they say: times, waits, good statuses with bad bodies, content that isn't there yet.

use super::{Ends, SOME_HOURS, Scenario, html, refusal};
use crate::misbehaviour::{Trouble, When};

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
