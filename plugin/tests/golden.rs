//! Golden pairs: `tests/golden/<stream>/<name>.record.json` and the event, or list of events, that it gives, in OCSF (`<name>.event.json`)
//! and in ECS (`<name>.ecs.json`).
//!
//! `UPDATE_GOLDEN=1 cargo test -p m365-plugin --test golden` writes both anew, for review as a change of the files. A record
//! that is to be rejected has `{"reject": code, "message": sentence}` instead.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use m365_plugin::normalize::Normalizer;
use m365_plugin::streams;
use serde_json::{Value, json};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden")
}

#[test]
fn records_give_the_events_beside_them() {
    let update = env::var_os("UPDATE_GOLDEN").is_some();
    let bundle: Value = serde_json::from_str(m365_schemas::OCSF_BUNDLE).unwrap();
    let full = jsonschema::validator_for(&bundle).unwrap();
    let normalizer = Normalizer::new(r#"{"tenant":"3f1c7a52-6d3e-4a53-9f0e-5b0f4b1d2c11"}"#).unwrap();
    let in_ecs = Normalizer::new(r#"{"tenant":"3f1c7a52-6d3e-4a53-9f0e-5b0f4b1d2c11","format":"ecs"}"#).unwrap();
    let mut wrong = Vec::new();
    let mut pairs = 0;
    for folder in fs::read_dir(golden()).unwrap() {
        let folder = folder.unwrap().path();
        if !folder.is_dir() {
            continue;
        }
        let stream = folder.file_name().unwrap().to_string_lossy().into_owned();
        let described =
            streams::find(&stream).unwrap_or_else(|| panic!("tests/golden/{stream} is named after no stream"));
        for file in fs::read_dir(&folder).unwrap() {
            let file = file.unwrap().path();
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            let Some(name) = name.strip_suffix(".record.json") else { continue };
            pairs += 1;
            // The file may be spread over lines; a record is one line.
            let record: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
            let output = |normalizer: &Normalizer| {
                let output = normalizer.process(&stream, record.to_string().as_bytes(), 1_764_061_441_000).unwrap();
                let lines = output.data.split(|b| *b == b'\n').filter(|l| !l.is_empty());
                (lines.map(|l| serde_json::from_slice(l).unwrap()).collect::<Vec<Value>>(), output.rejects)
            };
            let (events, rejects) = output(&normalizer);
            assert!(
                events.iter().all(|event| full.is_valid(event)),
                "{stream}/{name} gives an event that OCSF refuses"
            );
            for event in &events {
                let class = event["class_uid"].as_u64().and_then(|uid| u32::try_from(uid).ok()).unwrap();
                assert!(
                    described.event_classes.contains(&class),
                    "{stream}/{name}: the stream table doesn't list class {class}"
                );
            }
            for (kind, (mut events, rejects)) in [("event", (events, rejects)), ("ecs", output(&in_ecs))] {
                let found = match (events.len(), rejects.first()) {
                    (0, Some(reject)) => json!({"reject": reject.code, "message": reject.message}),
                    (1, _) => events.remove(0),
                    _ => Value::Array(events),
                };
                let path = folder.join(format!("{name}.{kind}.json"));
                if update {
                    fs::write(&path, format!("{}\n", serde_json::to_string_pretty(&found).unwrap())).unwrap();
                    continue;
                }
                let text = fs::read(&path)
                    .unwrap_or_else(|e| panic!("{}: {e}; write it with UPDATE_GOLDEN=1", path.display()));
                let expected: Value = serde_json::from_slice(&text).unwrap();
                differences(&expected, &found, &mut format!("{stream}/{name}.{kind}"), &mut wrong);
            }
        }
    }
    assert!(pairs > 0, "there are no golden pairs");
    assert!(wrong.is_empty(), "accept with UPDATE_GOLDEN=1 if this is meant:\n{}", wrong.join("\n"));
}

/// The places where two values differ.
fn differences(expected: &Value, found: &Value, path: &mut String, wrong: &mut Vec<String>) {
    let length = path.len();
    match (expected, found) {
        (Value::Object(left), Value::Object(right)) => {
            for name in left.keys().chain(right.keys().filter(|k| !left.contains_key(*k))) {
                path.push('.');
                path.push_str(name);
                differences(
                    &left.get(name).cloned().unwrap_or_default(),
                    &right.get(name).cloned().unwrap_or_default(),
                    path,
                    wrong,
                );
                path.truncate(length);
            }
        }
        _ if expected != found => wrong.push(format!("{path}: expected {expected}, found {found}")),
        _ => {}
    }
}
