//! Each bound of the contract: what is just within it passes, and what is just beyond it doesn't.

use proptest::prelude::*;

use super::*;
use crate::guest::bindings::{Oversized, Reject, Severity, Split, Unknown, UnknownKind};

fn split(id: &str) -> Split {
    Split { id: id.to_owned(), stream: "s".to_owned(), payload: String::new(), arrival: u64::MAX, expires: Some(0) }
}

fn listing() -> Discovery {
    Discovery {
        splits: vec![split("a")],
        state: "{}".to_owned(),
        more: false,
        next_ms: 1000,
        coverage: vec![Interval { start: 1, end: 1 }],
        pass: "live".to_owned(),
        sealed: None,
        lost: Vec::new(),
    }
}

#[track_caller]
fn breach(checked: Checked, words: &str) {
    let said = checked.expect_err("it breaks the contract");
    assert!(said.contains(words), "{said}");
    assert!(said.len() < 300, "{} bytes", said.len());
}

#[test]
fn a_listing_keeps_to_the_sizes_of_the_contract() {
    assert_eq!(discovery("s", &mut listing()), Ok(()));
    let longest = Discovery {
        splits: vec![split(&"i".repeat(SPLIT_ID_BYTES)); 3],
        state: "s".repeat(STATE_BYTES),
        pass: "p".repeat(PASS_BYTES),
        ..listing()
    };
    assert_eq!(discovery("s", &mut longest.clone()), Ok(()));
    let with = |splits: Vec<Split>| Discovery { splits, ..listing() };
    let beyond = [
        (with(vec![split(&"i".repeat(SPLIT_ID_BYTES + 1))]), "id of a split"),
        (with(vec![split("")]), "without an id"),
        (with(vec![Split { payload: "p".repeat(PAYLOAD_BYTES + 1), ..split("a") }]), "payload"),
        (with(vec![Split { stream: "honest".to_owned(), ..split("a") }]), "was asked for s"),
        (with(vec![Split { stream: "x".repeat(1 << 20), ..split("a") }]), "was asked for s"),
        (with(vec![split("a"); SPLITS + 1]), "splits"),
        (Discovery { state: "s".repeat(STATE_BYTES + 1), ..listing() }, "state"),
        (Discovery { pass: "p".repeat(PASS_BYTES + 1), ..listing() }, "pass"),
        (Discovery { pass: String::new(), ..listing() }, "pass"),
        (Discovery { pass: "a b\n".to_owned(), ..listing() }, "pass"),
        (Discovery { coverage: vec![Interval { start: 1, end: 2 }; COVERAGE + 1], ..listing() }, "coverage"),
        (Discovery { coverage: vec![Interval { start: 2, end: 1 }], ..listing() }, "ends before it begins"),
        (Discovery { lost: vec![(Interval { start: 2, end: 1 }, String::new())], ..listing() }, "ends before"),
        (Discovery { lost: vec![(Interval { start: 1, end: 2 }, String::new()); LOST + 1], ..listing() }, "lost"),
    ];
    for (mut listing, words) in beyond {
        breach(discovery("s", &mut listing), words);
    }
}

#[test]
fn what_a_listing_says_for_people_is_cut() {
    let reason = "x\n".repeat(1 << 20);
    let mut listing = Discovery { lost: vec![(Interval { start: 1, end: 2 }, reason)], ..listing() };
    assert_eq!(discovery("s", &mut listing), Ok(()));
    assert!(listing.lost[0].1.len() <= MESSAGE_BYTES + 4 && !listing.lost[0].1.contains('\n'));
}

fn chunk(count: u32, data: &str, resume: Option<&str>, done: bool) -> Chunk {
    let batch = Batch { count, data: data.as_bytes().to_vec() };
    Chunk { batch, resume: resume.map(str::to_owned), done, losses: Vec::new() }
}

#[test]
fn a_reader_goes_on_or_ends() {
    let mut course = Course::default();
    assert_eq!(course.chunk(Some(&mut chunk(0, "", None, false))), Ok(()));
    assert_eq!(course.chunk(Some(&mut chunk(0, "", Some("1"), false))), Ok(()));
    assert_eq!(course.chunk(Some(&mut chunk(1, "{}\n", Some("1"), false))), Ok(()));
    breach(course.chunk(Some(&mut chunk(0, "", Some("1"), false))), "no further");
    breach(course.chunk(None), "without a chunk that was `done`");
    assert_eq!(course.chunk(Some(&mut chunk(0, "", Some("1"), true))), Ok(()));
    assert_eq!(course.chunk(None), Ok(()));
    breach(course.chunk(Some(&mut chunk(1, "{}\n", Some(&"r".repeat(RESUME_BYTES + 1)), true))), "position");

    let mut course = Course::default();
    let gone =
        (0..=EMPTY_CHUNKS).find(|step| course.chunk(Some(&mut chunk(0, "", Some(&step.to_string()), false))).is_err());
    assert_eq!(gone, Some(EMPTY_CHUNKS));
}

#[test]
fn what_was_passed_over_is_bounded() {
    let record = Oversized { bytes: u64::MAX, sha256: "a".repeat(64), head: vec![0; HEAD_BYTES], limit_mib: 0 };
    let loss = Loss {
        stretch: Some(Interval { start: 1, end: 1 }),
        code: "c".repeat(1000),
        message: "m\n".repeat(1 << 16),
        oversized: Some(record.clone()),
    };
    let of = |losses: Vec<Loss>| Chunk { losses, ..chunk(0, "", None, false) };
    let mut most = of(vec![loss.clone(); LOSSES]);
    let mut course = Course::default();
    assert_eq!(course.chunk(Some(&mut most.clone())), Ok(()));
    assert_eq!(course.chunk(Some(&mut most)), Ok(()), "what declares a loss goes on");
    assert!(most.losses[0].code.len() < 100 && most.losses[0].message.len() < 5000);
    let large = |record: Oversized| vec![Loss { oversized: Some(record), ..loss.clone() }];
    for (losses, words) in [
        (vec![loss.clone(); LOSSES + 1], "losses"),
        (large(Oversized { head: vec![0; HEAD_BYTES + 1], ..record.clone() }), "head"),
        (large(Oversized { sha256: "A".repeat(64), ..record.clone() }), "SHA-256"),
        (large(Oversized { sha256: String::new(), ..record.clone() }), "SHA-256"),
        (vec![Loss { stretch: Some(Interval { start: 2, end: 1 }), ..loss.clone() }], "ends before"),
    ] {
        breach(course.chunk(Some(&mut of(losses))), words);
    }
}

#[test]
fn a_batch_is_what_it_claims() {
    for (count, data) in [(0, ""), (1, "{}\n"), (2, "a\nb\n")] {
        assert_eq!(batch(&chunk(count, data, None, true).batch), Ok(()));
    }
    for (count, data) in [(1, ""), (0, "a\n"), (2, "a\n"), (1, "a"), (2, "a\nb"), (u32::MAX, "a\n")] {
        breach(batch(&chunk(count, data, None, true).batch), "claims");
    }
    for (count, data) in [(1, "\n"), (2, "a\n\n"), (2, "\na\n")] {
        breach(batch(&chunk(count, data, None, true).batch), "is empty");
    }
}

fn made(events: &str, rejects: &[u32], filtered: u32) -> Output {
    let reject = |index: &u32| Reject { index: *index, code: "c".to_owned(), message: "m\n".repeat(1 << 16) };
    Output {
        batch: Batch { count: events.lines().count() as u32, data: events.as_bytes().to_vec() },
        rejects: rejects.iter().map(reject).collect(),
        filtered,
        unknown: Vec::new(),
    }
}

#[test]
fn events_account_for_every_record() {
    for (events, rejects, filtered) in [
        ("{}\n{}\n{}\n", &[][..], 0),
        ("{}\n", &[0, 2][..], 0),
        ("", &[0, 1, 2][..], 0),
        ("", &[1][..], 2),
        ("{}\n{}\n", &[1][..], 1),
    ] {
        let mut made = made(events, rejects, filtered);
        assert_eq!(output(3, &mut made, true), Ok(()), "{events:?} {rejects:?} {filtered}");
        assert!(made.rejects.iter().all(|reject| reject.message.len() <= MESSAGE_BYTES + 4));
    }
    for (events, rejects, filtered, words) in [
        ("{}\n", &[][..], 0, "1 events out of 3"),
        ("", &[0, 1, 2][..], 1, "4 records"),
        ("{}\n", &[][..], u32::MAX, "records without an event"),
        ("{}\n", &[0, 1, 2][..], 0, "out of no record"),
        ("{}\n{}\n", &[3][..], 0, "line 3 of 3"),
        ("{}\n", &[1, 1][..], 0, "line 1 after line 1"),
        ("{}\n", &[2, 0][..], 0, "line 0 after line 2"),
    ] {
        breach(output(3, &mut made(events, rejects, filtered), true), words);
    }
}

#[test]
fn events_of_a_stranger_are_json_objects() {
    for event in ["[]", "1", "{", "{}{}", "{\"a\":}", " {}", "null", "{\"a\":\"\u{1}\"}"] {
        breach(output(1, &mut made(&format!("{event}\n"), &[], 0), true), "no JSON object");
        assert_eq!(output(1, &mut made(&format!("{event}\n"), &[], 0), false), Ok(()));
    }
    let bytes = Output { batch: Batch { count: 1, data: b"{\"a\":\"\xff\"}\n".to_vec() }, ..made("", &[], 0) };
    breach(output(1, &mut bytes.clone(), true), "line 0");
}

#[test]
fn what_is_unknown_is_bounded() {
    let unknown = |name: &str| Unknown {
        kind: UnknownKind::Field,
        place: String::new(),
        name: name.to_owned(),
        count: 1,
        sample: "a\nb".to_owned(),
    };
    let mut most = Output { unknown: vec![unknown("x"); UNKNOWN], ..made("{}\n", &[], 0) };
    assert_eq!(output(1, &mut most, true), Ok(()));
    assert_eq!(most.unknown[0].sample, "a b");
    breach(output(1, &mut Output { unknown: vec![unknown("x"); UNKNOWN + 1], ..made("{}\n", &[], 0) }, true), "know");
    let long = vec![unknown(&"x".repeat(UNKNOWN_BYTES + 1))];
    breach(output(1, &mut Output { unknown: long, ..made("{}\n", &[], 0) }, true), "know");
}

#[test]
fn findings_are_few_and_short() {
    let finding = Finding {
        severity: Severity::Ok,
        code: "c".repeat(1000),
        message: "m".repeat(1 << 20),
        mend: "\u{1b}[2J".to_owned(),
    };
    let mut list = vec![finding; FINDINGS];
    assert_eq!(findings(&mut list), Ok(()));
    assert!(list[0].code.len() < 100 && list[0].message.len() < 5000 && list[0].mend == "\\u{1b}[2J");
    list.push(list[0].clone());
    breach(findings(&mut list), "findings");
}

proptest! {
    #[test]
    fn any_bytes_are_a_batch_or_a_breach(count in 0_u32..5, data in proptest::collection::vec(proptest::sample::select(b"a\n{}".to_vec()), 0..12)) {
        let lines: Vec<&[u8]> = data.split(|byte| *byte == b'\n').collect();
        let whole = data.is_empty() || data.ends_with(b"\n");
        let full = lines[..lines.len() - 1].iter().all(|line| !line.is_empty());
        let right = whole && full && lines.len() - 1 == count as usize;
        prop_assert_eq!(batch(&Batch { count, data: data.clone() }).is_ok(), right);
    }
}
