//! Dead letters: records that gave no event, and events that a sink refused, until somebody replays or drops them.
//!
//! The invariant: a letter is stored in the transaction that moves past its record, and removed in the one that
//! commits its delivery. They have a size limit; being full is a reason to wait, never to throw one away.

use std::sync::atomic::Ordering;

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};

use super::{Counts, Key, KeyHash, Ledger, LedgerError, SinkMark, signed, sinks, unsigned};

/// What a letter takes besides its bytes, roughly: columns, key and index.
const OVERHEAD: u64 = 200;

/// A record that gave no event, or an event that a sink refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The sink that refused it, if one did. Then `raw` is the line that it refused.
    pub sink: Option<String>,
    /// The split it came from.
    pub split: String,
    /// The record's place in the chunk it was read in, from 0; of a refused line, its place among the chunk's lines.
    pub position: u32,
    /// A short stable word.
    pub code: String,
    /// What is wrong, in a sentence.
    pub message: String,
    /// The record's bytes.
    pub raw: Vec<u8>,
}

impl DeadLetter {
    /// What the letter takes of the size limit, in bytes.
    pub fn size(&self) -> u64 {
        (self.raw.len() + self.message.len()) as u64 + OVERHEAD
    }
}

/// A letter as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLetter {
    /// Its number, for the command line.
    pub id: i64,
    /// The stream.
    pub stream: String,
    /// The split's place on the arrival clock.
    pub arrival: u64,
    /// When it happened for the first time, in milliseconds since 1970.
    pub first: u64,
    /// When it happened for the last time.
    pub last: u64,
    /// How often.
    pub times: u32,
    /// The letter.
    pub letter: DeadLetter,
}

/// Letters of one kind together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterGroup {
    /// The stream.
    pub stream: String,
    /// The code.
    pub code: String,
    /// The sink, if one refused them.
    pub sink: Option<String>,
    /// How many.
    pub letters: u64,
    /// What they take, in bytes.
    pub bytes: u64,
    /// When the first one happened, in milliseconds since 1970.
    pub first: u64,
    /// When the last one happened.
    pub last: u64,
}

/// Which letters are meant. Conditions that are given all have to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LetterFilter {
    /// These numbers.
    pub ids: Option<Vec<i64>>,
    /// This stream.
    pub stream: Option<String>,
    /// This code.
    pub code: Option<String>,
    /// This sink.
    pub sink: Option<String>,
}

impl LetterFilter {
    fn takes(&self, id: i64, stream: &str, code: &str, sink: &str) -> bool {
        self.ids.as_ref().is_none_or(|ids| ids.contains(&id))
            && self.stream.as_ref().is_none_or(|wanted| wanted == stream)
            && self.code.as_ref().is_none_or(|wanted| wanted == code)
            && self.sink.as_ref().is_none_or(|wanted| wanted == sink)
    }
}

/// What a replay of some letters of one stream leaves behind.
#[derive(Debug, Clone, Default)]
pub struct Replayed {
    /// The stream.
    pub stream: String,
    /// Letters that are letters no more.
    pub done: Vec<i64>,
    /// The keys of their records, with their place on the arrival clock.
    pub keys: Vec<(Key, u64)>,
    /// Letters that failed again or anew, with their place on the arrival clock.
    pub again: Vec<(u64, DeadLetter)>,
    /// Records that had been rejected and are delivered now.
    pub records: u64,
    /// Events that they gave.
    pub events: u64,
}

pub(super) fn prepare(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS letters (
           id INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB NOT NULL,
           -- Empty for a record that gave no event.
           sink TEXT NOT NULL,
           stream TEXT NOT NULL, split TEXT NOT NULL, position INTEGER NOT NULL, arrival INTEGER NOT NULL,
           code TEXT NOT NULL, message TEXT NOT NULL,
           first INTEGER NOT NULL, last INTEGER NOT NULL, times INTEGER NOT NULL, raw BLOB NOT NULL,
           UNIQUE (key, sink)
         );",
    )?;
    if transaction.table_exists(None, "dead_letters")? {
        {
            let mut old =
                transaction.prepare("SELECT stream, split, position, code, message, raw, at FROM dead_letters")?;
            let mut rows = old.query([])?;
            while let Some(row) = rows.next()? {
                let stream: String = row.get(0)?;
                let letter = DeadLetter {
                    sink: None,
                    split: row.get(1)?,
                    position: row.get(2)?,
                    code: row.get(3)?,
                    message: row.get(4)?,
                    raw: row.get(5)?,
                };
                store(transaction, &stream, 0, &letter, unsigned(row.get(6)?))?;
            }
        }
        transaction.execute_batch("DROP TABLE dead_letters")?;
    }
    Ok(())
}

/// What all letters take, in bytes.
pub(super) fn total(connection: &Connection) -> rusqlite::Result<u64> {
    connection
        .query_row(
            "SELECT coalesce(sum(length(raw) + length(CAST(message AS BLOB)) + ?1), 0) FROM letters",
            [signed(OVERHEAD)],
            |row| row.get(0),
        )
        .map(unsigned)
}

/// Stores a letter, or notes that it happened again. Returns what it takes anew, in bytes.
pub(super) fn store(
    transaction: &Transaction<'_>,
    stream: &str,
    arrival: u64,
    letter: &DeadLetter,
    now_ms: u64,
) -> rusqlite::Result<u64> {
    let key = KeyHash::load(transaction)?.key(stream, &letter.raw);
    let sink = letter.sink.as_deref().unwrap_or_default();
    let known = transaction
        .prepare_cached(
            "UPDATE letters SET last = ?3, times = times + 1, code = ?4, message = ?5 WHERE key = ?1 AND sink = ?2",
        )?
        .execute(params![key, sink, signed(now_ms), letter.code, letter.message])?;
    if known > 0 {
        return Ok(0);
    }
    transaction
        .prepare_cached(
            "INSERT INTO letters (key, sink, stream, split, position, arrival, code, message, first, last, times, raw)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, 1, ?10)",
        )?
        .execute(params![
            key,
            sink,
            stream,
            letter.split,
            letter.position,
            signed(arrival),
            letter.code,
            letter.message,
            signed(now_ms),
            letter.raw
        ])?;
    Ok(letter.size())
}

const COLUMNS: &str = "id, stream, arrival, first, last, times, sink, split, position, code, message, raw";

fn read(row: &Row<'_>) -> rusqlite::Result<StoredLetter> {
    let sink: String = row.get(6)?;
    Ok(StoredLetter {
        id: row.get(0)?,
        stream: row.get(1)?,
        arrival: unsigned(row.get(2)?),
        first: unsigned(row.get(3)?),
        last: unsigned(row.get(4)?),
        times: row.get(5)?,
        letter: DeadLetter {
            sink: (!sink.is_empty()).then_some(sink),
            split: row.get(7)?,
            position: row.get(8)?,
            code: row.get(9)?,
            message: row.get(10)?,
            raw: row.get(11)?,
        },
    })
}

impl Ledger {
    /// Sets how many bytes dead letters may take. Without it there is no limit.
    pub fn limit_dead_letters(&self, max_bytes: u64) {
        self.letter_limit.store(max_bytes, Ordering::Relaxed);
        self.warn_of_letters();
    }

    /// Whether `bytes` more of dead letters fit.
    ///
    /// # Errors
    /// If they don't: nothing may move on that could give more of them.
    pub fn check_room_for_letters(&self, bytes: u64) -> Result<(), LedgerError> {
        let (used, limit) = (self.letter_bytes.load(Ordering::Relaxed), self.letter_limit.load(Ordering::Relaxed));
        if used.saturating_add(bytes) <= limit {
            return Ok(());
        }
        Err(LedgerError::LettersFull { path: self.folder.display().to_string(), used, limit })
    }

    /// Counts what was stored, and warns when the limit comes near.
    pub(super) fn letters_grew(&self, bytes: u64) {
        if bytes > 0 {
            self.letter_bytes.fetch_add(bytes, Ordering::Relaxed);
            self.warn_of_letters();
        }
    }

    fn warn_of_letters(&self) {
        let (used, limit) = (self.letter_bytes.load(Ordering::Relaxed), self.letter_limit.load(Ordering::Relaxed));
        let near = used / 4 >= limit / 5;
        if near && !self.letters_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                used_bytes = used,
                max_bytes = limit,
                "The dead letters have filled four fifths of their room. Delivery is held up once it is full: look at them \
                 with `m365-pipe dead-letters`, replay or drop them, or raise `dead_letters.max_bytes`."
            );
        } else if !near {
            self.letters_warned.store(false, Ordering::Relaxed);
        }
    }

    /// The letters by stream, code and sink, the most first, and what they take together in bytes.
    ///
    /// # Errors
    /// If SQLite fails.
    pub fn letter_groups(&self) -> Result<(Vec<LetterGroup>, u64), LedgerError> {
        let connection = self.connection();
        let groups = || -> rusqlite::Result<(Vec<LetterGroup>, u64)> {
            let mut statement = connection.prepare(
                "SELECT stream, code, sink, count(*), sum(length(raw) + length(CAST(message AS BLOB)) + ?1), min(first), max(last)
                 FROM letters GROUP BY stream, code, sink ORDER BY count(*) DESC, stream, code, sink",
            )?;
            let rows = statement.query_map([signed(OVERHEAD)], |row| {
                let sink: String = row.get(2)?;
                Ok(LetterGroup {
                    stream: row.get(0)?,
                    code: row.get(1)?,
                    sink: (!sink.is_empty()).then_some(sink),
                    letters: unsigned(row.get(3)?),
                    bytes: unsigned(row.get(4)?),
                    first: unsigned(row.get(5)?),
                    last: unsigned(row.get(6)?),
                })
            })?;
            Ok((rows.collect::<rusqlite::Result<_>>()?, total(&connection)?))
        };
        groups().map_err(|error| self.error(error))
    }

    /// The numbers of the letters that are meant, the oldest first.
    ///
    /// # Errors
    /// If SQLite fails.
    pub fn letter_ids(&self, filter: &LetterFilter) -> Result<Vec<i64>, LedgerError> {
        let connection = self.connection();
        let ids = || -> rusqlite::Result<Vec<i64>> {
            let mut statement = connection.prepare("SELECT id, stream, code, sink FROM letters ORDER BY id")?;
            let mut rows = statement.query([])?;
            let mut ids = Vec::new();
            while let Some(row) = rows.next()? {
                let id = row.get(0)?;
                if filter.takes(id, &row.get::<_, String>(1)?, &row.get::<_, String>(2)?, &row.get::<_, String>(3)?) {
                    ids.push(id);
                }
            }
            Ok(ids)
        };
        ids().map_err(|error| self.error(error))
    }

    /// One letter.
    ///
    /// # Errors
    /// If SQLite fails.
    pub fn letter(&self, id: i64) -> Result<Option<StoredLetter>, LedgerError> {
        self.connection()
            .query_row(&format!("SELECT {COLUMNS} FROM letters WHERE id = ?1"), [id], read)
            .optional()
            .map_err(|error| self.error(error))
    }

    /// Removes letters, and with them their records. Returns how many there were.
    ///
    /// # Errors
    /// If SQLite fails; then none is removed.
    pub fn drop_letters(&self, ids: &[i64]) -> Result<usize, LedgerError> {
        let mut connection = self.connection();
        let mut drop = || -> rusqlite::Result<usize> {
            let transaction = connection.transaction()?;
            let mut dropped = 0;
            for id in ids {
                dropped += transaction.prepare_cached("DELETE FROM letters WHERE id = ?1")?.execute([id])?;
            }
            let left = total(&transaction)?;
            transaction.commit()?;
            self.letter_bytes.store(left, Ordering::Relaxed);
            Ok(dropped)
        };
        drop().map_err(|error| self.error(error))
    }

    /// Stores what a replay did, and the positions of the sinks after it, in one transaction.
    ///
    /// # Errors
    /// If SQLite fails; then nothing is stored.
    pub fn replayed(&self, replayed: &Replayed, marks: &[SinkMark], now_ms: u64) -> Result<(), LedgerError> {
        let mut connection = self.connection();
        self.place.check(&connection)?;
        let mut store_all = || -> rusqlite::Result<()> {
            let transaction = connection.transaction()?;
            for id in &replayed.done {
                transaction.prepare_cached("DELETE FROM letters WHERE id = ?1")?.execute([id])?;
            }
            for (arrival, letter) in &replayed.again {
                store(&transaction, &replayed.stream, *arrival, letter, now_ms)?;
            }
            super::add_counts(
                &transaction,
                &replayed.stream,
                &Counts { delivered: replayed.records, events: replayed.events, ..Counts::default() },
            )?;
            transaction.execute(
                "UPDATE counts SET rejected = max(0, rejected - ?2) WHERE stream = ?1",
                params![replayed.stream, signed(replayed.records)],
            )?;
            for mark in marks {
                sinks::store(&transaction, mark)?;
            }
            let left = total(&transaction)?;
            let change = self.keys.insert(&transaction, replayed.keys.iter().copied())?;
            self.keys.commit(transaction, change)?;
            self.letter_bytes.store(left, Ordering::Relaxed);
            Ok(())
        };
        store_all().map_err(|error| self.error(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Delivered, Progress};

    fn letter(raw: &str, code: &str, sink: Option<&str>) -> DeadLetter {
        DeadLetter {
            sink: sink.map(str::to_owned),
            split: "split".to_owned(),
            position: 3,
            code: code.to_owned(),
            message: format!("it is {code}"),
            raw: raw.as_bytes().to_vec(),
        }
    }

    fn commit(ledger: &Ledger, letters: &[DeadLetter], now: u64) {
        let delivered = Delivered {
            stream: "s".to_owned(),
            split: "split".to_owned(),
            arrival: 9,
            progress: Progress::Done,
            keys: Vec::new(),
            dead_letters: letters.to_vec(),
            counts: Counts { rejected: letters.len() as u64, ..Counts::default() },
            unknown: Vec::new(),
            losses: Vec::new(),
        };
        ledger.commit(&[delivered], &[], now).unwrap();
    }

    fn open(folder: &std::path::Path) -> Ledger {
        Ledger::open(folder, "tenant t, plugin p").unwrap()
    }

    #[test]
    fn the_same_letter_again_is_counted_and_another_sink_makes_another() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = open(folder.path());
        commit(&ledger, &[letter("a", "x", None), letter("a", "x", Some("http"))], 10);
        commit(&ledger, &[letter("a", "y", None)], 20);
        let (groups, bytes) = ledger.letter_groups().unwrap();
        assert_eq!(groups.len(), 2);
        assert_eq!(bytes, 2 * letter("a", "x", None).size());
        let ids = ledger.letter_ids(&LetterFilter { sink: Some(String::new()), ..LetterFilter::default() }).unwrap();
        let stored = ledger.letter(ids[0]).unwrap().unwrap();
        assert_eq!((stored.first, stored.last, stored.times, stored.arrival), (10, 20, 2, 9));
        assert_eq!(stored.letter, letter("a", "y", None));
        let http = LetterFilter { sink: Some("http".to_owned()), ..LetterFilter::default() };
        assert_eq!(ledger.drop_letters(&ledger.letter_ids(&http).unwrap()).unwrap(), 1);
        assert_eq!(ledger.letter_ids(&LetterFilter::default()).unwrap(), ids);
    }

    #[test]
    fn full_letters_hold_up_until_some_are_gone() {
        let folder = tempfile::tempdir().unwrap();
        let big = letter(&"x".repeat(10_000), "big", None);
        {
            let ledger = open(folder.path());
            ledger.limit_dead_letters(15_000);
            ledger.check_room_for_letters(big.size()).unwrap();
            commit(&ledger, std::slice::from_ref(&big), 1);
        }
        // The size is known again after a restart.
        let ledger = open(folder.path());
        ledger.limit_dead_letters(15_000);
        let error = ledger.check_room_for_letters(big.size()).unwrap_err();
        assert!(matches!(error, LedgerError::LettersFull { used, .. } if used == big.size()), "{error}");
        assert!(error.to_string().contains("m365-pipe dead-letters"), "{error}");
        ledger.check_room_for_letters(100).unwrap();
        ledger.drop_letters(&ledger.letter_ids(&LetterFilter::default()).unwrap()).unwrap();
        ledger.check_room_for_letters(big.size()).unwrap();
    }

    #[test]
    fn a_replay_moves_letters_and_counts_in_one_transaction() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = open(folder.path());
        commit(&ledger, &[letter("a", "x", None), letter("b", "x", None)], 10);
        let ids = ledger.letter_ids(&LetterFilter::default()).unwrap();
        let key = ledger.key_hash().unwrap().key("s", b"a");
        let replayed = Replayed {
            stream: "s".to_owned(),
            done: vec![ids[0]],
            keys: vec![(key, 9)],
            again: vec![(9, letter("b", "still", None)), (9, letter("event", "http-400", Some("http")))],
            records: 1,
            events: 1,
        };
        ledger.replayed(&replayed, &[SinkMark::position("file", "5".to_owned())], 30).unwrap();
        let left = ledger.letter_ids(&LetterFilter::default()).unwrap();
        assert_eq!(left.len(), 2);
        assert_eq!(left[0], ids[1]);
        assert_eq!(ledger.letter(ids[1]).unwrap().unwrap().times, 2);
        assert_eq!(ledger.position("file").unwrap().as_deref(), Some("5"));
        assert_eq!(ledger.key_reader().unwrap().known(&[key]).unwrap(), [true]);
    }

    #[test]
    fn letters_of_an_earlier_version_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        drop(open(folder.path()));
        let old = Connection::open(folder.path().join("ledger.sqlite")).unwrap();
        old.execute_batch(
            "CREATE TABLE dead_letters (id INTEGER PRIMARY KEY, stream TEXT, split TEXT, position INTEGER, code TEXT, message TEXT, raw BLOB, at INTEGER);
             INSERT INTO dead_letters VALUES (1, 's', 'split', 3, 'x', 'it is x', x'61', 77);
             CREATE TABLE sinks (name TEXT PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;
             INSERT INTO sinks VALUES ('file', 42);",
        )
        .unwrap();
        drop(old);
        let ledger = open(folder.path());
        let ids = ledger.letter_ids(&LetterFilter::default()).unwrap();
        assert_eq!(ledger.letter(ids[0]).unwrap().unwrap().letter, letter("a", "x", None));
        assert_eq!(ledger.position("file").unwrap().as_deref(), Some("42"));
    }
}
