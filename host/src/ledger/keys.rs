//! Keys of records: what makes two records the same, and which ones were delivered.
//!
//! Two records are the same if their bytes and their stream are; an `Id` alone stands for several different records, and
//! an alert that changed is a new version.

use rusqlite::{Connection, params};

use super::signed;

/// The 128-bit hash of a record's bytes and its stream. The hash is cryptographic, so that nobody can hide a record
/// behind another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key([u8; 16]);

impl Key {
    /// The key of a record.
    pub fn of(stream: &str, record: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(stream.as_bytes());
        hasher.update(&[0]);
        hasher.update(record);
        let mut key = [0; 16];
        hasher.finalize_xof().fill(&mut key);
        Self(key)
    }
}

/// A thread's view of the committed keys.
#[derive(Debug)]
pub struct KeyReader {
    connection: Connection,
}

impl KeyReader {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection }
    }

    /// Which of the keys are committed, in their order.
    ///
    /// # Errors
    /// If SQLite fails.
    pub fn known(&self, keys: &[Key]) -> rusqlite::Result<Vec<bool>> {
        // One read transaction for all of them is several times as fast as one for each.
        let transaction = self.connection.unchecked_transaction()?;
        let mut statement = transaction.prepare_cached("SELECT 1 FROM keys WHERE key = ?1")?;
        keys.iter().map(|key| statement.exists([key.0])).collect()
    }
}

pub(super) fn insert(transaction: &rusqlite::Transaction<'_>, keys: &[Key], arrival: u64) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached("INSERT OR IGNORE INTO keys (key, arrival) VALUES (?1, ?2)")?;
    for key in keys {
        statement.execute(params![key.0, signed(arrival)])?;
    }
    Ok(())
}
