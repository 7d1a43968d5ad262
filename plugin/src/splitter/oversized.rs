//! A record over the limit: passed over in constant memory, with what tells it from others.
//!
//! Invariant: nothing of it is kept but its size, its hash and its first bytes.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// How much of the record's beginning is kept, in bytes.
const HEAD: usize = 1 << 10;

/// What is known of a record that was passed over.
#[derive(Clone, Debug, Default)]
pub struct Oversized {
    /// Its size in bytes.
    pub bytes: u64,
    /// Its first KiB at most.
    pub head: Vec<u8>,
    hash: Sha256,
}

impl Oversized {
    /// More bytes of the record.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        let room = HEAD.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..room]);
        self.bytes += bytes.len() as u64;
        self.hash.update(bytes);
    }

    /// The SHA-256 of its bytes, in lower-case hexadecimal digits.
    pub fn sha256(&self) -> String {
        self.hash.clone().finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
            // Writing into a string can't fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// The limit that would read it, in MiB.
    pub fn limit_mib(&self) -> u32 {
        u32::try_from(self.bytes.div_ceil(1 << 20)).unwrap_or(u32::MAX)
    }
}
