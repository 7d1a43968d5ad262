//! Every record of the corpus of real records: at most 0.5 % rejects, and every event valid against the full OCSF bundle.
//!
//! What OCSF recommends is there as often as `recommended.tsv` says (`UPDATE_RECOMMENDED=1` raises its floors).
//!
//! The corpus is found through `M365_CORPUS`, by default `../shared/corpus` beside the repository. Without it the test says so, and
//! fails only where `CI` is `true`.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::{collections::BTreeMap, env, fmt::Write as _, fs, path::PathBuf};

use m365_plugin::normalize::Normalizer;
use serde_json::Value;

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

#[test]
fn real_records_give_valid_events() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = env::var_os("M365_CORPUS").map_or_else(|| root.join("../shared/corpus"), PathBuf::from);
    let Ok(entries) = fs::read_dir(&folder) else {
        assert_ne!(env::var("CI").as_deref(), Ok("true"), "the corpus is missing; set M365_CORPUS");
        eprintln!("the corpus is missing, so nothing was tested; set M365_CORPUS");
        return;
    };
    let bundle: Value = serde_json::from_str(m365_schemas::OCSF_BUNDLE).unwrap();
    let full = jsonschema::validator_for(&bundle).unwrap();
    let normalizer = Normalizer::new(r#"{"tenant":"3f1c7a52-6d3e-4a53-9f0e-5b0f4b1d2c11","raw":"string"}"#).unwrap();
    let (mut records, mut rejects) = (0, Vec::new());
    let mut filled = Filled::default();
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read(&path).unwrap();
        if name.starts_with("o365-edge.") {
            // Fragments: whatever becomes of them, each is counted once.
            let lines = text.iter().filter(|b| **b == b'\n').count();
            let output = normalizer.process("office365.general", &text, 1).unwrap();
            assert!(output.rejects.len() <= lines);
            continue;
        }
        let Some((_, stream)) = STREAMS.iter().find(|(start, _)| name.starts_with(start)) else { continue };
        let output = normalizer.process(stream, &text, 1_764_061_441_000).unwrap();
        records += text.split(|b| *b == b'\n').filter(|l| !l.is_empty()).count();
        rejects.extend(output.rejects.iter().map(|r| format!("{name}:{}: {}", r.index + 1, r.message)));
        for line in output.data.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
            let event: Value = serde_json::from_slice(line).unwrap();
            if let Err(error) = full.validate(&event) {
                panic!("{name}: {} at {}", error.masked(), error.instance_path());
            }
            filled.count(&event);
        }
    }
    assert!(records > 0, "no records in {}", folder.display());
    assert!(rejects.len() * 200 <= records, "{} of {records} rejected:\n{}", rejects.len(), rejects.join("\n"));
    filled.check();
}

/// How often the members of events are there, by class.
#[derive(Default)]
struct Filled {
    events: BTreeMap<u64, u64>,
    members: BTreeMap<(u64, String), u64>,
}

impl Filled {
    fn count(&mut self, event: &Value) {
        let class = event["class_uid"].as_u64().unwrap();
        *self.events.entry(class).or_default() += 1;
        for name in event.as_object().unwrap().keys() {
            *self.members.entry((class, name.clone())).or_default() += 1;
        }
    }

    /// Reports the recommended attributes of each class, and fails if one is there less often than it was.
    fn check(&self) {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recommended.tsv");
        let text = fs::read_to_string(&path).unwrap();
        let (mut updated, mut fallen) = (String::new(), String::new());
        let mut shares: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for line in text.lines() {
            if line.starts_with('#') {
                writeln!(updated, "{line}").unwrap();
                continue;
            }
            let cells: Vec<&str> = line.split('\t').collect();
            let (class, floor): (u64, u64) = (cells[0].parse().unwrap(), cells[2].parse().unwrap());
            let there = self.members.get(&(class, cells[1].to_owned())).copied().unwrap_or(0);
            // A class that the corpus doesn't have says nothing.
            let share = self.events.get(&class).map_or(floor, |events| 100 * there / events);
            shares.entry(class).or_default().push(share);
            if share < floor {
                writeln!(fallen, "class {class}: {} in {share} % of the events, not {floor} %", cells[1]).unwrap();
            }
            writeln!(updated, "{class}\t{}\t{}", cells[1], share.max(floor)).unwrap();
        }
        for (class, shares) in shares {
            let events = self.events.get(&class).copied().unwrap_or(0);
            let mean = shares.iter().sum::<u64>() / shares.len() as u64;
            println!(
                "class {class}: {events} events, {} recommended attributes, {mean} % of them filled",
                shares.len()
            );
        }
        if env::var_os("UPDATE_RECOMMENDED").is_some() {
            fs::write(path, updated).unwrap();
        } else {
            assert!(fallen.is_empty(), "recommended attributes are missing more often than before:\n{fallen}");
        }
    }
}
