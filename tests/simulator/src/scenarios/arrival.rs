//! Data that comes late, twice, or all at once.

use super::{Ends, HOUR, MINUTE, SOME_HOURS, Scenario};
use crate::misbehaviour::Late;

/// Until the passes of a day later.
const MORE_THAN_A_DAY: &[u32] = &[0, 30, 75, 200, 320, 560, 1_000, 1_700, 2_000];
/// Until the passes of six days later.
const A_WEEK: &[u32] = &[0, 75, 320, 1_700, 3_000, 4_500, 6_000, 7_500, 8_900, 9_100];

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "late-by-minutes",
        about: "One blob in four is listed 5 to 50 minutes late, one sign-in, audit or alert in four appears 5 to 100 late.",
        change: |options| {
            let arrival = &mut options.misbehaviour.arrival;
            arrival.late_blobs = Some(Late { one_in: 4, least: 5 * MINUTE, most: 50 * MINUTE });
            arrival.late_records = Some(Late { one_in: 4, least: 5 * MINUTE, most: 100 * MINUTE });
        },
        runs: SOME_HOURS,
        ends: Ends::Complete,
    },
    Scenario {
        name: "late-by-hours",
        about: "One blob in six is listed 1 to 20 hours after its contentCreated.",
        change: |options| {
            options.misbehaviour.arrival.late_blobs = Some(Late { one_in: 6, least: HOUR, most: 20 * HOUR });
        },
        runs: MORE_THAN_A_DAY,
        ends: Ends::Complete,
    },
    Scenario {
        name: "late-by-days",
        about: "One blob in ten is listed 1 to 5 days after its contentCreated.",
        change: |options| {
            options.misbehaviour.arrival.late_blobs = Some(Late { one_in: 10, least: 24 * HOUR, most: 120 * HOUR });
        },
        runs: A_WEEK,
        ends: Ends::Complete,
    },
    Scenario {
        name: "late-records-by-hours",
        about: "One sign-in, audit or alert in six appears 3 to 18 hours after its own time.",
        change: |options| {
            options.misbehaviour.arrival.late_records = Some(Late { one_in: 6, least: 3 * HOUR, most: 18 * HOUR });
        },
        runs: MORE_THAN_A_DAY,
        ends: Ends::Complete,
    },
    Scenario {
        name: "listed-twice",
        about: "Every second blob is listed twice in the same listing, and again in the next.",
        change: |options| options.misbehaviour.pages.twice_every = 2,
        runs: SOME_HOURS,
        ends: Ends::Complete,
    },
    Scenario {
        name: "in-two-blobs",
        about: "One record in three is in a later blob, too, between others and in another order.",
        change: |options| options.misbehaviour.arrival.repeat_every = Some(3),
        runs: SOME_HOURS,
        ends: Ends::Complete,
    },
    Scenario {
        name: "one-id-several-records",
        about: "Every second record bears the Id of the one before it and differs in the rest.",
        change: |options| options.misbehaviour.arrival.share_id_every = Some(2),
        runs: SOME_HOURS,
        ends: Ends::Complete,
    },
    Scenario {
        name: "one-timestamp",
        about: "Up to 40 records, two pages and more, have one timestamp, and up to 40 blobs one contentCreated.",
        change: |options| {
            options.misbehaviour.arrival.crowd = Some(40);
            options.blob_records = 2;
            options.graph_page = 15;
        },
        runs: SOME_HOURS,
        ends: Ends::Complete,
    },
];
