//! What the service says of splits that it listed, and what tells how to weigh it: how long a stream's data live, and when one
//! of its splits could be read.
//!
//! The invariant: a claim changes when a split is asked for again and nothing else. Whether it is lost is decided elsewhere.

use std::collections::BTreeMap;

use rusqlite::params;

use super::{Ledger, LedgerError, signed, unsigned};

/// What is wrong with a split that the service listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimKind {
    /// The service says that it isn't there, or isn't any more.
    Missing,
    /// It is there, and what comes of it can't be read to its end.
    Unreadable,
}

/// What speaks against a split that the service listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// What is wrong with it.
    pub kind: ClaimKind,
    /// How often in a row that was the answer.
    pub answers: u32,
    /// When first, in milliseconds since 1970, by the service's clock.
    pub first: u64,
    /// The code of the last answer.
    pub code: String,
    /// The sentence of the last answer.
    pub reason: String,
}

/// What is known of a stream's life from earlier runs. Times are milliseconds since 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Horizon {
    /// When a split of it was last read to its end.
    pub read_at: Option<u64>,
    /// Up to where its arrival clock was listed.
    pub listed: Option<u64>,
    /// For how long the service keeps what it lists, in milliseconds, if it says so.
    pub reach: Option<u64>,
}

impl Ledger {
    /// Notes what speaks against a split, and when to ask again.
    ///
    /// # Errors
    /// If SQLite fails.
    pub fn claimed(&self, stream: &str, split: &str, claim: &Claim, not_before: u64) -> Result<(), LedgerError> {
        self.connection()
            .execute(
                "UPDATE splits SET claims = ?3, claimed_at = ?4, claim_code = ?5, last_error = ?6, not_before = ?7,
                        unreadable = ?8
                 WHERE stream = ?1 AND id = ?2",
                params![
                    stream,
                    split,
                    claim.answers,
                    signed(claim.first),
                    claim.code,
                    claim.reason,
                    signed(not_before),
                    claim.kind == ClaimKind::Unreadable
                ],
            )
            .map(drop)
            .map_err(|error| self.error(error))
    }

    /// What is known of the life of streams from earlier runs, by name.
    ///
    /// # Errors
    /// If SQLite fails.
    pub fn horizons(&self) -> Result<BTreeMap<String, Horizon>, LedgerError> {
        let connection = self.connection();
        let read = || -> rusqlite::Result<BTreeMap<String, Horizon>> {
            let mut statement = connection.prepare(
                "SELECT stream, read_at, reach, (SELECT max(end) FROM listed WHERE listed.stream = streams.stream) FROM streams",
            )?;
            let time = |row: &rusqlite::Row<'_>, column: usize| {
                row.get::<_, Option<i64>>(column).map(|time| time.map(unsigned))
            };
            let rows = statement.query_map([], |row| {
                let horizon = Horizon { read_at: time(row, 1)?, reach: time(row, 2)?, listed: time(row, 3)? };
                Ok((row.get(0)?, horizon))
            })?;
            rows.collect()
        };
        read().map_err(|error| self.error(error))
    }
}
