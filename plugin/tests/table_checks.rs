//! What the build refuses in the tables of operations.

#![allow(clippy::unwrap_used, dead_code, reason = "a test that can't go on fails; the build uses more of the module")]

#[path = "../build/tables.rs"]
mod tables;

use tables::{Family, Table};

fn refused(lines: &str) -> String {
    match Family::read("t.tsv", &format!("# About.\n{lines}\n")) {
        Ok(_) => panic!("accepted: {lines}"),
        Err(reason) => reason,
    }
}

#[test]
fn a_good_table_is_read() {
    let lines =
        "# About.\nAdd role\t3005\t1\t-\tRole\nAdd role *\t3005\t99\t4\tRole\nOdd\t0\t99\t-\tThing # it is no event";
    let family = Family::read("t.tsv", lines).unwrap();
    assert_eq!(family.about, "About.");
    let rows: Vec<(&str, bool)> = family.rows.iter().map(|row| (row.key.as_str(), row.beginning)).collect();
    assert_eq!(rows, [("add role", false), ("add role ", true), ("odd", false)]);
    assert!(family.rows[2].operation.contains("it is no event"));
}

#[test]
fn bad_tables_are_refused_with_their_place() {
    for (lines, reason) in [
        ("Add role\t3005\t1\t-", "t.tsv:2: 4 columns instead of 5"),
        ("Add role\t3005\tone\t-\tRole", "t.tsv:2: `one` is no number"),
        ("Add role\t3005\t55\t-\tRole", "t.tsv:2: OCSF has no activity 55 in class 3005"),
        ("Add role\t9999\t1\t-\tRole", "t.tsv:2: OCSF has no activity 1 in class 9999"),
        ("Add role\t3005\t1\t9\tRole", "t.tsv:2: OCSF has no severity 9"),
        ("Add role\t3005\t1\t-\t-", "t.tsv:2: `Add role` doesn't say what the object is"),
        ("Add role\t0\t99\t-\tRole", "t.tsv:2: class 0 (Base Event) wants a reason"),
        ("Add role\t3005\t1\t-\tRole\nadd  ROLE.\t3005\t2\t-\tRole", "t.tsv:3: `add  ROLE.` is listed twice"),
        ("Remove\t3005\t2\t-\tRole\nAdd\t3005\t1\t-\tRole", "t.tsv:3: lines are sorted by operation"),
    ] {
        assert!(refused(lines).starts_with(reason), "{}", refused(lines));
    }
}

#[test]
fn comments_and_empty_lines_hold_nothing() {
    assert!(Table::read("t.tsv", "# About.\n\n# more\n", 3).unwrap().rows.is_empty());
}
