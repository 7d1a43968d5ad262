//! What the ledger keeps of a file: up to where it is committed, and by what it is known again.

use std::fs::File;
use std::io;

use serde::{Deserialize, Serialize};

use super::disk;

/// How far a file is safe.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// The bytes that are committed.
    pub(super) length: u64,
    /// When the first event of this file was written, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<u64>,
    /// When the last one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) until: Option<u64>,
    /// The number of the last file that was rotated away.
    #[serde(default)]
    pub(super) sequence: u64,
    /// Whether a delivery may be under way. Only then what stands beyond the length is ours, and cut off at a start.
    #[serde(default = "yes")]
    pub(super) under_way: bool,
    /// The file's inode, to find it under another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) inode: Option<u64>,
    /// A hash of the last bytes before the length, to tell whether somebody wrote the file anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) end: Option<u64>,
}

/// Earlier versions didn't say: there, whatever stood beyond the length was cut off.
fn yes() -> bool {
    true
}

impl Mark {
    /// Reads a position. The first versions kept the length alone.
    pub(super) fn parse(position: &str) -> Option<Self> {
        match position.parse() {
            Ok(length) => Some(Self { length, under_way: true, ..Self::default() }),
            Err(_) => serde_json::from_str(position).ok(),
        }
    }

    /// What the ledger keeps.
    pub(super) fn position(self) -> String {
        // Numbers are always writable as JSON.
        serde_json::to_string(&self).expect("a mark is JSON")
    }

    /// The mark of a file up to a length, with the times and the number of this one.
    pub(super) fn of(self, file: &File, length: u64) -> io::Result<Self> {
        Ok(Self { length, inode: Some(disk::inode(file)?), end: Some(disk::end_of(file, length)?), ..self })
    }

    /// Whether a file still begins with what was committed, as far as its length and the last bytes of that tell.
    pub(super) fn holds(self, file: &File) -> io::Result<bool> {
        if file.metadata()?.len() < self.length {
            return Ok(false);
        }
        Ok(match self.end {
            Some(end) => disk::end_of(file, self.length)? == end,
            None => true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_of_earlier_versions_are_read() {
        let mark = Mark::parse("7").unwrap();
        assert_eq!((mark.length, mark.under_way), (7, true));
        let mark = Mark::parse(r#"{"length":9,"since":5,"sequence":3}"#).unwrap();
        assert_eq!((mark.length, mark.since, mark.sequence, mark.under_way, mark.end), (9, Some(5), 3, true, None));
        let mark = Mark { length: 1, until: Some(2), inode: Some(3), end: Some(u64::MAX), ..Mark::default() };
        assert_eq!(Mark::parse(&mark.position()), Some(mark));
        assert_eq!(Mark::parse("seven"), None);
    }
}
