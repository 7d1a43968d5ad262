//! What the ledger keeps of each sink: its position, which is the sink's own affair, and what it took.

use rusqlite::{OptionalExtension as _, Transaction, params};

use super::{Ledger, LedgerError, signed, unsigned};

/// What a commit changes for one sink.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SinkMark {
    /// The sink's name.
    pub name: String,
    /// Where it stands now, if it has a position.
    pub position: Option<String>,
    /// Lines that it confirmed.
    pub delivered: u64,
    /// Lines that it refused for good; they are dead letters.
    pub refused: u64,
    /// Lines that it missed, since it failed and is optional.
    pub missed: u64,
}

impl SinkMark {
    /// A position and nothing else.
    pub fn position(name: &str, position: String) -> Self {
        Self { name: name.to_owned(), position: Some(position), ..Self::default() }
    }

    /// What came since an earlier mark of the same sink.
    pub fn since(self, before: &Self) -> Self {
        Self {
            delivered: self.delivered.saturating_sub(before.delivered),
            refused: self.refused.saturating_sub(before.refused),
            missed: self.missed.saturating_sub(before.missed),
            ..self
        }
    }
}

pub(super) fn prepare(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS sink_marks (
           name TEXT PRIMARY KEY, position TEXT,
           delivered INTEGER NOT NULL DEFAULT 0, refused INTEGER NOT NULL DEFAULT 0, missed INTEGER NOT NULL DEFAULT 0
         ) WITHOUT ROWID;",
    )?;
    // Earlier ledgers kept lengths of files only.
    if transaction.table_exists(None, "sinks")? {
        transaction.execute_batch(
            "INSERT OR IGNORE INTO sink_marks (name, position) SELECT name, position FROM sinks;
             DROP TABLE sinks;",
        )?;
    }
    Ok(())
}

pub(super) fn store(transaction: &Transaction<'_>, mark: &SinkMark) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO sink_marks (name, position, delivered, refused, missed) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (name) DO UPDATE SET
               position = coalesce(excluded.position, position), delivered = delivered + excluded.delivered,
               refused = refused + excluded.refused, missed = missed + excluded.missed",
        )?
        .execute(params![mark.name, mark.position, signed(mark.delivered), signed(mark.refused), signed(mark.missed)])
        .map(drop)
}

impl Ledger {
    /// Where a sink stood at the last commit, if it ever took part in one.
    ///
    /// # Errors
    /// If SQLite fails.
    pub fn position(&self, sink: &str) -> Result<Option<String>, LedgerError> {
        self.connection()
            .query_row("SELECT position FROM sink_marks WHERE name = ?1", [sink], |row| row.get(0))
            .optional()
            .map(Option::flatten)
            .map_err(|error| self.error(error))
    }

    /// What every sink took since the ledger was made.
    ///
    /// # Errors
    /// If SQLite fails.
    pub fn sink_marks(&self) -> Result<Vec<SinkMark>, LedgerError> {
        let connection = self.connection();
        let read = || -> rusqlite::Result<Vec<SinkMark>> {
            let mut statement = connection
                .prepare("SELECT name, position, delivered, refused, missed FROM sink_marks ORDER BY name")?;
            let rows = statement.query_map([], |row| {
                Ok(SinkMark {
                    name: row.get(0)?,
                    position: row.get(1)?,
                    delivered: unsigned(row.get(2)?),
                    refused: unsigned(row.get(3)?),
                    missed: unsigned(row.get(4)?),
                })
            })?;
            rows.collect()
        };
        read().map_err(|error| self.error(error))
    }
}
