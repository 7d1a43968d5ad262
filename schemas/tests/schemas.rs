//! The schemas hold what they promise: valid themselves, in step with their generator, and never looser than OCSF.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::{collections::BTreeSet, fs, path::Path};

use m365_schemas::event;
use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::{Value, json};

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn fixtures(folder: &str) -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(folder);
    let mut lines = Vec::new();
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        for (number, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            lines.push((format!("{name}:{}", number + 1), parse(line)));
        }
    }
    assert!(!lines.is_empty());
    lines
}

/// The events of the golden pairs.
fn golden() -> Vec<Value> {
    let mut events = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden");
    for folder in fs::read_dir(root).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()) {
        for file in fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
            if file.to_string_lossy().ends_with(".event.json") {
                match parse(&fs::read_to_string(file).unwrap()) {
                    Value::Array(list) => events.extend(list),
                    event if event.get("class_uid").is_some() => events.push(event),
                    _ => {}
                }
            }
        }
    }
    assert!(!events.is_empty());
    events
}

#[test]
fn every_schema_is_valid_itself() {
    for (path, text) in m365_schemas::ALL {
        jsonschema::meta::validate(&parse(text)).unwrap_or_else(|e| panic!("{path}: {e}"));
        jsonschema::validator_for(&parse(text)).unwrap_or_else(|e| panic!("{path}: {e}"));
    }
}

#[test]
fn the_schema_of_documents_is_what_its_generator_makes() {
    let made = m365_schemas::text(&m365_schemas::ecs::schema().unwrap()).unwrap();
    assert!(
        made == m365_schemas::ecs::DOCUMENT,
        "ecs/document.schema.json is out of date; run `cargo run -p m365-schemas`"
    );
}

#[test]
fn the_trimmed_bundle_is_what_its_generator_makes() {
    let made = m365_schemas::generate(m365_schemas::OCSF_BUNDLE, m365_schemas::ATTRIBUTES).unwrap();
    assert!(made == m365_schemas::EVENTS, "events/ocsf.schema.json is out of date; run `cargo run -p m365-schemas`");
}

#[test]
fn a_list_that_contradicts_ocsf_is_refused() {
    let bundle = parse(m365_schemas::OCSF_BUNDLE);
    let with = |scope: &str, attribute: &str| {
        let mut list = parse(m365_schemas::ATTRIBUTES);
        list["classes"][scope].as_array_mut().unwrap().push(json!(attribute));
        m365_schemas::trim(&bundle, &list)
    };
    assert!(with("3002", "no_such_thing").unwrap_err().contains("no_such_thing"));
    assert!(with("3002", "class_uid").unwrap_err().contains("twice"));
}

#[test]
fn every_definition_is_closed_but_the_open_object() {
    for (name, definition) in parse(m365_schemas::EVENTS)["$defs"].as_object().unwrap() {
        assert_eq!(definition.get("additionalProperties") == Some(&Value::Bool(false)), name != "object", "{name}");
    }
}

/// The schema of one definition, with the others to refer to.
fn definition(schema: &Value, name: &str) -> Value {
    json!({"$ref": format!("#/$defs/{name}"), "$defs": schema["$defs"]})
}

#[test]
fn what_follows_from_class_and_activity_is_as_the_schema_wants_it() {
    let schema = parse(m365_schemas::EVENTS);
    for class in event::classes() {
        let name = format!("class.{}", class.uid);
        let mut wants = definition(&schema, &name);
        // The rest of the event is not there yet.
        for keyword in ["required", "anyOf", "oneOf"] {
            wants["$defs"][&name].as_object_mut().unwrap().remove(keyword);
        }
        let validator = jsonschema::validator_for(&wants).unwrap();
        let listed = schema["$defs"][&name]["properties"]["activity_id"]["enum"].as_array().unwrap();
        let activities: Vec<i64> = class.activities().collect();
        assert_eq!(listed.iter().map(|id| id.as_i64().unwrap()).collect::<Vec<_>>(), activities, "{name}");
        for id in activities {
            let head = class.head(id).unwrap();
            let members = parse(&format!("{{{}}}", head.members));
            if let Err(error) = validator.validate(&members) {
                panic!("{name}: {error} at {}", error.instance_path());
            }
            let attributes = event::Head::ATTRIBUTES.map(event::Attribute::name);
            let written: BTreeSet<&str> = members.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(written, BTreeSet::from(attributes), "{name}");
            let bits = event::Head::ATTRIBUTES.map(|attribute| 1_u64 << class.definition.place(attribute).unwrap());
            assert_eq!(class.head_attributes(), bits.iter().sum::<u64>(), "{name}");
            assert_eq!(
                (members["activity_id"].as_i64(), members["type_uid"].as_i64()),
                (Some(id), Some(i64::from(class.uid) * 100 + id))
            );
            assert!(members["type_name"].as_str().unwrap().ends_with(head.activity_name));
        }
        assert_eq!(class.head(97), None);
    }
}

#[test]
fn observables_are_written_as_the_schema_wants_them() {
    let schema = parse(m365_schemas::EVENTS);
    let validator = jsonschema::validator_for(&definition(&schema, "observable")).unwrap();
    let mut seen = BTreeSet::new();
    for type_id in 0..=u8::MAX {
        let Some(between) = event::observable(type_id) else { continue };
        let observable = parse(&format!("{{\"name\":\"a.b{between}\"c\"}}"));
        validator.validate(&observable).unwrap();
        assert_eq!(observable["type_id"], type_id);
        assert_eq!((&observable["name"], &observable["value"]), (&json!("a.b"), &json!("c")));
        seen.insert(observable["type"].to_string());
    }
    assert!(seen.contains("\"IP Address\"") && seen.contains("\"User Name\""), "{seen:?}");
    let used = |definition: &event::Definition| {
        definition.properties.iter().all(|p| p.observable == 0 || event::observable(p.observable).is_some())
    };
    assert!(event::classes().iter().all(|class| used(class.definition)));
}

#[test]
fn valid_fixtures_and_golden_events_pass_both_bundles() {
    let (full, trimmed) = (parse(m365_schemas::OCSF_BUNDLE), parse(m365_schemas::EVENTS));
    let (full, trimmed) = (jsonschema::validator_for(&full).unwrap(), jsonschema::validator_for(&trimmed).unwrap());
    let events = fixtures("valid").into_iter().map(|(_, event)| event).chain(golden());
    for event in events {
        for validator in [&full, &trimmed] {
            if let Err(error) = validator.validate(&event) {
                panic!("{error} at {}", error.instance_path());
            }
        }
    }
}

/// Each line of `fixtures/invalid` is `{"path": where it is wrong, "value": …}`, with "schema" if it is not the one of events.
#[test]
fn invalid_fixtures_fail_where_they_say() {
    for (place, fixture) in fixtures("invalid") {
        let path = fixture["path"].as_str().unwrap();
        let schema = fixture["schema"].as_str().unwrap_or("events/ocsf.schema.json");
        let text =
            m365_schemas::ALL.iter().find(|(name, _)| *name == schema).unwrap_or_else(|| panic!("{place}: {schema}")).1;
        let validator = jsonschema::validator_for(&parse(text)).unwrap();
        let paths: BTreeSet<String> =
            validator.iter_errors(&fixture["value"]).map(|e| e.instance_path().to_string()).collect();
        assert!(paths.contains(path), "{place}: expected an error at `{path}`, found {paths:?}");
    }
}

/// Whatever is done to a valid event: if the trimmed bundle still takes it, the full one does too.
#[test]
fn the_trimmed_bundle_is_never_looser() {
    let (full_schema, trimmed_schema) = (parse(m365_schemas::OCSF_BUNDLE), parse(m365_schemas::EVENTS));
    let full = jsonschema::validator_for(&full_schema).unwrap();
    let trimmed = jsonschema::validator_for(&trimmed_schema).unwrap();
    let mut events: Vec<Value> = fixtures("valid").into_iter().map(|(_, event)| event).collect();
    events.extend(golden());
    let names: Vec<String> = trimmed_schema["$defs"]
        .as_object()
        .unwrap()
        .values()
        .filter_map(|d| d.get("properties")?.as_object())
        .flat_map(|p| p.keys().cloned())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let mut kept = 0_u32;
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() });
    let strategy = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..6_u8);
    let result = std::cell::Cell::new(0_u32);
    runner
        .run(&strategy, |(event, place, name, how)| {
            let mut event = event.get(&events).clone();
            let name: &String = name.get(&names);
            mutate(&mut event, &place, name, how);
            if trimmed.is_valid(&event) {
                result.set(result.get() + 1);
                prop_assert!(full.is_valid(&event), "only the trimmed bundle accepts {event}");
            }
            Ok(())
        })
        .unwrap();
    kept += result.get();
    assert!(kept > 100, "only {kept} changed events stayed valid, so this test hardly says anything");
}

/// Changes one object somewhere in the event: drops, replaces or adds a member.
fn mutate(event: &mut Value, place: &prop::sample::Index, name: &str, how: u8) {
    let mut pointers = vec![String::new()];
    collect(event, "", &mut pointers);
    let pointer = place.get(&pointers).clone();
    let Some(Value::Object(members)) = event.pointer_mut(&pointer) else { return };
    let existing = members.keys().nth(name.len() % members.len().max(1)).cloned();
    let target = if how < 3 { existing.unwrap_or_else(|| name.to_owned()) } else { name.to_owned() };
    match how {
        0 => {
            members.remove(&target);
        }
        1 => {
            members.insert(target, json!(1));
        }
        2 => {
            members.insert(target, json!("x@example.com"));
        }
        3 => {
            members.insert(target, json!("text"));
        }
        4 => {
            members.insert(target, json!({"name": "x", "uid": "y"}));
        }
        _ => {
            members.insert(target, json!([]));
        }
    }
}

fn collect(value: &Value, path: &str, pointers: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            pointers.push(path.to_owned());
            for (name, member) in members {
                collect(member, &format!("{path}/{}", name.replace('~', "~0").replace('/', "~1")), pointers);
            }
        }
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                collect(item, &format!("{path}/{i}"), pointers);
            }
        }
        _ => {}
    }
}

/// Whatever is done to the members of a real record: the rules that the build made decide as the schema does.
#[test]
fn the_rules_of_records_say_what_their_schemas_say() {
    use m365_schemas::record::{RecordFamily as F, check};
    for (family, stream) in [
        (F::Activity, "office365.exchange"),
        (F::SignIn, "graph.signins.interactive"),
        (F::DirectoryAudit, "graph.directory-audits"),
        (F::Alert, "graph.alerts"),
        (F::AlertLegacy, "graph.alerts-legacy"),
    ] {
        let schema = parse(family.schema());
        let validator = jsonschema::validator_for(&schema).unwrap();
        let names: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
        let record = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(stream))
            .unwrap()
            .map(|e| e.unwrap().path())
            .find(|p| p.to_string_lossy().ends_with(".record.json"))
            .map(|p| parse(&fs::read_to_string(p).unwrap()))
            .unwrap();
        let mut values = vec![json!(null), json!(true), json!(7), json!(7.0), json!(7.5), json!(u64::MAX)];
        values.extend(
            [
                "",
                "x",
                "7",
                "2025-11-25T09:00:02Z",
                " 2025-11-25 09:00:02",
                "2025-11-25",
                "\u{85}2025-11-25T09:00:02",
                "\u{feff}\u{a0}2025-11-25T09:00:02",
            ]
            .map(Value::from),
        );
        values.extend([json!([]), json!(["x"]), json!({}), json!({"a": 1})]);
        let (mut taken, mut refused) = (0_u32, 0_u32);
        for first in &names {
            for second in &names {
                for value in values.iter().map(Some).chain([None]) {
                    let mut record = record.clone();
                    let members = record.as_object_mut().unwrap();
                    members.remove(*second);
                    match value {
                        Some(value) => drop(members.insert((*first).clone(), value.clone())),
                        None => drop(members.remove(*first)),
                    }
                    let valid = validator.is_valid(&record);
                    assert_eq!(
                        check(family, &record).is_ok(),
                        valid,
                        "{family:?}, {first}, without {second}: {record}"
                    );
                    *(if valid { &mut taken } else { &mut refused }) += 1;
                }
            }
        }
        assert!(taken > 0 && refused > 0, "{family:?}: {taken} taken, {refused} refused");
        assert_eq!(check(family, &json!([])).is_ok(), validator.is_valid(&json!([])));
    }
}
