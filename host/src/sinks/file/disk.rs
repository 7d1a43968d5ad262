//! The few things that a file sink does to a disk, each of which can fail. Tests let them fail, one after the other.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

/// The disk.
#[derive(Default, Clone)]
pub(super) struct Disk {
    #[cfg(test)]
    pub(super) faults: std::sync::Arc<super::tests::Faults>,
}

impl Disk {
    /// Opens a file for writing, and makes it if it isn't there.
    pub(super) fn open(&self, path: &Path) -> io::Result<File> {
        self.step()?;
        OpenOptions::new().create(true).truncate(false).write(true).open(path)
    }

    /// Cuts a file and goes to its end.
    pub(super) fn cut(&self, file: &mut File, length: u64) -> io::Result<()> {
        self.step()?;
        file.set_len(length)?;
        file.seek(SeekFrom::Start(length)).map(drop)
    }

    /// Writes at the end. After a failure some of it may be there.
    pub(super) fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.step() {
            file.write_all(&bytes[..bytes.len() / 2])?;
            return Err(error);
        }
        file.write_all(bytes)
    }

    /// Makes what was written safe.
    pub(super) fn sync(&self, file: &File) -> io::Result<()> {
        self.step()?;
        file.sync_data()
    }

    /// Renames a file, and never over another one.
    pub(super) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        if to.try_exists()? {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        std::fs::rename(from, to)?;
        self.sync_folder(to)
    }

    /// Makes the names in a file's folder safe.
    pub(super) fn sync_folder(&self, file: &Path) -> io::Result<()> {
        self.step()?;
        match file.parent() {
            Some(folder) if folder.as_os_str().is_empty() => File::open(".")?.sync_all(),
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }

    #[cfg(test)]
    fn step(&self) -> io::Result<()> {
        self.faults.step()
    }

    #[cfg(not(test))]
    #[allow(clippy::unused_self, clippy::unnecessary_wraps, reason = "it can fail in tests")]
    fn step(&self) -> io::Result<()> {
        Ok(())
    }
}

/// The first bytes of a file.
pub(super) fn start_of(path: &Path) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    File::open(path)?.take(4).read_to_end(&mut start)?;
    Ok(start)
}
