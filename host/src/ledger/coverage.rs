//! What was listed of each stream's arrival clock, by which passes, what was found, and what is lost: the writing side.
//!
//! The invariant: the number of rows stays bounded, however long a collection runs. Listed stretches are merged, counts are
//! kept by hour and later by day, losses of one reason are gathered by the hour, and lateness is a histogram.

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::{Counts, signed, unsigned};
use crate::guest::{Interval, Split};

pub(super) const TABLES: &str = "
-- Stretches of the arrival clock that were listed, by the pass that listed them last; merged. Milliseconds since 1970.
CREATE TABLE IF NOT EXISTS listed (
  stream TEXT NOT NULL, pass TEXT NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY (stream, pass, start)
) WITHOUT ROWID;
-- Before which point every pass is done.
CREATE TABLE IF NOT EXISTS seals (stream TEXT PRIMARY KEY, sealed INTEGER NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID;
-- What was found, by the hour of the arrival clock, and by the day once that is sealed and some days old.
CREATE TABLE IF NOT EXISTS arrivals (
  stream TEXT NOT NULL, start INTEGER NOT NULL, length INTEGER NOT NULL,
  splits INTEGER NOT NULL DEFAULT 0, records INTEGER NOT NULL DEFAULT 0, duplicates INTEGER NOT NULL DEFAULT 0,
  rejected INTEGER NOT NULL DEFAULT 0, lost INTEGER NOT NULL DEFAULT 0, late INTEGER NOT NULL DEFAULT 0,
  sealed_at INTEGER, PRIMARY KEY (stream, start)
) WITHOUT ROWID;
-- Splits that are pending and were found in a stretch that had been listed before.
CREATE TABLE IF NOT EXISTS late_splits (
  stream TEXT NOT NULL, id TEXT NOT NULL, pass TEXT NOT NULL, lateness INTEGER NOT NULL, PRIMARY KEY (stream, id)
) WITHOUT ROWID;
-- How late records were found, by pass: a histogram over quarters of a power of two, of seconds.
CREATE TABLE IF NOT EXISTS lateness (
  stream TEXT NOT NULL, pass TEXT NOT NULL, bin INTEGER NOT NULL, records INTEGER NOT NULL, longest INTEGER NOT NULL,
  PRIMARY KEY (stream, pass, bin)
) WITHOUT ROWID;
-- Stretches and pieces that can't be read any more.
CREATE TABLE IF NOT EXISTS declared_gaps (
  id INTEGER PRIMARY KEY, stream TEXT NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL, code TEXT NOT NULL,
  reason TEXT NOT NULL, pieces INTEGER NOT NULL, first_at INTEGER NOT NULL, last_at INTEGER NOT NULL,
  -- Whether it was delivered as an event, as it is now.
  told INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS declared_gaps_by_stream ON declared_gaps (stream, end);
";

const HOUR: u64 = 60 * 60 * 1000;
const DAY: u64 = 24 * HOUR;
/// For how many days counts are kept by the hour.
const HOURS_KEPT: u64 = 3;
/// Counts older than this become days whether or not they are sealed: a stream that stays blocked must not pile up hours.
const HOURS_AT_MOST: u64 = 14;
/// For how many days counts, listed stretches and gaps are kept at all.
const DAYS_KEPT: u64 = 400;

/// Brings coverage and gaps of a ledger of the first format along.
pub(super) fn take_over(connection: &Connection) -> rusqlite::Result<()> {
    let there = |table: &str| {
        connection
            .query_row("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1", [table], |_| Ok(()))
            .optional()
            .map(|row| row.is_some())
    };
    if there("coverage")? {
        let rows = connection
            .prepare("SELECT stream, start, end, at FROM coverage ORDER BY start")?
            .query_map([], |row| {
                let interval = Interval { start: unsigned(row.get(1)?), end: unsigned(row.get(2)?) };
                Ok((row.get::<_, String>(0)?, interval, unsigned(row.get(3)?)))
            })?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        for (stream, interval, at) in rows {
            listed(connection, &stream, "live", interval, at)?;
        }
        connection.execute_batch("DROP TABLE coverage")?;
    }
    if there("gaps")? {
        connection.execute_batch(
            "INSERT INTO declared_gaps (stream, start, end, code, reason, pieces, first_at, last_at)
             SELECT stream, start, end, 'gap', reason, start = end, at, at FROM gaps;
             DROP TABLE gaps;",
        )?;
    }
    Ok(())
}

/// Adds a listed stretch, merged with those that it touches.
pub(super) fn listed(
    connection: &Connection,
    stream: &str,
    pass: &str,
    interval: Interval,
    now: u64,
) -> rusqlite::Result<()> {
    let (start, end) = (signed(interval.start), signed(interval.end));
    let touching = "FROM listed WHERE stream = ?1 AND pass = ?2 AND start <= ?4 AND end >= ?3";
    let (first, last): (Option<i64>, Option<i64>) = connection
        .prepare_cached(&format!("SELECT min(start), max(end) {touching}"))?
        .query_row(params![stream, pass, start, end], |row| Ok((row.get(0)?, row.get(1)?)))?;
    connection.prepare_cached(&format!("DELETE {touching}"))?.execute(params![stream, pass, start, end])?;
    let start = first.map_or(start, |first| first.min(start));
    let end = last.map_or(end, |last| last.max(end));
    connection
        .prepare_cached("INSERT INTO listed (stream, pass, start, end, at) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![stream, pass, start, end, signed(now)])?;
    Ok(())
}

/// Counts a new split, and notes if it was found late: in a stretch that had been listed before this discovery.
pub(super) fn found(transaction: &Transaction<'_>, split: &Split, pass: &str, now: u64) -> rusqlite::Result<()> {
    let (stream, arrival) = (&split.stream, signed(split.arrival));
    let late = transaction
        .prepare_cached("SELECT 1 FROM listed WHERE stream = ?1 AND start <= ?2 AND end > ?2")?
        .exists(params![stream, arrival])?;
    if late {
        transaction
            .prepare_cached("INSERT OR REPLACE INTO late_splits (stream, id, pass, lateness) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![stream, split.id, pass, signed(now.saturating_sub(split.arrival))])?;
    }
    add(transaction, stream, split.arrival, &Arrived { splits: 1, ..Arrived::default() })
}

/// Every pass is done before `sealed`.
pub(super) fn seal(transaction: &Transaction<'_>, stream: &str, sealed: u64, now: u64) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO seals (stream, sealed, at) VALUES (?1, ?2, ?3)
             ON CONFLICT (stream) DO UPDATE SET sealed = excluded.sealed, at = excluded.at WHERE excluded.sealed > sealed",
        )?
        .execute(params![stream, signed(sealed), signed(now)])?;
    transaction
        .prepare_cached(
            "UPDATE arrivals SET sealed_at = ?3 WHERE stream = ?1 AND sealed_at IS NULL AND start + length <= ?2",
        )?
        .execute(params![stream, signed(sealed), signed(now)])?;
    Ok(())
}

/// Counts what a chunk of a split delivered.
pub(super) fn delivered(
    transaction: &Transaction<'_>,
    stream: &str,
    split: &str,
    arrival: u64,
    counts: &Counts,
) -> rusqlite::Result<()> {
    let new = counts.records - counts.duplicates;
    let mut late = 0;
    if new > 0 {
        let found: Option<(String, i64)> = transaction
            .prepare_cached("SELECT pass, lateness FROM late_splits WHERE stream = ?1 AND id = ?2")?
            .query_row(params![stream, split], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        if let Some((pass, lateness)) = found {
            late = new;
            transaction
                .prepare_cached(
                    "INSERT INTO lateness (stream, pass, bin, records, longest) VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT (stream, pass, bin) DO UPDATE SET
                       records = records + excluded.records, longest = max(longest, excluded.longest)",
                )?
                .execute(params![stream, pass, bin(unsigned(lateness)), signed(new), lateness])?;
        }
    }
    let arrived = Arrived {
        records: counts.records,
        duplicates: counts.duplicates,
        rejected: counts.rejected,
        late,
        ..Arrived::default()
    };
    add(transaction, stream, arrival, &arrived)
}

/// A split is read to its end or lost: whether it was late is of no more use.
pub(super) fn finished(transaction: &Transaction<'_>, stream: &str, split: &str) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("DELETE FROM late_splits WHERE stream = ?1 AND id = ?2")?
        .execute(params![stream, split])?;
    Ok(())
}

/// A stretch of a stream that can't be read any more.
pub(super) fn gap(
    transaction: &Transaction<'_>,
    stream: &str,
    interval: Interval,
    code: &str,
    reason: &str,
    now: u64,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO declared_gaps (stream, start, end, code, reason, pieces, first_at, last_at)
             VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, ?6)",
        )?
        .execute(params![stream, signed(interval.start), signed(interval.end), code, reason, signed(now)])?;
    Ok(())
}

/// A piece that can't be read any more, or a part of one, with its stretch of the clock. Losses of one kind within an hour of
/// each other become one gap, with the reason of the first. Returns the gap's number.
pub(super) fn lost(
    transaction: &Transaction<'_>,
    stream: &str,
    at: Interval,
    code: &str,
    reason: &str,
    now: u64,
) -> rusqlite::Result<i64> {
    let (start, end, now) = (signed(at.start), signed(at.end), signed(now));
    let near: Option<i64> = transaction
        .prepare_cached(
            "SELECT id FROM declared_gaps WHERE stream = ?1 AND code = ?2 AND pieces > 0 AND start >= ?3 - ?5 AND end <= ?4 + ?5
                    AND max(end, ?4) - min(start, ?3) <= ?5 LIMIT 1",
        )?
        .query_row(params![stream, code, start, end, signed(HOUR)], |row| row.get(0))
        .optional()?;
    let gap = match near {
        Some(id) => {
            transaction
                .prepare_cached(
                    "UPDATE declared_gaps SET start = min(start, ?2), end = max(end, ?3), pieces = pieces + 1, last_at = ?4, told = 0
                     WHERE id = ?1",
                )?
                .execute(params![id, start, end, now])?;
            id
        }
        None => {
            transaction
                .prepare_cached(
                    "INSERT INTO declared_gaps (stream, start, end, code, reason, pieces, first_at, last_at)
                     VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6, ?6)",
                )?
                .execute(params![stream, start, end, code, reason, now])?;
            transaction.last_insert_rowid()
        }
    };
    add(transaction, stream, at.start, &Arrived { lost: 1, ..Arrived::default() })?;
    Ok(gap)
}

/// A loss of a gap is to be read again: it leaves the gap and the counts.
pub(super) fn found_again(transaction: &Transaction<'_>, stream: &str, start: u64, gap: i64) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("UPDATE declared_gaps SET pieces = pieces - 1 WHERE id = ?1 AND pieces > 0")?
        .execute([gap])?;
    // A gap without pieces is otherwise one that couldn't be listed, and no loss has the number of such a gap.
    transaction.prepare_cached("DELETE FROM declared_gaps WHERE id = ?1 AND pieces = 0")?.execute([gap])?;
    transaction
        .prepare_cached(
            "UPDATE arrivals SET lost = max(lost - 1, 0)
             WHERE stream = ?1 AND start = (SELECT max(start) FROM arrivals WHERE stream = ?1 AND start <= ?2)
               AND start + length > ?2",
        )?
        .execute(params![stream, signed(start)])
        .map(drop)
}

/// Counts to add to an hour.
#[derive(Default)]
struct Arrived {
    splits: u64,
    records: u64,
    duplicates: u64,
    rejected: u64,
    lost: u64,
    late: u64,
}

fn add(transaction: &Transaction<'_>, stream: &str, arrival: u64, arrived: &Arrived) -> rusqlite::Result<()> {
    let Arrived { splits, records, duplicates, rejected, lost, late } = *arrived;
    let [splits, records, duplicates, rejected, lost, late] =
        [splits, records, duplicates, rejected, lost, late].map(signed);
    let hour = signed(arrival - arrival % HOUR);
    // An hour of a day that was put together already belongs to that day.
    let changed = transaction
        .prepare_cached(
            "UPDATE arrivals SET splits = splits + ?3, records = records + ?4, duplicates = duplicates + ?5,
                    rejected = rejected + ?6, lost = lost + ?7, late = late + ?8
             WHERE stream = ?1 AND start = (SELECT max(start) FROM arrivals WHERE stream = ?1 AND start <= ?2)
               AND start + length > ?2",
        )?
        .execute(params![stream, hour, splits, records, duplicates, rejected, lost, late])?;
    if changed == 0 {
        transaction
            .prepare_cached(
                "INSERT INTO arrivals (stream, start, length, splits, records, duplicates, rejected, lost, late)
                 VALUES (?1, ?2, ?9, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![stream, hour, splits, records, duplicates, rejected, lost, late, signed(HOUR)])?;
    }
    Ok(())
}

/// Makes days of hours that are old enough, and forgets what is older than is kept.
pub(super) fn compact(transaction: &Transaction<'_>, now: u64) -> rusqlite::Result<()> {
    let day = |days: u64| {
        let at = now.saturating_sub(days * DAY);
        signed(at - at % DAY)
    };
    let old = "length < ?1 AND start < ?2 AND (sealed_at IS NOT NULL OR start < ?3)";
    let kept = params![signed(DAY), day(HOURS_KEPT), day(HOURS_AT_MOST)];
    transaction.execute_batch("CREATE TEMP TABLE IF NOT EXISTS days AS SELECT * FROM arrivals LIMIT 0")?;
    transaction.execute(
        &format!(
            "INSERT INTO temp.days SELECT stream, start - start % ?1, ?1, sum(splits), sum(records), sum(duplicates), sum(rejected),
                    sum(lost), sum(late), max(sealed_at)
             FROM arrivals WHERE {old} GROUP BY stream, start / ?1"
        ),
        kept,
    )?;
    transaction.execute(&format!("DELETE FROM arrivals WHERE {old}"), kept)?;
    // Part of the day may be a day already.
    transaction.execute_batch(
        "INSERT INTO arrivals SELECT * FROM temp.days WHERE true
         ON CONFLICT (stream, start) DO UPDATE SET length = excluded.length,
           splits = splits + excluded.splits, records = records + excluded.records,
           duplicates = duplicates + excluded.duplicates, rejected = rejected + excluded.rejected,
           lost = lost + excluded.lost, late = late + excluded.late, sealed_at = max(sealed_at, excluded.sealed_at);
         DELETE FROM temp.days;",
    )?;
    for sql in [
        "DELETE FROM arrivals WHERE start < ?1",
        "DELETE FROM listed WHERE end < ?1",
        "DELETE FROM declared_gaps WHERE end < ?1",
    ] {
        transaction.execute(sql, [day(DAYS_KEPT)])?;
    }
    Ok(())
}

/// The bin of a lateness in milliseconds.
pub(super) fn bin(lateness: u64) -> i64 {
    let seconds = lateness as f64 / 1000.0 + 1.0;
    (4.0 * seconds.log2()).floor() as i64
}

/// The upper bound of a bin, in milliseconds.
pub(super) fn bin_end(bin: i64) -> u64 {
    (((bin + 1) as f64 / 4.0).exp2() * 1000.0) as u64 - 1000
}
