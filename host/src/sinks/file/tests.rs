use std::sync::Mutex;

use proptest::prelude::*;

use super::*;
use crate::config::SinkKind;
use crate::sinks::compression::expand;

#[path = "touched_tests.rs"]
mod touched_tests;

type Action = Box<dyn FnOnce() + Send>;

/// Lets one of the coming steps of a disk fail, or something happen before it.
#[derive(Default)]
pub(in crate::sinks::file) struct Faults {
    fault: Mutex<Option<Fault>>,
    /// After how many steps it happens.
    action: Mutex<Option<(u32, Action)>>,
}

#[derive(Clone, Copy)]
struct Fault {
    /// Steps that still succeed.
    steps: u32,
    /// Whether every later step fails too, as after a crash.
    dead: bool,
}

impl Faults {
    pub(in crate::sinks::file) fn step(&self) -> io::Result<()> {
        let mut action = self.action.lock().unwrap();
        match action.take() {
            Some((0, act)) => act(),
            Some((steps, act)) => *action = Some((steps - 1, act)),
            None => {}
        }
        let mut fault = self.fault.lock().unwrap();
        match &mut *fault {
            None => Ok(()),
            Some(Fault { steps: 0, dead }) => {
                if !*dead {
                    *fault = None;
                }
                Err(io::ErrorKind::StorageFull.into())
            }
            Some(Fault { steps, .. }) => {
                *steps -= 1;
                Ok(())
            }
        }
    }
}

fn config(path: &Path, compression: Compression, rotate: Option<RotateConfig>) -> SinkConfig {
    SinkConfig { path: Some(path.to_owned()), compression, rotate, ..SinkConfig::new(SinkKind::File) }
}

fn plain(path: &Path) -> FileSink {
    FileSink::open(&config(path, Compression::None, None)).unwrap()
}

fn deliver(sink: &mut FileSink, text: &str) -> String {
    sink.prepare(1, Coming::Delivery).unwrap();
    sink.deliver(&[text.as_bytes()]).unwrap().position.unwrap()
}

/// The content of all files, the oldest first.
fn content(path: &Path, compression: Compression) -> String {
    let mut files: Vec<PathBuf> =
        Names::of(&path.canonicalize().unwrap()).rotated().into_iter().map(|file| file.path).collect();
    files.push(path.to_owned());
    let whole = files.iter().flat_map(|file| expand(compression, &std::fs::read(file).unwrap()).unwrap()).collect();
    String::from_utf8(whole).unwrap()
}

#[test]
fn the_unconfirmed_tail_is_cut_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.ndjson");
    let position = {
        let mut sink = plain(&path);
        sink.resume(None).unwrap();
        let position = deliver(&mut sink, "one\n");
        deliver(&mut sink, "two\nhal");
        position
    };
    let mut sink = plain(&path);
    sink.resume(Some(&position)).unwrap();
    deliver(&mut sink, "two\n");
    assert_eq!(content(&path, Compression::None), "one\ntwo\n");
}

#[test]
fn a_file_that_was_there_before_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.ndjson");
    std::fs::write(&path, b"before\n").unwrap();
    let mut sink = plain(&path);
    sink.resume(None).unwrap();
    assert_eq!(Mark::parse(&deliver(&mut sink, "after\n")).unwrap().length, 13);
    drop(sink);
    assert_eq!(content(&path, Compression::None), "before\nafter\n");
    // A position as earlier versions kept it.
    let mut sink = plain(&path);
    sink.resume(Some("7")).unwrap();
    assert_eq!(content(&path, Compression::None), "before\n");
}

#[test]
fn a_full_disk_is_told_and_what_was_half_written_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.ndjson");
    let mut sink = plain(&path);
    sink.resume(None).unwrap();
    deliver(&mut sink, "one\n");
    for steps in 0..2 {
        sink.prepare(1, Coming::Delivery).unwrap();
        *sink.disk.faults.fault.lock().unwrap() = Some(Fault { steps, dead: false });
        let error = sink.deliver(&[b"two, and more of it\n"]).unwrap_err();
        assert!(error.message.contains("is full. Nothing is lost: free some space"), "{error}");
        assert_eq!(error.trouble, Trouble::Passing(None));
    }
    deliver(&mut sink, "two\n");
    assert_eq!(content(&path, Compression::None), "one\ntwo\n");
}

#[test]
fn a_missing_folder_is_named() {
    let config = config(Path::new("no/such/folder/x"), Compression::None, None);
    let error = FileSink::open(&config).err().unwrap();
    assert!(error.message.contains("no/such/folder/x"), "{error}");
}

#[test]
fn plain_and_compressed_are_not_mixed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.ndjson");
    std::fs::write(&path, b"plain\n").unwrap();
    let error = FileSink::open(&config(&path, Compression::Zstd, None)).err().unwrap();
    assert!(error.message.contains("isn't compressed as `compression` says"), "{error}");
    std::fs::write(&path, compress(Compression::Gzip, b"x\n").unwrap()).unwrap();
    assert!(FileSink::open(&config(&path, Compression::None, None)).is_err());
    assert!(FileSink::open(&config(&path, Compression::Gzip, None)).is_ok());
}

#[test]
fn files_rotate_by_age_and_only_some_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.ndjson");
    let rotate = RotateConfig { max_age_minutes: Some(10), keep_files: Some(2), ..RotateConfig::default() };
    let mut sink = FileSink::open(&config(&path, Compression::None, Some(rotate))).unwrap();
    sink.resume(None).unwrap();
    let mut now = 1_777_863_721_000;
    for number in 0..5 {
        let rotated = |sink: &mut FileSink, now| {
            let before = sink.mark.sequence;
            sink.prepare(now, Coming::Delivery).unwrap();
            sink.mark.sequence > before
        };
        assert!(!rotated(&mut sink, now), "an empty file is not rotated");
        sink.deliver(&[format!("{number}\n").as_bytes()]).unwrap();
        assert!(!rotated(&mut sink, now + 9 * 60_000));
        now += 3_600_000;
        sink.prepare(now, Coming::End).unwrap();
        assert!(path.metadata().unwrap().len() > 0, "no empty file is left at the end");
        assert!(rotated(&mut sink, now));
    }
    assert_eq!(content(&path, Compression::None), "3\n4\n");
    drop(sink);

    let rotate = RotateConfig { max_age_minutes: Some(10), keep_days: Some(1), ..RotateConfig::default() };
    let mut sink = FileSink::open(&config(&path, Compression::None, Some(rotate))).unwrap();
    sink.resume(None).unwrap();
    sink.prepare(now, Coming::Delivery).unwrap();
    sink.deliver(&[b"5\n"]).unwrap();
    sink.prepare(now + 24 * 3_600_000 - 1000, Coming::Delivery).unwrap();
    assert_eq!(content(&path, Compression::None), "4\n5\n");
}

#[test]
fn a_link_to_the_file_stays_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let (real, link) = (folder.path().join("real.ndjson"), folder.path().join("link.ndjson"));
    std::fs::write(&real, "").unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let rotate = RotateConfig { max_bytes: Some(1), ..RotateConfig::default() };
    let mut sink = FileSink::open(&config(&link, Compression::None, Some(rotate))).unwrap();
    sink.resume(None).unwrap();
    deliver(&mut sink, "one\n");
    deliver(&mut sink, "two\n");
    assert_eq!(std::fs::read_to_string(&link).unwrap(), "two\n");
    assert_eq!(content(&real, Compression::None), "one\ntwo\n");
}

/// What goes wrong while one group is delivered.
#[derive(Debug, Clone, Copy)]
enum Event {
    Nothing,
    /// One step of the disk fails, and the next attempt succeeds.
    Fails(u32),
    /// The process dies at this step.
    Dies(u32),
    /// The process dies after a rotation, before its commit.
    DiesBeforeRotationCommit,
    /// The process dies after the delivery, before its commit.
    DiesBeforeCommit,
    DiesAfterCommit,
}

/// A host with its ledger, which lives through crashes.
struct Host<'a> {
    path: &'a Path,
    config: SinkConfig,
    ledger: Option<String>,
    sink: Option<FileSink>,
}

impl Host<'_> {
    fn start(&mut self) -> &mut FileSink {
        if self.sink.is_none() {
            let mut sink = FileSink::with_disk(self.path, &self.config, Disk::default()).unwrap();
            let position = sink.resume(self.ledger.as_deref()).unwrap();
            self.ledger = position;
            self.sink = Some(sink);
        }
        self.sink.as_mut().unwrap()
    }

    /// Whether the group was committed; if not, the host died or has to try again.
    fn attempt(&mut self, group: &str, event: Event, now: u64) -> bool {
        let sink = self.start();
        let (steps, dead) = match event {
            Event::Fails(steps) => (Some(steps), false),
            Event::Dies(steps) => (Some(steps), true),
            _ => (None, false),
        };
        *sink.disk.faults.fault.lock().unwrap() = steps.map(|steps| Fault { steps, dead });
        let prepared = sink.prepare(now, Coming::Delivery);
        match prepared {
            Err(_) => {
                if dead {
                    self.sink = None;
                }
                return false;
            }
            Ok(Some(_)) if matches!(event, Event::DiesBeforeRotationCommit) => {
                self.sink = None;
                return false;
            }
            Ok(Some(position)) => self.ledger = Some(position),
            Ok(None) => {}
        }
        // Cut anywhere, as the blocks of several chunks are.
        let (first, second) = group.split_at(group.len() / 2);
        let Ok(receipt) = self.sink.as_mut().unwrap().deliver(&[first.as_bytes(), second.as_bytes()]) else {
            if dead {
                self.sink = None;
            }
            return false;
        };
        if matches!(event, Event::DiesBeforeCommit) {
            self.sink = None;
            return false;
        }
        self.ledger = receipt.position;
        if matches!(event, Event::DiesAfterCommit) {
            self.sink = None;
        }
        true
    }
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => Just(Event::Nothing),
        3 => (0u32..10).prop_map(Event::Fails),
        3 => (0u32..10).prop_map(Event::Dies),
        1 => Just(Event::DiesBeforeRotationCommit),
        1 => Just(Event::DiesBeforeCommit),
        1 => Just(Event::DiesAfterCommit),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever fails, and wherever it dies, the files hold every group once and in order.
    #[test]
    fn every_event_is_in_the_files_exactly_once(
        groups in prop::collection::vec((1usize..4, event()), 1..12),
        compression in prop_oneof![Just(Compression::None), Just(Compression::Gzip), Just(Compression::Zstd)],
        max_bytes in prop_oneof![Just(None), (1u64..80).prop_map(Some)],
        shipped in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.ndjson");
        let away = folder.path().join("away");
        std::fs::create_dir(&away).unwrap();
        let rotate = max_bytes.map(|bytes| RotateConfig { max_bytes: Some(bytes), ..RotateConfig::default() });
        let mut host = Host { path: &path, config: config(&path, compression, rotate), ledger: None, sink: None };
        let mut expected = String::new();
        let mut taken_away = String::new();
        for (number, (lines, event)) in groups.iter().enumerate() {
            let group: String = (0..*lines).map(|line| format!("{{\"group\":{number},\"line\":{line}}}\n")).collect();
            let mut event = *event;
            while !host.attempt(&group, event, 1_000 * number as u64) {
                event = Event::Nothing;
                // Somebody ships full files elsewhere as soon as they appear.
                if shipped {
                    for file in Names::of(&path).rotated() {
                        let bytes = std::fs::read(&file.path).unwrap();
                        taken_away += std::str::from_utf8(&expand(compression, &bytes).unwrap()).unwrap();
                        std::fs::rename(&file.path, away.join(file.path.file_name().unwrap())).unwrap();
                    }
                }
            }
            expected += &group;
        }
        host.sink = None;
        host.start();
        prop_assert_eq!(taken_away + &content(&path, compression), expected);
    }
}
