//! Splits during which the plugin hung and the watchdog ended the process. They are noted before the end, so that the
//! next start reads them with a plugin that can be interrupted, one record at a time, and is not ended by them again.

use std::path::Path;

use rusqlite::{Connection, Transaction, params};

use super::{Ledger, LedgerError, signed};

pub(super) fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS suspects (
           stream TEXT NOT NULL, split TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (stream, split)
         ) WITHOUT ROWID;",
    )
}

/// Removes a split that was read to its end.
pub(super) fn clear(transaction: &Transaction<'_>, stream: &str, split: &str) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("DELETE FROM suspects WHERE stream = ?1 AND split = ?2")?
        .execute([stream, split])
        .map(drop)
}

/// Where to note suspects from a thread that must not wait for the ledger's other users.
#[derive(Debug, Clone)]
pub struct SuspectNote {
    folder: std::path::PathBuf,
}

impl SuspectNote {
    /// Notes a split, by a connection of its own.
    ///
    /// # Errors
    /// If SQLite fails.
    pub fn write(&self, stream: &str, split: &str, now_ms: u64) -> Result<(), LedgerError> {
        let note = || -> rusqlite::Result<()> {
            super::connect(&self.folder)?
                .execute(
                    "INSERT OR REPLACE INTO suspects (stream, split, at) VALUES (?1, ?2, ?3)",
                    params![stream, split, signed(now_ms)],
                )
                .map(drop)
        };
        note().map_err(|error| super::database_error(Path::new(&self.folder), error))
    }
}

impl Ledger {
    /// What notes suspects in this ledger.
    pub fn suspect_note(&self) -> SuspectNote {
        SuspectNote { folder: self.folder.clone() }
    }

    /// The splits that are to be read with care: stream and id.
    ///
    /// # Errors
    /// If SQLite fails.
    pub fn suspects(&self) -> Result<Vec<(String, String)>, LedgerError> {
        let connection = self.connection();
        let read = || -> rusqlite::Result<Vec<(String, String)>> {
            let mut statement = connection.prepare("SELECT stream, split FROM suspects")?;
            statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        };
        read().map_err(|error| self.error(error))
    }
}
