//! Keys of records: what makes two records the same, and which ones were delivered.
//!
//! Two records are the same if their bytes and their stream are; an `Id` alone stands for several different records, and
//! an alert that changed is a new version.

use std::sync::Arc;

use rusqlite::Connection;

use super::key_runs::KeyIndex;

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

    /// The key of these bytes, as the ledger stores them.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl rusqlite::ToSql for Key {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        Ok(self.0.as_slice().into())
    }
}

/// A thread's view of the committed keys.
#[derive(Debug)]
pub struct KeyReader {
    connection: Connection,
    index: Arc<KeyIndex>,
}

impl KeyReader {
    pub(super) fn new(connection: Connection, index: Arc<KeyIndex>) -> Self {
        Self { connection, index }
    }

    /// Which of the keys are committed, in their order.
    ///
    /// # Errors
    /// If SQLite fails.
    pub fn known(&self, keys: &[Key]) -> rusqlite::Result<Vec<bool>> {
        self.index.known(&self.connection, keys)
    }
}
