//! A file of newline-delimited JSON that holds every event exactly once.
//!
//! The invariant: the ledger keeps the length up to which the file is committed, and whether a delivery may be under way.
//! Only then what stands beyond that length is ours: it was never confirmed, and is cut off. A compressed file is a row of
//! frames, one for each delivery, so that the committed length is always the end of a frame.
//!
//! Where a file begins, and where it begins anew, is committed *before* anything is written to it, whether it was rotated
//! or somebody else deleted, cut or renamed it: what is there is looked at before each delivery and after it. Writing is
//! always at the end, and nothing that was renamed is ever touched again, but for an unconfirmed tail.

mod disk;
mod mark;
mod names;
mod touched;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::compression::{compress, of_bytes};
use super::{Coming, GivenUp, Receipt, Sink, SinkError, Trouble};
use crate::config::{Compression, RotateConfig, SinkConfig};
use disk::{AtPath, Disk};
use mark::Mark;
use names::Names;
use touched::Touch;

/// The mode of a new file. The umask may take away from it.
const MODE: u32 = 0o640;
/// How often it is told that somebody else writes to the file, in milliseconds.
const TELLING: u64 = 3_600_000;

/// Appends to one file.
pub(super) struct FileSink {
    path: PathBuf,
    name: String,
    names: Names,
    disk: Disk,
    compression: Compression,
    rotate: Option<RotateConfig>,
    mode: u32,
    /// None until the file is made anew, after it was renamed or is gone.
    file: Option<File>,
    mark: Mark,
    /// The mark that the pipeline was given last.
    given: Option<Mark>,
    /// Whether the mark that is needed before a delivery was given to the pipeline.
    ready: bool,
    /// Bytes beyond the mark that a failed delivery left behind.
    tail: u64,
    /// Whether the file ends in the middle of a line, which somebody else left.
    in_a_line: bool,
    /// Whether it was told that the file isn't at its path.
    hidden: bool,
    /// When it was told that somebody else writes to it.
    told_appended: Option<u64>,
    /// The time of the last [`Sink::prepare`], in milliseconds since 1970.
    now_ms: u64,
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
            let mend = match error.kind() {
                io::ErrorKind::ResourceBusy => "Stop the other one, or give each a `path` of its own.",
                _ => "Make its folder, or change `path`.",
            };
            SinkError::new(
                Trouble::Final,
                format!("The file {} can't be opened for writing: {error}. {mend}", path.display()),
            )
        };
        let mode = config.mode.as_deref().map_or(Ok(MODE), mode)?;
        let file = disk.open(path, mode).and_then(|file| disk.sync_folder(path).map(|()| file)).map_err(fault)?;
        // The same file under another spelling is the same sink; a link is followed, so that it isn't renamed.
        let real = path.canonicalize().map_err(fault)?;
        let start = disk::start_of(&file).map_err(fault)?;
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
            mode,
            file: Some(file),
            mark: Mark::default(),
            given: None,
            ready: false,
            tail: 0,
            in_a_line: false,
            hidden: false,
            told_appended: None,
            now_ms: crate::clock::now_ms(),
        })
    }

    fn fault(&self, doing: &str, error: &io::Error) -> SinkError {
        let path = self.path.display();
        SinkError::passing(match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                format!("The disk of the file {path} is full. Nothing is lost: free some space; delivery then goes on.")
            }
            io::ErrorKind::FileTooLarge => format!(
                "The file {path} has reached the largest size that the system allows. Nothing is lost: raise the limit, or let the file `rotate`."
            ),
            io::ErrorKind::NotFound => {
                format!("The folder of the file {path} is gone. Nothing is lost: make it again; delivery then goes on.")
            }
            _ => format!("{doing} the file {path} failed: {error}. Nothing is lost: delivery goes on once that works."),
        })
    }

    /// Opens what is at the path, or makes it, and begins at its end.
    fn begin(&mut self) -> Result<(), SinkError> {
        self.file = None;
        let mut file = self.make()?;
        let length = file.metadata().map_err(|error| self.fault("Looking at", &error))?.len();
        let start = disk::start_of(&file).map_err(|error| self.fault("Reading", &error))?;
        let compressed = self.compression != Compression::None || of_bytes(&start) != Compression::None;
        if length > 0 && compressed {
            // Whether what is there is whole nobody knows, and behind half a frame nothing could be read.
            let target = self.put_aside(self.now_ms)?;
            tracing::warn!(file = %target.display(), "A compressed file that somebody else wrote or cut was put aside under this name.");
            file = self.make()?;
        }
        self.file = Some(file);
        self.mark = Mark { since: None, until: None, ..self.mark };
        self.go_on()
    }

    /// Opens the file, or makes it.
    fn make(&self) -> Result<File, SinkError> {
        let made = self.disk.open(&self.path, self.mode);
        made.and_then(|file| self.disk.sync_folder(&self.path).map(|()| file))
            .map_err(|error| self.fault("Opening", &error))
    }

    /// Begins at the end of the open file, whatever is in it.
    fn go_on(&mut self) -> Result<(), SinkError> {
        let Some(file) = &self.file else { return self.begin() };
        let look = || -> io::Result<(Mark, bool)> {
            let length = file.metadata()?.len();
            let in_a_line = self.compression == Compression::None && disk::ends_in_a_line(file, length)?;
            Ok((self.mark.of(file, length)?, in_a_line))
        };
        (self.mark, self.in_a_line) = look().map_err(|error| self.fault("Reading", &error))?;
        self.tail = 0;
        Ok(())
    }

    /// Goes by what somebody else did to the file. Returns whether it is at its path.
    fn follow(&mut self) -> Result<bool, SinkError> {
        let Some(file) = &self.file else { return self.begin().map(|()| true) };
        let look = || -> io::Result<_> { Ok((disk::look(file, &self.path)?, self.mark.holds(file)?)) };
        let (mut seen, whole) = look().map_err(|error| self.fault("Looking at", &error))?;
        if self.tail > 0 && whole && seen.length == self.mark.length + self.tail {
            self.disk.cut(file, self.mark.length).map_err(|error| self.fault("Setting the end of", &error))?;
            seen.length = self.mark.length;
            self.tail = 0;
        }
        let touch = match (whole, seen.linked) {
            (_, false) if self.is_copied() => Some(Touch::Copied),
            (_, false) => Some(Touch::Deleted),
            (true, true) if seen.at_path == AtPath::Other => Some(Touch::Renamed(disk::name_of(file))),
            (true, true) if seen.length > self.mark.length => Some(Touch::Appended(seen.length - self.mark.length)),
            (true, true) => None,
            (false, true) if seen.length < self.mark.length => Some(Touch::Cut(seen.length)),
            (false, true) => Some(Touch::Overwritten),
        };
        if seen.at_path == AtPath::Hidden && seen.linked {
            if !self.hidden {
                Touch::Hidden(disk::name_of(file)).tell(&self.path, self.mark, self.now_ms);
            }
            self.hidden = true;
        } else if self.hidden {
            self.hidden = false;
            tracing::info!("The file {} is where it was again.", self.path.display());
        }
        let Some(touch) = touch else { return Ok(seen.at_path == AtPath::This) };
        self.tell(&touch);
        if !whole {
            self.mark = Mark { since: None, until: None, ..self.mark };
        }
        let stays = seen.linked && seen.at_path != AtPath::Other;
        if stays && self.compression == Compression::None { self.go_on() } else { self.begin() }?;
        Ok(seen.at_path != AtPath::Hidden)
    }

    /// Whether a whole copy of the file is at its path.
    fn is_copied(&self) -> bool {
        let copy = crate::files::open(&self.path, File::options().read(true));
        self.mark.length > 0 && copy.and_then(|copy| self.mark.holds(&copy)).unwrap_or(false)
    }

    /// Tells what happened. That somebody else writes there is told seldom, since it may be so for ever.
    fn tell(&mut self, touch: &Touch) {
        if matches!(touch, Touch::Appended(_)) {
            if self.told_appended.is_some_and(|told| self.now_ms < told.saturating_add(TELLING)) {
                return;
            }
            self.told_appended = Some(self.now_ms);
        }
        touch.tell(&self.path, self.mark, self.now_ms);
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
        let target = self.put_aside(now_ms)?;
        tracing::info!(file = %target.display(), "The file of a sink is full, and was put aside under this name.");
        self.begin()?;
        self.delete_old(now_ms);
        Ok(())
    }

    /// Renames what is at the path to the next name of a full file.
    fn put_aside(&mut self, now_ms: u64) -> Result<PathBuf, SinkError> {
        let sequence = self.names.last_sequence().max(self.mark.sequence) + 1;
        let target = self.names.name(now_ms, sequence);
        match self.disk.rename(&self.path, &target) {
            Ok(()) => {}
            // It was renamed before, and what came after that failed; or somebody else took it away.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(self.fault("Renaming", &error)),
        }
        self.file = None;
        self.mark = Mark { length: 0, since: None, until: None, sequence, ..self.mark };
        Ok(target)
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

    /// Writes at the end. Returns what was written.
    fn write(&self, file: &File, blocks: &[&[u8]]) -> io::Result<u64> {
        if self.in_a_line {
            self.disk.write(file, b"\n")?;
        }
        for block in blocks {
            self.disk.write(file, block)?;
        }
        self.disk.sync(file)?;
        Ok(u64::from(self.in_a_line) + blocks.iter().map(|block| block.len() as u64).sum::<u64>())
    }

    /// What is safe after a write, and what somebody else did meanwhile that does no harm to it.
    fn confirm(&self, file: &File, written: u64, blocks: &[&[u8]]) -> Result<(Mark, Option<Touch>), SinkError> {
        let seen = disk::look(file, &self.path).map_err(|error| self.fault("Looking at", &error))?;
        let again = |what: &str| {
            SinkError::passing(format!(
                "The file {} was {what} by somebody else while a delivery was under way, which comes again.",
                self.path.display()
            ))
        };
        if !seen.linked {
            return Err(again("deleted"));
        }
        let mut since = self.mark.since;
        let mut touch = None;
        let expected = self.mark.length + written;
        let mut length = expected;
        if seen.length != expected {
            // Whether all of it is there, and not behind half a line.
            let plain = self.compression == Compression::None;
            let there = |length| disk::ends_with(file, length, blocks, plain);
            let mut look = || -> io::Result<bool> {
                // Somebody else wrote behind it: that is seen before the next delivery.
                if seen.length > expected && self.mark.holds(file)? && there(expected)? {
                    return Ok(true);
                }
                length = seen.length;
                if seen.length > expected {
                    touch = Some(Touch::Appended(seen.length - expected));
                    return Ok(plain && self.mark.holds(file)? && there(length)?);
                }
                touch = Some(Touch::Cut(length.saturating_sub(written)));
                since = None;
                if plain { there(length) } else { Ok(length == written) }
            };
            if !look().map_err(|error| self.fault("Reading", &error))? {
                return Err(again(if seen.length > expected { "written to" } else { "cut" }));
            }
        }
        let mark = Mark { since: since.or(Some(self.now_ms)), until: Some(self.now_ms), ..self.mark };
        let mark = mark.of(file, length).map_err(|error| self.fault("Reading", &error))?;
        Ok((mark, touch))
    }
}

/// The mode that a configuration names, such as `0640`.
fn mode(text: &str) -> Result<u32, SinkError> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 && mode & 0o600 == 0o600 => Ok(mode),
        _ => Err(SinkError::new(
            Trouble::Configuration,
            format!(
                "The `mode` {text:?} of a file sink can't be used. Give three digits from 0 to 7 with which its owner can read and write, such as \"0640\"."
            ),
        )),
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
        let committed = match position {
            None => None,
            Some(text) => Some(Mark::parse(text).ok_or_else(|| {
                SinkError::new(
                    Trouble::Final,
                    format!("The ledger's position {text:?} of the file {} can't be read.", self.path.display()),
                )
            })?),
        };
        let last = self.names.last_sequence();
        self.mark = committed.unwrap_or_default();
        if let Some(file) = &self.file {
            let look = || -> io::Result<_> { Ok((file.metadata()?.len(), self.mark.holds(file)?)) };
            let (length, whole) = look().map_err(|error| self.fault("Reading", &error))?;
            let beyond = length.saturating_sub(self.mark.length);
            match committed {
                None if length > 0 => tracing::warn!(
                    "The file {} holds {length} bytes that the ledger knows nothing of. They are kept, and delivery goes on behind them. Events of an earlier ledger may come again.",
                    self.path.display()
                ),
                None => {}
                Some(mark) if !whole => self.look_for(mark, length, last)?,
                Some(mark) if beyond > 0 && mark.under_way => {
                    tracing::warn!(
                        file = %self.path.display(),
                        bytes = beyond,
                        "The end of the file was not confirmed before the last stop. It is cut off and delivered again."
                    );
                    self.disk.cut(file, mark.length).map_err(|error| self.fault("Setting the end of", &error))?;
                }
                Some(mark) if beyond > 0 => Touch::Appended(beyond).tell(&self.path, mark, self.now_ms),
                Some(_) => {}
            }
            // Nothing can be appended to compressed frames that may be broken.
            let touched = committed.is_some_and(|mark| !whole || beyond > 0 && !mark.under_way);
            self.mark.sequence = self.mark.sequence.max(last);
            if !whole {
                self.mark = Mark { since: None, until: None, ..self.mark };
            }
            if touched && (self.compression != Compression::None) {
                self.begin()?;
            } else {
                self.go_on()?;
            }
        }
        self.mark.under_way = false;
        self.given = Some(self.mark);
        Ok(Some(self.mark.position()))
    }

    fn prepare(&mut self, now_ms: u64, coming: Coming) -> Result<Option<String>, SinkError> {
        self.now_ms = now_ms;
        self.ready = false;
        let at_its_path = self.follow()?;
        if self.mark.length > 0 && self.mark.since.is_none() {
            self.mark.since = Some(now_ms);
        }
        // At the end it would only leave an empty file behind.
        if at_its_path && coming != Coming::End && self.is_due(now_ms) {
            self.rotate(now_ms)?;
        }
        self.mark.under_way = coming == Coming::Delivery;
        self.ready = self.mark.under_way;
        if self.given == Some(self.mark) {
            return Ok(None);
        }
        self.given = Some(self.mark);
        Ok(Some(self.mark.position()))
    }

    fn deliver(&mut self, blocks: &[&[u8]]) -> Result<Receipt, SinkError> {
        let (true, Some(file)) = (std::mem::take(&mut self.ready), &self.file) else {
            return Err(SinkError::passing(format!("The file {} was not looked at yet.", self.path.display())));
        };
        let frame;
        let frames: [&[u8]; 1];
        let blocks = match self.compression {
            Compression::None => blocks,
            compression => {
                frame =
                    compress(compression, &blocks.concat()).map_err(|error| self.fault("Compressing for", &error))?;
                frames = [frame.as_slice()];
                &frames
            }
        };
        let written = self.write(file, blocks).map_err(|error| self.fault("Writing to", &error));
        let confirmed = written.and_then(|written| self.confirm(file, written, blocks));
        match confirmed {
            Ok((mark, touch)) => {
                if let Some(touch) = touch {
                    self.tell(&touch);
                }
                self.mark = mark;
            }
            Err(error) => {
                let length = file.metadata().map_or(0, |metadata| metadata.len());
                self.tail = length.saturating_sub(self.mark.length);
                return Err(error);
            }
        }
        self.in_a_line = false;
        self.given = Some(self.mark);
        Ok(Receipt { position: Some(self.mark.position()), refused: Vec::new() })
    }

    fn give_up(&mut self) -> GivenUp {
        // What was written is beyond the mark, and is cut off before anything else is written.
        GivenUp::default()
    }
}

impl FileSink {
    /// Says what became of a file that doesn't hold any more what was committed to it, while nothing ran.
    fn look_for(&self, mark: Mark, length: u64, last_sequence: u64) -> Result<(), SinkError> {
        if length == 0 && last_sequence > mark.sequence {
            // Our own rotation, which was interrupted.
            return Ok(());
        }
        let find = || -> io::Result<Option<PathBuf>> {
            let Some((name, file)) = mark.inode.and_then(|inode| disk::find(&self.path, inode)) else {
                return Ok(None);
            };
            if !mark.holds(&file)? {
                return Ok(None);
            }
            if mark.under_way && file.metadata()?.len() > mark.length {
                self.disk.cut(&crate::files::open(&name, File::options().write(true))?, mark.length)?;
            }
            Ok(Some(name))
        };
        let touch = match find().map_err(|error| self.fault("Looking for", &error))? {
            Some(name) => Touch::Renamed(Some(name)),
            None if length >= mark.length => Touch::Overwritten,
            None => Touch::Gone(length),
        };
        touch.tell(&self.path, mark, self.now_ms);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
