//! The few things that a file sink does to a disk, each of which can fail. Tests let them fail, one after the other.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The disk.
#[derive(Default, Clone)]
pub(super) struct Disk {
    #[cfg(test)]
    pub(super) faults: std::sync::Arc<super::tests::Faults>,
}

/// Where an open file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AtPath {
    /// At its path.
    This,
    /// Another file or nothing is there.
    Other,
    /// Nobody can say: the folder isn't there, or can't be looked into.
    Hidden,
}

/// What a look at an open file and at its path found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) length: u64,
    /// Whether it has a name at all.
    pub(super) linked: bool,
    pub(super) at_path: AtPath,
}

/// How many bytes before a length are hashed.
const END: u64 = 256;

/// What the system says of a file that another process has locked.
const IN_USE: &str = "another m365-pipe, or another sink of this configuration, writes to it by this or another name";

impl Disk {
    /// Opens a file for appending and locks it, and makes it if it isn't there. The lock ends with the file or the process.
    pub(super) fn open(&self, path: &Path, mode: u32) -> io::Result<File> {
        self.step()?;
        let mut last = None;
        // Whoever held the lock may have put the file aside between the two steps: then the one at the path counts.
        for _ in 0..3 {
            let file = crate::files::open(path, OpenOptions::new().create(true).read(true).append(true).mode(mode))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(io::Error::new(io::ErrorKind::ResourceBusy, IN_USE)),
                // Some network file systems have no locks.
                Err(TryLockError::Error(error)) => {
                    tracing::warn!(file = %path.display(), "The file can't be locked, so nothing keeps a second writer out: {error}.");
                }
            }
            if look(&file, path)?.at_path == AtPath::This {
                return Ok(file);
            }
            last = Some(file);
        }
        last.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Cuts a file.
    pub(super) fn cut(&self, file: &File, length: u64) -> io::Result<()> {
        self.step()?;
        file.set_len(length)
    }

    /// Writes at the end. After a failure some of it may be there.
    pub(super) fn write(&self, mut file: &File, bytes: &[u8]) -> io::Result<()> {
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

/// Looks at an open file and at what is at its path now.
pub(super) fn look(file: &File, path: &Path) -> io::Result<Seen> {
    let own = file.metadata()?;
    let at_path = match path.metadata() {
        Ok(there) if (there.dev(), there.ino()) == (own.dev(), own.ino()) => AtPath::This,
        Ok(_) => AtPath::Other,
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.parent().is_some_and(folder_is_there) => {
            AtPath::Other
        }
        Err(_) => AtPath::Hidden,
    };
    Ok(Seen { length: own.len(), linked: own.nlink() > 0, at_path })
}

fn folder_is_there(folder: &Path) -> bool {
    folder.as_os_str().is_empty() || folder.is_dir()
}

/// A file's number in its file system.
pub(super) fn inode(file: &File) -> io::Result<u64> {
    Ok(file.metadata()?.ino())
}

/// A hash of the last bytes before a length.
pub(super) fn end_of(file: &File, length: u64) -> io::Result<u64> {
    let mut bytes = [0; END as usize];
    let bytes = &mut bytes[..length.min(END) as usize];
    file.read_exact_at(bytes, length - bytes.len() as u64)?;
    let hash = blake3::hash(bytes);
    Ok(hash.as_bytes()[..8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// Whether the bytes up to a length end in the middle of a line.
pub(super) fn ends_in_a_line(file: &File, length: u64) -> io::Result<bool> {
    let mut last = [b'\n'];
    if length > 0 {
        file.read_exact_at(&mut last, length - 1)?;
    }
    Ok(last != [b'\n'])
}

/// Whether the bytes up to a length end with these blocks, and if it is asked for, on a line of their own.
pub(super) fn ends_with(file: &File, length: u64, blocks: &[&[u8]], on_a_line: bool) -> io::Result<bool> {
    let written: u64 = blocks.iter().map(|block| block.len() as u64).sum();
    let Some(start) = length.checked_sub(written) else { return Ok(false) };
    if on_a_line && ends_in_a_line(file, start)? {
        return Ok(false);
    }
    let mut at = start;
    for block in blocks {
        let mut there = vec![0; block.len()];
        file.read_exact_at(&mut there, at)?;
        if there != *block {
            return Ok(false);
        }
        at += block.len() as u64;
    }
    Ok(true)
}

/// The first bytes of a file.
pub(super) fn start_of(file: &File) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    let mut file = file;
    io::Seek::rewind(&mut file)?;
    file.take(4).read_to_end(&mut start)?;
    Ok(start)
}

/// Opens the file of this number beside a path, whatever its name is, to look at it.
pub(super) fn find(path: &Path, inode: u64) -> Option<(PathBuf, File)> {
    let entries = std::fs::read_dir(path.parent()?).ok()?.flatten();
    let found = entries.filter(|entry| std::os::unix::fs::DirEntryExt::ino(entry) == inode).map(|entry| entry.path());
    found.filter(|found| found != path).find_map(|found| {
        let file = crate::files::open(&found, OpenOptions::new().read(true)).ok()?;
        Some((found, file))
    })
}

/// The name that an open file has now, where the system tells.
pub(super) fn name_of(file: &File) -> Option<PathBuf> {
    use std::os::fd::AsRawFd as _;
    std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()
}
