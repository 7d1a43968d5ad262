//! The tables of the ledger, and whose ledger it is.

use rusqlite::{Connection, OptionalExtension as _};

/// Grows by one with every change of the tables, together with a step that brings older ledgers along.
const VERSION: i64 = 5;

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS identity (tenant_and_plugin TEXT NOT NULL);
-- What a stream's last discovery returned: opaque to the host.
CREATE TABLE IF NOT EXISTS streams (
  stream TEXT PRIMARY KEY, state TEXT, listed_at INTEGER NOT NULL,
  -- When a split was last read to its end, and for how long the service keeps what it lists.
  read_at INTEGER, reach INTEGER
) WITHOUT ROWID;
-- Work that is not yet read to its end. All times are milliseconds since 1970.
CREATE TABLE IF NOT EXISTS splits (
  stream TEXT NOT NULL, id TEXT NOT NULL, payload TEXT NOT NULL,
  arrival INTEGER NOT NULL, expires INTEGER, resume TEXT,
  attempts INTEGER NOT NULL DEFAULT 0, not_before INTEGER NOT NULL DEFAULT 0, last_error TEXT,
  -- How often in a row the service said that it isn't there, or it broke (unreadable), when first, and with which code the last time.
  claims INTEGER NOT NULL DEFAULT 0, claimed_at INTEGER, claim_code TEXT, unreadable INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (stream, id)
) WITHOUT ROWID;
-- Work that is done, so that it isn't taken up again when it is listed again.
CREATE TABLE IF NOT EXISTS read_splits (
  stream TEXT NOT NULL, id TEXT NOT NULL, arrival INTEGER NOT NULL, PRIMARY KEY (stream, id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS read_splits_by_arrival ON read_splits (arrival);
CREATE TABLE IF NOT EXISTS counts (
  stream TEXT PRIMARY KEY, records INTEGER NOT NULL, delivered INTEGER NOT NULL, events INTEGER NOT NULL,
  rejected INTEGER NOT NULL, duplicates INTEGER NOT NULL, filtered INTEGER NOT NULL, lost INTEGER NOT NULL
) WITHOUT ROWID;
";

pub(super) enum PrepareError {
    Database(rusqlite::Error),
    Foreign(String),
}

impl From<rusqlite::Error> for PrepareError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

/// Whether a table is there. It isn't while the ledger is being made, nor in one of a version that didn't know it.
///
/// # Errors
/// If SQLite fails.
pub(super) fn has_table(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    connection.prepare("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1")?.exists([name])
}

/// Makes the tables, or checks that those that are there are ours.
pub(super) fn prepare(connection: &Connection, identity: Option<&str>) -> Result<(), PrepareError> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version > VERSION {
        return Err(PrepareError::Foreign(format!(
            "This ledger was written by a newer m365-pipe (format {version}; this one knows {VERSION}). Use that version, or another `data_dir`."
        )));
    }
    let transaction = connection.unchecked_transaction()?;
    transaction.execute_batch(TABLES)?;
    // What a ledger before format 5 doesn't have.
    for (table, column, kind) in [
        ("streams", "read_at", "INTEGER"),
        ("streams", "reach", "INTEGER"),
        ("splits", "claims", "INTEGER NOT NULL DEFAULT 0"),
        ("splits", "claimed_at", "INTEGER"),
        ("splits", "claim_code", "TEXT"),
        ("splits", "unreadable", "INTEGER NOT NULL DEFAULT 0"),
    ] {
        if !transaction.column_exists(None, table, column)? {
            transaction.execute_batch(&format!("ALTER TABLE {table} ADD COLUMN {column} {kind}"))?;
        }
    }
    transaction.execute_batch(super::lost::TABLES)?;
    transaction.execute_batch(super::key_runs::TABLES)?;
    transaction.execute_batch(super::keys::TABLE)?;
    super::keys::prepare(&transaction, version)?;
    transaction.execute_batch(super::coverage::TABLES)?;
    super::sinks::prepare(&transaction)?;
    super::dead_letters::prepare(&transaction)?;
    super::suspects::prepare(&transaction)?;
    super::drift::prepare(&transaction)?;
    // What format 1 kept in other tables; it does nothing where that was done.
    super::coverage::take_over(&transaction)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    let owner: Option<String> =
        connection.query_row("SELECT tenant_and_plugin FROM identity", [], |row| row.get(0)).optional()?;
    match (owner, identity) {
        (_, None) => Ok(()),
        (None, Some(identity)) => {
            connection.execute("INSERT INTO identity VALUES (?1)", [identity])?;
            Ok(())
        }
        (Some(owner), Some(identity)) if owner == identity => Ok(()),
        (Some(owner), Some(identity)) => Err(PrepareError::Foreign(format!(
            "This ledger belongs to {owner}, and the configuration is for {identity}. Give each tenant a `data_dir` of its own."
        ))),
    }
}
