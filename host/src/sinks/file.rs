//! A file of newline-delimited JSON. Its length is part of the ledger's commit: what stands beyond the committed length
//! at the start was never confirmed, and is cut off. So every record is in the file exactly once.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::{Sink, SinkError};
use crate::config::SinkFormat;

/// Appends to one file.
pub(super) struct FileSink {
    path: PathBuf,
    name: String,
    format: SinkFormat,
    file: File,
    /// The length after the last confirmation.
    confirmed: u64,
    written: u64,
}

impl FileSink {
    pub(super) fn open(path: &Path, format: SinkFormat) -> Result<Self, SinkError> {
        let fault = |error: io::Error| SinkError {
            message: format!(
                "The file {} can't be opened for writing: {error}. Make its folder, or change `path`.",
                path.display()
            ),
            fatal: true,
        };
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(fault)?;
        // The same file under another spelling is the same sink.
        let name = format!("file:{}", path.canonicalize().map_err(fault)?.display());
        let length = file.metadata().map_err(fault)?.len();
        Ok(Self { path: path.to_owned(), name, format, file, confirmed: length, written: length })
    }

    fn fault(&self, doing: &str, error: &io::Error) -> SinkError {
        let message = if error.kind() == io::ErrorKind::StorageFull {
            format!(
                "The disk of the file {} is full. Nothing is lost: free some space; delivery then goes on.",
                self.path.display()
            )
        } else {
            format!("{doing} the file {} failed: {error}.", self.path.display())
        };
        SinkError { message, fatal: false }
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)?;
        self.file.seek(SeekFrom::Start(length))?;
        self.written = length;
        Ok(())
    }
}

impl Sink for FileSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn format(&self) -> SinkFormat {
        self.format
    }

    fn resume(&mut self, position: Option<u64>) -> Result<(), SinkError> {
        let length = self.written;
        let start = match position {
            Some(committed) if committed < length => {
                tracing::info!(
                    file = %self.path.display(),
                    bytes = length - committed,
                    "The end of the file was not confirmed before the last stop. It is cut off and delivered again."
                );
                committed
            }
            Some(committed) if committed > length => {
                tracing::warn!(
                    file = %self.path.display(),
                    "The file is shorter than what was delivered to it: it was replaced or cut by somebody else. Delivery goes on at its end."
                );
                length
            }
            _ => length,
        };
        self.cut(start).map_err(|error| self.fault("Setting the end of", &error))?;
        self.confirmed = start;
        Ok(())
    }

    fn write(&mut self, lines: &[u8]) -> Result<(), SinkError> {
        self.file.write_all(lines).map_err(|error| self.fault("Writing to", &error))?;
        self.written += lines.len() as u64;
        Ok(())
    }

    fn confirm(&mut self) -> Result<Option<u64>, SinkError> {
        if self.written != self.confirmed {
            self.file.sync_data().map_err(|error| self.fault("Making safe", &error))?;
            self.confirmed = self.written;
        }
        Ok(Some(self.confirmed))
    }

    fn roll_back(&mut self) -> Result<(), SinkError> {
        let confirmed = self.confirmed;
        self.cut(confirmed).map_err(|error| self.fault("Cutting back", &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sink(path: &Path) -> FileSink {
        FileSink::open(path, SinkFormat::Ocsf).unwrap()
    }

    #[test]
    fn the_unconfirmed_tail_is_cut_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.ndjson");
        let position = {
            let mut sink = sink(&path);
            sink.resume(None).unwrap();
            sink.write(b"one\n").unwrap();
            let position = sink.confirm().unwrap();
            sink.write(b"two\nhal").unwrap();
            position
        };
        let mut sink = sink(&path);
        sink.resume(position).unwrap();
        sink.write(b"two\n").unwrap();
        sink.confirm().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"one\ntwo\n");
    }

    #[test]
    fn a_file_that_was_there_before_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.ndjson");
        std::fs::write(&path, b"before\n").unwrap();
        let mut sink = sink(&path);
        sink.resume(None).unwrap();
        sink.write(b"after\n").unwrap();
        assert_eq!(sink.confirm().unwrap(), Some(13));
        assert_eq!(std::fs::read(&path).unwrap(), b"before\nafter\n");
    }

    #[test]
    fn what_failed_is_rolled_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.ndjson");
        let mut sink = sink(&path);
        sink.resume(None).unwrap();
        sink.write(b"one\n").unwrap();
        sink.confirm().unwrap();
        sink.write(b"half").unwrap();
        sink.roll_back().unwrap();
        sink.write(b"two\n").unwrap();
        sink.confirm().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"one\ntwo\n");
    }

    #[test]
    fn a_missing_folder_is_named() {
        let error = FileSink::open(Path::new("no/such/folder/x"), SinkFormat::Ocsf).err().unwrap();
        assert!(error.message.contains("no/such/folder/x"), "{error}");
    }
}
