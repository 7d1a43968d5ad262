//! Real records hold nothing that the tables don't know, but for what is listed here.
//!
//! The corpus is found as in `corpus.rs`.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::{collections::BTreeSet, env, fs, path::PathBuf};

use m365_plugin::normalize::Normalizer;

const STREAMS: [(&str, &str); 12] = [
    ("o365-aad.", "office365.azure-ad"),
    ("o365-exchange.", "office365.exchange"),
    ("o365-sharepoint.", "office365.sharepoint"),
    ("o365-general.", "office365.general"),
    ("o365-dlp.", "office365.dlp"),
    ("graph-signins-interactive.", "graph.signins.interactive"),
    ("graph-signins-noninteractive.", "graph.signins.noninteractive"),
    ("graph-signins-serviceprincipal.", "graph.signins.service-principal"),
    ("graph-signins-managedidentity.", "graph.signins.managed-identity"),
    ("graph-directoryaudits.", "graph.directory-audits"),
    ("graph-alerts-v1.", "graph.alerts-legacy"),
    ("graph-alerts-v2.", "graph.alerts"),
];

/// Spellings of vendors' samples that no API gives, and of members of exports.
const EXPECTED: [&str; 6] = [
    "Field  CustomProperties",
    "Field  riskLevelDuringsignIn",
    "Field  targetResource",
    "Field AipDiscover Data State",
    "Value conditionalAccessStatus applied",
    "Value incomingTokenType xxxxxxx xxxxxxx xxxxx",
];

#[test]
fn real_records_are_known() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = env::var_os("M365_CORPUS").map_or_else(|| root.join("../shared/corpus"), PathBuf::from);
    let Ok(entries) = fs::read_dir(&folder) else {
        assert_ne!(env::var("CI").as_deref(), Ok("true"), "the corpus is missing; set M365_CORPUS");
        eprintln!("the corpus is missing, so nothing was tested; set M365_CORPUS");
        return;
    };
    let normalizer = Normalizer::new("{}").unwrap();
    let mut unknown = BTreeSet::new();
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let Some((_, stream)) = STREAMS.iter().find(|(start, _)| name.starts_with(start)) else { continue };
        let output = normalizer.process(stream, &fs::read(&path).unwrap(), 1).unwrap();
        unknown.extend(output.unknown.into_iter().map(|u| format!("{:?} {} {}", u.kind, u.place, u.name)));
    }
    let found: BTreeSet<&str> = unknown.iter().map(String::as_str).collect();
    assert_eq!(found, BTreeSet::from(EXPECTED), "members and values of real records belong into tables/fields.tsv");
}
