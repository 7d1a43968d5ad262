//! The durable memory of a collection: states, pending splits, delivered keys, coverage, dead letters, sink positions.
//!
//! The invariant: what a sink has not confirmed is not in here. [`Ledger::discovered`] stores new splits and the state
//! they came with in one transaction; [`Ledger::commit`] stores the progress of splits, the keys of their records, the
//! counts and the positions of the sinks in another one. Only `pipeline/` calls the two.

mod keys;
mod schema;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension as _, params};

pub use keys::{Key, KeyReader};

use crate::guest::{Interval, Split};

/// Why the ledger can't be used. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The folder can't be made or written to.
    #[error("The data directory {path} can't be used: {reason}. Make it writable, or change `data_dir`.")]
    Unusable {
        /// The folder.
        path: String,
        /// The operating system's words.
        reason: String,
    },
    /// Another process uses the folder.
    #[error(
        "The data directory {path} is in use by another m365-pipe{holder}. Two processes on one ledger would corrupt it: stop the other one, or give this one a `data_dir` of its own."
    )]
    InUse {
        /// The folder.
        path: String,
        /// Who holds it, as far as known.
        holder: String,
    },
    /// The ledger was written for another tenant or plugin, or by a newer version.
    #[error("{0}")]
    Foreign(String),
    /// The disk is full.
    #[error(
        "The disk of the data directory {path} is full. Nothing is lost: free some space; delivery then goes on from the last commit."
    )]
    DiskFull {
        /// The folder.
        path: String,
    },
    /// SQLite failed in another way.
    #[error("The ledger in {path} failed: {reason}")]
    Database {
        /// The folder.
        path: String,
        /// SQLite's words.
        reason: String,
    },
}

/// A split as the ledger keeps it.
#[derive(Debug, Clone)]
pub struct PendingSplit {
    /// The split as the plugin discovered it.
    pub split: Split,
    /// Where to go on, if some of it is delivered.
    pub resume: Option<String>,
    /// How often reading it has failed in a row.
    pub attempts: u32,
    /// Not to be read before this time, in milliseconds since 1970.
    pub not_before: u64,
}

/// How far a split has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Delivered up to here.
    Resume(Option<String>),
    /// Delivered to its end.
    Done,
}

/// A record that gave no event.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// The split it came from.
    pub split: String,
    /// The record's place in the chunk it was read in, from 0.
    pub position: u32,
    /// A short stable word.
    pub code: String,
    /// What is wrong, in a sentence.
    pub message: String,
    /// The record's bytes.
    pub raw: Vec<u8>,
}

/// Counts of one stream, of records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records read from the source.
    pub records: u64,
    /// Records that were delivered.
    pub delivered: u64,
    /// Events that were delivered: one record can give several.
    pub events: u64,
    /// Records that became dead letters.
    pub rejected: u64,
    /// Records that were dropped since they had been delivered before.
    pub duplicates: u64,
    /// Records left out because the settings say so.
    pub filtered: u64,
    /// Splits that were lost.
    pub lost: u64,
}

impl Counts {
    /// Adds the other counts.
    pub fn add(&mut self, other: &Counts) {
        self.records += other.records;
        self.delivered += other.delivered;
        self.events += other.events;
        self.rejected += other.rejected;
        self.duplicates += other.duplicates;
        self.filtered += other.filtered;
        self.lost += other.lost;
    }
}

/// What a delivered chunk leaves behind.
#[derive(Debug, Clone)]
pub struct Delivered {
    /// The stream.
    pub stream: String,
    /// The split's id.
    pub split: String,
    /// The split's place on the arrival clock.
    pub arrival: u64,
    /// How far the split has come.
    pub progress: Progress,
    /// The keys of the delivered and rejected records.
    pub keys: Vec<Key>,
    /// Records that gave no event.
    pub dead_letters: Vec<DeadLetter>,
    /// What to add to the stream's counts.
    pub counts: Counts,
}

/// The store. Shared between threads; writing is one at a time.
#[derive(Debug)]
pub struct Ledger {
    folder: PathBuf,
    connection: Mutex<Connection>,
    /// Held for as long as the ledger is open.
    _lock: File,
}

impl Ledger {
    /// Opens the ledger in a folder, and makes both if they aren't there. `identity` names the tenant and the plugin: a
    /// ledger of another identity is refused, since its positions would mean something else.
    ///
    /// # Errors
    /// If the folder can't be used, is in use, or belongs to something else.
    pub fn open(folder: &Path, identity: &str) -> Result<Self, LedgerError> {
        let unusable = |error: std::io::Error| LedgerError::Unusable {
            path: folder.display().to_string(),
            reason: error.to_string(),
        };
        std::fs::create_dir_all(folder).map_err(unusable)?;
        let lock = lock(folder)?;
        let database = |error| database_error(folder, error);
        let connection = connect(folder).map_err(database)?;
        schema::prepare(&connection, identity).map_err(|error| match error {
            schema::PrepareError::Database(error) => database_error(folder, error),
            schema::PrepareError::Foreign(text) => LedgerError::Foreign(format!("{}: {text}", folder.display())),
        })?;
        Ok(Self { folder: folder.to_owned(), connection: Mutex::new(connection), _lock: lock })
    }

    /// A connection for looking up keys, for one thread.
    ///
    /// # Errors
    /// If SQLite can't open another connection.
    pub fn key_reader(&self) -> Result<KeyReader, LedgerError> {
        let connection = connect(&self.folder).map_err(|error| self.error(error))?;
        Ok(KeyReader::new(connection))
    }

    /// The state that a stream's last discovery left.
    ///
    /// # Errors
    /// If SQLite fails.
    pub fn state(&self, stream: &str) -> Result<Option<String>, LedgerError> {
        self.connection()
            .query_row("SELECT state FROM streams WHERE stream = ?1", [stream], |row| row.get(0))
            .optional()
            .map(Option::flatten)
            .map_err(|error| self.error(error))
    }

    /// Stores what a discovery found: new splits, the stream's next state and what was listed, in one transaction.
    /// Splits that are pending or were read before are left alone. Returns the new ones.
    ///
    /// # Errors
    /// If SQLite fails; then nothing is stored.
    pub fn discovered(
        &self,
        stream: &str,
        state: &str,
        splits: &[Split],
        coverage: &[Interval],
        now_ms: u64,
    ) -> Result<Vec<Split>, LedgerError> {
        let mut connection = self.connection();
        let mut store = || -> rusqlite::Result<Vec<Split>> {
            let transaction = connection.transaction()?;
            let mut new = Vec::new();
            {
                let mut known =
                    transaction.prepare_cached("SELECT 1 FROM read_splits WHERE stream = ?1 AND id = ?2")?;
                let mut insert = transaction.prepare_cached(
                    "INSERT OR IGNORE INTO splits (stream, id, payload, arrival, expires) VALUES (?1, ?2, ?3, ?4, ?5)",
                )?;
                for split in splits {
                    let values =
                        params![stream, split.id, split.payload, signed(split.arrival), split.expires.map(signed)];
                    if !known.exists(params![stream, split.id])? && insert.execute(values)? > 0 {
                        new.push(split.clone());
                    }
                }
                transaction.execute(
                    "INSERT INTO streams (stream, state, listed_at) VALUES (?1, ?2, ?3)
                     ON CONFLICT (stream) DO UPDATE SET state = excluded.state, listed_at = excluded.listed_at",
                    params![stream, state, signed(now_ms)],
                )?;
                let mut cover = transaction
                    .prepare_cached("INSERT INTO coverage (stream, start, end, at) VALUES (?1, ?2, ?3, ?4)")?;
                for interval in coverage {
                    cover.execute(params![stream, signed(interval.start), signed(interval.end), signed(now_ms)])?;
                }
            }
            transaction.commit()?;
            Ok(new)
        };
        store().map_err(|error| self.error(error))
    }

    /// Every split that is not yet read to its end, the oldest first.
    ///
    /// # Errors
    /// If SQLite fails.
    pub fn pending(&self, streams: &[String]) -> Result<Vec<PendingSplit>, LedgerError> {
        let connection = self.connection();
        let read = || -> rusqlite::Result<Vec<PendingSplit>> {
            let mut statement = connection.prepare_cached(
                "SELECT stream, id, payload, arrival, expires, resume, attempts, not_before FROM splits
                 ORDER BY arrival, stream, id",
            )?;
            let rows = statement.query_map([], |row| {
                Ok(PendingSplit {
                    split: Split {
                        stream: row.get(0)?,
                        id: row.get(1)?,
                        payload: row.get(2)?,
                        arrival: unsigned(row.get(3)?),
                        expires: row.get::<_, Option<i64>>(4)?.map(unsigned),
                    },
                    resume: row.get(5)?,
                    attempts: row.get(6)?,
                    not_before: unsigned(row.get(7)?),
                })
            })?;
            rows.filter(|row| row.as_ref().map_or(true, |pending| streams.contains(&pending.split.stream))).collect()
        };
        read().map_err(|error| self.error(error))
    }

    /// Stores what was delivered, and the positions of the sinks after it, in one transaction.
    ///
    /// # Errors
    /// If SQLite fails; then nothing is stored, and what was delivered is delivered again after a restart.
    pub fn commit(&self, delivered: &[Delivered], positions: &[(String, u64)], now_ms: u64) -> Result<(), LedgerError> {
        let mut connection = self.connection();
        let mut store = || -> rusqlite::Result<()> {
            let transaction = connection.transaction()?;
            for chunk in delivered {
                commit_chunk(&transaction, chunk, now_ms)?;
            }
            for (sink, position) in positions {
                transaction
                    .prepare_cached(
                        "INSERT INTO sinks (name, position) VALUES (?1, ?2)
                         ON CONFLICT (name) DO UPDATE SET position = excluded.position",
                    )?
                    .execute(params![sink, signed(*position)])?;
            }
            transaction.commit()
        };
        store().map_err(|error| self.error(error))
    }

    /// Notes that reading a split failed, and when to try again. `restart` forgets how far it had come.
    ///
    /// # Errors
    /// If SQLite fails.
    pub fn failed(
        &self,
        stream: &str,
        split: &str,
        attempts: u32,
        not_before: u64,
        restart: bool,
        reason: &str,
    ) -> Result<(), LedgerError> {
        self.connection()
            .execute(
                "UPDATE splits SET attempts = ?3, not_before = ?4, last_error = ?5,
                        resume = CASE WHEN ?6 THEN NULL ELSE resume END
                 WHERE stream = ?1 AND id = ?2",
                params![stream, split, attempts, signed(not_before), reason, restart],
            )
            .map(drop)
            .map_err(|error| self.error(error))
    }

    /// Declares a split lost: it can't be read any more. It is counted and not tried again.
    ///
    /// # Errors
    /// If SQLite fails.
    pub fn lost(&self, stream: &str, split: &str, arrival: u64, reason: &str, now_ms: u64) -> Result<(), LedgerError> {
        let mut connection = self.connection();
        let mut store = || -> rusqlite::Result<()> {
            let transaction = connection.transaction()?;
            transaction.execute(
                "INSERT INTO gaps (stream, start, end, reason, at) VALUES (?1, ?2, ?2, ?3, ?4)",
                params![stream, signed(arrival), format!("{split}: {reason}"), signed(now_ms)],
            )?;
            finish_split(&transaction, stream, split, arrival)?;
            add_counts(&transaction, stream, &Counts { lost: 1, ..Counts::default() })?;
            transaction.commit()
        };
        store().map_err(|error| self.error(error))
    }

    /// Declares a stretch of a stream's arrival clock lost.
    ///
    /// # Errors
    /// If SQLite fails.
    pub fn gap(&self, stream: &str, interval: Interval, reason: &str, now_ms: u64) -> Result<(), LedgerError> {
        self.connection()
            .execute(
                "INSERT INTO gaps (stream, start, end, reason, at) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![stream, signed(interval.start), signed(interval.end), reason, signed(now_ms)],
            )
            .map(drop)
            .map_err(|error| self.error(error))
    }

    /// Where a sink stood at the last commit, if it ever took part in one.
    ///
    /// # Errors
    /// If SQLite fails.
    pub fn position(&self, sink: &str) -> Result<Option<u64>, LedgerError> {
        self.connection()
            .query_row("SELECT position FROM sinks WHERE name = ?1", [sink], |row| row.get::<_, i64>(0))
            .optional()
            .map(|position| position.map(unsigned))
            .map_err(|error| self.error(error))
    }

    /// Forgets keys, read splits and coverage from before a point on the arrival clock.
    ///
    /// # Errors
    /// If SQLite fails.
    pub fn forget_before(&self, arrival: u64) -> Result<(), LedgerError> {
        let connection = self.connection();
        let forget = || -> rusqlite::Result<()> {
            connection.execute("DELETE FROM keys WHERE arrival < ?1", [signed(arrival)])?;
            connection.execute("DELETE FROM read_splits WHERE arrival < ?1", [signed(arrival)])?;
            connection.execute("DELETE FROM coverage WHERE end < ?1", [signed(arrival)])?;
            Ok(())
        };
        forget().map_err(|error| self.error(error))
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A thread that panicked held no half-done transaction: dropping one rolls it back.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self, error: rusqlite::Error) -> LedgerError {
        database_error(&self.folder, error)
    }
}

fn commit_chunk(transaction: &rusqlite::Transaction<'_>, chunk: &Delivered, now_ms: u64) -> rusqlite::Result<()> {
    keys::insert(transaction, &chunk.keys, chunk.arrival)?;
    for letter in &chunk.dead_letters {
        transaction
            .prepare_cached(
                "INSERT INTO dead_letters (stream, split, position, code, message, raw, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                chunk.stream,
                letter.split,
                letter.position,
                letter.code,
                letter.message,
                letter.raw,
                signed(now_ms)
            ])?;
    }
    match &chunk.progress {
        Progress::Done => finish_split(transaction, &chunk.stream, &chunk.split, chunk.arrival)?,
        Progress::Resume(resume) => {
            transaction
                .prepare_cached("UPDATE splits SET resume = ?3, attempts = 0 WHERE stream = ?1 AND id = ?2")?
                .execute(params![chunk.stream, chunk.split, resume])?;
        }
    }
    add_counts(transaction, &chunk.stream, &chunk.counts)
}

fn finish_split(
    transaction: &rusqlite::Transaction<'_>,
    stream: &str,
    split: &str,
    arrival: u64,
) -> rusqlite::Result<()> {
    transaction.prepare_cached("DELETE FROM splits WHERE stream = ?1 AND id = ?2")?.execute(params![stream, split])?;
    transaction
        .prepare_cached("INSERT OR IGNORE INTO read_splits (stream, id, arrival) VALUES (?1, ?2, ?3)")?
        .execute(params![stream, split, signed(arrival)])?;
    Ok(())
}

fn add_counts(transaction: &rusqlite::Transaction<'_>, stream: &str, counts: &Counts) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO counts (stream, records, delivered, events, rejected, duplicates, filtered, lost)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT (stream) DO UPDATE SET
               records = records + excluded.records, delivered = delivered + excluded.delivered,
               events = events + excluded.events, rejected = rejected + excluded.rejected,
               duplicates = duplicates + excluded.duplicates, filtered = filtered + excluded.filtered,
               lost = lost + excluded.lost",
        )?
        .execute(params![
            stream,
            signed(counts.records),
            signed(counts.delivered),
            signed(counts.events),
            signed(counts.rejected),
            signed(counts.duplicates),
            signed(counts.filtered),
            signed(counts.lost)
        ])?;
    Ok(())
}

fn connect(folder: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(folder.join("ledger.sqlite"))?;
    connection.busy_timeout(std::time::Duration::from_secs(30))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -4096)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Takes the lock that keeps a second process out. It ends with the process, however that ends.
fn lock(folder: &Path) -> Result<File, LedgerError> {
    let path = folder.join("lock");
    let unusable =
        |error: std::io::Error| LedgerError::Unusable { path: folder.display().to_string(), reason: error.to_string() };
    let mut file =
        OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let holder = std::fs::read_to_string(&path).unwrap_or_default();
            let holder = holder.trim();
            return Err(LedgerError::InUse {
                path: folder.display().to_string(),
                holder: if holder.is_empty() { String::new() } else { format!(" (process {holder})") },
            });
        }
        Err(TryLockError::Error(error)) => return Err(unusable(error)),
    }
    file.set_len(0).map_err(unusable)?;
    write!(file, "{}", std::process::id()).map_err(unusable)?;
    Ok(file)
}

fn database_error(folder: &Path, error: rusqlite::Error) -> LedgerError {
    let path = folder.display().to_string();
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => LedgerError::DiskFull { path },
        Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt) => LedgerError::Database {
            path,
            reason: format!(
                "{error}. Its file is damaged: restore it, or move it away to start anew, which reads the last days again"
            ),
        },
        _ => LedgerError::Database { path, reason: error.to_string() },
    }
}

/// SQLite's integers are signed; times and counts stay far below the bound.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

#[cfg(test)]
mod tests;
