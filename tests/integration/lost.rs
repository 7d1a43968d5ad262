//! What the service lists and says isn't there: held, asked for again, lost only by a verdict, and put back by `retry-lost`.

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use m365_sim::misbehaviour::{Trouble, When};
use m365_sim::{Instead, Options, Quotas};
use serde_json::Value;

use crate::harness::{Tenant, assert_code, program, run, stderr, stdout};

const HOUR: Duration = Duration::from_secs(3600);
const STREAM: &str = "office365.exchange";

/// A tenant at noon whose records arrive from ten hours before to twenty hours after the start, on a fast clock.
fn tenant(troubles: Vec<Trouble>) -> Tenant {
    let mut options = Options {
        now: Some(1_768_478_400_000),
        speed: 100.0,
        spread: 30 * HOUR,
        ahead: 20 * HOUR,
        blob_records: 5,
        streams: [STREAM.to_owned()].into(),
        ..Options::new(3, 200).with_quotas(Quotas::unlimited())
    };
    options.misbehaviour.troubles = troubles;
    Tenant::with(options)
}

fn config(tenant: &Tenant) -> std::path::PathBuf {
    tenant.configure(&format!("streams = [{STREAM:?}]\n[source]\nlookback_hours = 72\n"))
}

fn missing(on: &'static [&'static str], when: When, code: &str) -> Trouble {
    let body = format!("{{\"error\":{{\"code\":\"{code}\",\"message\":\"The specified content does not exist.\"}}}}");
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    Trouble { on, when, what: Instead::Answer { status: if code == "AF20050" { 404 } else { 400 }, headers, body } }
}

fn collect_at(tenant: &Tenant, config: &Path, hours: u32) -> Output {
    tenant.simulator.advance_to(HOUR * hours);
    let clock = tenant.simulator.clock_setting();
    let mut run = program();
    run.args(["run", "--until-caught-up", "-c"]).arg(config).env("M365_PIPE_TEST_CLOCK", clock);
    run.output().unwrap()
}

fn retry(config: &Path, arguments: &[&str]) -> Output {
    run(&[&["retry-lost", "-c", config.to_str().unwrap()], arguments].concat())
}

fn coverage(config: &Path) -> Value {
    let output = run(&["coverage", "--json", "-c", config.to_str().unwrap()]);
    assert_code(&output, 0);
    let mut whole: Value = serde_json::from_slice(&output.stdout).unwrap();
    whole["streams"][STREAM].take()
}

#[test]
fn a_piece_that_is_missing_for_a_moment_is_read_in_the_same_run() {
    let tenant = tenant(vec![missing(&["GET", "/audit/"], When::First(4), "AF20050")]);
    let config = config(&tenant);
    let output = collect_at(&tenant, &config, 21);
    assert_code(&output, 0);
    assert!(
        stderr(&output).contains("says that") && !stderr(&output).contains("counted as lost"),
        "{}",
        stderr(&output)
    );
    tenant.assert_delivered_exactly_once();
    assert_eq!(coverage(&config)["gaps"], serde_json::json!([]));
}

#[test]
fn if_no_piece_is_there_the_stream_is_held_and_nothing_is_lost() {
    for code in ["AF20050", "AF20052"] {
        let tenant = tenant(vec![missing(&["GET", "/audit/"], When::Between(Duration::ZERO, 60 * HOUR), code)]);
        let config = config(&tenant);
        for hours in [21, 22, 50] {
            let output = collect_at(&tenant, &config, hours);
            assert_code(&output, 5);
            let log = stderr(&output);
            assert!(
                log.contains(&format!("{STREAM} is blocked")) && log.contains("the tenant, the cloud or the service"),
                "{log}"
            );
            assert!(log.contains("holds") && !log.contains("lost data"), "{log}");
        }
        let found = coverage(&config);
        assert_eq!(found["gaps"], serde_json::json!([]));
        assert!(found["open_pieces"].as_u64().unwrap() > 3, "{found}");
        assert_code(&collect_at(&tenant, &config, 61), 0);
        tenant.assert_delivered_exactly_once();
    }
}

#[test]
fn a_piece_is_lost_after_a_day_and_read_again_when_it_is_put_back() {
    // What arrived in the morning isn't there for a long time; the rest is.
    let morning = missing(&["GET", "/audit/202601150"], When::Between(Duration::ZERO, 27 * HOUR), "AF20050");
    let tenant = tenant(vec![morning]);
    let config = config(&tenant);
    for hours in [0, 20, 21, 22] {
        let output = collect_at(&tenant, &config, hours);
        assert_code(&output, 5);
        assert!(stderr(&output).contains("holds") && !stderr(&output).contains("lost data"), "{}", stderr(&output));
    }
    assert_eq!(stdout(&retry(&config, &[])), "Nothing is lost.\n");
    let output = collect_at(&tenant, &config, 26);
    assert_code(&output, 5);
    let log = stderr(&output);
    assert!(log.contains("counted as lost") && log.contains("has lost data in this run"), "{log}");
    let gaps: u64 =
        coverage(&config)["gaps"].as_array().unwrap().iter().map(|gap| gap["pieces"].as_u64().unwrap()).sum();

    let listed: Value = serde_json::from_slice(&retry(&config, &["--json"]).stdout).unwrap();
    let listed = listed["lost"].as_array().unwrap();
    assert_eq!(listed.len() as u64, gaps);
    assert!(gaps > 0 && listed.iter().all(|piece| piece["code"] == "AF20050" && piece["whole"] == true), "{listed:?}");
    assert_code(&retry(&config, &["--stream", "graph.alerts"]), 0);
    assert_code(&retry(&config, &["999999"]), 2);
    assert_code(&retry(&config, &["1", "--all"]), 2);
    let one = listed[0]["id"].to_string();
    assert!(stdout(&retry(&config, &[&one])).starts_with("1 put back"));
    assert!(stdout(&retry(&config, &["--all"])).starts_with(&format!("{} put back", gaps - 1)));
    assert_eq!(coverage(&config)["gaps"], serde_json::json!([]), "they are open again");

    assert_code(&collect_at(&tenant, &config, 28), 0);
    tenant.assert_delivered_exactly_once();
    assert_eq!(stdout(&retry(&config, &[])), "Nothing is lost.\n");
}

#[test]
fn past_its_expiry_the_services_answer_makes_a_piece_lost() {
    let tenant = tenant(vec![missing(&["GET", "/audit/"], When::Between(Duration::ZERO, 100 * HOUR), "AF20050")]);
    let config = config(&tenant);
    assert_code(&collect_at(&tenant, &config, 21), 5);
    let held = coverage(&config)["open_pieces"].as_u64().unwrap();
    // Eight days later the service says that each of them has expired, and so do we.
    let output = collect_at(&tenant, &config, 9 * 24);
    assert_code(&output, 5);
    let found = coverage(&config);
    let gaps = found["gaps"].as_array().unwrap();
    let pieces: u64 = gaps.iter().map(|gap| gap["pieces"].as_u64().unwrap()).sum();
    assert_eq!((pieces, &found["open_pieces"]), (held, &serde_json::json!(0)), "{}", stderr(&output));
}

#[test]
fn retry_lost_waits_for_nobody_and_needs_a_ledger() {
    let tenant = tenant(Vec::new());
    let config = config(&tenant);
    assert_code(&retry(&config, &[]), 7);
    let mut collecting = program().args(["run", "-q", "-c"]).arg(&config).spawn().unwrap();
    while !tenant.path("data/ledger.sqlite").exists() {
        std::thread::sleep(Duration::from_millis(10));
    }
    let output = retry(&config, &["--all"]);
    collecting.kill().unwrap();
    collecting.wait().unwrap();
    assert_code(&output, 7);
    assert!(stderr(&output).contains("stop the other one"), "{}", stderr(&output));
}
