//! The verdict on a collector: what it owed, what it fetched, what it wrote, and which rules it broke.
//!
//! Invariant: a record is owed if a listing that the collector made could have shown it with a window that covers it: what
//! was never within its reach (before its first call, while it was away for a week, while a subscription was stopped) nobody
//! owes, but nobody has to leave it out either.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde_json::json;

use super::output::{Found, Index};
use crate::answer::Answer;
use crate::catalogue::Shelf;
use crate::clock::{TICKS_PER_MS, TICKS_PER_SECOND, Ticks, ticks};
use crate::options::LegacyAlerts;
use crate::server::Tenant;
use crate::streams::{Api, STREAMS};

const MINUTE: Ticks = 60 * TICKS_PER_SECOND;
const DAY: Ticks = 24 * 60 * MINUTE;
/// A collector may keep this far from the edge of what can be listed: a call takes a moment to arrive.
const EDGE: Ticks = 15 * MINUTE;
/// A collector may read Graph this far behind now.
const LAG: Ticks = 20 * MINUTE;
/// How many examples of each trouble are told.
const EXAMPLES: usize = 3;

/// What became of one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamVerdict {
    /// Records that the tenant has shown so far, or would have shown to who asked.
    pub there: u64,
    /// Those among them that the collector owes.
    pub owed: u64,
    /// Those that have gone out in a complete body.
    pub fetched: u64,
    /// Those that the collector wrote, if its output is known.
    pub written: Option<u64>,
    /// Owed, but not written (or, if the output is not known, not fetched).
    pub missing: u64,
    /// Written more than once.
    pub twice: u64,
    /// When a listing of it last succeeded, in epoch milliseconds, to the second: who stops listing a stream owes nothing of what
    /// came after.
    pub listed_ms: Option<i64>,
    /// Some of the missing and of the repeated ones, for a person.
    pub examples: Vec<String>,
}

/// What the kit has to say about a collector.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// By stream; streams without records are left out.
    pub streams: BTreeMap<String, StreamVerdict>,
    /// Rules that were broken, each with how often and an example.
    pub rules: Vec<(String, u64, String)>,
    /// Lines of the output that hold nothing that the tenant has. Broken elements of the tenant may be among them.
    pub unknown: u64,
    /// Lines of the output with an id that the tenant gave to fewer records.
    pub surplus: u64,
    /// Why the output could not be read.
    pub unreadable: Option<String>,
    /// How many lines of the output may be unknown: elements of blobs that are no records.
    broken: u64,
}

impl Verdict {
    /// Whether nothing is missing, nothing is there twice, and no rule was broken.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.rules.is_empty()
            && self.unreadable.is_none()
            && self.surplus == 0
            && self.unknown <= self.broken
            && self.streams.values().all(|stream| stream.missing == 0 && stream.twice == 0)
    }

    /// As JSON, for programs.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        let streams: serde_json::Map<String, serde_json::Value> = self
            .streams
            .iter()
            .map(|(name, stream)| {
                let value = json!({
                    "there": stream.there, "owed": stream.owed, "fetched": stream.fetched, "written": stream.written,
                    "missing": stream.missing, "twice": stream.twice, "listed_ms": stream.listed_ms,
                    "examples": stream.examples,
                });
                (name.clone(), value)
            })
            .collect();
        let rules: Vec<serde_json::Value> = self
            .rules
            .iter()
            .map(|(rule, count, example)| json!({ "rule": rule, "count": count, "example": example }))
            .collect();
        json!({
            "passed": self.passed(), "streams": streams, "rules": rules, "unknown": self.unknown, "surplus": self.surplus,
            "unreadable": self.unreadable,
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:34}{:>9}{:>9}{:>9}{:>9}{:>9}{:>7}",
            "STREAM", "THERE", "OWED", "FETCHED", "WRITTEN", "MISSING", "TWICE"
        )?;
        for (name, stream) in &self.streams {
            let written = stream.written.map_or_else(|| "-".to_owned(), |count| count.to_string());
            writeln!(
                f,
                "{name:34}{:>9}{:>9}{:>9}{written:>9}{:>9}{:>7}",
                stream.there, stream.owed, stream.fetched, stream.missing, stream.twice
            )?;
        }
        for example in self.streams.values().flat_map(|stream| &stream.examples) {
            writeln!(f, "{example}")?;
        }
        if self.unknown > 0 {
            writeln!(f, "{} lines of the output hold no record of the tenant", self.unknown)?;
        }
        if self.surplus > 0 {
            writeln!(f, "{} lines of the output repeat an id more often than the tenant has it", self.surplus)?;
        }
        if let Some(error) = &self.unreadable {
            writeln!(f, "the output can't be read: {error}")?;
        }
        for (rule, count, example) in &self.rules {
            writeln!(f, "rule broken {count} times: {rule}\n    such as {example}")?;
        }
        writeln!(f, "verdict: {}", if self.passed() { "PASSED" } else { "FAILED" })
    }
}

/// Which records a collector owes by now, and which have been there.
struct Debt<'a> {
    tenant: &'a Tenant,
    stream: usize,
    shelf: &'a Shelf,
    stopped: Vec<(Ticks, Ticks)>,
    now: Ticks,
}

impl Debt<'_> {
    /// When a record can first be had, if it can at all.
    fn there(&self, record: usize) -> Option<Ticks> {
        let shelf = self.shelf;
        if shelf.stream.management() {
            let blob = shelf.blob_of_record(record);
            let created = shelf.created(blob);
            let lost = self.stopped.iter().any(|(from, to)| (*from..*to).contains(&created));
            let readable = self.tenant.missing.until(self.stream, shelf, blob);
            let gone = lost || shelf.out_of_reach(record);
            return (!gone).then(|| readable.unwrap_or(Ticks::MIN).max(shelf.listed_from(blob)));
        }
        let faults = &self.tenant.options.faults;
        let legacy = shelf.stream.api == Api::LegacyAlerts;
        let hidden = legacy
            && (faults.legacy_alerts == LegacyAlerts::Empty
                || faults.failing_provider.as_deref().is_some_and(|provider| provider == shelf.tag(record)));
        (!hidden && !shelf.out_of_reach(record)).then(|| shelf.visible_from(record))
    }

    /// Whether a listing of the collector could have shown a record that was there from `there` on.
    fn owed(&self, record: usize, there: Ticks) -> bool {
        let rules = &self.tenant.rules;
        if self.shelf.stream.management() {
            let created = self.shelf.created(self.shelf.blob_of_record(record));
            let reach = (7 * DAY).min(ticks(self.tenant.options.content_lifetime)) - EDGE;
            return rules.listed_after(self.stream, there).is_some_and(|listed| listed < created + reach);
        }
        let time = self.shelf.time(record);
        rules.listed_after(self.stream, there.max(time + LAG)).is_some_and(|listed| listed < time + 30 * DAY - EDGE)
    }
}

/// Judges what has happened so far. With `outputs`, NDJSON files, what the collector wrote counts; without, what it fetched.
pub(crate) fn judge(tenant: &Tenant, outputs: &[PathBuf]) -> Verdict {
    let now = tenant.clock.now();
    let mut verdict =
        Verdict { broken: tenant.shelves.iter().map(|shelf| shelf.broken as u64).sum(), ..Verdict::default() };
    let mut found = Found::default();
    if !outputs.is_empty() {
        let mut index = Index::default();
        let mut bytes = Vec::new();
        for (stream, shelf) in tenant.shelves.iter().enumerate() {
            for record in 0..shelf.len {
                bytes.clear();
                shelf.render(record, &mut bytes);
                index.add((stream, record), &bytes);
            }
        }
        for path in outputs {
            if let Err(error) = found.read(path, &index) {
                verdict.unreadable = Some(format!("{}: {error}", path.display()));
            }
        }
        verdict.unknown = found.unknown;
        verdict.surplus = found.surplus;
    }
    for (stream, shelf) in tenant.shelves.iter().enumerate().filter(|(_, shelf)| shelf.len > 0) {
        let debt = Debt { tenant, stream, shelf, stopped: tenant.subscriptions.stops(stream), now };
        let one = of_stream(&debt, (!outputs.is_empty()).then_some(&found));
        verdict.streams.insert(shelf.stream.name.to_owned(), one);
    }
    let mut rules: BTreeMap<String, (u64, String)> = BTreeMap::new();
    for (request, rule) in tenant.tally.violations() {
        rules.entry(rule).or_insert_with(|| (0, request)).0 += 1;
    }
    verdict.rules = rules.into_iter().map(|(rule, (count, example))| (rule, count, example)).collect();
    verdict
}

fn of_stream(debt: &Debt<'_>, found: Option<&Found>) -> StreamVerdict {
    let listed_ms = debt.tenant.rules.last_listed(debt.stream).map(|at| at / TICKS_PER_MS);
    let mut verdict = StreamVerdict { written: found.map(|_| 0), listed_ms, ..StreamVerdict::default() };
    let name = STREAMS[debt.stream].name;
    for record in 0..debt.shelf.len {
        let there = debt.there(record).filter(|there| *there <= debt.now);
        let owed = there.is_some_and(|there| debt.owed(record, there));
        let fetched = debt.tenant.tally.was_served(debt.stream, record);
        let written = found.map(|found| found.records.get(&(debt.stream, record)).copied().unwrap_or(0));
        verdict.there += u64::from(there.is_some());
        verdict.owed += u64::from(owed);
        verdict.fetched += u64::from(fetched);
        if let (Some(count), Some(total)) = (written, &mut verdict.written) {
            *total += u64::from(count > 0);
        }
        let missing = owed && !written.map_or(fetched, |count| count > 0);
        let twice = written.is_some_and(|count| count > 1);
        verdict.missing += u64::from(missing);
        verdict.twice += u64::from(twice);
        if (missing || twice) && verdict.examples.len() < EXAMPLES {
            verdict.examples.push(example(debt, name, record, missing, fetched, there));
        }
    }
    verdict
}

fn example(debt: &Debt<'_>, name: &str, record: usize, missing: bool, fetched: bool, there: Option<Ticks>) -> String {
    let text = |at: Ticks| crate::clock::millis_text(at);
    let (what, place) = if debt.shelf.stream.management() {
        let blob = debt.shelf.blob_of_record(record);
        (text(debt.shelf.created(blob)), format!("content {}", debt.shelf.content_id(blob)))
    } else {
        let mut bytes = Vec::new();
        debt.shelf.render(record, &mut bytes);
        let id = serde_json::from_slice::<serde_json::Value>(&bytes)
            .ok()
            .and_then(|value| Some(value.get("id")?.as_str()?.to_owned()));
        (text(debt.shelf.time(record)), format!("id {}", id.unwrap_or_default()))
    };
    let there = there.map_or_else(|| "never".to_owned(), text);
    let trouble = match (missing, fetched) {
        (true, true) => "fetched, but not written",
        (true, false) => "never fetched",
        _ => "written more than once",
    };
    format!("{name}: record {record} is {trouble}: {place}, of {what}, there from {there}")
}

/// `GET /_kit/verdict`: the verdict so far, on the files that the simulator was started with.
pub(crate) fn answer(tenant: &Tenant) -> Answer {
    Answer::json(&judge(tenant, &tenant.options.outputs).json())
}
