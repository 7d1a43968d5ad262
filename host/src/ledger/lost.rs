//! Pieces that were declared lost, and lost parts of pieces, each with what it takes to read it again.
//!
//! The invariant: a row belongs to a declared gap and was counted in the same transaction. What is put back leaves its gap and
//! the counts again. The rows of a stream are bounded; the oldest go first, and their gaps stay.

use std::time::Duration;

use rusqlite::{OptionalExtension as _, Transaction, params};
use serde::Serialize;

use super::{Counts, Ledger, LedgerError, add_counts, coverage, signed, unsigned};
use crate::claims::is_due;
use crate::guest::{Interval, Loss, Split};

pub(super) const TABLES: &str = "
-- What is lost (`lost` = 1), and what was and waits to be read again. `part` is empty for a whole split.
CREATE TABLE IF NOT EXISTS lost_pieces (
  id INTEGER PRIMARY KEY, stream TEXT NOT NULL, split TEXT NOT NULL, part TEXT NOT NULL,
  payload TEXT NOT NULL, arrival INTEGER NOT NULL, expires INTEGER, start INTEGER NOT NULL, end INTEGER NOT NULL,
  code TEXT NOT NULL, reason TEXT NOT NULL, lost_at INTEGER NOT NULL, lost INTEGER NOT NULL DEFAULT 1,
  -- How often it was put back, and the gap that it is counted in.
  back INTEGER NOT NULL DEFAULT 0, gap INTEGER NOT NULL,
  -- Of a record over the limit.
  bytes INTEGER, sha256 TEXT, head BLOB, limit_mib INTEGER,
  UNIQUE (stream, split, part)
);
";

/// So many are kept of a stream.
const KEPT: i64 = 10_000;
/// For how long they are kept, in milliseconds: as long as their gaps.
const KEPT_MS: u64 = 400 * 24 * 60 * 60 * 1000;
/// What is listed again after its loss is read again after this time, in milliseconds; each further time after twice as long …
const FIRST_PAUSE: u64 = 10 * 60 * 1000;
/// … but not after more than this.
const LONGEST_PAUSE: u64 = 24 * 60 * 60 * 1000;

/// A lost piece, or a lost part of one. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LostPiece {
    /// Its number.
    pub id: i64,
    /// The stream.
    pub stream: String,
    /// The split's id.
    pub split: String,
    /// Whether it is the whole split.
    pub whole: bool,
    /// The split's place on the arrival clock.
    #[serde(rename = "arrival_ms")]
    pub arrival: u64,
    /// When the service stops keeping it, if known.
    #[serde(rename = "expires_ms")]
    pub expires: Option<u64>,
    /// The stretch of the arrival clock that is missing; a point where it is a piece that arrived then.
    #[serde(rename = "start_ms")]
    pub start: u64,
    /// Where it ends.
    #[serde(rename = "end_ms")]
    pub end: u64,
    /// A short stable word.
    pub code: String,
    /// Why, in a sentence.
    pub reason: String,
    /// When it was declared lost.
    #[serde(rename = "lost_ms")]
    pub lost_at: u64,
    /// The record, if it was one over the limit.
    pub oversized: Option<OversizedRecord>,
}

/// A record over the limit on its size, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OversizedRecord {
    /// Its size.
    pub bytes: u64,
    /// The SHA-256 of its bytes, in hexadecimal digits.
    pub sha256: String,
    /// How it begins.
    pub head: String,
    /// The limit that would read it, in MiB.
    pub limit_mib: u32,
}

/// Declares a whole split lost.
pub(super) fn whole(
    transaction: &Transaction<'_>,
    split: &Split,
    code: &str,
    reason: &str,
    now: u64,
) -> rusqlite::Result<()> {
    let at = Interval { start: split.arrival, end: split.arrival };
    let gap = coverage::lost(transaction, &split.stream, at, code, &format!("{}: {reason}", split.id), now)?;
    transaction
        .prepare_cached(
            "INSERT INTO lost_pieces (stream, split, part, payload, arrival, expires, start, end, code, reason, lost_at, gap)
             VALUES (?1, ?2, '', ?3, ?4, ?5, ?4, ?4, ?6, ?7, ?8, ?9)
             ON CONFLICT (stream, split, part) DO UPDATE SET payload = excluded.payload, expires = excluded.expires,
               code = excluded.code, reason = excluded.reason, lost_at = excluded.lost_at, gap = excluded.gap, lost = 1",
        )?
        .execute(params![
            split.stream,
            split.id,
            split.payload,
            signed(split.arrival),
            split.expires.map(signed),
            code,
            reason,
            signed(now),
            gap
        ])?;
    bound(transaction, &split.stream)
}

/// Declares parts of a pending split lost. Says how many are new: a split that is read again may tell of them again.
pub(super) fn parts(
    transaction: &Transaction<'_>,
    (stream, split, arrival): (&str, &str, u64),
    losses: &[Loss],
    now: u64,
) -> rusqlite::Result<u64> {
    let mut new = 0;
    for loss in losses {
        let part = part(loss);
        // A later pass over the same time is another split, and loses the same once more.
        let anywhere = loss.oversized.is_some() || loss.stretch.is_some();
        let known = transaction
            .prepare_cached(
                "SELECT 1 FROM lost_pieces WHERE stream = ?1 AND part = ?3 AND (split = ?2 OR (?4 AND lost = 1))",
            )?
            .exists(params![stream, split, part, anywhere])?;
        if known {
            continue;
        }
        new += 1;
        let at = loss.stretch.unwrap_or(Interval { start: arrival, end: arrival });
        let gap = coverage::lost(transaction, stream, at, &loss.code, &loss.message, now)?;
        let (payload, expires): (String, Option<i64>) = transaction
            .prepare_cached("SELECT payload, expires FROM splits WHERE stream = ?1 AND id = ?2")?
            .query_row(params![stream, split], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?
            .unwrap_or_default();
        let record = loss.oversized.as_ref();
        transaction
            .prepare_cached(
                "INSERT INTO lost_pieces (stream, split, part, payload, arrival, expires, start, end, code, reason, lost_at, gap,
                   bytes, sha256, head, limit_mib)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
            )?
            .execute(params![
                stream,
                split,
                part,
                payload,
                signed(arrival),
                expires,
                signed(at.start),
                signed(at.end),
                loss.code,
                loss.message,
                signed(now),
                gap,
                record.map(|record| signed(record.bytes)),
                record.map(|record| &record.sha256),
                record.map(|record| &record.head),
                record.map(|record| record.limit_mib)
            ])?;
        bound(transaction, stream)?;
    }
    Ok(new)
}

/// What names a part within its split, however often that is read: its bytes or its stretch. A message may name a request.
fn part(loss: &Loss) -> String {
    let place = match (&loss.oversized, loss.stretch) {
        (Some(record), _) => record.sha256.clone(),
        (None, Some(stretch)) => format!("{} {}", stretch.start, stretch.end),
        (None, None) => loss.message.clone(),
    };
    blake3::hash(format!("{} {place}", loss.code).as_bytes()).to_hex()[..32].to_owned()
}

/// Keeps the rows of a stream bounded. Looks now and then only.
fn bound(transaction: &Transaction<'_>, stream: &str) -> rusqlite::Result<()> {
    if transaction.last_insert_rowid() % 100 != 0 {
        return Ok(());
    }
    transaction
        .prepare_cached(
            "DELETE FROM lost_pieces WHERE id IN
               (SELECT id FROM lost_pieces WHERE stream = ?1 ORDER BY lost_at DESC, id DESC LIMIT -1 OFFSET ?2)",
        )?
        .execute(params![stream, KEPT])
        .map(drop)
}

/// Forgets what is as old as gaps get.
pub(super) fn forget(transaction: &Transaction<'_>, now: u64) -> rusqlite::Result<()> {
    transaction.execute("DELETE FROM lost_pieces WHERE lost_at < ?1", [signed(now.saturating_sub(KEPT_MS))]).map(drop)
}

/// A split was read to its end: what was lost of the whole of it isn't any more.
pub(super) fn read(transaction: &Transaction<'_>, stream: &str, split: &str) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("DELETE FROM lost_pieces WHERE stream = ?1 AND split = ?2 AND lost = 0")?
        .execute(params![stream, split])
        .map(drop)
}

/// Whether a stream has lost pieces at all.
pub(super) fn any(transaction: &Transaction<'_>, stream: &str) -> rusqlite::Result<bool> {
    transaction
        .prepare_cached("SELECT 1 FROM lost_pieces WHERE stream = ?1 AND lost = 1 AND part = ''")?
        .exists([stream])
}

/// Puts a split back that was lost as a whole and is listed again, unless it was put back a short time ago. Whether it did.
pub(super) fn listed_again(transaction: &Transaction<'_>, split: &Split, now: u64) -> rusqlite::Result<bool> {
    let row: Option<(i64, u32)> = transaction
        .prepare_cached(
            "SELECT lost_at, back FROM lost_pieces WHERE stream = ?1 AND split = ?2 AND part = '' AND lost = 1",
        )?
        .query_row(params![split.stream, split.id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((lost_at, back)) = row else { return Ok(false) };
    let pause = (FIRST_PAUSE << back.min(16)).min(LONGEST_PAUSE);
    // A time that is further ahead than a pause was noted under another clock.
    if !is_due(unsigned(lost_at).saturating_add(pause), now, Duration::from_millis(2 * LONGEST_PAUSE)) {
        return Ok(false);
    }
    put_back(transaction, &split.stream, &split.id)?;
    // The service may have it right this time.
    transaction
        .prepare_cached("UPDATE splits SET payload = ?3, expires = ?4 WHERE stream = ?1 AND id = ?2")?
        .execute(params![split.stream, split.id, split.payload, split.expires.map(signed)])?;
    Ok(true)
}

/// Makes a split pending anew, with everything that was lost of it.
fn put_back(transaction: &Transaction<'_>, stream: &str, split: &str) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "SELECT payload, arrival, expires, start, gap FROM lost_pieces WHERE stream = ?1 AND split = ?2 AND lost = 1",
    )?;
    let rows = statement
        .query_map(params![stream, split], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))?
        .collect::<rusqlite::Result<Vec<(String, i64, Option<i64>, i64, i64)>>>()?;
    for (payload, arrival, expires, start, gap) in rows {
        transaction
            .prepare_cached(
                "INSERT OR IGNORE INTO splits (stream, id, payload, arrival, expires) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![stream, split, payload, arrival, expires])?;
        coverage::found_again(transaction, stream, unsigned(start), gap)?;
        transaction.prepare_cached("UPDATE counts SET lost = max(lost - 1, 0) WHERE stream = ?1")?.execute([stream])?;
    }
    // One that is being read is read again from its beginning: what was lost lies before its position.
    transaction
        .prepare_cached(
            "UPDATE splits SET resume = NULL, attempts = 0, not_before = 0, claims = 0 WHERE stream = ?1 AND id = ?2",
        )?
        .execute(params![stream, split])?;
    transaction
        .prepare_cached("DELETE FROM read_splits WHERE stream = ?1 AND id = ?2")?
        .execute(params![stream, split])?;
    transaction
        .prepare_cached("DELETE FROM lost_pieces WHERE stream = ?1 AND split = ?2 AND part <> ''")?
        .execute(params![stream, split])?;
    transaction
        .prepare_cached("UPDATE lost_pieces SET lost = 0, back = back + 1 WHERE stream = ?1 AND split = ?2")?
        .execute(params![stream, split])
        .map(drop)
}

impl Ledger {
    /// Declares a split lost: it can't be read any more. It is counted and not tried again until it is put back or listed
    /// again. `code` is a short stable word: losses of one code are gathered.
    ///
    /// # Errors
    /// If SQLite fails.
    pub fn lost(&self, split: &Split, code: &str, reason: &str, now_ms: u64) -> Result<(), LedgerError> {
        let mut connection = self.connection();
        let mut store = || -> rusqlite::Result<()> {
            let transaction = connection.transaction()?;
            whole(&transaction, split, code, reason, now_ms)?;
            super::finish_split(&transaction, &split.stream, &split.id, split.arrival)?;
            add_counts(&transaction, &split.stream, &Counts { lost: 1, ..Counts::default() })?;
            transaction.commit()
        };
        store().map_err(|error| self.error(error))
    }

    /// What is lost now, of a stream or of all, oldest first.
    ///
    /// # Errors
    /// If SQLite fails.
    pub fn lost_pieces(&self, stream: Option<&str>) -> Result<Vec<LostPiece>, LedgerError> {
        let connection = self.connection();
        let read = || -> rusqlite::Result<Vec<LostPiece>> {
            let mut statement = connection.prepare_cached(
                "SELECT id, stream, split, part = '', arrival, expires, start, end, code, reason, lost_at, bytes, sha256, head,
                   limit_mib
                 FROM lost_pieces WHERE lost = 1 AND (?1 IS NULL OR stream = ?1) ORDER BY arrival, stream, id",
            )?;
            let time = |row: &rusqlite::Row<'_>, column: usize| row.get::<_, i64>(column).map(unsigned);
            let rows = statement.query_map([stream], |row| {
                let oversized = match row.get::<_, Option<String>>(12)? {
                    Some(sha256) => Some(OversizedRecord {
                        bytes: time(row, 11)?,
                        sha256,
                        head: String::from_utf8_lossy(&row.get::<_, Vec<u8>>(13)?).into_owned(),
                        limit_mib: row.get(14)?,
                    }),
                    None => None,
                };
                Ok(LostPiece {
                    id: row.get(0)?,
                    stream: row.get(1)?,
                    split: row.get(2)?,
                    whole: row.get(3)?,
                    arrival: time(row, 4)?,
                    expires: row.get::<_, Option<i64>>(5)?.map(unsigned),
                    start: time(row, 6)?,
                    end: time(row, 7)?,
                    code: row.get(8)?,
                    reason: row.get(9)?,
                    lost_at: time(row, 10)?,
                    oversized,
                })
            })?;
            rows.collect()
        };
        read().map_err(|error| self.error(error))
    }

    /// Makes lost pieces pending again. A part of a split takes everything of that split along. Returns the number of splits
    /// that are to be read.
    ///
    /// # Errors
    /// If SQLite fails; then nothing is changed.
    pub fn retry_lost(&self, ids: &[i64]) -> Result<usize, LedgerError> {
        let mut connection = self.connection();
        let mut store = || -> rusqlite::Result<usize> {
            let transaction = connection.transaction()?;
            let mut splits = std::collections::BTreeSet::new();
            for id in ids {
                let split: Option<(String, String)> = transaction
                    .prepare_cached("SELECT stream, split FROM lost_pieces WHERE id = ?1 AND lost = 1")?
                    .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()?;
                splits.extend(split);
            }
            for (stream, split) in &splits {
                put_back(&transaction, stream, split)?;
            }
            transaction.commit()?;
            Ok(splits.len())
        };
        store().map_err(|error| self.error(error))
    }
}
