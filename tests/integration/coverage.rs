//! `m365-pipe coverage`: what it says of a collection, and beside a run that holds the ledger.

use std::time::{Duration, Instant};

use m365_sim::scenario;
use serde_json::Value;

use crate::harness::{Tenant, assert_code, program, run, stderr, stdout};

fn read(config: &std::path::Path, arguments: &[&str]) -> Value {
    let output = program().args(["coverage", "--json", "-c"]).arg(config).args(arguments).output().unwrap();
    assert_code(&output, 0);
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn everything_that_was_collected_is_covered_and_counted() {
    let tenant = Tenant::new(600);
    let config = tenant.configure("");
    assert_eq!(read(&config, &[]), serde_json::json!({"streams": {}}), "before the first run");
    assert_code(&tenant.collect(&config), 0);
    let coverage = read(&config, &[]);
    for (stream, held) in tenant.simulator.holds() {
        let found = &coverage["streams"][&stream];
        assert_eq!(found["gaps"], serde_json::json!([]), "{stream}");
        assert_eq!(found["holes"], serde_json::json!([]), "{stream}");
        assert_eq!(found["open_pieces"], 0, "{stream}");
        let stretches = found["stretches"].as_array().unwrap();
        let records: u64 = stretches
            .iter()
            .map(|stretch| stretch["records"].as_u64().unwrap() - stretch["duplicates"].as_u64().unwrap())
            .sum();
        assert!(records >= held, "{stream}: {records} of {held}");
        assert!(stretches.windows(2).all(|pair| pair[0]["end"] == pair[1]["start"]), "{stream}: {stretches:?}");
    }
    let output = run(&["coverage", "-c", config.to_str().unwrap()]);
    assert_code(&output, 0);
    assert!(stdout(&output).starts_with("No gaps"), "{}", stdout(&output));
    assert_eq!(
        read(&config, &["--since", "2100-01-01"])["streams"]["office365.exchange"]["stretches"],
        serde_json::json!([])
    );
    let wrong = run(&["coverage", "-c", config.to_str().unwrap(), "--since", "soon"]);
    assert_code(&wrong, 2);
    assert!(stderr(&wrong).contains("36h"));
}

#[test]
fn it_works_while_a_run_holds_the_ledger() {
    let tenant = Tenant::new(100);
    let config = tenant.configure("");
    let mut collecting = program().args(["run", "-q", "-c"]).arg(&config).spawn().unwrap();
    let start = Instant::now();
    loop {
        let coverage = read(&config, &[]);
        let streams = coverage["streams"].as_object().unwrap();
        if streams.len() == 12 && streams.values().all(|stream| stream["open_pieces"] == 0) {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(300), "{coverage}");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(collecting.try_wait().unwrap().is_none(), "the run goes on");
    collecting.kill().unwrap();
    collecting.wait().unwrap();
}

#[test]
fn a_declared_gap_is_shown_first_and_delivered_as_an_event_once() {
    let tenant = Tenant::with(scenario("disabled-by-somebody").unwrap().options(1));
    let config = tenant.configure("gap_events = true");
    for minute in [0, 200, 210] {
        tenant.simulator.advance_to(Duration::from_secs(minute * 60));
        let clock = tenant.simulator.clock_setting();
        let mut run = program();
        run.args(["run", "--until-caught-up", "-c"]).arg(&config).env("M365_PIPE_TEST_CLOCK", clock);
        let output = run.output().unwrap();
        // A run that lost something says so by its exit code.
        assert_code(&output, if stderr(&output).contains("has lost data in this run") { 5 } else { 0 });
    }
    let gaps = &read(&config, &[])["streams"]["office365.exchange"]["gaps"];
    assert_eq!(gaps.as_array().unwrap().len(), 1, "{gaps}");
    let output = run(&["coverage", "-c", config.to_str().unwrap()]);
    assert!(stdout(&output).starts_with("GAPS"), "{}", stdout(&output));

    let events = std::fs::read_to_string(tenant.path("events.ndjson")).unwrap();
    let told: Vec<Value> = events
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|event: &Value| event["activity_name"] == "Gap Declared")
        .collect();
    assert_eq!(told.len(), 1, "{told:?}");
    let message = told[0]["message"].as_str().unwrap();
    for bound in ["start", "end"] {
        assert!(message.contains(gaps[0][bound].as_str().unwrap()), "{message}");
    }
    assert_code(&run(&["validate", tenant.path("events.ndjson").to_str().unwrap()]), 0);
}

#[test]
fn a_gap_event_goes_to_no_sink_of_another_format() {
    let tenant = Tenant::with(scenario("disabled-by-somebody").unwrap().options(1));
    let config = tenant.configure("gap_events = true");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("format = \"ocsf\"", "format = \"ecs\"")).unwrap();
    for minute in [0, 200, 210] {
        tenant.simulator.advance_to(Duration::from_secs(minute * 60));
        let clock = tenant.simulator.clock_setting();
        let mut run = program();
        run.args(["run", "--until-caught-up", "-c"]).arg(&config).env("M365_PIPE_TEST_CLOCK", clock);
        run.output().unwrap();
    }
    assert_eq!(read(&config, &[])["streams"]["office365.exchange"]["gaps"].as_array().unwrap().len(), 1);
    let documents = std::fs::read_to_string(tenant.path("events.ndjson")).unwrap();
    assert!(!documents.is_empty() && !documents.contains("Gap Declared"));
    assert_code(&run(&["validate", "--schema", "events/ecs", tenant.path("events.ndjson").to_str().unwrap()]), 0);
}
