//! Dead letters of the real binary: looked at, replayed, dropped, and a record on which the plugin fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use m365_sim::misbehaviour::{Trouble, When};
use m365_sim::{Instead, Options, Quotas};
use serde_json::Value;

use crate::harness::{Tenant, assert_code, json_lines, program, stderr, stdout};
use crate::receiver::Receiver;

fn letters(config: &std::path::Path, arguments: &[&str]) -> std::process::Output {
    program().args(["dead-letters", "-c"]).arg(config).args(arguments).output().unwrap()
}

fn json(output: &std::process::Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}{}", stdout(output), stderr(output)))
}

#[test]
fn an_event_that_a_service_refuses_is_kept_shown_replayed_to_it_only_and_gone() {
    let tenant = Tenant::new(240);
    let strict = Arc::new(AtomicBool::new(true));
    let state = strict.clone();
    let receiver = Receiver::start(move |request| {
        let bad =
            json_lines(&request.body).iter().any(|event| event["metadata"]["uid"].as_str().unwrap().starts_with('a'));
        if bad && state.load(Ordering::SeqCst) {
            (422, "uids don't begin with an a".to_owned())
        } else {
            (200, String::new())
        }
    });
    let config = tenant.configure(&format!(
        "[[sinks]]\ntype = \"file\"\nformat = \"raw\"\npath = {:?}\n\
         [[sinks]]\ntype = \"file\"\npath = {:?}\n\
         [[sinks]]\ntype = \"http\"\nname = \"siem\"\nurl = {:?}\n",
        tenant.path("raw.ndjson"),
        tenant.path("events.ndjson"),
        receiver.url
    ));
    assert_code(&letters(&config, &[]), 7);
    let output = tenant.collect(&config);
    assert_code(&output, 0);
    tenant.assert_delivered_exactly_once();
    let events = json_lines(&std::fs::read(tenant.path("events.ndjson")).unwrap());
    let bad = events.iter().filter(|event| event["metadata"]["uid"].as_str().unwrap().starts_with('a')).count();
    assert!(bad > 3);
    assert_eq!(json_lines(&receiver.kept()).len() + bad, events.len());

    let list = json(&letters(&config, &["list", "--json", "--sink", "siem", "--limit", "1000"]));
    let refused = list["letters"].as_array().unwrap();
    assert_eq!(refused.len(), bad);
    assert_eq!(refused[0]["code"], "http-422");
    assert!(list["bytes"].as_u64().unwrap() > 1000 && list["max_bytes"] == 1u64 << 30);
    let text = stdout(&letters(&config, &[]));
    assert!(text.contains("http-422") && text.contains("siem"), "{text}");
    let id = refused[0]["id"].to_string();
    let shown = json(&letters(&config, &["show", &id, "--json"]));
    assert!(shown["message"].as_str().unwrap().contains("uids don't begin with an a"), "{shown}");
    let raw: Value = serde_json::from_str(shown["raw"].as_str().unwrap()).unwrap();
    assert!(events.contains(&raw));
    assert!(stdout(&letters(&config, &["show", &id])).contains(shown["raw"].as_str().unwrap()));

    // The fault is still there: it stays a letter, and is counted.
    let output = letters(&config, &["replay", &id]);
    assert_code(&output, 3);
    assert_eq!(json(&letters(&config, &["show", &id, "--json"]))["times"], 2);
    // Mended: one, then the rest.
    strict.store(false, Ordering::SeqCst);
    assert_code(&letters(&config, &["replay", &id, "--json"]), 0);
    assert_code(&letters(&config, &["show", &id]), 2);
    let output = letters(&config, &["replay", "--code", "http-422", "--json"]);
    assert_code(&output, 0);
    assert_eq!(json(&output)["delivered"], bad as u64 - 1);
    let mut kept: Vec<String> =
        json_lines(&receiver.kept()).iter().map(|event| event["metadata"]["uid"].to_string()).collect();
    kept.sort();
    let mut all: Vec<String> = events.iter().map(|event| event["metadata"]["uid"].to_string()).collect();
    all.sort();
    assert_eq!(kept, all, "each event once, with the uid it has in the file");
    assert_eq!(json_lines(&std::fs::read(tenant.path("events.ndjson")).unwrap()).len(), events.len());
    assert!(json(&letters(&config, &["list", "--json", "--sink", "siem"]))["letters"].as_array().unwrap().is_empty());
}

#[test]
fn letters_are_changed_only_by_name_and_never_under_a_running_collector() {
    let tenant = Tenant::new(60);
    let config = tenant.configure("");
    assert_code(&tenant.collect(&config), 0);
    for action in ["replay", "drop"] {
        let output = letters(&config, &[action]);
        assert_code(&output, 2);
        assert!(stderr(&output).contains("--all"), "{}", stderr(&output));
        assert_code(&letters(&config, &[action, "987654"]), 2);
    }
    let start = || program().arg("run").arg("-c").arg(&config).stderr(std::process::Stdio::null()).spawn().unwrap();
    let mut child = start();
    let running = loop {
        // A collector that starts while the list is read finds the ledger in use, and ends.
        if child.try_wait().unwrap().is_some() {
            child = start();
        }
        let output = letters(&config, &["list"]);
        if output.status.code() == Some(7) {
            break output;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(stderr(&running).contains("stop the other one"), "{}", stderr(&running));
}

/// A tenant with records of our own in one stream.
fn own_records(records: &[String]) -> (Tenant, tempfile::TempDir) {
    let corpus = tempfile::tempdir().unwrap();
    std::fs::write(corpus.path().join("o365-sharepoint.own.ndjson"), records.concat()).unwrap();
    let options = Options { corpus: Some(corpus.path().to_owned()), ..Options::new(3, 0) };
    (Tenant::with(options.with_quotas(Quotas::unlimited())), corpus)
}

/// A record with something unusual in it.
fn record(number: usize, more: &str) -> String {
    format!(
        "{{\"CreationTime\":\"2026-05-04T03:02:01\",\"Id\":\"6e3f2c1a-0b5d-4c6e-9f70-{number:012}\",\"Operation\":\"FileDownloaded\",\"OrganizationId\":\"2f7c9d10-4a3b-4c5d-8e6f-7a8b9c0d1e2f\",\"RecordType\":6,\"UserKey\":\"k\",\"UserType\":0,\"Version\":1,\"Workload\":\"SharePoint\",\"ObjectId\":\"https://contoso.sharepoint.com/a.xlsx\",\"UserId\":\"anna@contoso.com\",\"EventSource\":\"SharePoint\",\"ItemType\":\"File\"{more}}}\n"
    )
}

#[test]
fn a_record_that_takes_too_much_memory_becomes_a_letter_and_can_be_replayed_with_more() {
    // Small as text, large in memory.
    let hostile = record(500, &format!(",\"Odd\":[{}0]", "0,".repeat(3 << 20)));
    let mut records: Vec<String> = (0..40).map(|number| record(number, "")).collect();
    records.insert(17, hostile);
    let (tenant, _corpus) = own_records(&records);
    let config = tenant.configure("streams = [\"office365.sharepoint\"]\n[limits]\nguest_memory_mib = 64\n");
    let output = tenant.collect(&config);
    assert_code(&output, 0);
    assert_eq!(json_lines(&std::fs::read(tenant.path("events.ndjson")).unwrap()).len(), 40, "{}", stderr(&output));
    let list = json(&letters(&config, &["list", "--json"]));
    assert_eq!(list["groups"][0]["code"], "trap", "{list}");
    assert_eq!(list["groups"][0]["letters"], 1);

    let config = tenant.configure("streams = [\"office365.sharepoint\"]\n[limits]\nguest_memory_mib = 2048\n");
    let output = letters(&config, &["replay", "--all", "--json"]);
    assert_code(&output, 0);
    let events = std::fs::read(tenant.path("events.ndjson")).unwrap();
    assert_eq!(events.iter().filter(|byte| **byte == b'\n').count(), 41);
    // The raw file had it from the beginning, and has it once.
    tenant.assert_delivered_exactly_once();
}

#[test]
fn full_letters_hold_delivery_up_and_say_what_to_do() {
    let bad: Vec<String> =
        (0..30).map(|number| format!("{{\"Id\":{number},\"pad\":\"{}\"}}\n", "x".repeat(8000))).collect();
    let (tenant, _corpus) = own_records(&bad);
    let narrow = "streams = [\"office365.sharepoint\"]\n[dead_letters]\nmax_bytes = 100000\n[limits]\nbatch_kib = 16\n";
    let output = tenant.collect(&tenant.configure(narrow));
    assert_code(&output, 6);
    let log = stderr(&output);
    assert!(
        log.contains("four fifths") && log.contains("dead letters") && log.contains("dead_letters.max_bytes"),
        "{log}"
    );
    let config = tenant.configure("streams = [\"office365.sharepoint\"]\n");
    assert_code(&tenant.collect(&config), 0);
    let list = json(&letters(&config, &["list", "--json"]));
    let count: u64 = list["groups"].as_array().unwrap().iter().map(|group| group["letters"].as_u64().unwrap()).sum();
    assert_eq!(count, 30, "none is missing: {list}");
    let output = letters(&config, &["drop", "--all"]);
    assert_code(&output, 0);
    assert!(stdout(&output).contains("30 dropped"), "{}", stdout(&output));
}

/// Bytes that are no JSON, at which a body can be split all the same.
#[test]
fn a_record_that_is_no_json_is_a_dead_letter_and_breaks_no_line() {
    const BODY: &str = "[{\"Id\":\"1\",\"a\":\"\\q\"},{\"Id\":\"2\",\"b\":\"\u{1}\"},{\"Id\":\"3\"}]";
    for events in [true, false] {
        let mut options = Options::new(7, 60).with_quotas(Quotas::unlimited());
        let what = Instead::Answer {
            status: 200,
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: BODY.to_owned(),
        };
        options.misbehaviour.troubles = vec![Trouble { on: &["/audit/"], when: When::First(1), what }];
        let tenant = Tenant::with(options);
        let mut sinks =
            format!("[[sinks]]\ntype = \"file\"\nformat = \"raw\"\npath = {:?}\n", tenant.path("raw.ndjson"));
        if events {
            sinks.push_str(&format!("[[sinks]]\ntype = \"file\"\npath = {:?}\n", tenant.path("events.ndjson")));
        }
        let config = tenant.configure(&sinks);
        assert_code(&tenant.collect(&config), 0);
        let raw = std::fs::read(tenant.path("raw.ndjson")).unwrap();
        let records: Vec<Value> = json_lines(&raw);
        let ids = |id: &str| records.iter().filter(|line| line["record"]["Id"] == id).count();
        assert_eq!((ids("1"), ids("2"), ids("3")), (0, 0, 1), "with events: {events}");
        let list = json(&letters(&config, &["list", "--json", "--limit", "1000"]));
        let broken =
            list["letters"].as_array().unwrap().iter().filter(|letter| letter["code"] == "invalid-json").count();
        assert_eq!(broken, 2, "{list}");
    }
}
