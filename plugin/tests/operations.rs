//! What the tables of operations hold, against real records and against records made of every line.
//!
//! The corpus is found as in `corpus.rs`.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::PathBuf,
};

use m365_plugin::normalize::{
    Normalizer,
    tables::{self, Activity, Known, RecordType},
};
use serde_json::{Value, json};

/// The events of a record.
fn events(normalizer: &Normalizer, stream: &str, record: &Value) -> Vec<Value> {
    let output = normalizer.process(stream, record.to_string().as_bytes(), 1_764_061_441_000).unwrap();
    assert!(output.rejects.is_empty(), "{record}: {}", output.rejects[0].message);
    output.data.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(|l| serde_json::from_slice(l).unwrap()).collect()
}

fn record_type(record: &Value) -> Option<&'static RecordType> {
    match &record["RecordType"] {
        Value::Number(number) => tables::record_type(number.as_i64()?),
        Value::String(text) => text.parse().map_or_else(|_| tables::record_type_named(text), tables::record_type),
        _ => None,
    }
}

#[test]
fn every_operation_of_real_records_is_named() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = env::var_os("M365_CORPUS").map_or_else(|| root.join("../shared/corpus"), PathBuf::from);
    let Ok(entries) = fs::read_dir(&folder) else {
        assert_ne!(env::var("CI").as_deref(), Ok("true"), "the corpus is missing; set M365_CORPUS");
        eprintln!("the corpus is missing, so nothing was tested; set M365_CORPUS");
        return;
    };
    let (mut known, mut missing) = (BTreeMap::new(), BTreeSet::new());
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let audits = name.starts_with("graph-directoryaudits.");
        // The edge file holds fragments that name no operation.
        if !audits && (!name.starts_with("o365-") || name.starts_with("o365-edge.")) {
            continue;
        }
        for line in fs::read_to_string(&path).unwrap().lines() {
            let Ok(record) = serde_json::from_str::<Value>(line) else { continue };
            let (kind, operation) = if audits {
                (tables::record_type_named("graph:directoryAudits"), &record["activityDisplayName"])
            } else {
                (record_type(&record), &record["Operation"])
            };
            let Some(operation) = operation.as_str() else { continue };
            let how = match tables::rule(kind, operation).1 {
                Known::ByName => "by name",
                Known::ByBeginning => "by beginning",
                Known::ByRule => "by rule",
                Known::Not => "not",
            };
            *known.entry(how).or_insert(0_u32) += 1;
            if how != "by name" {
                missing.insert(format!("{} {operation} ({how})", kind.map_or("no record type", |t| t.name)));
            }
        }
    }
    println!("operations of real records: {known:?}");
    assert!(known["by name"] > 2000);
    assert!(missing.is_empty(), "these want a line in tables/operations:\n{missing:#?}");
}

/// A record as the Management Activity API would give it, with the members that all have in common.
fn record(kind: &RecordType, operation: &str) -> Value {
    json!({
        "Id": "7d2f7a52-6d3e-4a53-9f0e-5b0f4b1d2c11", "RecordType": kind.number, "CreationTime": "2025-11-25T09:00:02",
        "Operation": operation, "OrganizationId": "3f1c7a52-6d3e-4a53-9f0e-5b0f4b1d2c11", "UserType": 0,
        "UserKey": "100320009D8B2F17", "Workload": "Contoso", "UserId": "anna@contoso.com", "ClientIP": "203.0.113.7",
        "ObjectId": "https://contoso.sharepoint.com/sites/plans/q3.docx", "ResultStatus": "Success",
    })
}

#[test]
fn a_record_of_every_line_gives_an_event_of_its_class_or_a_weaker_one() {
    let normalizer = Normalizer::new(r#"{"tenant":"3f1c7a52-6d3e-4a53-9f0e-5b0f4b1d2c11"}"#).unwrap();
    let (mut lines, mut as_listed) = (0, 0);
    for kind in tables::record_types() {
        for (family, operation) in kind.families().flat_map(|f| f.operations().map(move |o| (f.name, o))) {
            let name = operation.name.replace('*', "x");
            let events = if kind.number.is_some() {
                events(&normalizer, "office365.general", &record(kind, &name))
            } else {
                let audit = json!({
                    "id": "Directory_1", "activityDateTime": "2025-11-25T09:00:02Z", "activityDisplayName": name,
                    "result": "success", "category": "Policy", "loggedByService": "Core Directory",
                    "initiatedBy": {"user": {"userPrincipalName": "anna@contoso.com"}}, "targetResources": [],
                });
                events(&normalizer, "graph.directory-audits", &audit)
            };
            for event in events {
                let class = event["class_uid"].as_u64().unwrap();
                let place = format!("{family}: {name} of {}", kind.name);
                lines += 1;
                assert!(class != 0 || !operation.reason.is_empty(), "{place} ends as Base Event");
                assert_eq!(event["metadata"]["event_code"], name.trim_end_matches(['.', ' ']), "{place}");
                // Another family of the record type may have the same name, and comes first.
                if class == u64::from(operation.rule.class_uid) {
                    as_listed += 1;
                    // Nothing in these records says more than the name, so the line decides.
                    let (rule, _) = tables::rule(Some(kind), &name);
                    assert_eq!(event["activity_id"], tables::activity(rule, &name), "{place}");
                } else {
                    let weaker = [3004, 6001, 6003];
                    let first = tables::rule(Some(kind), &name).0.class_uid;
                    assert!(weaker.contains(&class) || class == u64::from(first), "{place} ends in class {class}");
                }
            }
        }
    }
    println!("{lines} lines with record types, {as_listed} in their own class even without members of their own");
    assert!(lines > 3000 && as_listed * 2 > lines);
}

#[test]
fn the_tables_are_whole() {
    let mut named = 0;
    for family in tables::families() {
        assert!(family.about.ends_with('.'), "{} says in a sentence what it holds", family.name);
        for operation in family.operations() {
            named += 1;
            assert!(!operation.rule.object.is_empty(), "{}: {}", family.name, operation.name);
            assert!(matches!(operation.rule.activity, Activity::Id(_)), "{}: {}", family.name, operation.name);
        }
    }
    assert!(named > 2500, "{named}");
    // A record type without families still has a class, and a verb decides.
    let kind = tables::record_type(205).unwrap();
    assert_eq!(tables::rule(Some(kind), "ThingRemoved").1, Known::ByRule);
    assert_eq!(tables::rule(Some(kind), "Thing").1, Known::Not);
    assert_eq!(tables::rule(None, "Thing").1, Known::Not);
    assert_eq!(
        tables::rule(tables::record_type(8), "Add member to role in PIM requested (renew)").1,
        Known::ByBeginning
    );
}

#[test]
fn every_class_of_every_family_has_a_golden_pair() {
    let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/golden");
    let lines = tables::families().iter().flat_map(|f| f.operations().map(|o| (f.name, o.rule.class_uid)));
    let mut without: BTreeSet<(&str, u32)> = lines.collect();
    for folder in fs::read_dir(&golden).unwrap() {
        for file in fs::read_dir(folder.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            if !path.to_string_lossy().ends_with(".record.json") {
                continue;
            }
            let record: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            let kind = record_type(&record).or_else(|| tables::record_type_named("graph:directoryAudits"));
            let operation = record["Operation"].as_str().or(record["activityDisplayName"].as_str()).unwrap_or_default();
            if let Some((family, line)) = tables::find(kind, operation) {
                without.remove(&(family.name, line.rule.class_uid));
            }
        }
    }
    assert!(without.is_empty(), "no golden pair for {without:?}");
}
