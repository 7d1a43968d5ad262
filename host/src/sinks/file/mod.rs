//! A file of newline-delimited JSON that holds every event exactly once.
//!
//! The invariant: the ledger keeps the length up to which the file is committed. What stands beyond it at the start was
//! never confirmed, and is cut off. A compressed file is a row of frames, one for each delivery, so that the committed
//! length is always the end of a frame.
//!
//! A rotation renames the full file, makes a new empty one, and has its length of nothing committed *before* anything
//! is written to it. So a file that is empty or missing while the ledger knows a length means only one thing, an
//! interrupted rotation, and nothing that is in a renamed file is ever touched again.

mod disk;
mod names;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::compression::{compress, of_bytes};
use super::{GivenUp, Receipt, Sink, SinkError, Trouble};
use crate::config::{Compression, RotateConfig, SinkConfig};
use disk::Disk;
use names::Names;

/// Appends to one file.
pub(super) struct FileSink {
    path: PathBuf,
    name: String,
    names: Names,
    disk: Disk,
    compression: Compression,
    rotate: Option<RotateConfig>,
    /// None between the two halves of a rotation.
    file: Option<File>,
    mark: Mark,
    /// Whether there may be something beyond the mark.
    dirty: bool,
    /// The time of the last [`Sink::prepare`], in milliseconds since 1970.
    now_ms: u64,
}

/// How far the file is safe: what the ledger keeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    length: u64,
    /// When the first event of this file was written, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<u64>,
    /// The number of the last file that was rotated away.
    #[serde(default)]
    sequence: u64,
}

impl Mark {
    /// Reads a position. Earlier versions kept the length alone.
    fn parse(position: &str) -> Option<Self> {
        match position.parse() {
            Ok(length) => Some(Self { length, ..Self::default() }),
            Err(_) => serde_json::from_str(position).ok(),
        }
    }

    fn position(self) -> String {
        // Numbers are always writable as JSON.
        serde_json::to_string(&self).expect("a mark is JSON")
    }
}

impl FileSink {
    pub(super) fn open(config: &SinkConfig) -> Result<Self, SinkError> {
        let Some(path) = &config.path else {
            return Err(SinkError::new(Trouble::Configuration, "A file sink has no `path`. Add one."));
        };
        Self::with_disk(path, config, Disk::default())
    }

    fn with_disk(path: &Path, config: &SinkConfig, disk: Disk) -> Result<Self, SinkError> {
        let fault = |error: io::Error| {
            SinkError::new(
                Trouble::Final,
                format!(
                    "The file {} can't be opened for writing: {error}. Make its folder, or change `path`.",
                    path.display()
                ),
            )
        };
        let file = disk.open(path).and_then(|file| disk.sync_folder(path).map(|()| file)).map_err(fault)?;
        // The same file under another spelling is the same sink; a link is followed, so that it isn't renamed.
        let real = path.canonicalize().map_err(fault)?;
        let length = file.metadata().map_err(fault)?.len();
        let start = disk::start_of(&real).map_err(fault)?;
        if !start.is_empty() && of_bytes(&start) != config.compression {
            return Err(SinkError::new(
                Trouble::Configuration,
                format!(
                    "The file {} isn't compressed as `compression` says, and both in one file could not be read. Move it away, or change `path`.",
                    path.display()
                ),
            ));
        }
        Ok(Self {
            name: config.name.clone().unwrap_or_else(|| format!("file:{}", real.display())),
            names: Names::of(&real),
            path: real,
            disk,
            compression: config.compression,
            rotate: config.rotate,
            file: Some(file),
            mark: Mark { length, ..Mark::default() },
            dirty: true,
            now_ms: 0,
        })
    }

    fn fault(&self, doing: &str, error: &io::Error) -> SinkError {
        SinkError::passing(match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => format!(
                "The disk of the file {} is full. Nothing is lost: free some space; delivery then goes on.",
                self.path.display()
            ),
            io::ErrorKind::FileTooLarge => format!(
                "The file {} has reached the largest size that the system allows. Nothing is lost: raise the limit, or let the file `rotate`.",
                self.path.display()
            ),
            _ => format!("{doing} the file {} failed: {error}.", self.path.display()),
        })
    }

    /// Cuts off what stands beyond the mark.
    fn cut(&mut self) -> Result<(), SinkError> {
        if !self.dirty {
            return Ok(());
        }
        let length = self.mark.length;
        match &mut self.file {
            Some(file) => self.disk.cut(file, length).map_err(|error| self.fault("Setting the end of", &error))?,
            None => self.begin()?,
        }
        self.dirty = false;
        Ok(())
    }

    /// Makes the file anew, after it was renamed.
    fn begin(&mut self) -> Result<(), SinkError> {
        let made = self.disk.open(&self.path).and_then(|file| self.disk.sync_folder(&self.path).map(|()| file));
        self.file = Some(made.map_err(|error| self.fault("Making", &error))?);
        self.mark = Mark { length: 0, since: None, sequence: self.mark.sequence };
        Ok(())
    }

    fn is_due(&self, now_ms: u64) -> bool {
        let Some(rotate) = &self.rotate else { return false };
        let full = rotate.max_bytes.is_some_and(|bytes| self.mark.length >= bytes);
        let old = rotate
            .max_age_minutes
            .zip(self.mark.since)
            .is_some_and(|(minutes, since)| now_ms >= since.saturating_add(minutes.saturating_mul(60_000)));
        self.mark.length > 0 && (full || old)
    }

    /// Renames the full file and begins a new one.
    fn rotate(&mut self, now_ms: u64) -> Result<(), SinkError> {
        let sequence = self.names.last_sequence().max(self.mark.sequence) + 1;
        let target = self.names.name(now_ms, sequence);
        match self.disk.rename(&self.path, &target) {
            Ok(()) => {}
            // It was renamed before, and what came after that failed; or somebody else took it away.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(self.fault("Renaming", &error)),
        }
        self.file = None;
        self.mark = Mark { length: 0, since: None, sequence };
        tracing::info!(file = %target.display(), "The file of a sink is full, and was put aside under this name.");
        self.begin()?;
        self.delete_old(now_ms);
        Ok(())
    }

    /// Deletes full files that the configuration doesn't want to keep. A failure is told and tried again next time.
    fn delete_old(&self, now_ms: u64) {
        let Some(rotate) = &self.rotate else { return };
        let mut files = self.names.rotated();
        files.reverse();
        let oldest = rotate.keep_days.map(|days| now_ms.saturating_sub(days.saturating_mul(24 * 3600 * 1000)));
        for (index, file) in files.iter().enumerate() {
            let many = rotate.keep_files.is_some_and(|keep| index >= keep);
            let old = oldest.is_some_and(|oldest| file.at_ms < oldest);
            if (many || old)
                && let Err(error) = std::fs::remove_file(&file.path)
            {
                tracing::warn!(file = %file.path.display(), "A full file of a sink can't be deleted: {error}.");
            }
        }
    }

    fn write(&mut self, blocks: &[&[u8]]) -> io::Result<u64> {
        let Some(file) = &mut self.file else { return Err(io::ErrorKind::NotFound.into()) };
        let mut written = 0;
        if self.compression == Compression::None {
            for block in blocks {
                self.disk.write(file, block)?;
                written += block.len() as u64;
            }
        } else {
            let frame = compress(self.compression, &blocks.concat())?;
            self.disk.write(file, &frame)?;
            written = frame.len() as u64;
        }
        self.disk.sync(file)?;
        Ok(written)
    }
}

impl Sink for FileSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn takes_back(&self) -> bool {
        true
    }

    fn resume(&mut self, position: Option<&str>) -> Result<Option<String>, SinkError> {
        let length = self.mark.length;
        let committed = match position {
            None => Mark { length, ..Mark::default() },
            Some(text) => Mark::parse(text).ok_or_else(|| {
                SinkError::new(
                    Trouble::Final,
                    format!("The ledger's position {text:?} of the file {} can't be read.", self.path.display()),
                )
            })?,
        };
        self.mark = committed;
        if length > committed.length {
            tracing::info!(
                file = %self.path.display(),
                bytes = length - committed.length,
                "The end of the file was not confirmed before the last stop. It is cut off and delivered again."
            );
        } else if length < committed.length {
            let interrupted = length == 0 && self.names.last_sequence() > committed.sequence;
            if !interrupted {
                tracing::warn!(
                    file = %self.path.display(),
                    "The file is shorter than what was delivered to it: it was replaced or cut by somebody else. Delivery goes on at its end."
                );
            }
            self.mark = Mark { length, since: None, ..committed };
        }
        self.mark.sequence = self.mark.sequence.max(self.names.last_sequence());
        self.dirty = true;
        self.cut()?;
        Ok(Some(self.mark.position()))
    }

    fn prepare(&mut self, now_ms: u64) -> Result<Option<String>, SinkError> {
        self.now_ms = now_ms;
        if self.file.is_none() {
            // The second half of a rotation whose first half succeeded.
            self.begin()?;
            self.dirty = false;
            return Ok(Some(self.mark.position()));
        }
        self.cut()?;
        if self.mark.length > 0 && self.mark.since.is_none() {
            self.mark.since = Some(now_ms);
        }
        if !self.is_due(now_ms) {
            return Ok(None);
        }
        self.rotate(now_ms)?;
        Ok(Some(self.mark.position()))
    }

    fn deliver(&mut self, blocks: &[&[u8]]) -> Result<Receipt, SinkError> {
        self.cut()?;
        self.dirty = true;
        let written = self.write(blocks).map_err(|error| self.fault("Writing to", &error))?;
        self.dirty = false;
        let since = self.mark.since.or(Some(self.now_ms));
        self.mark = Mark { length: self.mark.length + written, since, ..self.mark };
        Ok(Receipt { position: Some(self.mark.position()), refused: Vec::new() })
    }

    fn give_up(&mut self) -> GivenUp {
        // What was written is beyond the mark, and is cut off before anything else is written.
        GivenUp::default()
    }
}

#[cfg(test)]
mod tests;
