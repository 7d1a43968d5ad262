//! `m365-pipe demo`: the first thing that a newcomer sees.

use crate::harness::{assert_code, json_lines, run, run_with_input, stderr, stdout};

#[test]
fn the_demonstration_delivers_valid_events_of_twelve_streams_and_accounts_for_every_record() {
    let output = run(&["demo", "--events", "700", "--seed", "3"]);
    assert_code(&output, 0);
    let log = stderr(&output);

    let mut rows = 0;
    for row in log.lines().filter(|line| line.starts_with("office365.") || line.starts_with("graph.")) {
        let numbers: Vec<u64> = row.split_whitespace().skip(1).take(4).map(|cell| cell.parse().unwrap()).collect();
        assert!(numbers[0] > 0, "{row}");
        assert_eq!(numbers[0], numbers[1] + numbers[2] + numbers[3], "{row}");
        rows += 1;
    }
    assert_eq!(rows, 12, "{log}");
    assert!(log.trim_end().ends_with("\"A real tenant in five minutes\" in README.md."), "it says what is next: {log}");
    assert!(include_str!("../../README.md").contains("\n## A real tenant in five minutes\n"));

    let events = json_lines(&output.stdout);
    assert!(events.len() >= 690, "{} events", events.len());
    let check = run_with_input(&["validate"], &output.stdout);
    assert_code(&check, 0);
    let uids: std::collections::BTreeSet<&str> =
        events.iter().map(|event| event["metadata"]["uid"].as_str().unwrap()).collect();
    assert_eq!(uids.len(), events.len(), "every event has a uid of its own");
}

#[test]
fn the_same_seed_gives_the_same_events() {
    let uids = |seed: &str| {
        let output = run(&["demo", "--events", "120", "--seed", seed]);
        assert_code(&output, 0);
        let mut ids: Vec<String> = json_lines(&output.stdout)
            .iter()
            .map(|event| event["metadata"]["original_event_uid"].as_str().unwrap_or_default().to_owned())
            .collect();
        ids.sort();
        ids
    };
    let first = uids("5");
    assert_eq!(first, uids("5"));
    assert_ne!(first, uids("6"));
}

#[test]
fn a_folder_of_records_can_be_served_instead() {
    let folder = tempfile::tempdir().unwrap();
    let record = r#"{"CreationTime":"2026-05-04T03:02:01","Id":"6e3f2c1a-0b5d-4c6e-9f70-1a2b3c4d5e6f","Operation":"FileDownloaded","OrganizationId":"2f7c9d10-4a3b-4c5d-8e6f-7a8b9c0d1e2f","RecordType":6,"UserKey":"i:0h.f|membership|10032001a2b3c4d5@live.com","UserType":0,"Version":1,"Workload":"SharePoint","ClientIP":"203.0.113.9","ObjectId":"https://contoso.sharepoint.com/sites/finance/Shared Documents/Q3.xlsx","UserId":"anna@contoso.com","EventSource":"SharePoint","ItemType":"File","SourceFileName":"Q3.xlsx","SourceFileExtension":"xlsx","SiteUrl":"https://contoso.sharepoint.com/sites/finance/","SourceRelativeUrl":"Shared Documents"}"#;
    std::fs::write(folder.path().join("o365-sharepoint.own.ndjson"), format!("{record}\n")).unwrap();
    let output = run(&["demo", "--corpus", folder.path().to_str().unwrap()]);
    assert_code(&output, 0);
    let events = json_lines(&output.stdout);
    assert_eq!(events.len(), 1, "{}", stdout(&output));
    assert_eq!(events[0]["class_uid"], 6006);
    assert_eq!(events[0]["activity_id"], 2);
}
