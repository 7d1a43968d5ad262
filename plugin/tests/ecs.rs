//! Documents of the Elastic Common Schema: valid, whole, and each thing where it belongs.
//!
//! Validity is held against `schemas/ecs/document.schema.json`, which is made of the facts about ECS and not of the mapping. Whole means that
//! every value of the OCSF event is in its document; this test looks for it without the code that put it there.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::{collections::BTreeSet, env, fs, path::PathBuf};

use m365_plugin::ecs::document;
use m365_plugin::normalize::Normalizer;
use proptest::prelude::*;
use serde_json::{Value, json};

#[path = "ecs/any_event.rs"]
mod any_event;
#[path = "ecs/page.rs"]
mod page;
#[path = "ecs/streams.rs"]
mod streams;

const TENANT: &str = "3f1c7a52-6d3e-4a53-9f0e-5b0f4b1d2c11";
const NOW_MS: u64 = 1_764_061_441_000;

fn validator() -> jsonschema::Validator {
    let schema: Value = serde_json::from_str(m365_schemas::ecs::DOCUMENT).unwrap();
    jsonschema::options().should_validate_formats(true).build(&schema).unwrap()
}

fn document_of(event: &Value) -> Value {
    let mut out = Vec::new();
    document(event.to_string().as_bytes(), &mut out).unwrap();
    serde_json::from_slice(&out).unwrap()
}

/// The values of a document or event, each with its path, on which lists leave no trace.
fn leaves(value: &Value, path: &str, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                leaves(value, &if path.is_empty() { name.clone() } else { format!("{path}.{name}") }, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| leaves(item, path, found)),
        // 45 and 45.0 are one number.
        Value::Number(number) => found.push((path.to_owned(), format!("{:?}", number.as_f64().unwrap()))),
        other => found.push((path.to_owned(), other.to_string())),
    }
}

/// What an event says and its document doesn't.
fn lost(event: &Value, document: &Value) -> Vec<String> {
    let (mut said, mut rest, mut fields) = (Vec::new(), Vec::new(), Vec::new());
    leaves(event, "", &mut said);
    leaves(&document["m365"], "", &mut rest);
    let mut ecs = document.clone();
    ecs.as_object_mut().unwrap().remove("m365");
    leaves(&ecs, "", &mut fields);
    let rest: BTreeSet<_> = rest.into_iter().collect();
    let values: BTreeSet<_> = fields.iter().map(|(_, value)| value.as_str()).collect();
    let is_there = |path: &str, value: &str| {
        rest.contains(&(path.to_owned(), value.to_owned()))
            || values.contains(value)
            || as_date(value).is_some_and(|date| values.contains(date.as_str()))
            || value.parse::<f64>().is_ok_and(|ms| values.contains(format!("{:?}", ms * 1e6).as_str()))
            // The name of the field says it.
            || (path.contains("hashes.algorithm") && fields.iter().any(|(name, _)| name.contains("hash.")))
    };
    // Observables repeat values of other attributes as text; what is said of them besides goes.
    let repeated = |value: &str| {
        let number = value.trim_matches('"').parse::<f64>().map(|number| format!("{number:?}"));
        let is_it = |kept: &str| kept == value || number.as_deref() == Ok(kept);
        rest.iter().any(|(_, kept)| is_it(kept)) || values.iter().any(|kept| is_it(kept))
    };
    said.into_iter()
        .filter(|(path, value)| match path.strip_prefix("observables.") {
            Some(name) => name == "value" && !repeated(value),
            None => !is_there(path, value),
        })
        .map(|(path, value)| format!("{path}: {value}"))
        .collect()
}

fn as_date(milliseconds: &str) -> Option<String> {
    let time = jiff::Timestamp::from_millisecond(milliseconds.parse::<f64>().ok()? as i64).ok()?;
    Some(format!("\"{time:.3}\""))
}

/// The events of records, and the documents of the same records.
fn both(stream: &str, records: &[u8]) -> Vec<(Value, Value)> {
    let lines = |format: &str| -> Vec<Value> {
        let settings = json!({"tenant": TENANT, "raw": "string", "format": format});
        let output = Normalizer::new(&settings.to_string()).unwrap().process(stream, records, NOW_MS).unwrap();
        let lines = output.data.split(|b| *b == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
    };
    let (events, documents) = (lines("ocsf"), lines("ecs"));
    assert_eq!(events.len(), documents.len());
    events.into_iter().zip(documents).collect()
}

fn check(validator: &jsonschema::Validator, name: &str, event: &Value, document: &Value) {
    if let Err(error) = validator.validate(document) {
        panic!("{name}: {} at {}", error.masked(), error.instance_path());
    }
    let lost = lost(event, document);
    assert!(lost.is_empty(), "{name}: the document lacks\n{}", lost.join("\n"));
}

#[test]
fn documents_of_real_records_are_valid_and_whole() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = env::var_os("M365_CORPUS").map_or_else(|| root.join("../shared/corpus"), PathBuf::from);
    let Ok(entries) = fs::read_dir(&folder) else {
        assert_ne!(env::var("CI").as_deref(), Ok("true"), "the corpus is missing; set M365_CORPUS");
        eprintln!("the corpus is missing, so nothing was tested; set M365_CORPUS");
        return;
    };
    let validator = validator();
    let mut documents = 0;
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let Some(stream) = streams::of_corpus(&name) else { continue };
        for (event, document) in both(stream, &fs::read(&path).unwrap()) {
            check(&validator, &name, &event, &document);
            documents += 1;
        }
    }
    assert!(documents > 0, "no records in {}", folder.display());
}

#[test]
fn documents_of_golden_records_are_valid_and_whole() {
    let validator = validator();
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/golden");
    for folder in fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        let stream = folder.file_name().unwrap().to_string_lossy().into_owned();
        for file in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if file.to_string_lossy().ends_with(".record.json") {
                let record: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
                for (event, document) in both(&stream, record.to_string().as_bytes()) {
                    check(&validator, &file.display().to_string(), &event, &document);
                }
            }
        }
    }
}

#[test]
fn documents_of_any_events_are_valid_and_whole() {
    let validator = validator();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(400));
    runner
        .run(&(0..m365_schemas::event::classes().len(), any::<u64>()), |(class, seed)| {
            let event = any_event::of_class(&m365_schemas::event::classes()[class], seed);
            let document = document_of(&event);
            prop_assert!(validator.is_valid(&document), "{:?}: {document:#}", validator.validate(&document));
            let lost = lost(&event, &document);
            prop_assert!(lost.is_empty(), "the document lacks\n{}\n{event:#}\n{document:#}", lost.join("\n"));
            Ok(())
        })
        .unwrap();
}

/// A sign-in with what every document has.
fn sign_in() -> Value {
    json!({
        "class_uid": 3002, "activity_id": 1, "time": 1_764_061_202_000_i64, "severity_id": 1, "status_id": 1,
        "metadata": {"uid": "u", "event_code": "UserLoggedIn", "log_name": "msft_o365_azure_ad_raw", "version": "1.8.0"},
        "actor": {"user": {"name": "alice@contoso.com", "uid": "a", "uid_alt": "1003"}},
        "user": {"name": "alice@contoso.com", "uid": "a", "full_name": "Alice Example"},
        "src_endpoint": {"ip": "192.0.2.7", "location": {"country": "CH", "lat": 46, "long": 7.5}}
    })
}

#[test]
fn the_schema_refuses_what_is_not_ecs() {
    let validator = validator();
    let mut event = sign_in();
    event["observables"] =
        json!([{"name": "user.name", "type_id": 4, "type": "User Name", "value": "alice@contoso.com"}]);
    let valid = document_of(&event);
    assert!(validator.is_valid(&valid), "{:?}", validator.validate(&valid));
    let refused = |path: &str, value: Value| {
        let mut document = valid.clone();
        *document.pointer_mut(path).unwrap_or_else(|| panic!("{path}")) = value;
        assert!(!validator.is_valid(&document), "{path} passes");
    };
    refused("/source/ip", json!("192.0.2"));
    refused("/source/geo/location", json!({"lat": 91, "lon": 0}));
    refused("/@timestamp", json!("2025-11-25 09:00:02"));
    refused("/event/severity", json!("1"));
    refused("/event/kind", json!("incident"));
    refused("/event/category", json!("authentication"));
    refused("/event/category", json!(["authentication", "file"]));
    refused("/event/category", json!(["login"]));
    refused("/event/type", json!(["creation"]));
    refused("/event/type", json!(["start", "admin"]));
    refused("/event/outcome", json!("ok"));
    refused("/user", json!({"name": "alice", "uid": "a"}));
    refused("/user/name", json!(["alice", "bob"]));
    refused("/related/user", json!("alice"));
    refused("/ecs/version", json!("1.0"));
    let mut document = valid.clone();
    document["office"] = json!({"x": 1});
    assert!(!validator.is_valid(&document));
    document = valid;
    document.as_object_mut().unwrap().remove("@timestamp");
    assert!(!validator.is_valid(&document));
}

#[test]
fn the_same_person_is_one_user_and_another_one_the_target() {
    let document = document_of(&sign_in());
    assert_eq!(
        document["user"],
        json!({"name": "alice@contoso.com", "id": "a", "full_name": "Alice Example"}),
        "both say the same, so they are one"
    );
    assert_eq!(document["m365"]["actor"], json!({"user": {"uid_alt": "1003"}}));

    let mut event = sign_in();
    event["user"] = json!({"name": "bob@contoso.com", "full_name": "Bob Example"});
    let document = document_of(&event);
    let bob = json!({"name": "bob@contoso.com", "full_name": "Bob Example"});
    assert_eq!(document["user"], json!({"name": "alice@contoso.com", "id": "a", "target": bob}));
}

#[test]
fn another_user_goes_below_target() {
    let mut event = sign_in();
    event["actor"]["user"] = json!({"uid": "app"});
    event["user"] = json!({"name": "bob@contoso.com"});
    let document = document_of(&event);
    assert_eq!(document["user"], json!({"id": "app", "target": {"name": "bob@contoso.com"}}));
}

#[test]
fn of_several_different_things_none_is_taken_for_the_one() {
    let event = |evidences: Value| {
        json!({
            "class_uid": 2004, "activity_id": 1, "time": 1, "severity_id": 4, "evidences": evidences,
            "metadata": {"uid": "u", "event_code": "alert", "log_name": "msft_graph_security_alerts_raw"},
            "malware": [{"name": "x"}]
        })
    };
    let file = |name: &str| json!({"file": {"name": name, "type_id": 1}});
    let one = document_of(&event(json!([file("a.exe"), {"device": {"hostname": "ws-1"}}, file("a.exe")])));
    assert_eq!(one["file"], json!({"name": "a.exe", "type": "file"}));
    assert_eq!(one["host"], json!({"hostname": "ws-1", "name": "ws-1"}));
    assert_eq!(one["m365"]["evidences"], json!([{"file": {"type_id": 1}}, {"file": {"type_id": 1}}]));
    assert_eq!(one["event"]["kind"], json!("alert"));
    assert_eq!(one["event"]["category"], json!(["intrusion_detection", "malware"]));

    let mut event_of_two = event(json!([file("a.exe"), file("b.exe")]));
    event_of_two["actor"] = json!({"user": {"name": "alice", "groups": [{"uid": "g1"}, {"name": "Finance"}]}});
    let two = document_of(&event_of_two);
    assert_eq!(two["user"], json!({"name": "alice"}), "the id of one group isn't put beside the name of another");
    assert_eq!(two["file"], Value::Null);
    assert_eq!(two["m365"]["evidences"], json!([file("a.exe"), file("b.exe")]));
}

#[test]
fn values_are_written_as_ecs_writes_them() {
    let mut event = sign_in();
    event["status_id"] = json!(99);
    event["status_code"] = json!("50074");
    event["duration"] = json!(214);
    event["observables"] = json!([
        {"name": "user.name", "type_id": 4, "type": "User Name", "value": "alice@contoso.com"},
        {"name": "actor.user.name", "type_id": 4, "type": "User Name", "value": "alice@contoso.com"},
        {"name": "src_endpoint.ip", "type_id": 2, "type": "IP Address", "value": "192.0.2.7"},
        {"name": "src_endpoint.location.country", "type_id": 14, "type": "Country", "value": "CH"}
    ]);
    let document = document_of(&event);
    assert_eq!(document["@timestamp"], json!("2025-11-25T09:00:02.000Z"));
    assert_eq!(document["event"]["outcome"], json!("unknown"));
    assert_eq!(document["error"]["code"], json!("50074"));
    assert_eq!(document["event"]["duration"], json!(214_000_000));
    assert_eq!(document["source"]["geo"], json!({"country_iso_code": "CH", "location": {"lat": 46.0, "lon": 7.5}}));
    assert_eq!(document["client"], document["source"]);
    assert_eq!(document["related"], json!({"user": ["alice@contoso.com"], "ip": ["192.0.2.7"]}));
    assert_eq!(document["m365"]["status_id"], json!(99), "a word for a number doesn't replace it");
    assert_eq!(document["m365"]["observables"], Value::Null);

    event["status_id"] = json!(1);
    event["status_code"] = json!("0");
    event["time"] = json!(i64::MAX);
    let document = document_of(&event);
    assert_eq!(document["error"], Value::Null, "a success has no error");
    assert_eq!(document["m365"]["status_code"], json!("0"));
    assert_eq!(document["@timestamp"], json!(i64::MAX), "a date that can't be written stays a number");
}

#[test]
fn a_mail_to_thousands_takes_no_time_that_grows_with_their_square() {
    let mail = |recipients: usize| {
        let to: Vec<String> = (0..recipients).map(|n| format!("u{n}@contoso.com")).collect();
        let files: Vec<Value> = (0..recipients).map(|n| json!({"name": format!("{n}.txt"), "type_id": 1})).collect();
        json!({
            "class_uid": 4009, "activity_id": 1, "time": 1, "severity_id": 1, "status_id": 1,
            "metadata": {"uid": "u", "event_code": "Send", "log_name": "msft_o365_exchange_online_raw"},
            "email": {"to": to, "files": files}, "to": to
        })
        .to_string()
    };
    let fastest = |event: &str| {
        let once = || {
            let start = std::time::Instant::now();
            let mut out = Vec::new();
            document(event.as_bytes(), &mut out).unwrap();
            (start.elapsed(), out)
        };
        (0..4).map(|_| once()).min_by_key(|(time, _)| *time).unwrap()
    };
    let ((few, _), (many, out)) = (fastest(&mail(500)), fastest(&mail(20_000)));
    assert!(many < few * 40 * 8, "{few:?} for 500, {many:?} for 20,000");
    let document: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(document["email"]["to"]["address"].as_array().unwrap().len(), 20_000);
    assert_eq!(document["email"]["attachments"][19_999], json!({"file": {"name": "19999.txt"}}));
}

#[test]
fn what_is_no_event_is_refused_with_a_reason() {
    let refused = |text: &str| document(text.as_bytes(), &mut Vec::new()).unwrap_err();
    assert!(refused("[]").contains("an array"));
    assert!(refused("{").contains("not JSON"));
    assert_eq!(refused("{}"), "the event has no class_uid");
    assert_eq!(refused(r#"{"class_uid":1}"#), "events of class 1 have no place in ECS");
    assert_eq!(refused(r#"{"class_uid":3002,"time":"now"}"#), "the event has no time");
    let deep = format!(r#"{{"class_uid":0,"time":1,"unmapped":{{"a":{}1{}}}}}"#, "[".repeat(250), "]".repeat(250));
    let mut out = Vec::new();
    document(deep.as_bytes(), &mut out).unwrap();
}

#[test]
fn the_page_shows_the_tables() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/ecs.md");
    let page = fs::read_to_string(&path).unwrap();
    let rendered = page::rendered(&page);
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(path, rendered).unwrap();
    } else {
        assert!(
            page == rendered,
            "docs/ecs.md is out of date; run `UPDATE_GOLDEN=1 cargo test -p m365-plugin --test golden --test ecs`"
        );
    }
}

#[test]
fn the_setting_is_named_if_it_is_wrong() {
    assert_eq!(Normalizer::new(r#"{"format":"cef"}"#).unwrap_err(), "the setting `format` must be `ocsf` or `ecs`");
}
