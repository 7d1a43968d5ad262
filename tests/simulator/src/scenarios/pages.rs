//! Listings whose order, headers and links are odd.

use super::{Ends, SOME_HOURS, Scenario, refusal};
use crate::misbehaviour::{Trouble, When};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "shuffled-pages",
        about: "Each listing of content has an order of its own, and older blobs stand on later pages.",
        change: |options| options.misbehaviour.pages.shuffled = true,
        runs: SOME_HOURS,
        ends: Ends::Complete,
    },
    Scenario {
        name: "changing-pages",
        about: "Each further page begins two entries before the end of the last, as if others had been put in front.",
        change: |options| options.misbehaviour.pages.shifting = 2,
        runs: SOME_HOURS,
        ends: Ends::Complete,
    },
    Scenario {
        name: "odd-headers",
        about: "Headers come in title case (Nextpageuri), and the parameters of NextPageUri in lower case (endtime).",
        change: |options| {
            options.faults.title_case_headers = true;
            options.misbehaviour.pages.lower_case = true;
        },
        runs: SOME_HOURS,
        ends: Ends::Complete,
    },
    Scenario {
        name: "stale-pages",
        about: "One further page in four answers that its link is no longer good: AF20031, or an invalid skip token.",
        change: |options| {
            options.misbehaviour.troubles = vec![
                Trouble {
                    on: &["/manage/", "nextPage="],
                    when: When::OneIn(4),
                    what: refusal(400, "AF20031", "Invalid nextPage Input.", None),
                },
                Trouble {
                    on: &["/graph/", "$skiptoken="],
                    when: When::OneIn(4),
                    what: refusal(400, "BadRequest", "Invalid Skip Token, skip token is null.", None),
                },
            ];
        },
        runs: SOME_HOURS,
        ends: Ends::Complete,
    },
    Scenario {
        name: "foreign-content",
        about: "One contentUri in four points at another host; a later listing of the same blob may have it right.",
        change: |options| options.misbehaviour.pages.foreign_content_every = 4,
        runs: SOME_HOURS,
        ends: Ends::Complete,
    },
    Scenario {
        name: "foreign-pages",
        about: "One NextPageUri or @odata.nextLink in five points at another host.",
        change: |options| options.misbehaviour.pages.foreign_next_every = 5,
        runs: SOME_HOURS,
        ends: Ends::Complete,
    },
    Scenario {
        name: "page-circles",
        about: "One listing in three goes in a circle, names itself as its next page, has empty pages, or no end.",
        change: |options| options.misbehaviour.pages.astray_every = 3,
        runs: SOME_HOURS,
        ends: Ends::Complete,
    },
];
