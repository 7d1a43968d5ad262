//! Keys of records: what makes two records the same, and which ones were delivered.
//!
//! Two records are the same if their bytes and their stream are; an `Id` alone stands for several different records, and
//! an alert that changed is a new version.

use std::hash::Hasher as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use siphasher::sip128::{Hasher128 as _, SipHasher24};

use super::key_runs::KeyIndex;
use super::{LedgerError, database_error};

/// The secret of the ledger's keys, in one row; `NULL` where they were made without one.
pub(super) const TABLE: &str = "CREATE TABLE IF NOT EXISTS key_secret (secret BLOB);";

/// Gives a ledger its secret; one of a format before 4 has none. SQLite's random bytes come from a generator that the system seeds.
pub(super) fn prepare(connection: &Connection, version: i64) -> rusqlite::Result<()> {
    match version {
        0 => connection.execute("INSERT INTO key_secret VALUES (randomblob(16))", []).map(drop),
        1..4 => connection.execute("INSERT INTO key_secret VALUES (NULL)", []).map(drop),
        _ => Ok(()),
    }
}

/// How a ledger makes keys. Nobody can hide a record behind another one: it would take the secret, which is in the ledger only,
/// or a break of BLAKE3.
#[derive(Clone, Copy)]
pub enum KeyHash {
    /// SipHash-2-4 with 128 bits and the ledger's secret. It takes a third of the time of BLAKE3.
    Keyed([u8; 16]),
    /// BLAKE3, in ledgers of a format before 4.
    Unkeyed,
}

impl std::fmt::Debug for KeyHash {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Keyed(_) => "Keyed",
            Self::Unkeyed => "Unkeyed",
        })
    }
}

impl KeyHash {
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let mut secret = connection.prepare_cached("SELECT secret FROM key_secret")?;
        let secret: Option<[u8; 16]> = secret.query_row([], |row| row.get(0))?;
        Ok(secret.map_or(Self::Unkeyed, Self::Keyed))
    }

    /// The key of a record.
    pub fn key(&self, stream: &str, record: &[u8]) -> Key {
        match self {
            Self::Keyed(secret) => {
                let mut hasher = SipHasher24::new_with_key(secret);
                hasher.write(stream.as_bytes());
                hasher.write(&[0]);
                hasher.write(record);
                Key(hasher.finish128().as_bytes())
            }
            Self::Unkeyed => {
                let mut hasher = blake3::Hasher::new();
                hasher.update(stream.as_bytes());
                hasher.update(&[0]);
                hasher.update(record);
                let mut key = [0; 16];
                hasher.finalize_xof().fill(&mut key);
                Key(key)
            }
        }
    }
}

/// The 128-bit hash of a record's bytes and its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key([u8; 16]);

impl Key {
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
    hash: KeyHash,
    folder: PathBuf,
}

impl KeyReader {
    pub(super) fn new(connection: Connection, index: Arc<KeyIndex>, folder: &Path) -> rusqlite::Result<Self> {
        let hash = KeyHash::load(&connection)?;
        Ok(Self { connection, index, hash, folder: folder.to_owned() })
    }

    /// The key of a record.
    pub fn key(&self, stream: &str, record: &[u8]) -> Key {
        self.hash.key(stream, record)
    }

    /// Which of the keys are committed, in their order.
    ///
    /// # Errors
    /// If SQLite fails.
    pub fn known(&self, keys: &[Key]) -> Result<Vec<bool>, LedgerError> {
        self.index.known(&self.connection, keys).map_err(|error| database_error(&self.folder, error))
    }
}
