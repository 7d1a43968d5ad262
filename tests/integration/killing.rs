//! Ended at any moment, in any way, and started again, the collector delivers every record, and the file sink holds each once.
//!
//! `M365_KILLS=1000 cargo test --test integration -- killing` kills it more often.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use m365_sim::{Options, Quotas};
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

#[test]
fn killed_at_a_hundred_random_moments_it_delivers_everything_exactly_once() {
    let kills: u32 = std::env::var("M365_KILLS").map_or(100, |text| text.parse().expect("M365_KILLS is a number"));
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
