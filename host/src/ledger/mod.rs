//! The durable memory of a collection: states, pending splits, delivered keys, coverage, dead letters, sink positions.
//!
//! The invariant: what a sink has not confirmed is not in here. [`Ledger::discovered`] stores new splits and the state
//! they came with in one transaction; [`Ledger::commit`] stores the progress of splits, the keys of their records, the
//! counts and the positions of the sinks in another one. Only `pipeline/` calls the two.

mod claims;
mod coverage;
mod dead_letters;
mod drift;
mod key_runs;
mod keys;
mod lost;
mod place;
mod report;
mod schema;
mod sinks;
mod suspects;
mod untold;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension as _, params};

pub use claims::{Claim, ClaimKind, Horizon};
pub use dead_letters::{DeadLetter, LetterFilter, LetterGroup, Replayed, StoredLetter};
pub use drift::{DriftRow, kind_name, read_drift};
pub use keys::{Key, KeyHash, KeyReader};
pub use lost::{LostPiece, OversizedRecord};
pub use report::{Coverage, Gap, Late, Listed, StreamCoverage, Stretch};
pub use sinks::SinkMark;
pub use suspects::SuspectNote;
pub use untold::Untold;

use key_runs::KeyIndex;
use place::Place;

use crate::guest::{Discovery, Loss, Split, Unknown};

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
    /// Its file was deleted or replaced while it was in use.
    #[error(
        "The ledger in {path} was {what} by somebody else while it was in use. Nothing more is collected, since nothing could be remembered. {mend}"
    )]
    TakenAway {
        /// The folder.
        path: String,
        /// `deleted` or `replaced`.
        what: &'static str,
        /// What to do.
        mend: &'static str,
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
    /// There is no room for further dead letters.
    #[error(
        "The dead letters in {path} are full: they take {used} of {limit} bytes, there is no room for the next ones, and a record that can't be delivered would have to be thrown away. Nothing is lost: stop, look at them with `m365-pipe dead-letters`, replay or drop them, or raise `dead_letters.max_bytes`, and start again."
    )]
    LettersFull {
        /// The folder.
        path: String,
        /// What they take, in bytes.
        used: u64,
        /// What they may take.
        limit: u64,
    },
    /// SQLite failed in another way.
    #[error("The ledger in {path} failed: {reason}.")]
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
    /// If the service said that it isn't there.
    pub claim: Option<Claim>,
}

impl PendingSplit {
    /// A split that was just listed.
    pub fn new(split: Split) -> Self {
        Self { split, resume: None, attempts: 0, not_before: 0, claim: None }
    }
}

/// How far a split has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Delivered up to here.
    Resume(Option<String>),
    /// Delivered to its end.
    Done,
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
    /// What the plugin didn't know in the records.
    pub unknown: Vec<Unknown>,
    /// What of the split the plugin passed over, since it can't be read.
    pub losses: Vec<Loss>,
}

/// The store. Shared between threads; writing is one at a time.
#[derive(Debug)]
pub struct Ledger {
    folder: PathBuf,
    connection: Mutex<Connection>,
    /// What the dead letters take, in bytes, what they may take, and whether a warning was given.
    letter_bytes: AtomicU64,
    letter_limit: AtomicU64,
    letters_warned: AtomicBool,
    keys: Arc<KeyIndex>,
    /// Held for as long as the ledger is open, and left after the connections.
    place: Place,
}

impl Ledger {
    /// Opens the ledger in a folder, and makes both if they aren't there. `identity` names the tenant and the plugin: a
    /// ledger of another identity is refused, since its positions would mean something else.
    ///
    /// # Errors
    /// If the folder can't be used, is in use, or belongs to something else.
    pub fn open(folder: &Path, identity: &str) -> Result<Self, LedgerError> {
        Self::open_as(folder, Some(identity))
    }

    /// Opens a ledger that is there, whoever it belongs to, for a look at it from outside.
    ///
    /// # Errors
    /// If there is none, or it is in use.
    pub fn open_existing(folder: &Path) -> Result<Self, LedgerError> {
        if !folder.join(place::FILE).exists() {
            return Err(LedgerError::Unusable {
                path: folder.display().to_string(),
                reason: "there is no ledger in it yet".to_owned(),
            });
        }
        Self::open_as(folder, None)
    }

    fn open_as(folder: &Path, identity: Option<&str>) -> Result<Self, LedgerError> {
        let place = Place::take(folder)?;
        let database = |error| database_error(folder, error);
        let mut connection = connect(folder).map_err(database)?;
        schema::prepare(&connection, identity).map_err(|error| match error {
            schema::PrepareError::Database(error) => database_error(folder, error),
            schema::PrepareError::Foreign(text) => LedgerError::Foreign(format!("{}: {text}", folder.display())),
        })?;
        let letter_bytes = dead_letters::total(&connection).map_err(database)?;
        let keys = KeyIndex::load(&connection).map_err(database)?;
        keys.take_over(&mut connection).map_err(database)?;
        Ok(Self {
            folder: folder.to_owned(),
            connection: Mutex::new(connection),
            letter_bytes: AtomicU64::new(letter_bytes),
            letter_limit: AtomicU64::new(u64::MAX),
            letters_warned: AtomicBool::new(false),
            keys: Arc::new(keys),
            place,
        })
    }

    /// Whose ledger it is: the tenant and the plugin.
    ///
    /// # Errors
    /// If SQLite fails.
    pub fn identity(&self) -> Result<String, LedgerError> {
        self.connection()
            .query_row("SELECT tenant_and_plugin FROM identity", [], |row| row.get(0))
            .optional()
            .map(Option::unwrap_or_default)
            .map_err(|error| self.error(error))
    }

    /// A connection for looking up keys, for one thread.
    ///
    /// # Errors
    /// If SQLite can't open another connection.
    pub fn key_reader(&self) -> Result<KeyReader, LedgerError> {
        let reader = || KeyReader::new(connect(&self.folder)?, self.keys.clone(), &self.folder);
        reader().map_err(|error| self.error(error))
    }

    /// How keys of this ledger are made.
    ///
    /// # Errors
    /// If SQLite fails.
    pub fn key_hash(&self) -> Result<KeyHash, LedgerError> {
        KeyHash::load(&self.connection()).map_err(|error| self.error(error))
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

    /// Stores what a discovery found: new splits, the stream's next state, what was listed and what is lost, in one
    /// transaction. Splits that were read before are left alone, and so are pending ones, unless the payload is another
    /// now: the service may have it right this time, so such a split begins anew. What was lost and is listed again is
    /// pending again, after a pause that grows each time. Returns the splits to take up.
    ///
    /// # Errors
    /// If SQLite fails; then nothing is stored.
    pub fn discovered(&self, stream: &str, found: &Discovery, now_ms: u64) -> Result<Vec<Split>, LedgerError> {
        let mut connection = self.connection();
        self.place.check(&connection)?;
        let mut store = || -> rusqlite::Result<Vec<Split>> {
            let transaction = connection.transaction()?;
            let mut new = Vec::new();
            {
                let mut known =
                    transaction.prepare_cached("SELECT 1 FROM read_splits WHERE stream = ?1 AND id = ?2")?;
                let mut insert = transaction.prepare_cached(
                    "INSERT OR IGNORE INTO splits (stream, id, payload, arrival, expires) VALUES (?1, ?2, ?3, ?4, ?5)",
                )?;
                let mut renew = transaction.prepare_cached(
                    "UPDATE splits SET payload = ?3, resume = NULL, attempts = 0, not_before = 0, last_error = NULL, claims = 0
                     WHERE stream = ?1 AND id = ?2 AND payload <> ?3",
                )?;
                let any_lost = lost::any(&transaction, stream)?;
                for split in &found.splits {
                    if known.exists(params![stream, split.id])? {
                        if any_lost && lost::listed_again(&transaction, split, now_ms)? {
                            new.push(split.clone());
                        }
                        continue;
                    }
                    let values =
                        params![stream, split.id, split.payload, signed(split.arrival), split.expires.map(signed)];
                    if insert.execute(values)? > 0 {
                        coverage::found(&transaction, split, &found.pass, now_ms)?;
                        new.push(split.clone());
                    } else if renew.execute(params![stream, split.id, split.payload])? > 0 {
                        new.push(split.clone());
                    }
                }
                let kept = |split: &Split| split.expires.map(|expires| expires.saturating_sub(split.arrival));
                let reach = found.splits.iter().filter_map(kept).min();
                transaction.execute(
                    "INSERT INTO streams (stream, state, listed_at, reach) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (stream) DO UPDATE SET state = excluded.state, listed_at = excluded.listed_at,
                       reach = coalesce(excluded.reach, reach)",
                    params![stream, found.state, signed(now_ms), reach.map(signed)],
                )?;
                for interval in &found.coverage {
                    coverage::listed(&transaction, stream, &found.pass, *interval, now_ms)?;
                }
                for (interval, reason) in &found.lost {
                    coverage::gap(&transaction, stream, *interval, "unlisted", reason, now_ms)?;
                }
                if let Some(sealed) = found.sealed {
                    coverage::seal(&transaction, stream, sealed, now_ms)?;
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
                "SELECT stream, id, payload, arrival, expires, resume, attempts, not_before, claims, claimed_at, claim_code,
                   last_error, unreadable
                 FROM splits ORDER BY arrival, stream, id",
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
                    claim: match row.get(8)? {
                        0 => None,
                        answers => Some(Claim {
                            kind: if row.get(12)? { ClaimKind::Unreadable } else { ClaimKind::Missing },
                            answers,
                            first: row.get::<_, Option<i64>>(9)?.map(unsigned).unwrap_or_default(),
                            code: row.get::<_, Option<String>>(10)?.unwrap_or_default(),
                            reason: row.get::<_, Option<String>>(11)?.unwrap_or_default(),
                        }),
                    },
                })
            })?;
            rows.filter(|row| row.as_ref().map_or(true, |pending| streams.contains(&pending.split.stream))).collect()
        };
        read().map_err(|error| self.error(error))
    }

    /// Stores what was delivered, what was passed over, and what it changed for the sinks, in one transaction. Returns how
    /// many losses of each chunk are new.
    ///
    /// # Errors
    /// If SQLite fails; then nothing is stored, and what was delivered is delivered again after a restart.
    pub fn commit(&self, delivered: &[Delivered], marks: &[SinkMark], now_ms: u64) -> Result<Vec<u64>, LedgerError> {
        let mut connection = self.connection();
        self.place.check(&connection)?;
        let mut store = || -> rusqlite::Result<(u64, Vec<u64>)> {
            let transaction = connection.transaction()?;
            let mut letter_bytes = 0;
            let mut lost = Vec::with_capacity(delivered.len());
            for chunk in delivered {
                let (letters, losses) = commit_chunk(&transaction, chunk, now_ms)?;
                letter_bytes += letters;
                lost.push(losses);
            }
            for mark in marks {
                sinks::store(&transaction, mark)?;
            }
            let keys = delivered.iter().flat_map(|chunk| chunk.keys.iter().map(|key| (*key, chunk.arrival)));
            let change = self.keys.insert(&transaction, keys)?;
            self.keys.commit(transaction, change)?;
            Ok((letter_bytes, lost))
        };
        let (letter_bytes, lost) = store().map_err(|error| self.error(error))?;
        self.letters_grew(letter_bytes);
        Ok(lost)
    }

    /// Looks whether the ledger's file is still where it was.
    ///
    /// # Errors
    /// If somebody took it away.
    pub fn check_place(&self) -> Result<(), LedgerError> {
        self.place.check(&self.connection())
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

    /// Forgets keys and read splits from before a point on the arrival clock, keys by whole days, and makes coverage
    /// compact.
    ///
    /// # Errors
    /// If SQLite fails.
    pub fn forget_before(&self, arrival: u64, now_ms: u64) -> Result<(), LedgerError> {
        let mut connection = self.connection();
        let mut forget = || -> rusqlite::Result<()> {
            let transaction = connection.transaction()?;
            transaction.execute("DELETE FROM read_splits WHERE arrival < ?1", [signed(arrival)])?;
            coverage::compact(&transaction, now_ms)?;
            lost::forget(&transaction, now_ms)?;
            let change = self.keys.forget_before(&transaction, arrival)?;
            self.keys.commit(transaction, change)
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

/// Returns what new dead letters take, in bytes, and how many losses are new.
fn commit_chunk(
    transaction: &rusqlite::Transaction<'_>,
    chunk: &Delivered,
    now_ms: u64,
) -> rusqlite::Result<(u64, u64)> {
    let mut letter_bytes = 0;
    for letter in &chunk.dead_letters {
        letter_bytes += dead_letters::store(transaction, &chunk.stream, chunk.arrival, letter, now_ms)?;
    }
    coverage::delivered(transaction, &chunk.stream, &chunk.split, chunk.arrival, &chunk.counts)?;
    // Before the split is finished: its payload is kept with what is lost of it.
    let lost = lost::parts(transaction, (&chunk.stream, &chunk.split, chunk.arrival), &chunk.losses, now_ms)?;
    match &chunk.progress {
        Progress::Done => {
            finish_split(transaction, &chunk.stream, &chunk.split, chunk.arrival)?;
            lost::read(transaction, &chunk.stream, &chunk.split)?;
            transaction
                .prepare_cached("UPDATE streams SET read_at = ?2 WHERE stream = ?1")?
                .execute(params![chunk.stream, signed(now_ms)])?;
        }
        Progress::Resume(resume) => {
            transaction
                .prepare_cached(
                    "UPDATE splits SET attempts = CASE WHEN ?4 AND resume IS NOT ?3 THEN 0 ELSE attempts END, resume = ?3,
                            claims = CASE WHEN ?4 AND (NOT unreadable OR resume IS NOT ?3) THEN 0 ELSE claims END
                     WHERE stream = ?1 AND id = ?2",
                )?
                .execute(params![
                    chunk.stream,
                    chunk.split,
                    resume,
                    chunk.counts.records > chunk.counts.duplicates
                ])?;
        }
    }
    add_counts(transaction, &chunk.stream, &Counts { lost: chunk.counts.lost + lost, ..chunk.counts })?;
    drift::store(transaction, &chunk.stream, &chunk.unknown, now_ms)?;
    Ok((letter_bytes, lost))
}

fn finish_split(
    transaction: &rusqlite::Transaction<'_>,
    stream: &str,
    split: &str,
    arrival: u64,
) -> rusqlite::Result<()> {
    transaction.prepare_cached("DELETE FROM splits WHERE stream = ?1 AND id = ?2")?.execute(params![stream, split])?;
    coverage::finished(transaction, stream, split)?;
    transaction
        .prepare_cached("INSERT OR IGNORE INTO read_splits (stream, id, arrival) VALUES (?1, ?2, ?3)")?
        .execute(params![stream, split, signed(arrival)])?;
    suspects::clear(transaction, stream, split)
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
    let connection = Connection::open(folder.join(place::FILE))?;
    connection.busy_timeout(std::time::Duration::from_secs(30))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // In KiB. There is a connection for each reader, and what they ask for is seldom asked for twice.
    connection.pragma_update(None, "cache_size", -1024)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
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
        Some(rusqlite::ErrorCode::CannotOpen) => LedgerError::Database {
            path,
            reason: format!(
                "{error}. Its file and folder have to be writable, and the limit on open files (`ulimit -n`) high enough"
            ),
        },
        // Whatever it is, what isn't committed is collected again.
        Some(rusqlite::ErrorCode::SystemIoFailure) => LedgerError::Database {
            path,
            reason: format!(
                "{error}. Nothing is lost: look at its disk and at the limit on the size of files, what isn't stored yet is stored once that works"
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
