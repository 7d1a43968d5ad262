//! Every scenario of the conformance kit against the real binary, with several seeds: simulated hours and days pass in seconds,
//! the file sink holds exactly what was owed, none twice, no rule is broken, and the summary says how each stream ended.
//!
//! `M365_SEEDS=20 cargo test --test integration -- --include-ignored scenarios` plays each with twenty seeds, the large ones too.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use m365_sim::{Ends, Options, RequestLine, SCENARIOS, Scenario, scenario};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::harness::{Tenant, program};

/// The longest that one run may take, for real.
const PATIENCE: Duration = Duration::from_secs(300);

/// Something more that has to hold of a scenario that was played: adds a line for what doesn't.
type Also = fn(&Played, &mut String);

/// Declares a test for each scenario, by the family that it is listed under: its name, settings of the collector, and what has
/// to hold more than of every scenario.
macro_rules! scenarios {
    ($($(#[$attribute:meta])* $test:ident $name:literal $($setting:literal)? $(=> $also:ident)?;)*) => {
        $(#[test] $(#[$attribute])* fn $test() { play($name, concat!($($setting)?), &[$($also)?]); })*
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
    page_circles "page-circles";
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
    start_throttled "start-throttled" => others_went_on;
    deaf_quota "deaf-quota";
    bad_ten_minutes "bad-ten-minutes" "[http]\ntimeout_seconds = 5\n";
    short_tokens "short-tokens";
    revoked_tokens "revoked-tokens";
    fresh_token_401 "fresh-token-401";
    clock_ahead "clock-ahead";
    clock_behind "clock-behind";
    clock_far_ahead "clock-far-ahead";
    odd_dates "odd-dates";
    odd_retry_after "odd-retry-after";
    errors_in_200 "errors-in-200";
    missing_for_a_while "missing-for-a-while";
    wrong_urls "wrong-urls";
    broken_record "broken-record";
    filter_ignored "filter-ignored";
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
fn play(name: &str, settings: &str, also: &[Also]) {
    let scenario = scenario(name).expect("a scenario of the kit");
    for seed in 1..=seeds() {
        let played = Played::new(scenario, seed, settings);
        let wrong = played.wrong(also);
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

/// With how many seeds each scenario is played.
fn seeds() -> u64 {
    std::env::var("M365_SEEDS").map_or(2, |text| text.parse().expect("M365_SEEDS is a number"))
}

/// One run of the program in a scenario.
struct Run {
    minute: u32,
    /// When it began, by the simulated clock.
    begun_ms: i64,
    code: Option<i32>,
    log: String,
}

/// A scenario that was played to its end.
struct Played {
    scenario: &'static Scenario,
    tenant: Tenant,
    runs: Vec<Run>,
    /// What `m365-pipe coverage --json` says at the end.
    coverage: Value,
}

/// Begins a run of the program against a tenant, by its clock.
fn begin(tenant: &Tenant, config: &Path, arguments: &[&str]) -> Child {
    program()
        .args(arguments)
        .arg("-c")
        .arg(config)
        .env("M365_PIPE_TEST_CLOCK", tenant.simulator.clock_setting())
        .stderr(File::create(tenant.path("log")).unwrap())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// The exit code of a run, or none if it takes too long or is ended by a signal.
fn end(child: &mut Child) -> Option<i32> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if begun.elapsed() > PATIENCE {
            child.kill().unwrap();
            child.wait().unwrap();
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl Played {
    fn new(scenario: &'static Scenario, seed: u64, settings: &str) -> Self {
        let tenant = Tenant::with(scenario.options(seed));
        // The documented quotas on both sides.
        let config = tenant.configure(&format!("[quotas]\n{settings}"));
        let mut runs = Vec::new();
        for minute in scenario.runs {
            tenant.simulator.advance_to(Duration::from_secs(u64::from(*minute) * 60));
            let begun_ms = tenant.simulator.now_ms();
            let code = end(&mut begin(&tenant, &config, &["run", "--until-caught-up"]));
            let log = std::fs::read_to_string(tenant.path("log")).unwrap();
            runs.push(Run { minute: *minute, begun_ms, code, log });
            if code.is_none() {
                break;
            }
        }
        let coverage = program().args(["coverage", "--json", "-c"]).arg(&config).output().unwrap();
        let coverage = serde_json::from_slice(&coverage.stdout).unwrap_or(Value::Null);
        Self { scenario, tenant, runs, coverage }
    }

    /// Everything that is not as it should be, one a line.
    fn wrong(&self, also: &[Also]) -> String {
        let mut wrong = String::new();
        let verdict = self.tenant.simulator.verdict(&[self.tenant.path("raw.ndjson")]);
        if !verdict.passed() {
            let _ = writeln!(wrong, "{verdict}");
        }
        if self.runs.iter().any(|run| run.code.is_none()) {
            let _ = writeln!(wrong, "a run took longer than {PATIENCE:?}, or was ended by a signal");
        }
        // Who stops listing a stream owes nothing of what came after.
        let last = self.runs.last().expect("a scenario has runs");
        for (stream, one) in &verdict.streams {
            let listed = one.listed_ms.is_some_and(|at| at >= last.begun_ms - 1_000);
            if !listed && !self.should_block().contains(&stream.as_str()) {
                let _ = writeln!(wrong, "{stream} was not listed in the last run");
            }
        }
        self.wrong_counts(&mut wrong);
        self.wrong_end(&mut wrong);
        self.wrong_coverage(&mut wrong);
        for also in also {
            also(self, &mut wrong);
        }
        wrong
    }

    fn should_block(&self) -> &'static [&'static str] {
        if let Ends::Blocked(streams) = self.scenario.ends { streams } else { &[] }
    }

    fn should_gap(&self) -> &'static [&'static str] {
        if let Ends::Gap(streams) = self.scenario.ends { streams } else { &[] }
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
        let should_block = self.should_block();
        // What is lost is told by the exit code of the run that lost it.
        let lost = last.log.contains("has lost data in this run");
        let complete = should_block.is_empty() && !lost;
        let code = last.code;
        expect(code == Some(if complete { 0 } else { 5 }), &format!("the last run ended with {code:?}"));
        expect(!lost || !self.should_gap().is_empty(), "the last run lost something");
        let codes: Vec<Option<i32>> = self.runs.iter().map(|run| run.code).collect();
        let fits = |run: &Run| match self.scenario.ends {
            Ends::Complete => run.code == Some(0),
            // One that doesn't get as far as a login says so.
            Ends::AtLast if !run.log.contains(" Collecting.") => run.code == Some(9),
            Ends::AtLast | Ends::Blocked(_) | Ends::Gap(_) => matches!(run.code, Some(0 | 5)),
        };
        expect(self.runs.iter().all(fits), &format!("the runs ended with {codes:?}"));
        let same = blocked.len() == should_block.len() && should_block.iter().all(|stream| blocked.contains(stream));
        expect(same, &format!("blocked are {blocked:?}, and should be {should_block:?}"));
    }

    /// Gaps are in the ledger where there should be some, each was told as an error, there are no holes, and nothing is covered
    /// that is still ahead.
    fn wrong_coverage(&self, wrong: &mut String) {
        let now_ms = self.tenant.simulator.now_ms();
        for stream in self.tenant.simulator.holds().into_keys() {
            let covered = &self.coverage["streams"][&stream];
            let list = |name: &str| covered[name].as_array().map(Vec::as_slice).unwrap_or_default();
            let should = self.should_gap().contains(&stream.as_str());
            let told = |line: &str| {
                line.contains(" ERROR ")
                    && line.contains(&stream)
                    && (line.contains("declared a gap") || line.contains("counted as lost"))
            };
            let told = self.runs.iter().any(|run| run.log.lines().any(told));
            if (list("gaps").is_empty(), told) != (!should, should) {
                let what = if should { "there should be a gap" } else { "there should be no gap" };
                let _ = writeln!(wrong, "{stream}: {what}; told: {told}, declared: {:?}", list("gaps"));
            }
            if !list("holes").is_empty() {
                let _ = writeln!(wrong, "{stream} has holes: {:?}", list("holes"));
            }
            let ahead = list("stretches").iter().filter_map(|stretch| {
                let end: jiff::Timestamp = stretch["end"].as_str()?.parse().ok()?;
                (end.as_millisecond() > now_ms).then_some(end)
            });
            for end in ahead {
                let _ = writeln!(wrong, "{stream} is covered up to {end}, which is still ahead");
            }
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

/// Before a subscription could be started that had been refused, the other content types were read.
fn others_went_on(played: &Played, wrong: &mut String) {
    let lines = played.tenant.simulator.requests();
    let start = |line: &&RequestLine| line.path_and_query.contains("/subscriptions/start");
    let refused: BTreeSet<&str> = lines
        .iter()
        .filter(|line| start(line) && matches!(line.status, 403 | 429))
        .filter_map(|line| line.stream.as_deref())
        .collect();
    if refused.len() != 2 {
        let _ = writeln!(wrong, "refused were the starts of {refused:?}");
    }
    let started = |line: &RequestLine| {
        start(&line) && line.status == 200 && line.stream.as_deref().is_some_and(|stream| refused.contains(stream))
    };
    let before = lines.iter().take_while(|line| !started(line));
    let read = |line: &RequestLine| line.status == 200 && line.path_and_query.contains("/audit/");
    let read: BTreeSet<&str> = before.filter(|line| read(line)).filter_map(|line| line.stream.as_deref()).collect();
    // Of DLP there is too little to be sure that some of it is there.
    let others = ["office365.azure-ad", "office365.exchange", "office365.sharepoint", "office365.general"];
    for other in others.into_iter().filter(|stream| !refused.contains(stream) && !read.contains(stream)) {
        let _ = writeln!(wrong, "{other} was not read before {refused:?} could be started");
    }
}

/// A service holds out ten minutes in which most requests fail: it goes on running, and in the end it has everything.
#[test]
fn a_service_holds_out_bad_ten_minutes() {
    let scenario = scenario("bad-ten-minutes").expect("a scenario of the kit");
    for seed in 1..=seeds() {
        // Everything is there from the start.
        let tenant = Tenant::with(Options { ahead: Duration::ZERO, ..scenario.options(seed) });
        let config = tenant.configure("[quotas]\n[http]\ntimeout_seconds = 5\n");
        let mut child = begin(&tenant, &config, &["run"]);
        let begun = Instant::now();
        let verdict = loop {
            std::thread::sleep(Duration::from_millis(100));
            let ended = child.try_wait().unwrap();
            let log = || std::fs::read_to_string(tenant.path("log")).unwrap();
            assert_eq!(ended, None, "seed {seed}: it ended by itself\n{}", log());
            // Its file is made once it has logged in.
            let output: Vec<_> = [tenant.path("raw.ndjson")].into_iter().filter(|path| path.exists()).collect();
            let verdict = tenant.simulator.verdict(&output);
            let whole =
                verdict.streams.iter().all(|(stream, one)| one.written == Some(tenant.simulator.holds()[stream]));
            if whole {
                break verdict;
            }
            assert!(begun.elapsed() < PATIENCE, "seed {seed}: not complete in {PATIENCE:?}\n{verdict}\n{}", log());
        };
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        assert_eq!(end(&mut child), Some(0), "seed {seed}");
        assert!(verdict.passed(), "seed {seed}: {verdict}");
    }
}
