//! Which member of a record became which attribute of its event, found by trying: a record is normalised without each of its leaves
//! in turn, and what is then missing or different came from that leaf. A leaf that no record may lack is changed instead.
//!
//! Invariant: nothing here knows a mapping, so what it finds is what the normaliser does.

use std::collections::{BTreeMap, BTreeSet};

use m365_plugin::normalize::Normalizer;
use serde_json::Value;

/// By class, by attribute: the members it comes from.
pub type Sources = BTreeMap<u64, BTreeMap<String, BTreeSet<String>>>;

/// What was found out about a stream.
#[derive(Debug, Default)]
pub struct Provenance {
    /// Where attributes come from.
    pub sources: Sources,
    /// Members that stay under their own name, in `unmapped`.
    pub unmapped: BTreeSet<String>,
}

/// Members that decide what a record is; without them everything is different.
const DECIDING: [&str; 3] = ["Operation", "RecordType", "activityDisplayName"];

/// Attributes that follow from others, or from the whole record.
const DERIVED: [&str; 12] = [
    "activity_name",
    "category_name",
    "category_uid",
    "class_name",
    "message",
    "metadata.processed_time",
    "metadata.profiles[]",
    "metadata.uid",
    "severity",
    "status",
    "type_name",
    "type_uid",
];

impl Provenance {
    /// Tries every leaf of a record.
    pub fn learn(&mut self, normalizer: &Normalizer, stream: &str, record: &Value) {
        let whole = events(normalizer, stream, record);
        for leaf in leaves(record) {
            let name = leaf.name();
            if DECIDING.contains(&name.as_str()) {
                continue;
            }
            let mut without = record.clone();
            leaf.remove(&mut without);
            let mut others = events(normalizer, stream, &without);
            if others.is_empty() {
                let mut changed = record.clone();
                leaf.change(&mut changed);
                others = events(normalizer, stream, &changed);
            }
            for (event, other) in whole.iter().zip(others) {
                let class = event["class_uid"].as_u64().unwrap_or(0);
                // Another class or activity is another event, of which every attribute is different.
                if other["class_uid"] != event["class_uid"] {
                    continue;
                }
                self.compare(class, &name, event, &other);
            }
        }
    }

    fn compare(&mut self, class: u64, name: &str, event: &Value, other: &Value) {
        let (mut here, mut there) = (BTreeMap::new(), BTreeMap::new());
        flatten(event, &mut String::new(), &mut here);
        flatten(other, &mut String::new(), &mut there);
        for (path, values) in &here {
            if there.get(path) == Some(values) {
                continue;
            }
            if path.starts_with("unmapped") {
                let top = name.split(['.', '[']).next().unwrap_or(name);
                self.unmapped.insert(top.to_owned());
            } else if let Some(attribute) = attribute(path, &here) {
                // What is free in its form says no more than the member it is of.
                let name = if attribute.ends_with(".data") { name.split('[').next().unwrap_or(name) } else { name };
                self.sources.entry(class).or_default().entry(attribute).or_default().insert(name.to_owned());
            }
        }
    }
}

/// The name of an attribute as a page tells it; none for one that follows from others.
fn attribute(path: &str, all: &BTreeMap<String, Vec<String>>) -> Option<String> {
    if DERIVED.contains(&path) || path.starts_with("observables") {
        return None;
    }
    // The caption of an enumeration follows from its number.
    if all.get(&format!("{path}_id")).is_some_and(|ids| ids.iter().any(|id| id != "99")) {
        return None;
    }
    let free = path.find(".data.").or_else(|| path.find(".data[")).map(|at| &path[..at + ".data".len()]);
    Some(free.unwrap_or(path).to_owned())
}

fn events(normalizer: &Normalizer, stream: &str, record: &Value) -> Vec<Value> {
    let output = normalizer.process(stream, record.to_string().as_bytes(), 1_764_061_441_000).expect("a stream");
    let lines = output.data.split(|b| *b == b'\n').filter(|l| !l.is_empty());
    lines.map(|l| serde_json::from_slice(l).expect("an event")).collect()
}

/// The leaves of an event by path, with `[]` for any place in a list.
fn flatten(value: &Value, path: &mut String, out: &mut BTreeMap<String, Vec<String>>) {
    let length = path.len();
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(name);
                flatten(value, path, out);
                path.truncate(length);
            }
        }
        Value::Array(items) => {
            path.push_str("[]");
            for item in items {
                flatten(item, path, out);
            }
            path.truncate(length);
        }
        leaf => out.entry(path.clone()).or_default().push(leaf.to_string()),
    }
}

/// A step into a record.
#[derive(Clone, Debug)]
enum Step {
    Member(String),
    Item(usize),
    /// An item that names itself, of a list of names and values.
    Named(usize, String),
}

/// A leaf of a record, or an item of a list of names and values.
#[derive(Debug)]
struct Leaf(Vec<Step>);

impl Leaf {
    /// How a page tells it: `Parameters[Identity]`, `Members[].UPN`.
    fn name(&self) -> String {
        let mut name = String::new();
        for step in &self.0 {
            match step {
                Step::Member(member) if name.is_empty() => name.push_str(member),
                Step::Member(member) => {
                    name.push('.');
                    name.push_str(member);
                }
                Step::Item(_) => name.push_str("[]"),
                Step::Named(_, of) => name.push_str(&format!("[{of}]")),
            }
        }
        name
    }

    fn remove(&self, record: &mut Value) {
        let Some((last, way)) = self.0.split_last() else { return };
        match (last, follow(way, record)) {
            (Step::Member(member), Some(Value::Object(members))) => {
                members.remove(member);
            }
            (Step::Item(index) | Step::Named(index, _), Some(Value::Array(items))) => {
                items.remove(*index);
            }
            _ => {}
        }
    }

    /// Gives the leaf another value of its kind: the last digit of a text is another one.
    fn change(&self, record: &mut Value) {
        if let Some(Value::String(text)) = follow(&self.0, record)
            && let Some(at) = text.rfind(|c: char| c.is_ascii_digit())
        {
            let other = if &text[at..=at] == "1" { "2" } else { "1" };
            text.replace_range(at..=at, other);
        }
    }
}

/// The value to which some steps lead.
fn follow<'v>(way: &[Step], record: &'v mut Value) -> Option<&'v mut Value> {
    let mut value = record;
    for step in way {
        value = match step {
            Step::Member(member) => value.get_mut(member),
            Step::Item(index) | Step::Named(index, _) => value.get_mut(index),
        }?;
    }
    Some(value)
}

fn leaves(record: &Value) -> Vec<Leaf> {
    let mut out = Vec::new();
    walk(record, &mut Vec::new(), &mut out);
    out
}

fn walk(value: &Value, way: &mut Vec<Step>, out: &mut Vec<Leaf>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                way.push(Step::Member(name.clone()));
                walk(value, way, out);
                way.pop();
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let name = ["Name", "name", "key", "Key", "displayName"].iter().find_map(|n| item.get(n)?.as_str());
                let pair = ["Value", "value", "NewValue", "newValue"].iter().any(|v| item.get(v).is_some());
                match name {
                    Some(name) if pair => {
                        way.push(Step::Named(index, name.to_owned()));
                        out.push(Leaf(way.clone()));
                    }
                    _ => {
                        way.push(Step::Item(index));
                        walk(item, way, out);
                    }
                }
                way.pop();
            }
        }
        Value::Null => {}
        _ => out.push(Leaf(way.clone())),
    }
}
