//! What the plugin doesn't know is counted with the commit of its records, told in the summary, and shown.

use serde_json::Value;

use crate::harness::{Tenant, assert_code, program, stdout};

#[test]
fn drift_is_counted_once_told_and_shown() {
    let tenant = Tenant::new(300);
    let config = tenant.configure("");
    let drift = |arguments: &[&str]| {
        let output = program().arg("drift").args(arguments).arg("-c").arg(&config).output().unwrap();
        assert_code(&output, 0);
        stdout(&output)
    };
    assert_eq!(drift(&["--json"]).trim(), "[]", "there is no ledger yet");

    let output = tenant.collect(&config);
    assert_code(&output, 0);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let rows: Vec<Value> = serde_json::from_str(&drift(&["--json"])).unwrap();
    // The simulated Forms records have a member that the documentation spells otherwise.
    let forms = rows.iter().find(|row| row["name"] == "FormsUserType").expect("a row");
    assert_eq!((forms["kind"].as_str(), forms["place"].as_str()), (Some("field"), Some("MicrosoftForms")));
    assert!(["text xxxxxxxxx", "number 9"].contains(&forms["sample"].as_str().unwrap()), "{forms}");

    // The summary counts the same things, and one line names some of them.
    let header = told.lines().find(|line| line.starts_with("STREAM ")).expect("a summary");
    let column = header.split_whitespace().position(|word| word == "UNKNOWN").expect("a column") - 1;
    let counted: usize = told
        .lines()
        .filter(|line| line.starts_with("graph.") || line.starts_with("office365."))
        .map(|line| line.split_whitespace().nth(column).unwrap().parse::<usize>().unwrap())
        .sum();
    assert_eq!(counted, rows.len(), "{told}");
    assert_eq!(told.matches("Records held what the plugin doesn't know").count(), 1, "{told}");
    assert!(told.contains("`m365-pipe drift -c "), "{told}");

    // What was counted isn't counted again.
    assert_code(&tenant.collect(&config), 0);
    assert_eq!(serde_json::from_str::<Vec<Value>>(&drift(&["--json"])).unwrap(), rows);
    let text = drift(&[]);
    assert_eq!(text.lines().count(), rows.len() + 1);
    assert!(text.starts_with("STREAM "), "{text}");
    assert_eq!(drift(&["--json", "--since", "2100-01-01"]).trim(), "[]");
}
