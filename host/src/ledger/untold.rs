//! Declared gaps that haven't been delivered as events yet.
//!
//! The invariant: a gap counts as told only in the transaction that holds what the sinks confirmed with it. A gap of pieces
//! that grows is told again.

use rusqlite::params;

use super::report::Gap;
use super::{DeadLetter, Ledger, LedgerError, SinkMark, dead_letters, signed, sinks, unsigned};

/// Older gaps are not told any more: whoever turns this on wants to know of what is lost from now on.
const NEWS: u64 = 7 * 24 * 60 * 60 * 1000;

/// A gap to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untold {
    /// Its number in the ledger.
    pub id: i64,
    /// The stream.
    pub stream: String,
    /// The gap.
    pub gap: Gap,
}

impl Ledger {
    /// The gaps that are to be told, oldest first. Those of pieces only if they haven't grown since `settled`, in
    /// milliseconds since 1970.
    ///
    /// # Errors
    /// If SQLite fails.
    pub fn untold_gaps(&self, settled: u64, now_ms: u64) -> Result<Vec<Untold>, LedgerError> {
        let connection = self.connection();
        let read = || -> rusqlite::Result<Vec<Untold>> {
            let mut statement = connection.prepare_cached(
                "SELECT id, stream, start, end, code, reason, pieces, first_at, last_at FROM declared_gaps
                 WHERE told = 0 AND last_at >= ?2 AND (pieces = 0 OR last_at <= ?1) ORDER BY first_at, id",
            )?;
            let rows = statement.query_map(params![signed(settled), signed(now_ms.saturating_sub(NEWS))], |row| {
                Ok(Untold {
                    id: row.get(0)?,
                    stream: row.get(1)?,
                    gap: Gap {
                        start: unsigned(row.get(2)?),
                        end: unsigned(row.get(3)?),
                        code: row.get(4)?,
                        reason: row.get(5)?,
                        pieces: unsigned(row.get(6)?),
                        first_at: unsigned(row.get(7)?),
                        last_at: unsigned(row.get(8)?),
                    },
                })
            })?;
            rows.collect()
        };
        read().map_err(|error| self.error(error))
    }

    /// Stores that gaps were told, with the positions of the sinks after that and the events that a sink refused, in one
    /// transaction.
    ///
    /// # Errors
    /// If SQLite fails; then nothing is stored.
    pub fn gaps_told(
        &self,
        told: &[Untold],
        refused: &[(usize, DeadLetter)],
        marks: &[SinkMark],
        now_ms: u64,
    ) -> Result<(), LedgerError> {
        let mut connection = self.connection();
        let mut store = || -> rusqlite::Result<u64> {
            let transaction = connection.transaction()?;
            for Untold { id, gap, .. } in told {
                // One that has grown meanwhile is told again.
                transaction
                    .prepare_cached("UPDATE declared_gaps SET told = 1 WHERE id = ?1 AND pieces = ?2")?
                    .execute(params![id, signed(gap.pieces)])?;
            }
            let mut letter_bytes = 0;
            for (place, letter) in refused {
                let Untold { stream, gap, .. } = &told[*place];
                letter_bytes += dead_letters::store(&transaction, stream, gap.start, letter, now_ms)?;
            }
            for mark in marks {
                sinks::store(&transaction, mark)?;
            }
            transaction.commit()?;
            Ok(letter_bytes)
        };
        let letter_bytes = store().map_err(|error| self.error(error))?;
        self.letters_grew(letter_bytes);
        Ok(())
    }
}
