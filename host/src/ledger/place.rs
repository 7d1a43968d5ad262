//! Where the ledger is: its folder, which only its owner reads, and which only one process uses.
//!
//! The invariant: two processes never write to one ledger, also when somebody deletes its lock file; and a ledger that
//! somebody takes away under a run is noticed before anything else is committed.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rusqlite::Connection;

use super::LedgerError;
use crate::files;

/// The database's name. SQLite adds two more files while it is open, with the same mode.
pub(super) const FILE: &str = "ledger.sqlite";
const LOCK: &str = "lock";

/// A folder that is ours.
#[derive(Debug)]
pub(super) struct Place {
    folder: PathBuf,
    /// The database's device and inode.
    file: (u64, u64),
    /// What was found once it wasn't where it was: how it is told.
    taken_away: OnceLock<(&'static str, &'static str)>,
    /// Held for as long as the ledger is open.
    _locks: [Option<File>; 2],
}

impl Place {
    /// Makes the folder and an empty database if they aren't there, and keeps other processes out.
    pub(super) fn take(folder: &Path) -> Result<Self, LedgerError> {
        let unusable = |error: io::Error| unusable(folder, &error);
        if let Some(parent) = folder.parent() {
            std::fs::create_dir_all(parent).map_err(unusable)?;
        }
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(_) if folder.exists() && !folder.is_dir() => {
                return Err(unusable(io::Error::other("it is not a folder")));
            }
            Err(error) if !folder.is_dir() => return Err(unusable(error)),
            _ => {}
        }
        let locks = lock(folder)?;
        let path = folder.join(FILE);
        let file = private(&path).map_err(|error| name(FILE, error)).map_err(unusable)?.metadata().map_err(unusable)?;
        tighten(folder);
        Ok(Self {
            folder: folder.to_owned(),
            file: (file.dev(), file.ino()),
            taken_away: OnceLock::new(),
            _locks: locks,
        })
    }

    /// Fails if the database isn't where it was. One that was deleted is written back first, so that the next start knows
    /// what was delivered.
    pub(super) fn check(&self, connection: &Connection) -> Result<(), LedgerError> {
        if self.taken_away.get().is_none() {
            let told = match self.folder.join(FILE).metadata() {
                Ok(file) if (file.dev(), file.ino()) == self.file => return Ok(()),
                Ok(_) => (
                    "replaced",
                    "Start again, which goes by the one that is there now: what it doesn't know comes again. Stop m365-pipe before you touch its ledger.",
                ),
                Err(error) if error.kind() == io::ErrorKind::NotFound => match self.write_back(connection) {
                    Ok(()) => (
                        "deleted",
                        "What was in it was written back: start again, which goes on from there. Stop m365-pipe before you touch its ledger.",
                    ),
                    Err(error) => {
                        tracing::error!("What was in the deleted ledger can't be written back: {error}.");
                        (
                            "deleted, with all it knew,",
                            "Start again, which begins a new one and delivers the last days again. Stop m365-pipe before you touch its ledger.",
                        )
                    }
                },
                // Whoever can't look can't say that it is gone.
                Err(_) => return Ok(()),
            };
            // Only here is it set, by whoever holds the connection.
            let _ = self.taken_away.set(told);
        }
        let Some((what, mend)) = self.taken_away.get().copied() else { return Ok(()) };
        Err(LedgerError::TakenAway { path: self.folder.display().to_string(), what, mend })
    }

    /// Writes what the open database holds to a new file, which then has the name of the old one.
    fn write_back(&self, connection: &Connection) -> Result<(), Box<dyn std::error::Error>> {
        let copy = self.folder.join(format!("{FILE}.back"));
        if copy.try_exists()? {
            std::fs::remove_file(&copy)?;
        }
        let file = private(&copy)?;
        connection.execute("VACUUM INTO ?1", [copy.to_str().ok_or("its path is no UTF-8")?])?;
        file.sync_all()?;
        // Left by the old one if only the database was deleted; they mean nothing to the new one.
        for ending in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(self.folder.join(format!("{FILE}{ending}")));
        }
        std::fs::rename(&copy, self.folder.join(FILE))?;
        File::open(&self.folder)?.sync_all()?;
        Ok(())
    }
}

fn unusable(folder: &Path, error: &io::Error) -> LedgerError {
    LedgerError::Unusable { path: folder.display().to_string(), reason: error.to_string() }
}

/// Opens a file that only its owner reads, and makes it if it isn't there.
fn private(path: &Path) -> io::Result<File> {
    files::open(path, OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600))
}

/// Takes the locks that keep a second process out: of the folder, which nobody deletes by mistake, and of a file, which
/// says who holds it and keeps earlier versions out. They end with the process, however that ends.
fn lock(folder: &Path) -> Result<[Option<File>; 2], LedgerError> {
    let unusable = |error: io::Error| unusable(folder, &error);
    let path = folder.join(LOCK);
    let in_use = || {
        let holder = files::read_text(&path, 100).unwrap_or_default();
        let holder = holder.trim();
        LedgerError::InUse {
            path: folder.display().to_string(),
            holder: if holder.is_empty() { String::new() } else { format!(" (process {holder})") },
        }
    };
    let whole = File::open(folder).map_err(unusable)?;
    let whole = match whole.try_lock() {
        Ok(()) => Some(whole),
        Err(TryLockError::WouldBlock) => return Err(in_use()),
        // Not every file system locks folders.
        Err(TryLockError::Error(_)) => None,
    };
    let mut file = private(&path).map_err(|error| name(LOCK, error)).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(in_use()),
        Err(TryLockError::Error(error)) => return Err(unusable(error)),
    }
    file.set_len(0).map_err(unusable)?;
    write!(file, "{}", std::process::id()).map_err(unusable)?;
    Ok([whole, Some(file)])
}

/// An error with the file that it is about.
fn name(file: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{file}: {error}"))
}

/// Takes from others what earlier versions let them read, and warns of a folder that they may write to.
fn tighten(folder: &Path) {
    for file in [FILE.to_owned(), format!("{FILE}-wal"), format!("{FILE}-shm"), LOCK.to_owned()] {
        let path = folder.join(file);
        let Ok(metadata) = path.metadata() else { continue };
        if metadata.mode() & 0o077 == 0 || !metadata.is_file() {
            continue;
        }
        match std::fs::set_permissions(&path, Permissions::from_mode(metadata.mode() & 0o700)) {
            Ok(()) => {
                tracing::info!(file = %path.display(), "Others could read this file of the ledger, and can't now.")
            }
            Err(error) => tracing::warn!(
                file = %path.display(),
                "Others can read this file of the ledger, which holds dead letters, and that can't be changed: {error}. Let only its owner read it."
            ),
        }
    }
    if folder.metadata().is_ok_and(|metadata| metadata.mode() & 0o022 != 0) {
        tracing::warn!(
            "Others can write to the data directory {}, and so delete or replace the ledger. Let only its owner do that (mode 0700).",
            folder.display()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::Ledger;
    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().mode() & 0o7777
    }

    #[test]
    fn only_the_owner_reads_a_ledger_and_one_that_others_read_is_tightened() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("a/data");
        let ledger = Ledger::open(&folder, "t").unwrap();
        ledger.commit(&[], &[super::super::SinkMark::position("s", "1".to_owned())], 1).unwrap();
        // Whatever the umask takes away from it.
        assert_eq!(mode(&folder) & 0o077, 0);
        let names: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(names.len(), 4, "{names:?}");
        names.iter().for_each(|name| assert_eq!(mode(name), 0o600, "{name:?}"));
        drop(ledger);
        for name in [folder.join(FILE), folder.join(LOCK)] {
            std::fs::set_permissions(&name, Permissions::from_mode(0o644)).unwrap();
        }
        let _ledger = Ledger::open(&folder, "t").unwrap();
        for name in [folder.join(FILE), folder.join(LOCK)] {
            assert_eq!(mode(&name), 0o600, "{name:?}");
        }
    }

    #[test]
    fn a_second_process_stays_out_also_without_the_lock_file() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().with_extension("link");
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        let ledger = Ledger::open(folder.path(), "t").unwrap();
        for deleted in [false, true] {
            if deleted {
                std::fs::remove_file(folder.path().join(LOCK)).unwrap();
            }
            for name in [folder.path(), &link] {
                let error = Ledger::open(name, "t").unwrap_err();
                assert!(matches!(error, LedgerError::InUse { .. }), "{error}");
            }
        }
        drop(ledger);
        assert!(Ledger::open(&link, "t").is_ok());
        std::fs::remove_file(link).unwrap();
    }

    #[test]
    fn a_ledger_that_is_taken_away_is_noticed_and_its_content_written_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let mark = |position: &str| [super::super::SinkMark::position("s", position.to_owned())];
        let ledger = Ledger::open(folder.path(), "t").unwrap();
        ledger.commit(&[], &mark("7"), 1).unwrap();
        for file in ["", "-wal", "-shm"] {
            std::fs::remove_file(folder.path().join(format!("{FILE}{file}"))).unwrap();
        }
        let error = ledger.commit(&[], &mark("8"), 1).unwrap_err();
        assert!(error.to_string().contains("was deleted by somebody else"), "{error}");
        drop(ledger);
        assert_eq!(mode(&path) & 0o177, 0);
        let ledger = Ledger::open(folder.path(), "t").unwrap();
        assert_eq!(ledger.position("s").unwrap().as_deref(), Some("7"));

        std::fs::copy(&path, folder.path().join("other")).unwrap();
        std::fs::rename(folder.path().join("other"), &path).unwrap();
        let error = ledger.check_place().unwrap_err();
        assert!(error.to_string().contains("was replaced by somebody else"), "{error}");
    }

    #[test]
    fn what_is_no_regular_file_is_refused_at_once() {
        for name in [FILE, LOCK] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(name);
            rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
            let error = Ledger::open(folder.path(), "t").unwrap_err();
            assert!(error.to_string().contains("a named pipe"), "{error}");
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(Ledger::open(file.path(), "t").unwrap_err(), LedgerError::Unusable { .. }));
    }
}
