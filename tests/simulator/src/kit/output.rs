//! What a collector wrote, read back: which record of the tenant does each line hold?
//!
//! Invariant: a line is a record if it holds the record's bytes somewhere sensible; only if it holds none is it told by its
//! id, and then as many lines may have an id as the tenant has records with it.

use std::collections::HashMap;
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;

use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

/// A record of the tenant: stream and number.
pub(crate) type Record = (usize, usize);

type Hash = [u8; 16];

fn hash(bytes: &[u8]) -> Hash {
    let digest = Sha256::digest(bytes);
    std::array::from_fn(|at| digest[at])
}

/// Finds records by their bytes and by their ids.
#[derive(Default)]
pub(crate) struct Index {
    by_bytes: HashMap<Hash, Vec<Record>>,
    by_id: HashMap<String, Vec<Record>>,
}

impl Index {
    pub(crate) fn add(&mut self, record: Record, bytes: &[u8]) {
        self.by_bytes.entry(hash(bytes)).or_default().push(record);
        if let Ok(value) = serde_json::from_slice::<Value>(bytes)
            && let Some(id) = value.get("Id").or(value.get("id")).and_then(Value::as_str)
        {
            self.by_id.entry(id.to_owned()).or_default().push(record);
        }
    }
}

/// What was found in a collector's files.
#[derive(Default)]
pub(crate) struct Found {
    /// How often each record was there.
    pub(crate) records: HashMap<Record, u32>,
    /// Lines that hold nothing that the tenant has.
    pub(crate) unknown: u64,
    /// Lines with an id that the tenant gave to fewer records.
    pub(crate) surplus: u64,
}

impl Found {
    /// Reads a file of NDJSON and adds what it holds.
    ///
    /// # Errors
    /// When the file can't be read.
    pub(crate) fn read(&mut self, path: &Path, index: &Index) -> io::Result<()> {
        let mut lines_of_id: HashMap<String, u32> = HashMap::new();
        for line in BufReader::new(std::fs::File::open(path)?).split(b'\n') {
            let line = line?;
            let line = line.trim_ascii();
            if line.is_empty() {
                continue;
            }
            if let Some(records) = by_bytes(line, index) {
                // The same bytes can belong to several streams; each line stands for one that is not there yet.
                let seen = |record: &&Record| self.records.get(record).copied().unwrap_or(0);
                if let Some(record) = records.iter().min_by_key(seen) {
                    *self.records.entry(*record).or_default() += 1;
                }
            } else if let Some(id) = id_of(line).filter(|id| index.by_id.contains_key(id)) {
                *lines_of_id.entry(id).or_default() += 1;
            } else {
                self.unknown += 1;
            }
        }
        for (id, lines) in lines_of_id {
            let records = &index.by_id[&id];
            self.surplus += u64::from(lines).saturating_sub(records.len() as u64);
            for record in records.iter().take(lines as usize) {
                *self.records.entry(*record).or_default() += 1;
            }
        }
        Ok(())
    }
}

/// The records whose bytes a line holds: as itself, wrapped as `record`, or as text where agents keep originals.
fn by_bytes<'a>(line: &[u8], index: &'a Index) -> Option<&'a Vec<Record>> {
    if let Some(found) = index.by_bytes.get(&hash(line)) {
        return Some(found);
    }
    let members: HashMap<String, &RawValue> = serde_json::from_slice(line).ok()?;
    if let Some(record) = members.get("record")
        && let Some(found) = index.by_bytes.get(&hash(record.get().as_bytes()))
    {
        return Some(found);
    }
    let text = |value: &RawValue| serde_json::from_str::<String>(value.get()).ok();
    let nested = members.get("event").and_then(|event| {
        let event: HashMap<String, &RawValue> = serde_json::from_str(event.get()).ok()?;
        text(event.get("original")?)
    });
    let places = ["raw_data", "event.original", "message", "_raw", "raw"];
    let texts = places.iter().filter_map(|name| members.get(*name).and_then(|value| text(value))).chain(nested);
    texts.map(|text| hash(text.as_bytes())).find_map(|hash| index.by_bytes.get(&hash))
}

/// The source's id in a line of some normal form.
fn id_of(line: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(line).ok()?;
    let places =
        ["/metadata/original_event_uid", "/metadata/uid", "/event/id", "/Id", "/id", "/o365audit/Id", "/record/Id"];
    places.iter().find_map(|place| value.pointer(place)?.as_str().map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_found_however_it_is_wrapped() {
        let mut index = Index::default();
        index.add((0, 0), br#"{"Id":"a","x":1.0}"#);
        index.add((0, 1), br#"{"Id":"a","x":2.0}"#);
        index.add((1, 0), br#"{"id":"b"}"#);
        let folder = std::env::temp_dir().join(format!("m365-sim-output-{}", std::process::id()));
        let lines = [
            r#"{"Id":"a","x":1.0}"#,
            r#"{"stream":"s","record":{"Id":"a","x":2.0}}"#,
            r#"{"raw_data":"{\"Id\":\"a\",\"x\":2.0}","metadata":{"original_event_uid":"a"}}"#,
            r#"{"event":{"original":"{\"id\":\"b\"}"}}"#,
            r#"{"metadata":{"original_event_uid":"b"}}"#,
            r#"{"record":{"Id":"never"}}"#,
        ];
        std::fs::write(&folder, lines.join("\n")).unwrap();
        let mut found = Found::default();
        found.read(&folder, &index).unwrap();
        std::fs::remove_file(&folder).unwrap();
        assert_eq!(found.records, HashMap::from([((0, 0), 1), ((0, 1), 2), ((1, 0), 2)]));
        assert_eq!((found.unknown, found.surplus), (1, 0));
    }
}
