//! What the plugin found in records and didn't know: record types, operations, fields, values, counted by stream.
//!
//! The invariant: a row is counted in the transaction that commits its records, so that no restart counts it twice. Samples come
//! redacted from the plugin; nothing of a record is in here.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, Transaction, params};
use serde::Serialize;

use super::{LedgerError, database_error, signed, unsigned};
use crate::guest::{Unknown, UnknownKind};

/// So many different things are kept of a stream. Whoever has more has seen enough, and the ledger stays small.
const MAX_ROWS: i64 = 1000;

/// Something unknown that was found in a stream. Times are milliseconds since 1970, by this machine's clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DriftRow {
    /// The stream.
    pub stream: String,
    /// `record-type`, `operation`, `field` or `value`.
    pub kind: String,
    /// The record type of an operation or field, the field of a value; empty where the stream says it all.
    pub place: String,
    /// Its name, or the value.
    pub name: String,
    /// In how many records it was found.
    pub records: u64,
    /// When it was found first.
    pub first_at: u64,
    /// When it was found last.
    pub last_at: u64,
    /// What it looked like the first time, redacted.
    pub sample: String,
}

/// The name of a kind, as the ledger and people see it.
pub fn kind_name(kind: UnknownKind) -> &'static str {
    match kind {
        UnknownKind::RecordType => "record-type",
        UnknownKind::Operation => "operation",
        UnknownKind::Field => "field",
        UnknownKind::Value => "value",
    }
}

pub(super) fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS drift (
           stream TEXT NOT NULL, kind TEXT NOT NULL, place TEXT NOT NULL, name TEXT NOT NULL,
           records INTEGER NOT NULL, first_at INTEGER NOT NULL, last_at INTEGER NOT NULL, sample TEXT NOT NULL,
           PRIMARY KEY (stream, kind, place, name)
         ) WITHOUT ROWID;",
    )
}

/// Adds what was found in a chunk.
pub(super) fn store(
    transaction: &Transaction<'_>,
    stream: &str,
    found: &[Unknown],
    now_ms: u64,
) -> rusqlite::Result<()> {
    // Counted once: a chunk can hold a thousand of them.
    let mut rows = None;
    for Unknown { kind, place, name, count, sample } in found {
        let kind = kind_name(*kind);
        let known = transaction
            .prepare_cached(
                "UPDATE drift SET records = records + ?5, last_at = ?6
                 WHERE stream = ?1 AND kind = ?2 AND place = ?3 AND name = ?4",
            )?
            .execute(params![stream, kind, place, name, count, signed(now_ms)])?;
        if known > 0 {
            continue;
        }
        let there = match rows {
            Some(there) => there,
            None => transaction
                .prepare_cached("SELECT count(*) FROM drift WHERE stream = ?1")?
                .query_row([stream], |row| row.get::<_, i64>(0))?,
        };
        rows = Some(there);
        if there < MAX_ROWS {
            transaction
                .prepare_cached("INSERT INTO drift VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7)")?
                .execute(params![stream, kind, place, name, count, signed(now_ms), sample])?;
            rows = Some(there + 1);
        }
    }
    Ok(())
}

/// Everything unknown that the ledger in a folder has counted, as far as it was found after `since`: by stream and kind, the most
/// frequent first. It reads beside a run that holds the ledger. None if there is no ledger yet.
///
/// # Errors
/// If the ledger can't be read.
pub fn read_drift(folder: &Path, since: u64) -> Result<Option<Vec<DriftRow>>, LedgerError> {
    let file = folder.join("ledger.sqlite");
    if !file.exists() {
        return Ok(None);
    }
    let read = || -> rusqlite::Result<Vec<DriftRow>> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&file, flags)?;
        connection.busy_timeout(std::time::Duration::from_secs(10))?;
        if !super::schema::has_table(&connection, "drift")? {
            // Written by a version that counted no drift.
            return Ok(Vec::new());
        }
        connection
            .prepare(
                "SELECT stream, kind, place, name, records, first_at, last_at, sample FROM drift WHERE last_at >= ?1
                 ORDER BY stream, kind, records DESC, place, name",
            )?
            .query_map([signed(since)], |row| {
                Ok(DriftRow {
                    stream: row.get(0)?,
                    kind: row.get(1)?,
                    place: row.get(2)?,
                    name: row.get(3)?,
                    records: unsigned(row.get(4)?),
                    first_at: unsigned(row.get(5)?),
                    last_at: unsigned(row.get(6)?),
                    sample: row.get(7)?,
                })
            })?
            .collect()
    };
    read().map(Some).map_err(|error| database_error(folder, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Counts, Delivered, Ledger, Progress};

    fn chunk(unknown: Vec<Unknown>) -> Delivered {
        Delivered {
            stream: "s".to_owned(),
            split: "split".to_owned(),
            arrival: 5,
            progress: Progress::Done,
            keys: Vec::new(),
            dead_letters: Vec::new(),
            counts: Counts::default(),
            unknown,
            losses: Vec::new(),
        }
    }

    fn unknown(name: &str, count: u32) -> Unknown {
        Unknown {
            kind: UnknownKind::Field,
            place: "ExchangeAdmin".to_owned(),
            name: name.to_owned(),
            count,
            sample: "text xx".to_owned(),
        }
    }

    #[test]
    fn what_is_found_is_summed_with_the_commit_of_its_records() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read_drift(folder.path(), 0).unwrap(), None);
        let ledger = Ledger::open(folder.path(), "t").unwrap();
        ledger.commit(&[chunk(vec![unknown("New", 2), unknown("Other", 1)])], &[], 10).unwrap();
        ledger.commit(&[chunk(vec![unknown("New", 3)])], &[], 20).unwrap();
        let rows = read_drift(folder.path(), 0).unwrap().unwrap();
        let short: Vec<_> = rows.iter().map(|r| (r.name.as_str(), r.records, r.first_at, r.last_at)).collect();
        assert_eq!(short, [("New", 5, 10, 20), ("Other", 1, 10, 10)]);
        assert_eq!((rows[0].kind.as_str(), rows[0].sample.as_str()), ("field", "text xx"));
        assert_eq!(read_drift(folder.path(), 15).unwrap().unwrap().len(), 1);
    }

    #[test]
    fn it_stays_bounded_and_goes_on_counting_what_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(folder.path(), "t").unwrap();
        let many = (0..1500).map(|n| unknown(&format!("n{n}"), 1)).collect();
        ledger.commit(&[chunk(many)], &[], 10).unwrap();
        ledger.commit(&[chunk(vec![unknown("n0", 4), unknown("n1499", 4)])], &[], 20).unwrap();
        let rows = read_drift(folder.path(), 0).unwrap().unwrap();
        assert_eq!(rows.len(), 1000);
        assert_eq!((rows[0].name.as_str(), rows[0].records), ("n0", 5));
    }
}
