//! Answers that aren't what they say: times, waits, good statuses with bad bodies, content that isn't there yet.

use super::{Ends, SOME_HOURS, Scenario};

pub(super) const SCENARIOS: &[Scenario] = &[Scenario {
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
}];
