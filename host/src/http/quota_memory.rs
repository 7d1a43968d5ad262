//! What quotas were used for, beyond the process: a file to which each request adds a few bytes before it leaves.
//!
//! Invariant: a process that starts assumes no less than what earlier ones can have sent, however they ended. A request that
//! was under way when a process ended counts as arrived when the next one began. Without a file, or if it can't be
//! written, everything else goes on: quotas then hold within one process.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock;

/// From this size on the file is written anew, with what the windows still hold.
const COMPACT_BYTES: u64 = 1 << 20;

/// What earlier processes used of a quota. Times are milliseconds since 1970.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Past {
    /// When their requests had arrived at the latest.
    pub answered: Vec<u64>,
    /// Until when the service asked to wait.
    pub closed_until: u64,
}

/// The file. Each line is a mark, the name of a quota, and a time: `>` a request leaves, `<` it has its answer, `!` the
/// service asked to wait until then, `=` a process began.
#[derive(Debug, Default)]
pub(super) struct QuotaMemory {
    /// For how long what was sent matters.
    window: Duration,
    open: Option<Open>,
    failed: AtomicBool,
}

#[derive(Debug)]
struct Open {
    path: PathBuf,
    file: Mutex<Appended>,
}

#[derive(Debug)]
struct Appended {
    file: File,
    bytes: u64,
    compact_at: u64,
}

impl QuotaMemory {
    /// Opens the file, and reads what earlier processes wrote into it.
    pub(super) fn open(path: Option<PathBuf>, window: Duration) -> (Self, BTreeMap<String, Past>) {
        let Some(path) = path else { return (Self::default(), BTreeMap::new()) };
        let now = clock::now_ms();
        let past = read(&std::fs::read(&path).unwrap_or_default(), now, window);
        let memory = match append(&path) {
            Ok(file) => {
                let bytes = file.metadata().map_or(0, |metadata| metadata.len());
                let file = Mutex::new(Appended { file, bytes, compact_at: COMPACT_BYTES });
                Self { window, open: Some(Open { path, file }), failed: AtomicBool::new(false) }
            }
            Err(error) => {
                tracing::debug!("The use of quotas isn't remembered in {}: {error}", path.display());
                Self::default()
            }
        };
        memory.write('=', "-", now);
        (memory, past)
    }

    /// A request leaves now.
    pub(super) fn sent(&self, quota: &str) {
        self.write('>', quota, clock::now_ms());
    }

    /// A request has its answer, or will have none.
    pub(super) fn answered(&self, quota: &str) {
        self.write('<', quota, clock::now_ms());
    }

    /// The service asked to wait for so long.
    pub(super) fn closed(&self, quota: &str, wait: Duration) {
        let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        self.write('!', quota, clock::now_ms().saturating_add(wait));
    }

    fn write(&self, mark: char, quota: &str, at: u64) {
        let Some(open) = &self.open else { return };
        if !is_name(quota) {
            return;
        }
        let mut file = open.file.lock().unwrap_or_else(PoisonError::into_inner);
        let line = format!("{mark} {quota} {at}\n");
        // One call, so that a line is whole or not there. It survives the process, which is what matters: not the machine.
        let mut result = file.file.write_all(line.as_bytes());
        file.bytes += line.len() as u64;
        if result.is_ok() && file.bytes >= file.compact_at {
            result = self.compact(&open.path, &mut file);
        }
        if let Err(error) = result
            && !self.failed.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                "The use of quotas can't be remembered in {}: {error}. After a restart the services may be asked faster than they allow for a while.",
                open.path.display()
            );
        }
    }

    /// Writes the file anew with what still matters.
    fn compact(&self, path: &Path, file: &mut Appended) -> std::io::Result<()> {
        let now = clock::now_ms();
        let mut text = String::new();
        for (name, past) in read(&std::fs::read(path)?, now, self.window) {
            for at in past.answered {
                let _ = writeln!(text, "< {name} {at}");
            }
            if past.closed_until > now {
                let _ = writeln!(text, "! {name} {}", past.closed_until);
            }
        }
        // Requests under way count as arrived now, and once more with their answer: too much is safe.
        let new = path.with_extension("new");
        match std::fs::remove_file(&new) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut fresh = append(&new)?;
        fresh.write_all(text.as_bytes())?;
        std::fs::rename(&new, path)?;
        let bytes = text.len() as u64;
        *file = Appended { file: fresh, bytes, compact_at: COMPACT_BYTES.max(bytes * 2) };
        Ok(())
    }
}

fn append(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Whether a quota's name can stand in a line.
fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic())
}

/// What the lines say. What isn't a line of ours says nothing.
fn read(bytes: &[u8], now: u64, window: Duration) -> BTreeMap<String, Past> {
    let window = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
    let mut quotas: BTreeMap<String, (Past, usize)> = BTreeMap::new();
    let text = String::from_utf8_lossy(bytes);
    for line in text.lines() {
        let mut words = line.split(' ');
        let (Some(mark), Some(name), Some(at), None) = (words.next(), words.next(), words.next(), words.next()) else {
            continue;
        };
        let Ok(at) = at.parse::<u64>() else { continue };
        if mark == "=" {
            for (past, under_way) in quotas.values_mut() {
                past.answered.extend(std::iter::repeat_n(at, std::mem::take(under_way)));
            }
            continue;
        }
        if !is_name(name) {
            continue;
        }
        let (past, under_way) = quotas.entry(name.to_owned()).or_default();
        match mark {
            ">" => *under_way += 1,
            "<" => {
                *under_way = under_way.saturating_sub(1);
                past.answered.push(at);
            }
            "!" => past.closed_until = past.closed_until.max(at),
            _ => {}
        }
    }
    quotas
        .into_iter()
        .map(|(name, (mut past, under_way))| {
            past.answered.extend(std::iter::repeat_n(now, under_way));
            // What lies ahead was written under a clock that has been put back since.
            past.answered.iter_mut().for_each(|at| *at = (*at).min(now));
            past.answered.retain(|at| now - *at < window);
            (name, past)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_795_984_132_000;
    const MINUTE: Duration = Duration::from_secs(60);

    fn past(text: &str) -> Past {
        read(text.as_bytes(), NOW, MINUTE).remove("q").unwrap_or_default()
    }

    #[test]
    fn what_was_under_way_arrived_by_the_next_start() {
        let text =
            format!("= - {0}\n> q {0}\n> q {0}\n< q {1}\n= - {2}\n> q {2}\n", NOW - 9_000, NOW - 8_000, NOW - 5_000);
        assert_eq!(past(&text).answered, [NOW - 8_000, NOW - 5_000, NOW]);
    }

    #[test]
    fn what_is_older_than_the_window_is_forgotten_and_what_lies_ahead_is_now() {
        let text = format!("< q {}\n< q {}\n! q {}\n", NOW - 60_000, NOW + 3_600_000, NOW + 5_000);
        assert_eq!(past(&text), Past { answered: vec![NOW], closed_until: NOW + 5_000 });
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..300), lines in "([><!=] (q|-|x y) [0-9]{0,22}\n){0,20}") {
            read(&bytes, NOW, MINUTE);
            for past in read(lines.as_bytes(), NOW, MINUTE).values() {
                prop_assert!(past.answered.iter().all(|at| *at <= NOW && NOW - *at < 60_000));
            }
        }
    }

    #[test]
    fn the_file_outlives_the_process_and_stays_small() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("quotas");
        let open = || QuotaMemory::open(Some(path.clone()), MINUTE);
        let (memory, none) = open();
        assert!(none.is_empty());
        memory.sent("q");
        memory.answered("q");
        memory.sent("q");
        memory.sent("not a name");
        memory.closed("q", MINUTE);
        let (_, found) = open();
        assert_eq!(found.keys().collect::<Vec<_>>(), ["q"]);
        assert_eq!(found["q"].answered.len(), 2);
        assert!(found["q"].closed_until > clock::now_ms());
        // What nobody needs any more goes when the file has grown.
        std::fs::write(&path, "< q 5\n".repeat(COMPACT_BYTES as usize / 6)).unwrap();
        let (memory, _) = open();
        memory.sent("q");
        assert!(std::fs::metadata(&path).unwrap().len() < 1_000);
        let (_, found) = open();
        assert_eq!(found["q"].answered.len(), 1);
    }

    #[test]
    fn a_folder_that_cannot_be_written_to_is_no_trouble() {
        let (memory, past) = QuotaMemory::open(Some(PathBuf::from("/nonexistent/quotas")), MINUTE);
        memory.sent("q");
        assert!(past.is_empty());
    }
}
