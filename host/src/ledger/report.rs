//! Coverage as it is read: which stretches of each stream's arrival clock were listed, how often, with what counts, and
//! what is missing.
//!
//! It reads over a connection of its own that can't write, so that it works while a run holds the ledger.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};
use serde::Serialize;

use super::coverage::bin_end;
use super::schema::has_table;
use super::{LedgerError, database_error, signed, unsigned};
use crate::guest::Interval;

/// Coverage of all streams of a ledger. Times are milliseconds since 1970 on the arrival clock, unless named `…_at`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Coverage {
    /// The streams, by name.
    pub streams: BTreeMap<String, StreamCoverage>,
}

/// Coverage of one stream.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct StreamCoverage {
    /// Stretches and pieces that can't be read any more: declared, with their reasons.
    pub gaps: Vec<Gap>,
    /// Stretches between listed ones that were neither listed nor declared. There should be none.
    pub holes: Vec<(u64, u64)>,
    /// When it was last listed, by this machine's clock.
    pub listed_at: Option<u64>,
    /// Everything before it has had every pass.
    pub sealed: Option<u64>,
    /// Pieces that are listed and not read to their end.
    pub open_pieces: u64,
    /// Where the oldest of them lies.
    pub oldest_open: Option<u64>,
    /// Why the last attempt at the oldest one that failed did so.
    pub last_error: Option<String>,
    /// How far each pass has listed.
    pub listed: Vec<Listed>,
    /// The clock in stretches of equal coverage.
    pub stretches: Vec<Stretch>,
    /// How late records were found.
    pub late: Late,
}

/// A stretch or some pieces that are lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// Where it begins.
    pub start: u64,
    /// Where it ends.
    pub end: u64,
    /// A short stable word.
    pub code: String,
    /// Why, in a sentence; for several pieces, of the first.
    pub reason: String,
    /// How many listed pieces were lost; 0 if the stretch couldn't be listed, so that nobody knows.
    pub pieces: u64,
    /// When it was declared first.
    pub first_at: u64,
    /// When it last grew.
    pub last_at: u64,
}

/// What one pass has listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// The pass: `live`, or its age.
    pub pass: String,
    /// Where the stretch begins.
    pub start: u64,
    /// Where it ends.
    pub end: u64,
}

/// A stretch whose every moment was listed by the same passes. Counts are of pieces that arrived in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Stretch {
    /// Where it begins.
    pub start: u64,
    /// Where it ends.
    pub end: u64,
    /// How many different passes have listed it.
    pub passes: u64,
    /// Whether no further pass comes.
    pub sealed: bool,
    /// Pieces found: blobs, or windows.
    pub pieces: u64,
    /// Records read.
    pub records: u64,
    /// Of these, dropped as delivered before.
    pub duplicates: u64,
    /// Of these, put aside as dead letters.
    pub rejected: u64,
    /// Of these, found in a piece that showed up late.
    pub late: u64,
    /// Pieces that were lost.
    pub lost: u64,
}

/// How late records were found that were in no first listing: the time between the arrival of their piece and its
/// discovery. Bounds are those of a histogram, a fifth too high at most.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Late {
    /// How many such records.
    pub records: u64,
    /// Half of them were found within this many milliseconds.
    pub p50_ms: u64,
    /// 95 of 100 were found within this many milliseconds.
    pub p95_ms: u64,
    /// All of them were found within this many milliseconds.
    pub max_ms: u64,
    /// How many each pass found.
    pub by_pass: BTreeMap<String, u64>,
}

impl Coverage {
    /// Reads the coverage of the ledger in a folder, as far as it ends after `since`. None if there is no ledger yet.
    ///
    /// # Errors
    /// If the ledger can't be read.
    pub fn read(folder: &Path, since: u64) -> Result<Option<Self>, LedgerError> {
        let file = folder.join("ledger.sqlite");
        if !file.exists() {
            return Ok(None);
        }
        let read = || -> rusqlite::Result<Option<Self>> {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(&file, flags)?;
            connection.busy_timeout(std::time::Duration::from_secs(10))?;
            // One transaction: all that is read belongs together.
            let transaction = connection.unchecked_transaction()?;
            if !has_table(&transaction, "declared_gaps")? {
                return Ok(None);
            }
            let mut streams = BTreeMap::new();
            for stream in names(&transaction)? {
                let coverage = stream_coverage(&transaction, &stream, since)?;
                streams.insert(stream, coverage);
            }
            Ok(Some(Self { streams }))
        };
        read().map_err(|error| database_error(folder, error))
    }
}

fn names(connection: &Connection) -> rusqlite::Result<BTreeSet<String>> {
    connection
        .prepare("SELECT stream FROM streams UNION SELECT stream FROM splits UNION SELECT stream FROM declared_gaps")?
        .query_map([], |row| row.get(0))?
        .collect()
}

fn stream_coverage(connection: &Connection, stream: &str, since: u64) -> rusqlite::Result<StreamCoverage> {
    let time = |row: &rusqlite::Row<'_>, column: usize| row.get::<_, i64>(column).map(unsigned);
    let gaps = connection
        .prepare_cached(
            "SELECT start, end, code, reason, pieces, first_at, last_at FROM declared_gaps
             WHERE stream = ?1 AND end >= ?2 ORDER BY start, id",
        )?
        .query_map(params![stream, signed(since)], |row| {
            Ok(Gap {
                start: time(row, 0)?,
                end: time(row, 1)?,
                code: row.get(2)?,
                reason: row.get(3)?,
                pieces: time(row, 4)?,
                first_at: time(row, 5)?,
                last_at: time(row, 6)?,
            })
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let listed = connection
        .prepare_cached("SELECT pass, start, end FROM listed WHERE stream = ?1 AND end > ?2 ORDER BY start, pass")?
        .query_map(params![stream, signed(since)], |row| {
            Ok(Listed { pass: row.get(0)?, start: time(row, 1)?, end: time(row, 2)? })
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let one = |sql: &str| -> rusqlite::Result<Option<u64>> {
        let value: Option<Option<i64>> = connection.query_row(sql, [stream], |row| row.get(0)).optional()?;
        Ok(value.flatten().map(unsigned))
    };
    let sealed = one("SELECT sealed FROM seals WHERE stream = ?1")?;
    let last_error = connection
        .query_row(
            "SELECT last_error FROM splits WHERE stream = ?1 AND last_error IS NOT NULL ORDER BY arrival LIMIT 1",
            [stream],
            |row| row.get(0),
        )
        .optional()?;
    let mut stretches = stretches(&listed, sealed, since);
    let holes = holes(&stretches, &gaps);
    stretches.retain(|stretch| stretch.passes > 0);
    count(connection, stream, since, &mut stretches)?;
    Ok(StreamCoverage {
        holes,
        listed_at: one("SELECT listed_at FROM streams WHERE stream = ?1")?,
        sealed,
        open_pieces: one("SELECT count(*) FROM splits WHERE stream = ?1")?.unwrap_or(0),
        oldest_open: one("SELECT min(arrival) FROM splits WHERE stream = ?1")?,
        last_error,
        late: late(connection, stream)?,
        gaps,
        listed,
        stretches,
    })
}

/// Cuts the clock wherever a pass begins or ends. A stretch of no pass lies between two others.
fn stretches(listed: &[Listed], sealed: Option<u64>, since: u64) -> Vec<Stretch> {
    let ends =
        listed.iter().filter(|listed| listed.end > since).flat_map(|listed| [listed.start.max(since), listed.end]);
    let cuts: BTreeSet<u64> = ends.chain(sealed.filter(|sealed| *sealed > since)).collect();
    let cuts: Vec<u64> = cuts.into_iter().collect();
    let mut stretches: Vec<Stretch> = Vec::new();
    for pair in cuts.windows(2) {
        let (start, end) = (pair[0], pair[1]);
        let passes: BTreeSet<&str> = listed
            .iter()
            .filter(|listed| listed.start <= start && listed.end >= end)
            .map(|listed| listed.pass.as_str())
            .collect();
        let passes = passes.len() as u64;
        let sealed = passes > 0 && sealed.is_some_and(|sealed| end <= sealed);
        match stretches.last_mut() {
            Some(last) if last.passes == passes && last.sealed == sealed => last.end = end,
            _ => stretches.push(Stretch { start, end, passes, sealed, ..Stretch::default() }),
        }
    }
    stretches
}

/// What no pass has listed and no gap explains.
fn holes(stretches: &[Stretch], gaps: &[Gap]) -> Vec<(u64, u64)> {
    let mut holes = Vec::new();
    for stretch in stretches.iter().filter(|stretch| stretch.passes == 0) {
        let mut from = stretch.start;
        for gap in gaps.iter().filter(|gap| gap.pieces == 0 && gap.end > stretch.start && gap.start < stretch.end) {
            if gap.start > from {
                holes.push((from, gap.start));
            }
            from = from.max(gap.end);
        }
        if from < stretch.end {
            holes.push((from, stretch.end));
        }
    }
    holes
}

/// Adds the counts of each hour to the stretch that holds its beginning, or that is the nearest after it.
fn count(connection: &Connection, stream: &str, since: u64, stretches: &mut [Stretch]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "SELECT start, length, splits, records, duplicates, rejected, late, lost FROM arrivals
         WHERE stream = ?1 AND start + length > ?2 ORDER BY start",
    )?;
    let mut rows = statement.query(params![stream, signed(since)])?;
    while let Some(row) = rows.next()? {
        let number = |column: usize| row.get::<_, i64>(column).map(unsigned);
        let hour = Interval { start: number(0)?, end: number(0)? + number(1)? };
        let at =
            stretches.iter().position(|stretch| stretch.end > hour.start).unwrap_or(stretches.len().saturating_sub(1));
        let Some(stretch) = stretches.get_mut(at) else { continue };
        stretch.pieces += number(2)?;
        stretch.records += number(3)?;
        stretch.duplicates += number(4)?;
        stretch.rejected += number(5)?;
        stretch.late += number(6)?;
        stretch.lost += number(7)?;
    }
    Ok(())
}

fn late(connection: &Connection, stream: &str) -> rusqlite::Result<Late> {
    let mut late = Late::default();
    let mut bins: BTreeMap<i64, u64> = BTreeMap::new();
    let mut statement =
        connection.prepare_cached("SELECT pass, bin, records, longest FROM lateness WHERE stream = ?1")?;
    let mut rows = statement.query([stream])?;
    while let Some(row) = rows.next()? {
        let records = unsigned(row.get(2)?);
        late.records += records;
        late.max_ms = late.max_ms.max(unsigned(row.get(3)?));
        *late.by_pass.entry(row.get(0)?).or_default() += records;
        *bins.entry(row.get(1)?).or_default() += records;
    }
    let quantile = |percent: u64| {
        let mut left = (late.records * percent).div_ceil(100);
        for (bin, records) in &bins {
            if left <= *records {
                return bin_end(*bin).min(late.max_ms);
            }
            left -= records;
        }
        late.max_ms
    };
    (late.p50_ms, late.p95_ms) = (quantile(50), quantile(95));
    Ok(late)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(pass: &str, start: u64, end: u64) -> Listed {
        Listed { pass: pass.to_owned(), start, end }
    }

    fn plain(stretches: &[Stretch]) -> Vec<(u64, u64, u64, bool)> {
        stretches.iter().map(|s| (s.start, s.end, s.passes, s.sealed)).collect()
    }

    #[test]
    fn stretches_are_cut_where_passes_end() {
        let all = [listed("live", 0, 100), listed("15m", 0, 80), listed("1h", 10, 40)];
        assert_eq!(
            plain(&stretches(&all, Some(40), 0)),
            [(0, 10, 2, true), (10, 40, 3, true), (40, 80, 2, false), (80, 100, 1, false)]
        );
        assert_eq!(plain(&stretches(&all, Some(40), 90)), [(90, 100, 1, false)]);
        assert!(stretches(&[], Some(40), 0).is_empty());
    }

    #[test]
    fn a_stretch_between_two_is_a_hole_unless_it_was_declared() {
        let all = stretches(&[listed("live", 0, 10), listed("live", 50, 60)], None, 0);
        let gap = |start, end, pieces| Gap {
            start,
            end,
            code: String::new(),
            reason: String::new(),
            pieces,
            first_at: 0,
            last_at: 0,
        };
        assert_eq!(holes(&all, &[]), [(10, 50)]);
        assert_eq!(holes(&all, &[gap(5, 20, 0), gap(30, 90, 0)]), [(20, 30)]);
        assert_eq!(holes(&all, &[gap(10, 50, 0)]), []);
        assert_eq!(holes(&all, &[gap(10, 50, 3)]), [(10, 50)], "lost pieces say nothing of the stretch");
    }
}
