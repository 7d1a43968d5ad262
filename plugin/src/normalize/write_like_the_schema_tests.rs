//! The check while writing against the `jsonschema` crate: whatever is done to an event, both decide alike.

use std::borrow::Cow;

use m365_schemas::event::class;
use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::{Map, Value as Json, json};

use super::super::event::Members;
use super::*;

/// The events of the golden pairs.
fn golden() -> Vec<Json> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden");
    let mut events = Vec::new();
    for folder in std::fs::read_dir(root).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()) {
        for file in std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
            if file.to_string_lossy().ends_with(".event.json") {
                match serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap() {
                    Json::Array(list) => events.extend(list),
                    event if event.get("class_uid").is_some() => events.push(event),
                    _ => {}
                }
            }
        }
    }
    assert!(events.len() > 50);
    events
}

/// A JSON object as the attributes of a definition; nothing that the tree can't hold.
fn attributes(definition: &'static Definition, members: &Map<String, Json>) -> Option<Attributes<'static>> {
    let mut attributes = Attributes::of(definition);
    for (name, value) in members {
        let attribute = Attribute::find(name)?;
        let kind = definition.property(attribute).map(|property| &property.kind);
        attributes.insert(attribute, tree(kind, value)?);
    }
    Some(attributes)
}

fn tree(kind: Option<&Kind>, value: &Json) -> Option<Value<'static>> {
    Some(match value {
        Json::Null => return None,
        Json::Bool(flag) => Value::Bool(*flag),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::Int(number),
            (None, Some(number)) => Value::UInt(number),
            _ => Value::Float(number.as_f64()?),
        },
        Json::String(text) => Value::Text(Cow::Owned(text.clone())),
        Json::Array(items) => Value::List(items.iter().map(|item| tree(kind, item)).collect::<Option<_>>()?),
        Json::Object(members) => match kind {
            Some(Kind::Object(definition)) => Value::Object(Box::new(attributes(definition, members)?)),
            _ => {
                let open = members.iter().map(|(name, value)| Some((Cow::Owned(name.clone()), tree(None, value)?)));
                Value::Open(open.collect::<Option<Members<'_>>>()?)
            }
        },
    })
}

/// Whether the walk takes an event as it is.
fn taken(event: &Json) -> Option<Result<Json, String>> {
    let uid = event.get("class_uid").and_then(Json::as_u64).and_then(|uid| u32::try_from(uid).ok())?;
    let attributes = attributes(class(uid)?.definition, event.as_object()?)?;
    let mut out = Vec::new();
    let number = |attribute| attributes.get(attribute).and_then(Value::as_int).unwrap_or(-1);
    let fits = attributes.definition().check_activity(number(attr::ACTIVITY_ID), number(attr::TYPE_UID));
    let pair = if fits { Ok(()) } else { Err(Fault::new("activity_id and type_uid don't go together")) };
    let walked = pair.and_then(|()| Writer::new(&mut out, false).object(&attributes));
    Some(walked.map(|()| serde_json::from_slice(&out).unwrap()).map_err(|fault| fault.to_string()))
}

#[test]
fn golden_events_are_taken_and_come_out_as_they_went_in() {
    for event in golden() {
        assert_eq!(taken(&event), Some(Ok(event)));
    }
}

#[test]
fn whatever_is_done_to_an_event_both_decide_alike() {
    let schema: Json = serde_json::from_str(m365_schemas::EVENTS).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let events = golden();
    let names: Vec<&String> = schema["$defs"]
        .as_object()
        .unwrap()
        .values()
        .filter_map(|d| d["properties"].as_object())
        .flat_map(Map::keys)
        .collect();
    let values = [
        json!(true),
        json!(-1),
        json!(0),
        json!(1),
        json!(2),
        json!(99),
        json!(65_535),
        json!(65_536),
        json!(300_201),
        json!(u64::MAX),
        json!(7.5),
        json!(""),
        json!("text"),
        json!("a@b.example"),
        json!("a@b"),
        json!("192.0.2.7"),
        json!("2001:db8::1"),
        json!("1.2.3"),
        json!([]),
        json!(["text"]),
        json!([1]),
        json!([{"name": "x", "uid": "y"}]),
        json!({}),
        json!({"name": "x"}),
        json!({"name": "x", "uid": "y", "type_id": 1}),
        json!({"url_string": "x"}),
    ];
    let (valid, invalid) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    let index = any::<prop::sample::Index>;
    let change = (index(), index(), index(), proptest::option::weighted(0.8, index()));
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() });
    runner
        .run(&(index(), proptest::collection::vec(change, 1..3)), |(event, changes)| {
            let mut event = event.get(&events).clone();
            for (place, name, existing, value) in changes {
                let mut places = Vec::new();
                objects(&event, String::new(), &mut places);
                let Some(Json::Object(members)) = event.pointer_mut(place.get::<String>(&places)) else { continue };
                let own: Vec<String> = members.keys().cloned().collect();
                // Half of the changes are of what is there.
                let name = if own.is_empty() || existing.index(2) == 0 {
                    (*name.get(&names)).clone()
                } else {
                    existing.get(&own).clone()
                };
                match value {
                    Some(value) => drop(members.insert(name, value.get(&values).clone())),
                    None => drop(members.remove(&name)),
                }
            }
            let Some(found) = taken(&event) else { return Ok(()) };
            let expected = validator.is_valid(&event);
            let count = if expected { &valid } else { &invalid };
            count.set(count.get() + 1);
            prop_assert_eq!(found.is_ok(), expected, "{:?} {}", found, event);
            Ok(())
        })
        .unwrap();
    assert!(valid.get() > 500 && invalid.get() > 500, "{} valid, {} invalid", valid.get(), invalid.get());
}

/// The places of all objects that the schema speaks of.
fn objects(value: &Json, path: String, places: &mut Vec<String>) {
    match value {
        Json::Object(members) => {
            for (name, member) in members.iter().filter(|(name, _)| !["unmapped", "data"].contains(&name.as_str())) {
                objects(member, format!("{path}/{name}"), places);
            }
            places.push(path);
        }
        Json::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| objects(item, format!("{path}/{index}"), places));
        }
        _ => {}
    }
}
