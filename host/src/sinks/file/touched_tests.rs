//! What somebody else does to a file, against a model: every line that was committed is in a file, once, or was in what
//! somebody else destroyed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::super::{FileSink, Mark, compress};
use super::{Fault, config, deliver, plain};
use crate::config::Compression;
use crate::sinks::{Coming, Sink as _};

/// What somebody else does.
#[derive(Debug, Clone, Copy)]
enum Touch {
    Delete,
    /// Renames it, and makes a new one or not.
    Rename {
        create: bool,
    },
    /// Copies it and cuts it to nothing.
    CopyTruncate,
    /// Cuts it to so many of a hundred parts.
    Cut(u64),
    /// Writes a line behind ours, complete or not.
    Append {
        whole: bool,
    },
    /// Writes another content into the same file.
    Overwrite {
        long: bool,
    },
    /// Puts a file with a copy of the content in its place.
    Copy,
    /// Moves its folder, and makes a new one or not.
    MoveFolder {
        create: bool,
    },
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Deliver,
    /// A delivery during which something is done at this step of the disk.
    DeliverWhile(u32, Touch),
    /// A delivery whose first attempt fails at this step.
    DeliverAfterFault(u32),
    /// A delivery that isn't committed before the process dies.
    Die,
    Touch(Touch),
    /// Nothing comes for a while.
    Idle,
    /// The process ends, in order or not, and starts again.
    Restart {
        clean: bool,
    },
    /// While it doesn't run.
    TouchStopped {
        clean: bool,
        touch: Touch,
    },
}

fn touch() -> impl Strategy<Value = Touch> {
    prop_oneof![
        Just(Touch::Delete),
        any::<bool>().prop_map(|create| Touch::Rename { create }),
        Just(Touch::CopyTruncate),
        (0u64..100).prop_map(Touch::Cut),
        any::<bool>().prop_map(|whole| Touch::Append { whole }),
        any::<bool>().prop_map(|long| Touch::Overwrite { long }),
        Just(Touch::Copy),
        any::<bool>().prop_map(|create| Touch::MoveFolder { create }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => Just(Step::Deliver),
        2 => (0u32..4, touch()).prop_map(|(at, touch)| Step::DeliverWhile(at, touch)),
        1 => (0u32..4).prop_map(Step::DeliverAfterFault),
        1 => Just(Step::Die),
        5 => touch().prop_map(Step::Touch),
        1 => Just(Step::Idle),
        1 => any::<bool>().prop_map(|clean| Step::Restart { clean }),
        2 => (any::<bool>(), touch()).prop_map(|(clean, touch)| Step::TouchStopped { clean, touch }),
    ]
}

/// Whatever can be read of some bytes, up to where they are broken.
fn readable(compression: Compression, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match compression {
        Compression::None => out.extend_from_slice(bytes),
        _ => {
            let _ = std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(bytes), &mut out);
        }
    }
    out
}

/// The complete lines of some bytes, each with how often it is there.
fn lines(bytes: &[u8]) -> BTreeMap<Vec<u8>, usize> {
    let mut lines = BTreeMap::new();
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    for line in bytes[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        *lines.entry(line.to_vec()).or_default() += 1;
    }
    lines
}

/// The world around a sink: its folder, its ledger, and what somebody did.
struct World {
    home: PathBuf,
    path: PathBuf,
    compression: Compression,
    ledger: Option<String>,
    sink: Option<FileSink>,
    /// Lines that somebody destroyed.
    destroyed: BTreeMap<Vec<u8>, usize>,
    /// Lines of somebody else that have to be kept.
    foreign: Vec<Vec<u8>>,
    /// How many of them were seen. After a crash in a delivery the others can't be told from what wasn't confirmed.
    seen: usize,
    committed: Vec<Vec<u8>>,
    /// Lines that somebody copied or cut while they were being written, so that they may be there once more.
    excused: Vec<Vec<u8>>,
    count: usize,
}

impl World {
    fn touch(&mut self, touch: Touch, under_way: &[u8]) {
        self.count += 1;
        let before = std::fs::read(&self.path).unwrap_or_default();
        let other = |name: &str| self.path.with_file_name(format!("{name}{}", self.count));
        let foreign = format!("{{\"foreign\":{}}}\n", self.count).into_bytes();
        match touch {
            Touch::Delete => drop(std::fs::remove_file(&self.path)),
            Touch::Rename { create } => {
                let renamed = std::fs::rename(&self.path, other("renamed"));
                if create && renamed.is_ok() {
                    std::fs::write(&self.path, "").unwrap();
                }
                return;
            }
            Touch::CopyTruncate => {
                if self.path.exists() {
                    std::fs::copy(&self.path, other("copied")).unwrap();
                    std::fs::write(&self.path, "").unwrap();
                }
                self.excused.extend(lines(under_way).into_keys());
                return;
            }
            Touch::Cut(part) => {
                if self.path.exists() {
                    let file = std::fs::OpenOptions::new().write(true).open(&self.path).unwrap();
                    file.set_len(before.len() as u64 * part / 100).unwrap();
                }
            }
            Touch::Append { whole } => {
                if let Ok(mut file) = std::fs::OpenOptions::new().append(true).open(&self.path) {
                    let bytes = if whole { &foreign[..] } else { &foreign[..5] };
                    std::io::Write::write_all(&mut file, bytes).unwrap();
                    if whole && self.compression == Compression::None && before.last().is_none_or(|byte| *byte == b'\n')
                    {
                        self.foreign.push(foreign[..foreign.len() - 1].to_vec());
                    }
                }
            }
            Touch::Overwrite { long } => {
                if self.path.exists() {
                    let times = if long { before.len() / foreign.len() + 2 } else { 1 };
                    std::fs::write(&self.path, foreign.repeat(times)).unwrap();
                }
            }
            Touch::Copy => {
                if self.path.exists() {
                    std::fs::copy(&self.path, other("copied")).unwrap();
                    std::fs::rename(other("copied"), &self.path).unwrap();
                }
                self.excused.extend(lines(under_way).into_keys());
                return;
            }
            Touch::MoveFolder { create } => {
                let folder = self.path.parent().unwrap();
                if std::fs::rename(folder, self.home.join(format!("moved{}", self.count))).is_ok() && create {
                    std::fs::create_dir(folder).unwrap();
                }
                return;
            }
        }
        // What can't be read any more is destroyed, also somebody else's.
        let after = std::fs::read(&self.path).unwrap_or_default();
        let after = lines(&readable(self.compression, &after));
        for (line, count) in lines(&readable(self.compression, &before)) {
            let left = after.get(&line).copied().unwrap_or(0);
            if left < count {
                *self.destroyed.entry(line).or_default() += count - left;
            }
        }
        self.excused.extend(lines(under_way).into_keys());
    }

    fn start(&mut self) {
        if self.sink.is_none() {
            std::fs::create_dir_all(self.path.parent().unwrap()).unwrap();
            let config = config(&self.path, self.compression, None);
            let mut sink = FileSink::open(&config).unwrap_or_else(|error| {
                // Whoever starts it does what it says.
                assert!(error.message.contains("Move it away"), "{error}");
                self.count += 1;
                std::fs::rename(&self.path, self.path.with_file_name(format!("away{}", self.count))).unwrap();
                FileSink::open(&config).unwrap()
            });
            self.ledger = sink.resume(self.ledger.as_deref()).unwrap();
            self.sink = Some(sink);
        }
    }

    /// Delivers until it succeeds. The folder comes back if it is missed.
    fn deliver(&mut self, line: &str, mut step: Step) {
        self.start();
        for _ in 0..20 {
            let mut sink = self.sink.take().unwrap();
            if matches!(step, Step::DeliverAfterFault(_)) {
                let Step::DeliverAfterFault(steps) = step else { unreachable!() };
                *sink.disk.faults.fault.lock().unwrap() = Some(Fault { steps, dead: false });
            }
            let prepared = sink.prepare(1_000, Coming::Delivery);
            if prepared.is_ok() {
                self.seen = self.foreign.len();
            }
            if let Ok(Some(position)) = &prepared {
                self.ledger = Some(position.clone());
            }
            if let Step::DeliverWhile(at, touch) = step {
                // Somebody does it between two steps of the write, which needs the world.
                let world = std::sync::Arc::new(std::sync::Mutex::new(std::mem::replace(self, self.nothing())));
                let (inside, under_way) = (world.clone(), line.as_bytes().to_vec());
                let doing = move || inside.lock().unwrap().touch(touch, &under_way);
                *sink.disk.faults.action.lock().unwrap() = Some((at, Box::new(doing)));
                let outcome = prepared.and_then(|_| sink.deliver(&[line.as_bytes()]));
                *sink.disk.faults.action.lock().unwrap() = None;
                std::mem::swap(self, &mut world.lock().unwrap());
                self.sink = Some(sink);
                if let Ok(receipt) = outcome {
                    self.commit(receipt.position, line);
                    return;
                }
                // What was written in the middle of it can't be told from what isn't confirmed.
                self.foreign.truncate(self.seen);
            } else {
                let outcome = prepared.and_then(|_| sink.deliver(&[line.as_bytes()]));
                self.sink = Some(sink);
                match outcome {
                    Ok(_) if matches!(step, Step::Die) => {
                        if !self.path.exists() {
                            // What wasn't confirmed is where nobody finds it.
                            self.excused.push(line.trim_end().as_bytes().to_vec());
                        }
                        self.sink = None;
                        self.start();
                    }
                    Ok(receipt) => return self.commit(receipt.position, line),
                    Err(error) if error.message.contains("is gone") => {
                        std::fs::create_dir_all(self.path.parent().unwrap()).unwrap();
                    }
                    Err(_) => {}
                }
            }
            step = Step::Deliver;
        }
        panic!("it never succeeds");
    }

    fn commit(&mut self, position: Option<String>, line: &str) {
        self.ledger = position;
        self.committed.push(line.trim_end().as_bytes().to_vec());
    }

    /// A world to stand in for this one.
    fn nothing(&self) -> Self {
        Self {
            home: self.home.clone(),
            path: self.path.clone(),
            compression: self.compression,
            ledger: None,
            sink: None,
            destroyed: BTreeMap::new(),
            foreign: Vec::new(),
            seen: 0,
            committed: Vec::new(),
            excused: Vec::new(),
            count: 0,
        }
    }

    fn rest(&mut self) {
        if let Some(sink) = &mut self.sink
            && let Ok(Some(position)) = sink.prepare(1_000, Coming::Nothing)
        {
            self.ledger = Some(position);
        }
        self.seen = self.foreign.len();
    }

    fn take(&mut self, step: Step, number: usize) {
        let line = format!("{{\"line\":{number},\"text\":\"{}\"}}\n", "x".repeat(number % 40));
        match step {
            Step::Deliver | Step::DeliverWhile(..) | Step::DeliverAfterFault(_) | Step::Die => {
                self.deliver(&line, step);
            }
            Step::Touch(touch) => {
                // What is there while it runs is made by the start.
                self.start();
                self.touch(touch, b"");
            }
            Step::Idle => self.rest(),
            Step::Restart { clean } | Step::TouchStopped { clean, .. } => {
                if clean {
                    self.rest();
                }
                self.sink = None;
                if let Step::TouchStopped { touch, .. } = step {
                    self.touch(touch, b"");
                }
                let mark = self.ledger.as_deref().and_then(Mark::parse).unwrap_or_default();
                if mark.under_way {
                    self.foreign.truncate(self.seen);
                }
                self.start();
            }
        }
    }

    /// Every complete line below the folder, and whether there is a NUL.
    fn everything(&self) -> (BTreeMap<Vec<u8>, usize>, bool) {
        let (mut all, mut nul) = (BTreeMap::new(), false);
        let mut folders = vec![self.home.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if entry.is_dir() {
                    folders.push(entry);
                    continue;
                }
                let bytes = readable(self.compression, &std::fs::read(&entry).unwrap());
                nul |= bytes.contains(&0);
                for (line, count) in lines(&bytes) {
                    *all.entry(line).or_default() += count;
                }
            }
        }
        (all, nul)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn only_what_somebody_destroyed_is_missing_and_nothing_is_there_twice(
        steps in prop::collection::vec(step(), 1..14),
        compression in prop_oneof![3 => Just(Compression::None), 1 => Just(Compression::Gzip)],
    ) {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().canonicalize().unwrap().join("out/events.ndjson");
        let mut world = World {
            home: home.path().to_owned(),
            path,
            compression,
            ledger: None,
            sink: None,
            destroyed: BTreeMap::new(),
            foreign: Vec::new(),
            seen: 0,
            committed: Vec::new(),
            excused: Vec::new(),
            count: 0,
        };
        world.start();
        for (number, step) in steps.iter().enumerate() {
            world.take(*step, number);
        }
        world.deliver("{\"last\":1}\n", Step::Deliver);
        world.rest();
        let (there, nul) = world.everything();
        prop_assert!(!nul, "a hole");
        for line in &world.committed {
            let (count, destroyed) = (there.get(line).copied().unwrap_or(0), world.destroyed.contains_key(line));
            let line_text = String::from_utf8_lossy(line);
            prop_assert!(count >= 1 || destroyed, "lost: {line_text}");
            prop_assert!(count <= 1 || world.excused.contains(line), "{count} times: {line_text}");
        }
        for line in &world.foreign {
            let there = there.contains_key(line) || world.destroyed.contains_key(line);
            prop_assert!(there, "of somebody else, and gone: {}", String::from_utf8_lossy(line));
        }
    }
}

/// A sink that has delivered one line, in a folder of its own, with its position.
fn delivered() -> (tempfile::TempDir, PathBuf, FileSink, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap().join("events.ndjson");
    let mut sink = plain(&path);
    sink.resume(None).unwrap();
    let position = deliver(&mut sink, "one\n");
    (folder, path, sink, position)
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn where_a_file_begins_anew_is_given_before_anything_is_written() {
    let (_folder, path, mut sink, _) = delivered();
    std::fs::remove_file(&path).unwrap();
    let position = sink.prepare(5, Coming::Delivery).unwrap().expect("a new position");
    let mark = Mark::parse(&position).unwrap();
    assert_eq!((mark.length, mark.under_way), (0, true));
    assert_eq!(text(&path), "");
    sink.deliver(&[b"two\n"]).unwrap();
    assert_eq!(text(&path), "two\n");
}

#[test]
fn nothing_is_written_that_was_not_prepared_for() {
    let (_folder, path, mut sink, _) = delivered();
    assert!(sink.deliver(&[b"two\n"]).is_err());
    assert_eq!(text(&path), "one\n");
}

#[test]
fn what_others_append_is_kept_while_it_runs_and_after_an_orderly_end() {
    let (_folder, path, mut sink, _) = delivered();
    std::fs::write(&path, "one\nfor").unwrap();
    let position = deliver(&mut sink, "two\n");
    assert_eq!(text(&path), "one\nfor\ntwo\n", "its line was not complete");
    let rest = sink.prepare(9, Coming::Nothing).unwrap().expect("a position at rest");
    drop(sink);
    std::fs::write(&path, "one\nfor\ntwo\nforeign\n").unwrap();
    let mut sink = plain(&path);
    sink.resume(Some(&rest)).unwrap();
    drop(sink);
    assert_eq!(text(&path), "one\nfor\ntwo\nforeign\n");
    // After a crash it could as well be what we didn't confirm.
    let mut sink = plain(&path);
    sink.resume(Some(&position)).unwrap();
    assert_eq!(text(&path), "one\nfor\ntwo\n");
}

#[test]
fn a_file_that_is_not_ours_is_never_cut() {
    let (_folder, path, sink, position) = delivered();
    drop(sink);
    std::fs::write(&path, "something else and long\n").unwrap();
    let mut sink = plain(&path);
    sink.resume(Some(&position)).unwrap();
    deliver(&mut sink, "two\n");
    assert_eq!(text(&path), "something else and long\ntwo\n");
}

#[test]
fn one_that_was_renamed_while_nothing_ran_is_found_and_its_tail_cut() {
    let (folder, path, mut sink, position) = delivered();
    deliver(&mut sink, "two\n");
    drop(sink);
    let renamed = folder.path().join("events.ndjson.1");
    std::fs::rename(&path, &renamed).unwrap();
    let mut sink = plain(&path);
    sink.resume(Some(&position)).unwrap();
    deliver(&mut sink, "two\n");
    assert_eq!((text(&renamed), text(&path)), ("one\n".to_owned(), "two\n".to_owned()));
}

#[test]
fn a_second_writer_is_refused_by_any_name() {
    let (folder, path, sink, _) = delivered();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let hard = folder.path().join("hard");
    std::fs::hard_link(&path, &hard).unwrap();
    for name in [&path, &link, &hard] {
        let error = FileSink::open(&config(name, Compression::None, None)).err().unwrap();
        assert!(error.message.contains("another m365-pipe, or another sink"), "{error}");
    }
    drop(sink);
    assert!(FileSink::open(&config(&link, Compression::None, None)).is_ok());
}

#[test]
fn a_compressed_file_that_others_cut_is_put_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.ndjson.gz");
    let mut sink = FileSink::open(&config(&path, Compression::Gzip, None)).unwrap();
    sink.resume(None).unwrap();
    deliver(&mut sink, "one\n");
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(10).unwrap();
    deliver(&mut sink, "two\n");
    assert_eq!(std::fs::read(&path).unwrap(), compress(Compression::Gzip, b"two\n").unwrap());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn new_files_have_the_mode_and_others_keep_theirs() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let (_folder, path, sink, _) = delivered();
    // The umask of the tests may take away from it.
    let mode = |path: &Path| path.metadata().unwrap().mode() & 0o7777;
    assert_eq!(mode(&path) & !0o640, 0);
    drop(sink);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o604)).unwrap();
    drop(plain(&path));
    assert_eq!(mode(&path), 0o604);
    std::fs::remove_file(&path).unwrap();
    let named = |mode: &str| {
        let config =
            crate::config::SinkConfig { mode: Some(mode.to_owned()), ..config(&path, Compression::None, None) };
        FileSink::open(&config)
    };
    assert!(named("0600").is_ok());
    assert_eq!(mode(&path), 0o600);
    for bad in ["0440", "999", "4755", ""] {
        assert!(named(bad).err().unwrap().message.contains("`mode`"), "{bad}");
    }
}

#[test]
fn what_is_no_regular_file_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let error = FileSink::open(&config(&path, Compression::None, None)).err().unwrap();
    assert!(error.message.contains("a named pipe"), "{error}");
}
