//! Connections and gateways that fail.

use std::time::Duration;

use super::{Ends, SOME_HOURS, Scenario, html};
use crate::misbehaviour::{Trouble, When};
use crate::options::Instead;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "cut-bodies",
        about: "One content blob and one Graph page in five breaks off after 1,500 bytes.",
        change: |options| {
            options.misbehaviour.troubles = vec![
                Trouble { on: &["/audit/"], when: When::OneIn(5), what: Instead::CutAfter(1_500) },
                Trouble { on: &["/graph/"], when: When::OneIn(5), what: Instead::CutAfter(1_500) },
            ];
        },
        runs: SOME_HOURS,
        ends: Ends::Complete,
    },
    Scenario {
        name: "resets",
        about: "One request in eight gets no answer: the connection is reset.",
        change: |options| {
            options.misbehaviour.troubles = vec![
                Trouble { on: &["/manage/"], when: When::OneIn(8), what: Instead::Reset },
                Trouble { on: &["/graph/"], when: When::OneIn(8), what: Instead::Reset },
            ];
        },
        runs: SOME_HOURS,
        ends: Ends::Complete,
    },
    Scenario {
        name: "slow-bodies",
        about: "One body in three comes a few hundred bytes at a time.",
        change: |options| {
            let pause = Duration::from_millis(5);
            options.misbehaviour.troubles = vec![
                Trouble { on: &["/audit/"], when: When::OneIn(3), what: Instead::Slow(400, pause) },
                Trouble { on: &["/graph/"], when: When::OneIn(3), what: Instead::Slow(800, pause) },
            ];
        },
        runs: SOME_HOURS,
        ends: Ends::Complete,
    },
    Scenario {
        name: "html-errors",
        about: "One request in ten is answered by a gateway: 502, 503 or 403 with an HTML page.",
        change: |options| {
            options.misbehaviour.troubles = [502, 503, 403]
                .into_iter()
                .map(|status| Trouble { on: &["GET "], when: When::OneIn(30), what: html(status) })
                .collect();
        },
        runs: SOME_HOURS,
        ends: Ends::Complete,
    },
    Scenario {
        name: "html-with-200",
        about: "One content blob, listing and Graph page in ten is an HTML page with status 200.",
        change: |options| {
            options.misbehaviour.troubles = vec![
                Trouble { on: &["GET /manage/"], when: When::OneIn(10), what: html(200) },
                Trouble { on: &["GET /graph/"], when: When::OneIn(10), what: html(200) },
            ];
        },
        runs: SOME_HOURS,
        ends: Ends::Complete,
    },
];
