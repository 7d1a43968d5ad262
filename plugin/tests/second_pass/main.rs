//! A second pass over records and their events: when, what was done, by whom, from where, on what, and how it ended.
//!
//! Invariant: nothing of the mapping is used here. [`raw`] reads the record's own fields with serde_json, `jiff` and the standard library, after
//! Microsoft's documentation; what the event has to say follows from that, and is compared. Over all golden pairs and the corpus.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod actions;
mod objects;
mod outcomes;
mod raw;
#[path = "../records/mod.rs"]
mod records;

use std::collections::BTreeMap;

use records::{Record, corpus, golden, normalizer};
use serde_json::{Value, json};

/// Compares over all records by one of the questions.
fn compare(question: &str, ask: impl Fn(&Record, &[Value]) -> Result<(), String>) {
    let normalizer = normalizer(json!({"redact": "keep"}));
    let mut wrong: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut asked = 0;
    for record in golden().iter().chain(&corpus()) {
        let events = record.events(&normalizer);
        if events.is_empty() {
            continue;
        }
        asked += 1;
        if let Err(reason) = ask(record, &events) {
            let operation = raw::text(&record.value, "Operation").or(raw::text(&record.value, "activityDisplayName"));
            let kind = format!("{} {}", record.stream, operation.unwrap_or_default());
            wrong.entry(kind).or_default().push(format!("{}: {reason}", record.origin));
        }
    }
    assert!(asked > 90, "only {asked} records had events");
    let mut text = String::new();
    for (kind, reasons) in &wrong {
        text.push_str(&format!("{kind} ({} times): {}\n", reasons.len(), reasons[0]));
    }
    assert!(wrong.is_empty(), "{question}:\n{text}");
}

fn equal(what: &str, expected: &Value, found: &Value) -> Result<(), String> {
    if expected == found { Ok(()) } else { Err(format!("{what}: the record says {expected}, the event {found}")) }
}

#[test]
fn when() {
    compare("the time", |record, events| {
        let text = raw::time_text(&record.stream, &record.value).ok_or("no time")?;
        let ms = raw::milliseconds(text).ok_or_else(|| format!("{text} is no time"))?;
        events.iter().try_for_each(|event| {
            equal("time", &json!(ms), &event["time"])?;
            equal("original time", &json!(text.trim()), &event["metadata"]["original_time"])
        })
    });
}

#[test]
fn by_whom() {
    compare("the actor", |record, events| events.iter().try_for_each(|event| raw::check_actor(record, event)));
}

#[test]
fn from_where() {
    compare("the source address", |record, events| {
        let addresses = raw::addresses(&record.stream, &record.value);
        let first = addresses.iter().find_map(|text| raw::ip(text));
        events.iter().try_for_each(|event| {
            let found = raw::event_address(event);
            match first {
                Some(ip) => equal("source", &json!(ip.to_string()), &found)?,
                None => equal("source", &Value::Null, &found)?,
            }
            // What is no address is kept as it came.
            for text in addresses.iter().filter(|text| raw::ip(text).is_none() && raw::is_something(text)) {
                if !raw::holds(event, text) {
                    return Err(format!("{text} is lost"));
                }
            }
            Ok(())
        })
    });
}

#[test]
fn how_it_ended() {
    compare("the outcome", |record, events| {
        let Some(allowed) = outcomes::allowed(&record.stream, &record.value) else { return Ok(()) };
        events.iter().try_for_each(|event| {
            let status = event["status_id"].as_i64().unwrap();
            if allowed.contains(&status) {
                return Ok(());
            }
            Err(format!("status_id may be {allowed:?} and is {status}"))
        })
    });
}

#[test]
fn what_was_done() {
    compare("the action", |record, events| {
        let name = actions::name(&record.stream, &record.value);
        events.iter().try_for_each(|event| {
            equal("operation", &json!(name), &event["api"]["operation"])?;
            equal("code", &json!(name), &event["metadata"]["event_code"])?;
            actions::check(record, &name, event)
        })
    });
}

#[test]
fn on_what() {
    compare("the object", objects::check);
}

#[test]
fn the_message_names_who_and_from_where() {
    compare("the message", |record, events| {
        events.iter().try_for_each(|event| {
            let message = event["message"].as_str().unwrap_or_default();
            // A finding's sentence is about whom it was found of, a verdict on mail about the mail.
            if [json!(2004), json!(2006), json!(4009)].contains(&event["class_uid"]) {
                return Ok(());
            }
            let id = raw::text(&record.value, "UserId").or(raw::text(&record.value, "userPrincipalName"));
            let known =
                id.filter(|id| raw::is_something(id) && id.contains('@') && !id.contains('#') && !id.contains(' '));
            if let Some(id) = known
                && !message.contains(id)
            {
                return Err(format!("{id} is not in: {message}"));
            }
            let address = raw::addresses(&record.stream, &record.value).iter().find_map(|text| raw::ip(text));
            match address.map(|ip| ip.to_string()) {
                Some(ip) if !message.contains(&ip) => Err(format!("{ip} is not in: {message}")),
                _ => Ok(()),
            }
        })
    });
}

#[test]
fn the_pass_sees_what_is_wrong() {
    // The questions can be failed: each of these events says something else than its record.
    let record = golden().into_iter().find(|r| r.origin == "office365.sharepoint/file_downloaded").unwrap();
    let events = record.events(&normalizer(json!({})));
    let altered = |path: &str, value: Value| {
        let mut events = events.clone();
        *events[0].pointer_mut(path).unwrap() = value;
        events
    };
    assert_eq!(objects::check(&record, &events), Ok(()));
    assert!(objects::check(&record, &altered("/file/name", json!("other.docx"))).is_err());
    assert!(raw::check_actor(&record, &altered("/actor/user/name", json!("eve@contoso.com"))[0]).is_err());
    let name = actions::name(&record.stream, &record.value);
    assert_eq!(actions::check(&record, &name, &events[0]), Ok(()));
    assert!(actions::check(&record, &name, &altered("/activity_id", json!(1))[0]).is_err());
    assert_eq!(outcomes::allowed(&record.stream, &record.value), Some(vec![1]));
}
