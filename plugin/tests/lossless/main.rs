//! Nothing of a record is lost: every leaf is in its event as it was, or by one of the rules in [`rules`].
//!
//! Looked at are the inputs of the golden pairs and the corpus, and the same records changed: a leaf replaced by a value that is nowhere
//! else, so that finding it can't be chance; a member added; a value of another type. The sentence in `message`, observables,
//! ids that are made of the whole record, and `raw_data` don't count as a place.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod changes;
#[path = "../records/mod.rs"]
mod records;
mod rules;

use std::collections::BTreeMap;

use changes::{change, count, decides, fresh, mutate};
use m365_plugin::normalize::Normalizer;
use proptest::{prelude::*, test_runner::TestRng};
use records::{Record, corpus, golden, normalizer};
use rules::{Places, accounted, leaves};
use serde_json::{Value, json};

/// The leaves that are lost.
fn lost(record: &Value, events: &[Value]) -> Vec<String> {
    let places = Places::of(events);
    let mut lost = Vec::new();
    leaves(record, &mut Vec::new(), &mut |leaf| {
        if accounted(&leaf, &places).is_none() {
            lost.push(format!("{} = {}", leaf.name(), leaf.value));
        }
    });
    lost
}

/// Redaction is tested elsewhere; here it would hide what is lost.
fn keeping() -> Normalizer {
    normalizer(json!({"redact": "keep"}))
}

fn report(kind: &str, lost: &BTreeMap<String, Vec<String>>) {
    let total: usize = lost.values().map(Vec::len).sum();
    let mut text = String::new();
    for (what, origins) in lost {
        text.push_str(&format!("{what} ({} times, such as {})\n", origins.len(), origins[0]));
    }
    assert!(lost.is_empty(), "{kind}: {total} leaves are lost:\n{text}");
}

/// Collects what is lost by stream and path.
fn collect(into: &mut BTreeMap<String, Vec<String>>, record: &Record, value: &Value, normalizer: &Normalizer) {
    let events = records::events(normalizer, &record.stream, value);
    if events.is_empty() {
        return;
    }
    for leaf in lost(value, &events) {
        let (path, _) = leaf.split_once(" = ").unwrap();
        into.entry(format!("{} {}", record.stream, path)).or_default().push(format!("{}: {leaf}", record.origin));
    }
}

#[test]
fn every_leaf_of_a_record_is_in_its_event() {
    let normalizer = keeping();
    let mut lost = BTreeMap::new();
    for record in golden().iter().chain(&corpus()) {
        collect(&mut lost, record, &record.value, &normalizer);
    }
    report("records as they are", &lost);
}

#[test]
fn what_redaction_hides_is_listed() {
    let (keeping, masking) = (keeping(), normalizer(json!({})));
    let mut masked = 0;
    for record in golden().iter().chain(&corpus()) {
        let events = record.events(&masking);
        if events.is_empty() {
            continue;
        }
        let hidden = lost(&record.value, &events);
        let listed: Vec<&str> = events
            .iter()
            .filter_map(|e| e["unmapped"]["_redacted"].as_array())
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        for leaf in &hidden {
            // A path begins with a member that leads to the value.
            let members: Vec<&str> = leaf.split([' ']).next().unwrap_or_default().split('.').collect();
            let leads = |path: &&str| members.contains(&path.split('.').next().unwrap_or_default());
            assert!(listed.iter().any(leads), "{}: {leaf} is hidden and not listed", record.origin);
        }
        masked += hidden.len();
        // And nothing is listed that was not hidden.
        assert_eq!(listed.is_empty(), record.events(&keeping) == events, "{}", record.origin);
    }
    assert!(masked > 0, "nothing was hidden");
}

/// Whether two lists of events differ in more than what is made of the whole record.
fn differ(left: &[Value], right: &[Value]) -> bool {
    let plain = |events: &[Value]| -> Vec<Value> {
        let mut events = events.to_vec();
        for event in &mut events {
            event["metadata"]["uid"] = Value::Null;
        }
        events
    };
    plain(left) != plain(right)
}

#[test]
fn a_leaf_that_changes_changes_the_event() {
    let normalizer = keeping();
    let mut lost: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let golden = golden();
    let corpus = corpus();
    let records = golden.iter().map(|r| (r, 1)).chain(corpus.iter().enumerate().map(|(i, r)| (r, 7 + i % 13)));
    for (record, step) in records {
        let before = record.events(&normalizer);
        for number in (step / 2..count(&record.value)).step_by(step) {
            let mut changed = record.value.clone();
            let mut path = Vec::new();
            let mut place = number;
            leaves(&record.value, &mut Vec::new(), &mut |leaf| {
                if place == 0 {
                    path = leaf.path.clone();
                }
                place = place.wrapping_sub(1);
            });
            if decides(&path) {
                continue;
            }
            let mut flag = false;
            change(&mut changed, &mut { number }, &mut |leaf| {
                flag = leaf.is_boolean()
                    || leaf.as_str().is_some_and(|t| t.eq_ignore_ascii_case("true") || t.eq_ignore_ascii_case("false"));
                *leaf = fresh(leaf, 0x5eed_0000 + number as u64);
            });
            let events = records::events(&normalizer, &record.stream, &changed);
            if events.is_empty() {
                continue;
            }
            // A truth value is everywhere, so what shows it is that the event is another one.
            if flag && !differ(&before, &events) {
                let what = format!("{} {}", record.stream, path.join("."));
                lost.entry(what).or_default().push(format!("{}: a truth value", record.origin));
            }
            collect(&mut lost, record, &changed, &normalizer);
        }
    }
    report("one leaf changed", &lost);
}

#[test]
fn whatever_is_changed_is_not_lost() {
    let normalizer = keeping();
    // Most of the corpus are cmdlets, so the golden inputs have as much of a say.
    let (golden, corpus) = (golden(), corpus());
    let rounds = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(6_000_usize);
    let mut random = TestRng::deterministic_rng(prop::test_runner::RngAlgorithm::ChaCha);
    let mut lost = BTreeMap::new();
    for _ in 0..rounds {
        let all = if random.random() && !corpus.is_empty() { &corpus } else { &golden };
        let record = &all[random.random_range(0..all.len())];
        let mut changed = record.value.clone();
        if random.random_range(0..4_u8) == 0 {
            // Another mapping than its own: what it looks for and doesn't find, or finds in another shape.
            let other = &golden[random.random_range(0..golden.len())];
            if other.stream.split('.').next() == record.stream.split('.').next() {
                for name in ["RecordType", "Operation", "activityDisplayName", "Workload"] {
                    if let (true, Some(value)) = (changed.get(name).is_some(), other.value.get(name)) {
                        changed[name] = value.clone();
                    }
                }
            }
        }
        for _ in 0..random.random_range(1..4_u8) {
            mutate(&mut changed, &mut random);
        }
        collect(&mut lost, record, &changed, &normalizer);
    }
    report("changed at random", &lost);
}
