use super::*;

fn open(folder: &Path) -> Ledger {
    Ledger::open(folder, "tenant t, plugin p").unwrap()
}

fn split(id: &str, arrival: u64) -> Split {
    Split { id: id.to_owned(), stream: "s".to_owned(), payload: "{}".to_owned(), arrival, expires: Some(arrival + 10) }
}

fn delivered(id: &str, progress: Progress, records: &[&[u8]]) -> Delivered {
    Delivered {
        stream: "s".to_owned(),
        split: id.to_owned(),
        arrival: 1,
        progress,
        keys: records.iter().map(|record| Key::of("s", record)).collect(),
        dead_letters: Vec::new(),
        counts: Counts { records: records.len() as u64, ..Counts::default() },
    }
}

#[test]
fn splits_and_state_are_stored_together_and_survive() {
    let folder = tempfile::tempdir().unwrap();
    {
        let ledger = open(folder.path());
        assert_eq!(ledger.discovered("s", "state 1", &[split("b", 2), split("a", 1)], &[], 0).unwrap().len(), 2);
        assert_eq!(ledger.discovered("s", "state 2", &[split("a", 1)], &[], 0).unwrap().len(), 0);
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
    ledger.discovered("s", "1", &[split("a", 1)], &[], 0).unwrap();
    ledger.commit(&[delivered("a", Progress::Done, &[b"r"])], &[], 0).unwrap();
    assert_eq!(ledger.discovered("s", "2", &[split("a", 1)], &[], 0).unwrap().len(), 0);
    assert!(ledger.pending(&["s".to_owned()]).unwrap().is_empty());
    ledger.forget_before(2).unwrap();
    assert_eq!(ledger.discovered("s", "3", &[split("a", 1)], &[], 0).unwrap().len(), 1);
}

#[test]
fn progress_and_keys_are_committed_together() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    ledger.discovered("s", "1", &[split("a", 1)], &[], 0).unwrap();
    ledger
        .commit(
            &[delivered("a", Progress::Resume(Some("here".to_owned())), &[b"one", b"two"])],
            &[("file".to_owned(), 42)],
            0,
        )
        .unwrap();
    let reader = ledger.key_reader().unwrap();
    let keys = [Key::of("s", b"one"), Key::of("s", b"three"), Key::of("other", b"one")];
    assert_eq!(reader.known(&keys).unwrap(), [true, false, false]);
    assert_eq!(ledger.pending(&["s".to_owned()]).unwrap()[0].resume.as_deref(), Some("here"));
    assert_eq!(ledger.position("file").unwrap(), Some(42));
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
