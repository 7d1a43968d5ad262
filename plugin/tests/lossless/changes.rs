//! Records changed, so that what is found in an event can't be there by chance.

use m365_plugin::normalize::{addresses, times};
use proptest::{prelude::*, test_runner::TestRng};
use serde_json::{Map, Value, json};

use crate::rules::leaves;

/// How many leaves a value has.
pub fn count(value: &Value) -> usize {
    let mut count = 0;
    leaves(value, &mut Vec::new(), &mut |_| count += 1);
    count
}

/// Calls with the leaf of a number, to be changed.
pub fn change(value: &mut Value, number: &mut usize, with: &mut dyn FnMut(&mut Value)) {
    match value {
        Value::Object(members) if !members.is_empty() => members.values_mut().for_each(|v| change(v, number, with)),
        Value::Array(items) if !items.is_empty() => items.iter_mut().for_each(|v| change(v, number, with)),
        leaf => {
            if *number == 0 {
                with(leaf);
            }
            *number = number.wrapping_sub(1);
        }
    }
}

/// Another value of the same shape that no record has: an id for an id, an address for an address, a time for a time.
pub fn fresh(value: &Value, seed: u64) -> Value {
    match value {
        Value::Bool(flag) => json!(!flag),
        Value::Number(_) => json!(910_000_000 + seed % 1_000_000),
        Value::String(text) => json!(fresh_text(text.trim(), seed)),
        _ => json!(format!("fresh {seed:x}")),
    }
}

fn fresh_text(text: &str, seed: u64) -> String {
    let guid = |c: char| c == '-' || c.is_ascii_hexdigit();
    if text.eq_ignore_ascii_case("true") {
        "False".to_owned()
    } else if text.eq_ignore_ascii_case("false") {
        "True".to_owned()
    } else if text.len() == 36 && text.chars().all(guid) {
        format!("{:08x}-0c0c-4c0c-8c0c-{:012x}", seed & 0xffff_ffff, seed >> 16)
    } else if times::parse(text).is_some() {
        format!("2031-0{}-{:02}T{:02}:{:02}:07Z", seed % 9 + 1, seed % 28 + 1, seed % 24, seed % 60)
    } else if addresses::ip(text).is_some() {
        format!("198.51.100.{}", seed % 255)
    } else if text.parse::<i64>().is_ok() {
        (920_000_000 + seed % 1_000_000).to_string()
    } else if let Some((_, domain)) = text.split_once('@').filter(|(_, d)| d.contains('.') && !d.contains([' ', '>'])) {
        format!("fresh{seed:x}@{domain}")
    } else if text.starts_with("https://") {
        format!("https://fresh{seed:x}.example.com/a/b.docx")
    } else {
        format!("fresh{seed:x}")
    }
}

/// What the source adds to each record and what can't be another: the kind of the record, its time, its id.
pub fn decides(path: &[&str]) -> bool {
    matches!(path, ["RecordType" | "CreationTime" | "createdDateTime" | "activityDateTime" | "Id" | "id"])
}

/// One change of a record at random.
pub fn mutate(record: &mut Value, random: &mut TestRng) {
    let number = random.random_range(0..count(record).max(1));
    let seed = random.random_range(0x1000_u64..0xffff_ffff);
    let what = random.random_range(0..8_u8);
    let mut path = Vec::new();
    let copy = record.clone();
    let mut place = number;
    leaves(&copy, &mut Vec::new(), &mut |leaf| {
        if place == 0 {
            path = leaf.path.clone();
        }
        place = place.wrapping_sub(1);
    });
    if decides(&path) {
        return;
    }
    change(record, &mut { number }, &mut |leaf| {
        *leaf = match what {
            0 => json!(format!("fresh{seed:x} two words")),
            1 => json!(seed),
            2 => json!([format!("one{seed:x}"), {"two": format!("two{seed:x}")}]),
            3 => json!({"Name": format!("name{seed:x}"), "inner": [seed]}),
            4 => json!(format!("{{\"text{seed:x}\": [\"inner{seed:x}\", {seed}]}}")),
            5 => json!(format!("2001:db8::{:x}", seed & 0xffff)),
            6 => Value::Null,
            _ => fresh(leaf, seed),
        };
    });
    // A member that nobody knows, beside the others of any object.
    if what == 6 {
        add(record, &mut { number % 7 }, &format!("Added{seed:x}"), json!(format!("added{seed:x}")));
    }
}

/// Adds a member to the object of a number.
fn add(value: &mut Value, number: &mut usize, name: &str, member: Value) {
    match value {
        Value::Object(members) => {
            if *number == 0 {
                members.insert(name.to_owned(), member.clone());
            }
            *number = number.wrapping_sub(1);
            let members: &mut Map<String, Value> = members;
            members.values_mut().for_each(|v| add(v, number, name, member.clone()));
        }
        Value::Array(items) => items.iter_mut().for_each(|v| add(v, number, name, member.clone())),
        _ => {}
    }
}
