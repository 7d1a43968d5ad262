//! The records that tests run over: those of the golden pairs, and those of the corpus of real records where it is present.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
#![allow(dead_code, reason = "not every test needs all of it")]

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use m365_plugin::normalize::Normalizer;
use serde_json::Value;

/// The tenant of all tests.
pub const TENANT: &str = "3f1c7a52-6d3e-4a53-9f0e-5b0f4b1d2c11";

/// One record and where it comes from.
#[derive(Debug, Clone)]
pub struct Record {
    /// The stream that it belongs to.
    pub stream: String,
    /// The file, and for the corpus the line.
    pub origin: String,
    /// The record.
    pub value: Value,
}

impl Record {
    /// The events of the record; none if it was rejected.
    pub fn events(&self, normalizer: &Normalizer) -> Vec<Value> {
        events(normalizer, &self.stream, &self.value)
    }
}

/// The events of a record; none if it was rejected.
pub fn events(normalizer: &Normalizer, stream: &str, record: &Value) -> Vec<Value> {
    let output = normalizer.process(stream, record.to_string().as_bytes(), 1_764_061_441_000).unwrap();
    output.data.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(|l| serde_json::from_slice(l).unwrap()).collect()
}

/// A normaliser with these settings, beside the tenant's.
pub fn normalizer(settings: Value) -> Normalizer {
    let mut settings = settings;
    settings["tenant"] = TENANT.into();
    Normalizer::new(&settings.to_string()).unwrap()
}

/// The input of every golden pair.
pub fn golden() -> Vec<Record> {
    let mut records = Vec::new();
    for folder in sorted(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden")) {
        let Some(stream) = folder.file_name().filter(|_| folder.is_dir()) else { continue };
        let stream = stream.to_string_lossy().into_owned();
        for file in sorted(&folder) {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            let Some(name) = name.strip_suffix(".record.json") else { continue };
            let value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
            records.push(Record { stream: stream.clone(), origin: format!("{stream}/{name}"), value });
        }
    }
    assert!(!records.is_empty(), "there are no golden pairs");
    records
}

/// How the files of the corpus begin, and the stream that they belong to.
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

/// The records of the corpus that are whole. It is found through `M365_CORPUS`, by default `../shared/corpus` beside the
/// repository; without it there are none, and where `CI` is `true` the test fails.
pub fn corpus() -> Vec<Record> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = env::var_os("M365_CORPUS").map_or_else(|| root.join("../shared/corpus"), PathBuf::from);
    if !folder.is_dir() {
        assert_ne!(env::var("CI").as_deref(), Ok("true"), "the corpus is missing; set M365_CORPUS");
        eprintln!("the corpus is missing, so only the golden pairs were tested; set M365_CORPUS");
        return Vec::new();
    }
    let mut records = Vec::new();
    for path in sorted(&folder) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let Some((_, stream)) = STREAMS.iter().find(|(start, _)| name.starts_with(start)) else { continue };
        let text = fs::read(&path).unwrap();
        for (index, line) in text.split(|b| *b == b'\n').enumerate() {
            if let Ok(value @ Value::Object(_)) = serde_json::from_slice(line) {
                records.push(Record { stream: (*stream).to_owned(), origin: format!("{name}:{}", index + 1), value });
            }
        }
    }
    records
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}
