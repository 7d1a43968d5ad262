//! What must not be told: the application's secret and tokens, whoever repeats them.

use std::path::Path;

use m365_sim::misbehaviour::{Trouble, When};
use m365_sim::{Instead, Options, Quotas};

use crate::harness::{Tenant, assert_code, run, stderr, stdout};

/// The beginning of every token that the simulated login issues.
const TOKEN: &[u8] = b"eyJ";

/// Every file below a folder that holds some bytes.
fn holding(folder: &Path, bytes: &[u8], found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            holding(&path, bytes, found);
        } else if std::fs::read(&path).unwrap().windows(bytes.len()).any(|window| window == bytes) {
            found.push(path.display().to_string());
        }
    }
}

#[test]
fn a_service_that_repeats_the_token_gives_it_to_nobody() {
    let mut options = Options::new(7, 60).with_quotas(Quotas::unlimited());
    let echo = |on| Trouble { on, when: When::First(1_000), what: Instead::Echo(403) };
    options.misbehaviour.troubles =
        vec![echo(&["directoryAudits"]), echo(&["/manage/", "Audit.Exchange"]), echo(&["/audit/"])];
    let tenant = Tenant::with(options);
    let config = tenant.configure("gap_events = true\n");
    let output = tenant.collect(&config);
    assert_code(&output, 5);
    let told = stderr(&output);
    assert!(told.contains("Refused: ") && told.contains("[redacted]"), "it repeats them: {told}");
    let check = run(&["check", "-c", config.to_str().unwrap()]);
    let coverage = run(&["coverage", "-c", config.to_str().unwrap()]);
    for text in [&told, &stderr(&check), &stdout(&check), &stdout(&coverage), &stderr(&coverage)] {
        assert!(!text.contains("eyJ") && !text.contains(tenant.simulator.client_secret()), "{text}");
    }
    let mut found = Vec::new();
    holding(tenant.folder.path(), TOKEN, &mut found);
    assert_eq!(found, Vec::<String>::new(), "a token is in a file");
    holding(tenant.folder.path(), tenant.simulator.client_secret().as_bytes(), &mut found);
    assert_eq!(found, [tenant.path("secret").display().to_string()]);
}
