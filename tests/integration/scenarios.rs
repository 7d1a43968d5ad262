//! Every scenario of the conformance kit against the real binary, with several seeds: simulated hours and days pass in seconds,
//! the file sink holds exactly what was owed, none twice, no rule is broken, and the summary says how each stream ended.
//!
//! `M365_SEEDS=20 cargo test --test integration -- --include-ignored scenarios` plays each with twenty seeds, the large ones too.

use std::fmt::Write as _;
use std::fs::File;
use std::process::Stdio;
use std::time::{Duration, Instant};

use m365_sim::{Ends, SCENARIOS, Scenario, scenario};

use crate::harness::{Tenant, program};

/// The longest that one run may take, for real.
const PATIENCE: Duration = Duration::from_secs(300);

/// Declares a test for each scenario, by the family that it is listed under.
macro_rules! scenarios {
    ($($(#[$attribute:meta])* $test:ident $name:literal $($setting:literal)?;)*) => {
        $(#[test] $(#[$attribute])* fn $test() { play($name, concat!($($setting)?)); })*
        const TESTED: &[&str] = &[$($name),*];
    };
}

scenarios! {
    late_by_minutes "late-by-minutes";
    late_by_hours "late-by-hours";
    late_by_days "late-by-days";
    late_records_by_hours "late-records-by-hours" "[source]\ngraph_sweep = true\n";
    listed_twice "listed-twice";
    in_two_blobs "in-two-blobs";
    one_id_several_records "one-id-several-records";
    one_timestamp "one-timestamp";
    shuffled_pages "shuffled-pages";
    changing_pages "changing-pages";
    odd_headers "odd-headers";
    stale_pages "stale-pages";
    foreign_content "foreign-content";
    foreign_pages "foreign-pages";
    cut_bodies "cut-bodies";
    resets "resets";
    slow_bodies "slow-bodies";
    html_errors "html-errors";
    html_with_200 "html-with-200";
    storm "storm";
    silent_storm "silent-storm";
    af429_as_403 "af429-as-403";
    af50000 "af50000";
    throttled_login "throttled-login";
    short_tokens "short-tokens";
    revoked_tokens "revoked-tokens";
    clock_ahead "clock-ahead";
    clock_behind "clock-behind";
    clock_far_ahead "clock-far-ahead";
    disabled_by_somebody "disabled-by-somebody";
    disabled_by_admin "disabled-by-admin";
    auditing_off "auditing-off";
    auditing_turned_on "auditing-turned-on";
    empty_tenant "empty-tenant";
    legacy_alerts_retired "legacy-alerts-retired";
    licence_missing "licence-missing";
    consent_missing "consent-missing";
    outage_of_6_days "outage-of-6-days";
    outage_of_9_days "outage-of-9-days";
    large_blobs "large-blobs";
    #[ignore = "a quarter of a gigabyte"]
    huge_blobs "huge-blobs";
}

#[test]
fn every_scenario_is_played() {
    let known: Vec<&str> = SCENARIOS.iter().copied().flatten().map(|scenario| scenario.name).collect();
    assert_eq!(known, TESTED);
}

/// Plays a scenario with as many seeds as asked for, and tells everything that was wrong with the first that fails.
fn play(name: &str, settings: &str) {
    let seeds: u64 = std::env::var("M365_SEEDS").map_or(2, |text| text.parse().expect("M365_SEEDS is a number"));
    let scenario = scenario(name).expect("a scenario of the kit");
    for seed in 1..=seeds {
        let played = Played::new(scenario, seed, settings);
        let wrong = played.wrong();
        assert!(
            wrong.is_empty(),
            "{name} with seed {seed}: {}\n{wrong}\n{}",
            scenario.about,
            played.runs.iter().enumerate().fold(String::new(), |mut text, (at, run)| {
                let _ = writeln!(text, "--- run {at}, at minute {}: exit {:?}\n{}", run.minute, run.code, run.log);
                text
            })
        );
    }
}

/// One run of the program in a scenario.
struct Run {
    minute: u32,
    code: Option<i32>,
    log: String,
}

/// A scenario that was played to its end.
struct Played {
    scenario: &'static Scenario,
    tenant: Tenant,
    runs: Vec<Run>,
}

impl Played {
    fn new(scenario: &'static Scenario, seed: u64, settings: &str) -> Self {
        let tenant = Tenant::with(scenario.options(seed));
        // The documented quotas on both sides.
        let config = tenant.configure(&format!("[quotas]\n{settings}"));
        let mut runs = Vec::new();
        for minute in scenario.runs {
            tenant.simulator.advance_to(Duration::from_secs(u64::from(*minute) * 60));
            let log = tenant.path("log");
            let mut child = program()
                .args(["run", "--until-caught-up", "-c"])
                .arg(&config)
                .env("M365_PIPE_TEST_CLOCK", tenant.simulator.clock_setting())
                .stderr(File::create(&log).unwrap())
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            let begun = Instant::now();
            let code = loop {
                if let Some(status) = child.try_wait().unwrap() {
                    break status.code();
                }
                if begun.elapsed() > PATIENCE {
                    child.kill().unwrap();
                    child.wait().unwrap();
                    break None;
                }
                std::thread::sleep(Duration::from_millis(5));
            };
            runs.push(Run { minute: *minute, code, log: std::fs::read_to_string(&log).unwrap() });
        }
        Self { scenario, tenant, runs }
    }

    /// Everything that is not as it should be, one a line.
    fn wrong(&self) -> String {
        let mut wrong = String::new();
        let verdict = self.tenant.simulator.verdict(&[self.tenant.path("raw.ndjson")]);
        if !verdict.passed() {
            let _ = writeln!(wrong, "{verdict}");
        }
        if self.runs.iter().any(|run| run.code.is_none()) {
            let _ = writeln!(wrong, "a run took longer than {PATIENCE:?}, or was ended by a signal");
        }
        self.wrong_counts(&mut wrong);
        self.wrong_end(&mut wrong);
        wrong
    }

    /// The summaries of all runs and the file have to agree: what was read was delivered, rejected or a duplicate, and each
    /// record that was new is one line.
    fn wrong_counts(&self, wrong: &mut String) {
        let mut new = 0;
        for row in self.runs.iter().flat_map(|run| run.log.lines()).filter_map(summary_row) {
            let [records, delivered, rejected, duplicates] = row;
            if records != delivered + rejected + duplicates {
                let _ = writeln!(wrong, "a row of a summary doesn't balance: {row:?}");
            }
            new += delivered + rejected;
        }
        let lines = std::fs::read(self.tenant.path("raw.ndjson")).unwrap().split(|byte| *byte == b'\n').count() as u64;
        if new != lines - 1 {
            let _ = writeln!(wrong, "the summaries tell of {new} new records, and the file has {} lines", lines - 1);
        }
    }

    fn wrong_end(&self, wrong: &mut String) {
        let last = self.runs.last().expect("a scenario has runs");
        let mut expect = |holds: bool, what: &str| {
            if !holds {
                let _ = writeln!(wrong, "{what}");
            }
        };
        let blocked: Vec<&str> = last
            .log
            .lines()
            .filter_map(|line| line.strip_prefix("m365-pipe: ")?.split_once(" is blocked: "))
            .map(|(stream, _)| stream)
            .collect();
        let told_lost = |stream: &str| {
            let told = |line: &str| line.contains(stream) && line.contains("is declared a gap");
            self.runs.iter().any(|run| run.log.lines().any(told))
        };
        let should_block: &[&str] = if let Ends::Blocked(streams) = self.scenario.ends { streams } else { &[] };
        let should_gap: &[&str] = if let Ends::Gap(streams) = self.scenario.ends { streams } else { &[] };
        // What is lost is told by the exit code of the run that lost it.
        let lost = last.log.contains("has lost data in this run");
        expect(
            last.code == Some(if should_block.is_empty() && !lost { 0 } else { 5 }),
            &format!("the last run ended with {:?}", last.code),
        );
        expect(!lost || !should_gap.is_empty(), "something was lost");
        let same = blocked.len() == should_block.len() && should_block.iter().all(|stream| blocked.contains(stream));
        expect(same, &format!("blocked are {blocked:?}, and should be {should_block:?}"));
        for stream in self.tenant.simulator.holds().keys() {
            let should = should_gap.contains(&stream.as_str());
            expect(
                told_lost(stream) == should,
                &format!("{stream}: {}", if should { "a gap was not told" } else { "a gap was told that isn't one" }),
            );
        }
    }
}

/// Records, delivered, rejected and duplicates of a row of the summary.
fn summary_row(line: &str) -> Option<[u64; 4]> {
    let mut cells = line.split_whitespace();
    let name = cells.next()?;
    if !name.starts_with("office365.") && !name.starts_with("graph.") {
        return None;
    }
    let mut cell = || cells.next()?.parse().ok();
    Some([cell()?, cell()?, cell()?, cell()?])
}
