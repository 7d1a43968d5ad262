use super::*;
use crate::guest::Interval;

fn open(folder: &Path) -> Ledger {
    Ledger::open(folder, "tenant t, plugin p").unwrap()
}

fn split(id: &str, arrival: u64) -> Split {
    Split { id: id.to_owned(), stream: "s".to_owned(), payload: "{}".to_owned(), arrival, expires: Some(arrival + 10) }
}

fn found(state: &str, splits: &[Split]) -> Discovery {
    Discovery {
        splits: splits.to_vec(),
        state: state.to_owned(),
        more: false,
        next_ms: 0,
        coverage: Vec::new(),
        pass: "live".to_owned(),
        sealed: None,
        lost: Vec::new(),
    }
}

fn delivered(id: &str, progress: Progress, records: &[&[u8]]) -> Delivered {
    Delivered {
        stream: "s".to_owned(),
        split: id.to_owned(),
        arrival: 1,
        progress,
        keys: records.iter().map(|record| KeyHash::Unkeyed.key("s", record)).collect(),
        dead_letters: Vec::new(),
        counts: Counts { records: records.len() as u64, ..Counts::default() },
        unknown: Vec::new(),
        losses: Vec::new(),
    }
}

#[test]
fn splits_and_state_are_stored_together_and_survive() {
    let folder = tempfile::tempdir().unwrap();
    {
        let ledger = open(folder.path());
        assert_eq!(ledger.discovered("s", &found("state 1", &[split("b", 2), split("a", 1)]), 0).unwrap().len(), 2);
        assert_eq!(ledger.discovered("s", &found("state 2", &[split("a", 1)]), 0).unwrap().len(), 0);
    }
    let ledger = open(folder.path());
    assert_eq!(ledger.state("s").unwrap().as_deref(), Some("state 2"));
    let pending = ledger.pending(&["s".to_owned()]).unwrap();
    assert_eq!(pending.iter().map(|pending| pending.split.id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert!(ledger.pending(&["other".to_owned()]).unwrap().is_empty());
}

#[test]
fn a_read_split_is_not_taken_up_again() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    ledger.discovered("s", &found("1", &[split("a", 1)]), 0).unwrap();
    ledger.commit(&[delivered("a", Progress::Done, &[b"r"])], &[], 0).unwrap();
    assert_eq!(ledger.discovered("s", &found("2", &[split("a", 1)]), 0).unwrap().len(), 0);
    assert!(ledger.pending(&["s".to_owned()]).unwrap().is_empty());
    ledger.forget_before(2, 0).unwrap();
    assert_eq!(ledger.discovered("s", &found("3", &[split("a", 1)]), 0).unwrap().len(), 1);
}

#[test]
fn progress_and_keys_are_committed_together() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    ledger.discovered("s", &found("1", &[split("a", 1)]), 0).unwrap();
    ledger
        .commit(
            &[delivered("a", Progress::Resume(Some("here".to_owned())), &[b"one", b"two"])],
            &[SinkMark::position("file", "42".to_owned())],
            0,
        )
        .unwrap();
    let reader = ledger.key_reader().unwrap();
    let keys = [("s", "one"), ("s", "three"), ("other", "one")];
    let keys = keys.map(|(stream, record)| KeyHash::Unkeyed.key(stream, record.as_bytes()));
    assert_eq!(reader.known(&keys).unwrap(), [true, false, false]);
    assert_eq!(ledger.pending(&["s".to_owned()]).unwrap()[0].resume.as_deref(), Some("here"));
    assert_eq!(ledger.position("file").unwrap().as_deref(), Some("42"));
    ledger.failed("s", "a", 3, 99, true, "stale").unwrap();
    let pending = ledger.pending(&["s".to_owned()]).unwrap();
    assert_eq!((pending[0].attempts, pending[0].not_before, &pending[0].resume), (3, 99, &None));
}

#[test]
fn a_second_user_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let _ledger = open(folder.path());
    let error = Ledger::open(folder.path(), "tenant t, plugin p").unwrap_err();
    assert!(matches!(error, LedgerError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("stop the other one"));
}

#[test]
fn a_ledger_of_another_tenant_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let error = Ledger::open(folder.path(), "tenant u, plugin p").unwrap_err();
    assert!(matches!(error, LedgerError::Foreign(_)), "{error}");
}

#[test]
fn a_damaged_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ledger.sqlite"), b"this is no database, and long enough to be looked at as one")
        .unwrap();
    let error = Ledger::open(folder.path(), "x").unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
}

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

fn listed(pass: &str, start: u64, end: u64) -> Discovery {
    Discovery { coverage: vec![Interval { start, end }], pass: pass.to_owned(), ..found("state", &[]) }
}

fn coverage(folder: &Path) -> StreamCoverage {
    Coverage::read(folder, 0).unwrap().unwrap().streams.remove("s").unwrap_or_default()
}

fn rows(ledger: &Ledger, table: &str) -> i64 {
    ledger.connection().query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

#[test]
fn coverage_tells_passes_counts_and_seals_while_the_ledger_is_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    assert_eq!(coverage(folder.path()), StreamCoverage::default());
    ledger
        .discovered("s", &Discovery { splits: vec![split("a", HOUR)], ..listed("live", 0, 3 * HOUR) }, 3 * HOUR)
        .unwrap();
    ledger.discovered("s", &listed("live", 2 * HOUR, 5 * HOUR), 5 * HOUR).unwrap();
    // A pass finds a piece that the first listing hadn't.
    let late = Discovery {
        splits: vec![split("a", HOUR), split("late", HOUR)],
        sealed: Some(2 * HOUR),
        ..listed("1h", 0, 2 * HOUR)
    };
    assert_eq!(ledger.discovered("s", &late, 6 * HOUR).unwrap().len(), 1);
    let counts = Counts { records: 10, duplicates: 4, rejected: 1, ..Counts::default() };
    for id in ["a", "late"] {
        let chunk = Delivered { arrival: HOUR, counts, ..delivered(id, Progress::Done, &[id.as_bytes()]) };
        ledger.commit(&[chunk], &[], 7 * HOUR).unwrap();
    }
    let read = coverage(folder.path());
    assert_eq!((read.sealed, read.open_pieces, read.listed_at), (Some(2 * HOUR), 0, Some(6 * HOUR)));
    let stretch = Stretch {
        start: 0,
        end: 2 * HOUR,
        passes: 2,
        sealed: true,
        pieces: 2,
        records: 20,
        duplicates: 8,
        rejected: 2,
        late: 6,
        lost: 0,
    };
    assert_eq!(read.stretches[0], stretch);
    assert_eq!((read.stretches[1].start, read.stretches[1].end, read.stretches[1].passes), (2 * HOUR, 5 * HOUR, 1));
    assert_eq!((read.late.records, read.late.max_ms), (6, 5 * HOUR));
    assert!(read.late.p50_ms >= 5 * HOUR * 4 / 5 && read.late.p50_ms <= 5 * HOUR);
    assert_eq!(read.late.by_pass, [("1h".to_owned(), 6)].into());
    assert!(read.gaps.is_empty() && read.holes.is_empty());
    assert_eq!(rows(&ledger, "late_splits"), 0);
}

#[test]
fn gaps_come_with_the_state_and_losses_are_gathered() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    ledger.discovered("s", &listed("live", 0, HOUR), 0).unwrap();
    let lost = vec![(Interval { start: HOUR, end: 9 * HOUR }, "Too old.".to_owned())];
    ledger.discovered("s", &Discovery { lost, ..listed("live", 10 * HOUR, 11 * HOUR) }, 0).unwrap();
    for i in 0..1000 {
        let (id, arrival) = (format!("p{i}"), 10 * HOUR + i * 1000);
        ledger.discovered("s", &found("x", &[split(&id, arrival)]), 0).unwrap();
        ledger.lost(&split(&id, arrival), "AF20051", "It has expired.", i).unwrap();
    }
    let read = coverage(folder.path());
    let gaps: Vec<_> = read.gaps.iter().map(|gap| (gap.start, gap.end, gap.pieces, gap.code.as_str())).collect();
    assert_eq!(gaps, [(HOUR, 9 * HOUR, 0, "unlisted"), (10 * HOUR, 10 * HOUR + 999_000, 1000, "AF20051")]);
    assert_eq!(read.gaps[1].reason, "p0: It has expired.");
    assert_eq!(read.holes, [(9 * HOUR, 10 * HOUR)], "nobody listed or declared this hour");
    assert_eq!(read.stretches.iter().map(|stretch| stretch.lost).sum::<u64>(), 1000);
    assert!(ledger.pending(&["s".to_owned()]).unwrap().is_empty());
}

#[test]
fn rows_of_coverage_stay_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    for hour in 0..60 * 24 {
        let now = (hour + 1) * HOUR;
        let sealed = Some(now.saturating_sub(7 * DAY));
        let splits = vec![split(&format!("p{hour}"), hour * HOUR)];
        ledger.discovered("s", &Discovery { splits, sealed, ..listed("live", hour * HOUR, now) }, now).unwrap();
        ledger
            .commit(
                &[Delivered { arrival: hour * HOUR, ..delivered(&format!("p{hour}"), Progress::Done, &[b"r"]) }],
                &[],
                now,
            )
            .unwrap();
        if hour % 6 == 0 {
            ledger.forget_before(now.saturating_sub(10 * DAY), now).unwrap();
        }
    }
    assert_eq!(rows(&ledger, "listed"), 1);
    let hours = rows(&ledger, "arrivals");
    assert!(hours < 60 + 9 * 24, "{hours}");
    assert!(rows(&ledger, "read_splits") < 11 * 24);
    let read = coverage(folder.path());
    assert_eq!(read.stretches.iter().map(|stretch| stretch.pieces).sum::<u64>(), 60 * 24);
    assert!(read.stretches[0].sealed && !read.stretches[1].sealed);
    // A piece of a day that was put together already is counted there.
    ledger.discovered("s", &Discovery { splits: vec![split("late", 5 * HOUR)], ..found("x", &[]) }, 60 * DAY).unwrap();
    assert_eq!(rows(&ledger, "arrivals"), hours);
}

#[test]
fn a_ledger_of_the_first_format_is_brought_along() {
    let folder = tempfile::tempdir().unwrap();
    {
        let connection = Connection::open(folder.path().join("ledger.sqlite")).unwrap();
        connection
            .execute_batch(
                "CREATE TABLE keys (key BLOB PRIMARY KEY, arrival INTEGER NOT NULL) WITHOUT ROWID;
                 CREATE TABLE coverage (stream TEXT NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL, at INTEGER NOT NULL);
                 CREATE TABLE gaps (stream TEXT NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL, reason TEXT NOT NULL, at INTEGER NOT NULL);
                 INSERT INTO coverage VALUES ('s', 0, 10, 1), ('s', 5, 20, 2), ('s', 30, 40, 3);
                 INSERT INTO gaps VALUES ('s', 20, 30, 'Too old.', 3), ('s', 7, 7, 'p: Gone.', 4);
                 PRAGMA user_version = 1;",
            )
            .unwrap();
        connection.execute("INSERT INTO keys VALUES (?1, 5)", [KeyHash::Unkeyed.key("s", b"r")]).unwrap();
    }
    for _ in 0..2 {
        let ledger = open(folder.path());
        let reader = ledger.key_reader().unwrap();
        assert_eq!(reader.known(&[reader.key("s", b"r"), reader.key("s", b"q")]).unwrap(), [true, false]);
        let read = coverage(folder.path());
        assert_eq!(
            read.listed.iter().map(|listed| (listed.start, listed.end)).collect::<Vec<_>>(),
            [(0, 20), (30, 40)]
        );
        assert_eq!(read.gaps.iter().map(|gap| gap.pieces).collect::<Vec<_>>(), [1, 0]);
        assert!(read.holes.is_empty());
    }
}

#[test]
fn each_ledger_makes_keys_with_a_secret_of_its_own() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let keys = |stream: &str, record: &[u8]| {
        folders.each_ref().map(|folder| open(folder.path()).key_reader().unwrap().key(stream, record))
    };
    let [one, other] = keys("s", b"r");
    assert_ne!(one, other);
    assert_eq!(keys("s", b"r"), [one, other], "it is the same after a restart");
    let mut all = [("s", "r"), ("s", "R"), ("sr", ""), ("", "sr"), ("s", "r\0")]
        .map(|(stream, record)| open(folders[0].path()).key_hash().unwrap().key(stream, record.as_bytes()))
        .to_vec();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 5);
}

#[test]
fn a_damaged_secret_is_refused_and_not_replaced() {
    for damage in [
        "UPDATE key_secret SET secret = x''",
        "UPDATE key_secret SET secret = x'00112233445566778899aabbccddeeff00'",
        "UPDATE key_secret SET secret = '0123456789abcdef'",
        "UPDATE key_secret SET secret = 7",
        "UPDATE key_secret SET secret = zeroblob(1000000)",
        "DELETE FROM key_secret",
    ] {
        let folder = tempfile::tempdir().unwrap();
        drop(open(folder.path()));
        let connection = Connection::open(folder.path().join("ledger.sqlite")).unwrap();
        connection.execute(damage, []).unwrap();
        drop(connection);
        let ledger = open(folder.path());
        let error = ledger.key_reader().map(drop).unwrap_err();
        assert!(matches!(error, LedgerError::Database { .. }), "{damage}: {error}");
        assert!(ledger.key_hash().is_err(), "{damage}");
    }
}

#[test]
fn a_position_that_is_kept_without_records_does_not_start_the_pauses_over() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    ledger.discovered("s", &found("1", &[split("a", 1)]), 0).unwrap();
    ledger.failed("s", "a", 4, 9, false, "busy").unwrap();
    let resume = || Progress::Resume(Some("narrower".to_owned()));
    ledger.commit(&[delivered("a", resume(), &[])], &[], 0).unwrap();
    let attempts = || ledger.pending(&["s".to_owned()]).unwrap()[0].attempts;
    assert_eq!(attempts(), 4);
    ledger.commit(&[delivered("a", resume(), &[b"r"])], &[], 0).unwrap();
    assert_eq!(attempts(), 4, "and neither do records before the same position");
    ledger.commit(&[delivered("a", Progress::Resume(Some("further".to_owned())), &[b"r"])], &[], 0).unwrap();
    assert_eq!(attempts(), 0);
}

#[test]
fn what_is_lost_can_be_put_back_and_leaves_no_trace_in_gaps_and_counts() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    let all: Vec<Split> = (0..3).map(|i| split(&format!("p{i}"), 10 * HOUR + i)).collect();
    ledger.discovered("s", &found("1", &all), 0).unwrap();
    for split in &all {
        ledger.lost(split, "AF20050", "It isn't there.", 11 * HOUR).unwrap();
    }
    assert!(ledger.pending(&["s".to_owned()]).unwrap().is_empty());
    let lost = ledger.lost_pieces(None).unwrap();
    assert_eq!(lost.iter().map(|piece| piece.split.as_str()).collect::<Vec<_>>(), ["p0", "p1", "p2"]);
    assert!(lost.iter().all(|piece| piece.whole && piece.expires == Some(piece.arrival + 10)));
    assert!(ledger.lost_pieces(Some("other")).unwrap().is_empty());

    assert_eq!(ledger.retry_lost(&[lost[0].id, lost[1].id, 99]).unwrap(), 2);
    assert_eq!(ledger.retry_lost(&[lost[0].id]).unwrap(), 0, "it waits already");
    let pending = ledger.pending(&["s".to_owned()]).unwrap();
    assert_eq!(pending.len(), 2);
    assert_eq!((pending[0].split.payload.as_str(), pending[0].split.expires), ("{}", Some(10 * HOUR + 10)));
    assert_eq!((pending[0].attempts, &pending[0].claim), (0, &None));
    let read = coverage(folder.path());
    assert_eq!(read.gaps.iter().map(|gap| gap.pieces).collect::<Vec<_>>(), [1]);
    ledger.commit(&[delivered("p0", Progress::Done, &[b"r"])], &[], 0).unwrap();
    ledger.retry_lost(&[lost[2].id]).unwrap();
    assert!(coverage(folder.path()).gaps.is_empty());
    assert_eq!(ledger.lost_pieces(None).unwrap(), []);
    let counted: i64 = ledger.connection().query_row("SELECT lost FROM counts", [], |row| row.get(0)).unwrap();
    assert_eq!(counted, 0);
    assert_eq!(rows(&ledger, "lost_pieces"), 2, "those that wait to be read again");
}

#[test]
fn what_is_listed_again_after_its_loss_is_pending_again_but_not_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    let listed = |now| ledger.discovered("s", &found("x", &[split("a", 1)]), now).unwrap().len();
    let mut now = HOUR;
    assert_eq!(listed(now), 1);
    let mut pauses = Vec::new();
    for _ in 0..12 {
        ledger.lost(&split("a", 1), "AF20050", "It isn't there.", now).unwrap();
        assert_eq!(listed(now + 1), 0, "no tight loop");
        let lost_at = now;
        while listed(now) == 0 {
            now += HOUR / 12;
        }
        assert_eq!(ledger.pending(&["s".to_owned()]).unwrap().len(), 1);
        pauses.push(now - lost_at);
    }
    assert!(pauses.is_sorted() && pauses[0] <= HOUR && pauses[11] <= 25 * HOUR, "{pauses:?}");
    // Once it was read, it is as any other.
    ledger.commit(&[delivered("a", Progress::Done, &[b"r"])], &[], now).unwrap();
    assert_eq!((listed(now + 99 * DAY), rows(&ledger, "lost_pieces")), (0, 0));
    assert!(coverage(folder.path()).gaps.is_empty());
}

#[test]
fn claims_survive_a_restart_and_end_with_another_payload() {
    let folder = tempfile::tempdir().unwrap();
    let reason = "It isn't there.".to_owned();
    let claim = Claim { kind: ClaimKind::Missing, answers: 4, first: 7, code: "AF20050".to_owned(), reason };
    {
        let ledger = open(folder.path());
        ledger.discovered("s", &found("1", &[split("a", 1)]), 0).unwrap();
        ledger.claimed("s", "a", &claim, 99).unwrap();
    }
    let ledger = open(folder.path());
    let pending = || ledger.pending(&["s".to_owned()]).unwrap().remove(0);
    assert_eq!((pending().claim, pending().not_before), (Some(claim), 99));
    let renewed = Split { payload: "{\"other\":1}".to_owned(), ..split("a", 1) };
    assert_eq!(ledger.discovered("s", &found("2", &[renewed]), 0).unwrap().len(), 1);
    assert_eq!(pending().claim, None);
}

#[test]
fn what_comes_before_the_break_is_no_word_against_the_claim() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    ledger.discovered("s", &found("1", &[split("a", 1)]), 0).unwrap();
    let left = |kind, resume: Option<&str>, key: &[u8]| {
        let claim = Claim { kind, answers: 4, first: 7, code: "not-json".to_owned(), reason: "It breaks.".to_owned() };
        ledger.claimed("s", "a", &claim, 99).unwrap();
        let progress = Progress::Resume(resume.map(str::to_owned));
        ledger.commit(&[delivered("a", progress, &[key])], &[], 1).unwrap();
        ledger.pending(&["s".to_owned()]).unwrap().remove(0).claim.map(|claim| claim.kind)
    };
    assert_eq!(left(ClaimKind::Unreadable, None, b"1"), Some(ClaimKind::Unreadable));
    assert_eq!(left(ClaimKind::Unreadable, Some("page 2"), b"2"), None, "it came further");
    assert_eq!(left(ClaimKind::Missing, Some("page 2"), b"3"), None, "it is there");
}

fn loss(stretch: Option<Interval>, message: &str) -> Loss {
    Loss { stretch, code: "broken-record".to_owned(), message: message.to_owned(), oversized: None }
}

#[test]
fn losses_within_a_split_come_with_its_progress_once_and_are_read_again_with_it() {
    use crate::guest::Oversized;
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    ledger.discovered("s", &found("1", &[split("a", 10 * HOUR)]), 0).unwrap();
    let large = Oversized { bytes: 90_000_000, sha256: "ab".repeat(32), head: b"{\"Id\":\"x".to_vec(), limit_mib: 128 };
    let losses = vec![
        loss(Some(Interval { start: 10 * HOUR, end: 10 * HOUR + 1000 }), "It is broken. (request id 1)"),
        Loss { oversized: Some(large), ..loss(None, "It is too large.") },
    ];
    let chunk = |progress, losses: &[Loss]| Delivered {
        arrival: 10 * HOUR,
        losses: losses.to_vec(),
        ..delivered("a", progress, &[b"r"])
    };
    assert_eq!(ledger.commit(&[chunk(Progress::Resume(None), &losses)], &[], 5).unwrap(), [2]);
    // It fails after that, is read from its beginning, and tells of the same in other words.
    let mut again = losses.clone();
    again[0].message = "It is broken. (request id 2)".to_owned();
    assert_eq!(ledger.commit(&[chunk(Progress::Done, &again)], &[], 6).unwrap(), [0]);
    // A later pass over the same time, which is another split.
    ledger.discovered("s", &found("2", &[split("a 1h", 10 * HOUR)]), 0).unwrap();
    let pass = Delivered { losses: again.clone(), arrival: 10 * HOUR, ..delivered("a 1h", Progress::Done, &[b"r"]) };
    assert_eq!(ledger.commit(&[pass], &[], 7).unwrap(), [0]);
    let read = coverage(folder.path());
    assert_eq!(
        read.gaps.iter().map(|gap| (gap.start, gap.end, gap.pieces)).collect::<Vec<_>>(),
        [(10 * HOUR, 10 * HOUR + 1000, 2)]
    );
    assert_eq!(read.stretches.len() + rows(&ledger, "splits") as usize, 0);
    let lost = ledger.lost_pieces(Some("s")).unwrap();
    assert_eq!(lost.len(), 2);
    assert!(lost.iter().all(|piece| !piece.whole));
    let record = lost.iter().find_map(|piece| piece.oversized.clone()).unwrap();
    assert_eq!((record.bytes, record.limit_mib, record.head.as_str()), (90_000_000, 128, "{\"Id\":\"x"));

    // One of them takes the other along: the split is read as a whole.
    assert_eq!(ledger.retry_lost(&[lost[0].id]).unwrap(), 1);
    let again = ledger.pending(&["s".to_owned()]).unwrap().remove(0).split;
    assert_eq!((again.id.as_str(), again.payload.as_str(), again.arrival), ("a", "{}", 10 * HOUR));
    assert!(coverage(folder.path()).gaps.is_empty() && ledger.lost_pieces(None).unwrap().is_empty());
    assert_eq!(
        ledger.commit(&[chunk(Progress::Done, &losses[1..])], &[], 7).unwrap(),
        [1],
        "what stays lost is told again"
    );
}

#[test]
fn a_part_that_is_taken_up_while_its_split_is_pending_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    ledger.discovered("s", &found("1", &[split("a", 10 * HOUR)]), 0).unwrap();
    let lost = loss(Some(Interval { start: 10 * HOUR, end: 10 * HOUR + 1000 }), "It is broken.");
    let progress = Progress::Resume(Some("page 2".to_owned()));
    let chunk = Delivered { arrival: 10 * HOUR, losses: vec![lost], ..delivered("a", progress, &[b"r"]) };
    ledger.commit(&[chunk], &[], 5).unwrap();
    let piece = ledger.lost_pieces(Some("s")).unwrap().remove(0).id;
    assert_eq!(ledger.retry_lost(&[piece]).unwrap(), 1);
    let pending = ledger.pending(&["s".to_owned()]).unwrap();
    assert_eq!((pending.len(), &pending[0].resume), (1, &None), "what was lost lies before page 2");
}

#[test]
fn lost_pieces_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    {
        let mut connection = ledger.connection();
        let transaction = connection.transaction().unwrap();
        for i in 0..10_500 {
            lost::whole(&transaction, &split(&format!("p{i}"), i * HOUR), "gone", "Gone.", i).unwrap();
        }
        transaction.commit().unwrap();
    }
    let kept = ledger.lost_pieces(None).unwrap();
    assert!((10_000..10_100).contains(&kept.len()), "{}", kept.len());
    assert_eq!(kept.last().unwrap().split, "p10499");
}

#[test]
fn a_ledger_of_the_fourth_format_is_brought_along() {
    let folder = tempfile::tempdir().unwrap();
    {
        let connection = Connection::open(folder.path().join("ledger.sqlite")).unwrap();
        connection
            .execute_batch(
                "CREATE TABLE streams (stream TEXT PRIMARY KEY, state TEXT, listed_at INTEGER NOT NULL) WITHOUT ROWID;
                 CREATE TABLE splits (
                   stream TEXT NOT NULL, id TEXT NOT NULL, payload TEXT NOT NULL,
                   arrival INTEGER NOT NULL, expires INTEGER, resume TEXT,
                   attempts INTEGER NOT NULL DEFAULT 0, not_before INTEGER NOT NULL DEFAULT 0, last_error TEXT,
                   PRIMARY KEY (stream, id)
                 ) WITHOUT ROWID;
                 CREATE TABLE key_secret (secret BLOB);
                 INSERT INTO key_secret VALUES (x'00112233445566778899aabbccddeeff');
                 INSERT INTO streams VALUES ('s', 'state', 5);
                 INSERT INTO splits VALUES ('s', 'a', '{}', 1, 11, 'here', 3, 99, 'It was busy.');
                 PRAGMA user_version = 4;",
            )
            .unwrap();
    }
    for _ in 0..2 {
        let ledger = open(folder.path());
        let pending = ledger.pending(&["s".to_owned()]).unwrap();
        assert_eq!((pending.len(), pending[0].attempts, &pending[0].claim), (1, 3, &None));
        assert_eq!(pending[0].resume.as_deref(), Some("here"));
        assert_eq!(ledger.state("s").unwrap().as_deref(), Some("state"));
        assert_eq!(ledger.horizons().unwrap()["s"], Horizon::default());
        assert!(ledger.lost_pieces(None).unwrap().is_empty());
    }
    let ledger = open(folder.path());
    ledger.lost(&split("a", 1), "gone", "Gone.", 5).unwrap();
    assert_eq!(ledger.lost_pieces(None).unwrap().len(), 1);
}

#[test]
fn what_a_stream_lives_by_is_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    ledger.discovered("s", &Discovery { splits: vec![split("a", 7)], ..listed("live", 0, HOUR) }, HOUR).unwrap();
    ledger.discovered("s", &listed("live", HOUR, 2 * HOUR), 2 * HOUR).unwrap();
    assert_eq!(ledger.horizons().unwrap()["s"], Horizon { read_at: None, listed: Some(2 * HOUR), reach: Some(10) });
    ledger.commit(&[delivered("a", Progress::Done, &[b"r"])], &[], 9).unwrap();
    assert_eq!(ledger.horizons().unwrap()["s"].read_at, Some(9));
}
