//! What the plugin didn't know, as the operator hears of it: one line a day, and a count in the summary.
//!
//! Invariant: it is told after the commit, and never stops anything.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::guest::Unknown;
use crate::ledger::kind_name;

/// How often the line comes, if there is something to tell.
const DAY: Duration = Duration::from_secs(86_400);
/// So many examples are in the line; the ledger has the others.
const EXAMPLES: usize = 5;
/// So many different things are remembered of a stream.
const MAX_THINGS: usize = 1000;

/// Stream, kind, place and name.
type Thing = (String, &'static str, String, String);

/// Gathers what is unknown over a day.
#[derive(Debug)]
pub(super) struct Watch {
    told: Instant,
    /// Records and sample of what was found since it was last told.
    found: BTreeMap<Thing, (u64, String)>,
    /// How many different things were found of each stream in this run.
    things: BTreeMap<String, BTreeSet<(&'static str, String, String)>>,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self { told: Instant::now(), found: BTreeMap::new(), things: BTreeMap::new() }
    }

    /// Adds what was found in a chunk. Returns how many different things the stream has shown in this run.
    pub(super) fn add(&mut self, stream: &str, unknown: &[Unknown]) -> usize {
        let things = self.things.entry(stream.to_owned()).or_default();
        for Unknown { kind, place, name, count, sample } in unknown {
            let kind = kind_name(*kind);
            if things.len() < MAX_THINGS {
                things.insert((kind, place.clone(), name.clone()));
            }
            let thing = (stream.to_owned(), kind, place.clone(), name.clone());
            if self.found.len() < MAX_THINGS || self.found.contains_key(&thing) {
                self.found.entry(thing).or_insert_with(|| (0, sample.clone())).0 += u64::from(*count);
            }
        }
        things.len()
    }

    /// Tells what was found in the last day, if the day is over.
    pub(super) fn tell_daily(&mut self) {
        if self.told.elapsed() >= DAY {
            self.tell();
        }
    }

    /// Tells what was found since the last time.
    pub(super) fn tell(&mut self) {
        self.told = Instant::now();
        if let Some(line) = line(&std::mem::take(&mut self.found)) {
            tracing::warn!("{line}");
        }
    }
}

/// The line; none if nothing was found.
fn line(found: &BTreeMap<Thing, (u64, String)>) -> Option<String> {
    if found.is_empty() {
        return None;
    }
    let mut most: Vec<_> = found.iter().collect();
    most.sort_by_key(|(_, (records, _))| std::cmp::Reverse(*records));
    let examples: Vec<String> = most
        .iter()
        .take(EXAMPLES)
        .map(|((stream, kind, place, name), (records, sample))| {
            let place = if place.is_empty() { String::new() } else { format!(" of {place}") };
            let sample = if sample.is_empty() { String::new() } else { format!(", {sample}") };
            format!("{stream}: {kind} {name}{place} ({records} records{sample})")
        })
        .collect();
    let more = found.len().saturating_sub(EXAMPLES);
    let more = if more == 0 { String::new() } else { format!("; and {more} more") };
    Some(format!(
        "Records held what the plugin doesn't know; they were delivered all the same. {}{more}. `m365-pipe drift` lists everything.",
        examples.join("; ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::UnknownKind;

    fn unknown(name: &str, count: u32) -> Unknown {
        Unknown {
            kind: UnknownKind::Operation,
            place: "ExchangeAdmin".to_owned(),
            name: name.to_owned(),
            count,
            sample: String::new(),
        }
    }

    #[test]
    fn the_line_names_the_most_frequent_and_counts_the_others() {
        let mut watch = Watch::new();
        assert_eq!(line(&watch.found), None);
        assert_eq!(watch.add("s", &[unknown("Set-A", 1), unknown("Set-B", 7)]), 2);
        assert_eq!(watch.add("s", &[unknown("Set-B", 2)]), 2);
        for n in 0..5 {
            watch.add("t", &[unknown(&format!("Set-{n}"), 2)]);
        }
        let text = line(&watch.found).unwrap();
        assert!(
            text.contains("delivered all the same. s: operation Set-B of ExchangeAdmin (9 records); t: "),
            "{text}"
        );
        assert!(text.contains("; and 2 more."), "{text}");
        watch.tell();
        assert_eq!(line(&watch.found), None);
        assert_eq!(watch.add("s", &[]), 2, "the summary counts the whole run");
    }
}
