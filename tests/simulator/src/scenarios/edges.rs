//! The edges of what the APIs keep and carry: outages of days, and very large blobs.

use super::{Ends, HOUR, OFFICE365, Scenario};

const DAY: u32 = 24 * 60;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "outage-of-6-days",
        about: "The collector is away for six days: everything can still be listed.",
        change: |options| {
            options.ahead = 7 * 24 * HOUR;
            options.events = 400;
        },
        runs: &[0, 30, 6 * DAY, 6 * DAY + 30, 7 * DAY + 60, 7 * DAY + 150],
        ends: Ends::Complete,
    },
    Scenario {
        name: "outage-of-9-days",
        about: "The collector is away for nine days: content older than seven can't be listed any more.",
        change: |options| {
            options.ahead = 10 * 24 * HOUR;
            options.events = 400;
        },
        runs: &[0, 30, 9 * DAY, 9 * DAY + 30, 10 * DAY + 60, 10 * DAY + 150],
        ends: Ends::Gap(OFFICE365),
    },
    Scenario {
        name: "large-blobs",
        about: "Content blobs of 16 MB.",
        change: |options| {
            options.streams = ["office365.exchange".to_owned()].into();
            options.events = 4_000;
            options.blob_records = 2_000;
            options.record_bytes = Some(8_000);
            options.speed = 20.0;
        },
        runs: &[0, 200, 260],
        ends: Ends::Complete,
    },
    Scenario {
        name: "huge-blobs",
        about: "A content blob of 250 MB, and a smaller one.",
        change: |options| {
            options.streams = ["office365.sharepoint".to_owned()].into();
            options.events = 33_000;
            options.blob_records = 31_250;
            options.record_bytes = Some(8_000);
            options.speed = 1.0;
        },
        runs: &[0, 200, 260],
        ends: Ends::Complete,
    },
];
