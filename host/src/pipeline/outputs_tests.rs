use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::config::{SinkConfig, SinkKind};
use crate::http::Cancel;
use crate::sinks::{GivenUp, Route, Sink, Trouble};

/// What the sinks of a test did, in order, and what they shall answer.
#[derive(Default)]
struct Script {
    log: Vec<String>,
    answers: Vec<(&'static str, Result<Receipt, SinkError>)>,
}

struct Scripted {
    name: &'static str,
    takes_back: bool,
    script: Arc<Mutex<Script>>,
}

impl Sink for Scripted {
    fn name(&self) -> &str {
        self.name
    }

    fn takes_back(&self) -> bool {
        self.takes_back
    }

    fn resume(&mut self, position: Option<&str>) -> Result<Option<String>, SinkError> {
        Ok(self.takes_back.then(|| position.unwrap_or("start").to_owned()))
    }

    fn deliver(&mut self, blocks: &[&[u8]]) -> Result<Receipt, SinkError> {
        let mut script = self.script.lock().unwrap();
        let text = String::from_utf8(blocks.concat()).unwrap();
        script.log.push(format!("{}: {}", self.name, text.trim_end().replace('\n', " ")));
        match script.answers.iter().position(|(name, _)| *name == self.name) {
            Some(at) => script.answers.remove(at).1,
            None => Ok(Receipt { position: self.takes_back.then(|| format!("after {text}")), refused: Vec::new() }),
        }
    }

    fn give_up(&mut self) -> GivenUp {
        GivenUp::default()
    }
}

fn failure(trouble: Trouble) -> Result<Receipt, SinkError> {
    Err(SinkError::new(trouble, "it fails"))
}

struct Bench {
    script: Arc<Mutex<Script>>,
    ledger: Ledger,
    patience: Patience,
    outputs: Outputs,
    _folder: tempfile::TempDir,
}

/// Sinks by name, each with whether it takes back, whether it is optional, its format and its streams.
fn bench(sinks: &[(&'static str, bool, bool, SinkFormat, &[&str])]) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let script = Arc::new(Mutex::new(Script::default()));
    let ledger = Ledger::open(folder.path(), "t").unwrap();
    let outputs = sinks
        .iter()
        .map(|(name, takes_back, optional, format, streams)| {
            let mut config = SinkConfig::new(SinkKind::Stdout);
            config.streams = Some(streams.iter().map(|stream| (*stream).to_owned()).collect());
            Output {
                sink: Box::new(Scripted { name, takes_back: *takes_back, script: script.clone() }),
                format: *format,
                route: Route::new(&config),
                optional: *optional,
            }
        })
        .collect();
    let outputs = Outputs::resume(outputs, &ledger).unwrap();
    let patience = Patience::new(Cancel::new(), Arc::default(), true);
    Bench { script, ledger, patience, outputs, _folder: folder }
}

impl Bench {
    fn deliver(&mut self, parts: &[Part<'_>]) -> Result<Handed, Halt> {
        self.outputs.deliver(parts, None, &self.patience, &self.ledger)
    }

    fn answer(&self, sink: &'static str, answer: Result<Receipt, SinkError>) {
        self.script.lock().unwrap().answers.push((sink, answer));
    }

    fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.script.lock().unwrap().log)
    }
}

fn part<'a>(stream: &'a str, events: &'a str, raw: &'a str) -> Part<'a> {
    Part { stream, dataset: "d", split: stream, events: events.as_bytes(), raw: raw.as_bytes(), only_for: None }
}

const OCSF: SinkFormat = SinkFormat::Ocsf;
const RAW: SinkFormat = SinkFormat::Raw;

#[test]
fn what_is_for_one_format_goes_to_no_sink_of_another() {
    let mut bench = bench(&[("ocsf", true, false, OCSF, &["*"]), ("ecs", true, false, SinkFormat::Ecs, &["*"])]);
    let gap = Part { only_for: Some(OCSF), ..part("a.x", "gap\n", "") };
    bench.outputs.deliver(&[gap, part("a.x", "e1\n", "")], None, &bench.patience, &bench.ledger).unwrap();
    assert_eq!(bench.log(), ["ocsf: gap e1", "ecs: e1"]);
}

#[test]
fn each_sink_gets_its_streams_in_its_format() {
    let mut bench = bench(&[
        ("all", true, false, OCSF, &["*"]),
        ("raw", true, false, RAW, &["a.*"]),
        ("some", false, false, OCSF, &["b"]),
    ]);
    let parts = [part("a.x", "e1\n", "r1\n"), part("b", "e2\ne3\n", "r2\n"), part("a.y", "", "r3\n")];
    let handed = bench.deliver(&parts).unwrap();
    assert_eq!(bench.log(), ["all: e1 e2 e3", "raw: r1 r3", "some: e2 e3"]);
    assert_eq!(handed.marks.iter().map(|mark| mark.delivered).collect::<Vec<_>>(), [3, 2, 2]);
    assert!(bench.outputs.wants(OCSF, "b", "d") && !bench.outputs.wants(RAW, "b", "d"));
    assert_eq!(bench.ledger.position("all").unwrap().as_deref(), Some("start"), "committed before the first delivery");
}

#[test]
fn a_sink_that_confirmed_is_not_asked_again_while_another_one_retries() {
    let mut bench = bench(&[("http", false, false, OCSF, &["*"]), ("file", true, false, OCSF, &["*"])]);
    bench.answer("http", failure(Trouble::Passing(None)));
    bench.answer("http", failure(Trouble::Passing(None)));
    let handed = bench.deliver(&[part("a", "e\n", "")]).unwrap();
    // The one that takes back comes first, however they are configured.
    assert_eq!(bench.log(), ["file: e", "http: e", "http: e", "http: e"]);
    assert_eq!(handed.marks[0].position.as_deref(), Some("after e\n"));
}

#[test]
fn the_worst_status_wins() {
    let mut bench = bench(&[("file", true, false, OCSF, &["*"]), ("http", false, false, OCSF, &["*"])]);
    bench.answer("http", failure(Trouble::Final));
    assert!(matches!(bench.deliver(&[part("a", "e\n", "")]), Err(Halt::Failed(_))));
}

#[test]
fn an_optional_sink_holds_nothing_up_and_its_misses_are_counted() {
    let mut bench = bench(&[("optional", false, true, OCSF, &["*"]), ("file", true, false, OCSF, &["*"])]);
    bench.answer("optional", failure(Trouble::Mend));
    let handed = bench.deliver(&[part("a", "e\ne\n", "")]).unwrap();
    // The optional one comes last.
    assert_eq!(bench.log(), ["file: e e", "optional: e e"]);
    assert_eq!((handed.marks[1].delivered, handed.marks[1].missed), (0, 2));
    // It is left alone for a while, and then asked again.
    assert_eq!(bench.deliver(&[part("a", "f\n", "")]).unwrap().marks[1].missed, 1);
    assert_eq!(bench.log(), ["file: f"]);
    for lane in &mut bench.outputs.lanes {
        assert!(lane.not_before.is_none_or(|time| time > Instant::now() + Duration::from_secs(40)));
        lane.not_before = None;
    }
    let handed = bench.deliver(&[part("a", "g\n", "")]).unwrap();
    assert_eq!((handed.marks[1].delivered, handed.marks[1].missed), (1, 0));
    assert_eq!(bench.log(), ["file: g", "optional: g"]);
}

#[test]
fn a_refused_line_becomes_a_letter_of_its_part_and_names_the_sink() {
    let mut bench = bench(&[("http", false, false, OCSF, &["*"])]);
    let refused = |line| Refused { line, code: "http-400".to_owned(), message: "no".to_owned() };
    bench.answer("http", Ok(Receipt { position: None, refused: vec![refused(0), refused(3)] }));
    let parts = [part("a", "e0\ne1\n", ""), part("b", "", ""), part("c", "e2\ne3\n", "")];
    let handed = bench.deliver(&parts).unwrap();
    assert_eq!((handed.marks[0].delivered, handed.marks[0].refused), (2, 2));
    let letters: Vec<(usize, u32, &[u8])> =
        handed.letters.iter().map(|(part, letter)| (*part, letter.position, letter.raw.as_slice())).collect();
    assert_eq!(letters, [(0, 0, b"e0".as_slice()), (2, 1, b"e3".as_slice())]);
    assert_eq!(handed.letters[1].1.sink.as_deref(), Some("http"));
    assert_eq!(handed.letters[1].1.split, "c");
}

#[test]
fn a_stop_ends_the_waiting() {
    let mut bench = bench(&[("http", false, false, OCSF, &["*"])]);
    bench.patience.finite = false;
    bench.patience.cancel.cancel();
    bench.answer("http", failure(Trouble::Passing(Some(Duration::from_secs(900)))));
    assert!(matches!(bench.deliver(&[part("a", "e\n", "")]), Err(Halt::Stopped)));
}
