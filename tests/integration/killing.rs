//! Ended at any moment, in any way, and started again, the collector delivers every record, and the file sink holds each once;
//! whatever the services do meanwhile, and without asking more often than they allow.
//!
//! `M365_KILLS=1000 cargo test --test integration -- killing` kills it more often, and among more kinds of misbehaviour.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use m365_sim::{Ends, Options, Quotas, SCENARIOS, Scenario, Verdict, scenario};
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Tenant, assert_code, program, stderr};

/// A tenant whose data takes many short runs: small blobs and pages, a little delay, records that keep arriving.
fn long_tenant(seed: u64, events: u64) -> Tenant {
    let options = Options::new(seed, events).with_quotas(Quotas::unlimited());
    Tenant::with(Options {
        latency: Duration::from_millis(30),
        blob_records: 4,
        content_page: 10,
        graph_page: 25,
        ..options
    })
}

/// How often to kill: as asked for, or else `usual`.
fn kills(usual: u32) -> u32 {
    std::env::var("M365_KILLS").map_or(usual, |text| text.parse().expect("M365_KILLS is a number"))
}

#[test]
fn killed_at_a_hundred_random_moments_it_delivers_everything_exactly_once() {
    let kills = kills(100);
    let tenant = long_tenant(9, 10_000);
    let config = tenant.configure("[limits]\nbatch_kib = 16\n");
    let mut moments = fastrand::Rng::with_seed(2_026);
    let (mut done, mut in_the_middle) = (0, 0);
    while done < kills {
        let mut child = program().arg("run").arg("-c").arg(&config).stderr(Stdio::null()).spawn().unwrap();
        let before = tenant.delivered_bytes();
        // Every other one from before the first line of the program on, and the others while it delivers.
        if done % 2 == 0 {
            tenant.await_delivery();
        }
        let latest = if done % 2 == 0 { 100 } else { 650 };
        std::thread::sleep(Duration::from_millis(moments.u64(1..latest)));
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        child.kill().unwrap();
        child.wait().unwrap();
        done += 1;
        in_the_middle += u32::from(tenant.delivered_bytes() != before);
    }
    assert!(in_the_middle >= kills / 5, "only {in_the_middle} of {kills} kills hit a run that was delivering");
    assert_code(&tenant.collect(&config), 0);
    tenant.assert_delivered_exactly_once();
    assert_eq!(tenant.simulator.violations(), Vec::<String>::new());
}

/// The program by a tenant's clock.
fn by_clock(tenant: &Tenant, config: &Path, arguments: &[&str]) -> Command {
    let mut command = program();
    command.args(arguments).arg("-c").arg(config).env("M365_PIPE_TEST_CLOCK", tenant.simulator.clock_setting());
    command
}

/// Starts it and kills it, so many times, at random moments of up to `latest` milliseconds.
fn kill_again_and_again(tenant: &Tenant, config: &Path, kills: u32, latest: u64, moments: &mut fastrand::Rng) {
    for _ in 0..kills {
        let mut child = by_clock(tenant, config, &["run"]).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(moments.u64(1..latest)));
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

/// The rules that a collector may not break, however often it is killed. A process that was killed has forgotten what it was asked
/// to wait for, if that came a moment before.
fn broken(verdict: &Verdict) -> Vec<&(String, u64, String)> {
    verdict.rules.iter().filter(|(rule, _, _)| !rule.contains("Retry-After")).collect()
}

#[test]
fn quotas_hold_over_a_check_runs_and_kills() {
    // Without what a quiet machine would let pass: the check takes a part of the quota, the run after it the rest, and each one that
    // is started again has what is left.
    let scenario = scenario("deaf-quota").expect("a scenario of the kit");
    let tenant = Tenant::with(scenario.options(1));
    let config = tenant.configure("[quotas]\n");
    assert_code(&by_clock(&tenant, &config, &["check"]).output().unwrap(), 0);
    assert_code(&by_clock(&tenant, &config, &["run", "--until-caught-up"]).output().unwrap(), 0);
    let mut moments = fastrand::Rng::with_seed(77);
    for _ in 0..3 {
        // Something to ask for again.
        tenant.simulator.advance(Duration::from_secs(20 * 60));
        kill_again_and_again(&tenant, &config, kills(60) / 3, 500, &mut moments);
    }
    assert_code(&by_clock(&tenant, &config, &["run", "--until-caught-up"]).output().unwrap(), 0);
    let verdict = tenant.simulator.verdict(&[tenant.path("raw.ndjson")]);
    assert!(verdict.passed(), "{verdict}");
}

#[test]
fn killed_among_every_kind_of_misbehaviour_it_delivers_everything_exactly_once() {
    const KILLS_EACH: u32 = 15;
    // What is large, slow, about being away for days, or needs a setting is about something else.
    let apart = [
        "deaf-quota",
        "outage-of-6-days",
        "large-blobs",
        "huge-blobs",
        "late-by-days",
        "slow-bodies",
        "late-records-by-hours",
    ];
    let fits = |scenario: &&Scenario| {
        matches!(scenario.ends, Ends::Complete | Ends::AtLast) && !apart.contains(&scenario.name)
    };
    let mut scenarios: Vec<&Scenario> = SCENARIOS.iter().copied().flatten().filter(fits).collect();
    let mut moments = fastrand::Rng::with_seed(2_027);
    moments.shuffle(&mut scenarios);
    let wanted = kills(60).div_ceil(KILLS_EACH) as usize;
    for (round, scenario) in scenarios.iter().cycle().take(wanted).enumerate() {
        let options = scenario.options(round as u64 + 1);
        // Where nothing needs it to be faster: slow enough that a process starts within a part of a quota's time.
        let speed = if options.speed > 100.0 { options.speed } else { 50.0 };
        let tenant = Tenant::with(Options { speed, ..options });
        let config = tenant.configure("[quotas]\n[limits]\nbatch_kib = 16\n");
        kill_again_and_again(&tenant, &config, KILLS_EACH, 650, &mut moments);
        let mut codes = Vec::new();
        for minute in scenario.runs {
            tenant.simulator.advance_to(Duration::from_secs(u64::from(*minute) * 60));
            let output = by_clock(&tenant, &config, &["run", "--until-caught-up"]).output().unwrap();
            codes.push(output.status.code());
        }
        let verdict = tenant.simulator.verdict(&[tenant.path("raw.ndjson")]);
        let name = scenario.name;
        assert_eq!(codes.last(), Some(&Some(0)), "{name} in round {round}: {codes:?}");
        let complete = verdict.streams.values().all(|stream| stream.missing == 0 && stream.twice == 0);
        assert!(complete && broken(&verdict).is_empty(), "{name} in round {round}, {codes:?}: {verdict}");
    }
}

#[test]
fn terminated_at_random_moments_it_stops_cleanly_every_time() {
    let tenant = long_tenant(10, 3_000);
    let config = tenant.configure("[limits]\nbatch_kib = 16\n");
    let mut moments = fastrand::Rng::with_seed(7);
    for round in 0..20 {
        let child = program().arg("run").arg("-c").arg(&config).stderr(Stdio::piped()).spawn().unwrap();
        // Signals are handled from the moment on that the configuration is read.
        std::thread::sleep(Duration::from_millis(moments.u64(200..700)));
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.signal(), None, "round {round}: {}", stderr(&output));
        // Stopped before it could log in, it says so.
        let nothing = stderr(&output).contains("nothing was collected");
        assert_code(&output, if nothing { 5 } else { 0 });
    }
    assert_code(&tenant.collect(&config), 0);
    tenant.assert_delivered_exactly_once();
}

/// The program, whose files can't grow over so many KiB: as on a full disk, a write fails in its middle.
fn on_a_full_disk(kib: u64) -> Command {
    let program = program();
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", kib * 2)]).arg(program.get_program());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.stdin(Stdio::null());
    shell
}

#[test]
fn a_disk_that_fills_up_loses_nothing_and_says_so() {
    let tenant = Tenant::with(Options { speed: 100.0, ..Options::new(12, 1_200).with_quotas(Quotas::unlimited()) });
    let config = tenant.configure("[limits]\nbatch_kib = 16\n");
    let mut full = 0;
    // The compiled plugin is kept already: what is full is the disk of the data.
    assert_code(&program().arg("streams").output().unwrap(), 0);
    // From too little for the ledger to nearly enough.
    for kib in [48, 160, 320, 500, 700, 1_000, 1_400] {
        let output = on_a_full_disk(kib)
            .args(["run", "--until-caught-up", "-c"])
            .arg(&config)
            // Its pauses are short by this clock.
            .env("M365_PIPE_TEST_CLOCK", tenant.simulator.clock_setting())
            .output()
            .unwrap();
        // The sink's file or the ledger's, whichever comes first.
        assert!(matches!(output.status.code(), Some(0 | 6 | 7)), "{kib} KiB: {:?}\n{}", output.status, stderr(&output));
        full += u32::from(output.status.code() != Some(0));
    }
    assert!(full >= 3, "the disk was full only {full} times");
    assert_code(&tenant.collect(&config), 0);
    tenant.assert_delivered_exactly_once();
}
