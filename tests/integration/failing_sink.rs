//! A sink that fails and returns: nothing is lost, whatever it answered, and a file sink beside it holds each record once.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

use m365_sim::{Options, Quotas};

use crate::failing_receiver::{Failing, Receiver};
use crate::harness::{Tenant, assert_code, program};

fn tenant(seed: u64) -> Tenant {
    Tenant::with(Options { speed: 100.0, ..Options::new(seed, 700).with_quotas(Quotas::unlimited()) })
}

/// A raw file sink and a raw `http` sink.
fn both(tenant: &Tenant, receiver: &Receiver) -> String {
    format!(
        "[limits]\nbatch_kib = 16\n[[sinks]]\ntype = \"file\"\nformat = \"raw\"\npath = {:?}\n[[sinks]]\ntype = \"http\"\nformat = \"raw\"\nurl = {:?}\n",
        tenant.path("raw.ndjson"),
        receiver.url()
    )
}

/// The receiver holds every line of the file, and nothing else. Says how many lines it holds more than once.
fn repeated(tenant: &Tenant, receiver: &Receiver) -> usize {
    let mut counts: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    for line in receiver.lines() {
        *counts.entry(line).or_default() += 1;
    }
    let file = std::fs::read(tenant.path("raw.ndjson")).unwrap();
    let lines: Vec<&[u8]> = file.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    assert_eq!(lines.len(), counts.len(), "the two sinks hold different records");
    for line in lines {
        assert!(counts.contains_key(line), "not received: {}", String::from_utf8_lossy(line));
    }
    counts.values().filter(|count| **count > 1).count()
}

#[test]
fn an_http_sink_that_fails_now_and_then_gets_everything_and_the_file_each_record_once() {
    for seed in 1..=3 {
        let tenant = tenant(seed);
        let receiver = Receiver::new(move |number| match (number + seed) % 7 {
            1 => Failing::Status(503),
            3 => Failing::Silence,
            5 => Failing::Status(429),
            _ => Failing::No,
        });
        let config = tenant.configure(&both(&tenant, &receiver));
        let output = program()
            .args(["run", "--until-caught-up", "-c"])
            .arg(&config)
            .env("M365_PIPE_TEST_CLOCK", tenant.simulator.clock_setting())
            .output()
            .unwrap();
        assert_code(&output, 0);
        tenant.assert_delivered_exactly_once();
        // What it didn't confirm it didn't keep, so that nothing had to come again.
        assert_eq!(repeated(&tenant, &receiver), 0);
        assert!(receiver.requests().1 > 0, "nothing failed: {:?}", receiver.requests());
    }
}

#[test]
fn a_confirmation_that_is_lost_repeats_a_batch_and_loses_none() {
    let tenant = tenant(4);
    let receiver = Receiver::new(|number| if number % 5 == 2 { Failing::KeptSilence } else { Failing::No });
    let config = tenant.configure(&both(&tenant, &receiver));
    let output = program()
        .args(["run", "--until-caught-up", "-c"])
        .arg(&config)
        .env("M365_PIPE_TEST_CLOCK", tenant.simulator.clock_setting())
        .output()
        .unwrap();
    assert_code(&output, 0);
    tenant.assert_delivered_exactly_once();
    assert!(repeated(&tenant, &receiver) > 0, "no batch came again");
}

#[test]
fn a_sink_that_is_down_holds_everything_up_until_it_returns() {
    let tenant = tenant(5);
    let receiver = Receiver::new(|_| Failing::No);
    receiver.set_down(true);
    let config = tenant.configure(&both(&tenant, &receiver));
    let mut child = program()
        .args(["run", "-c"])
        .arg(&config)
        .env("M365_PIPE_TEST_CLOCK", tenant.simulator.clock_setting())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let until = |done: &dyn Fn() -> bool| {
        while !done() {
            assert!(begun.elapsed() < Duration::from_secs(300), "it takes too long");
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    until(&|| receiver.requests().1 >= 4);
    assert!(receiver.lines().is_empty());
    receiver.set_down(false);
    let held = tenant.simulator.holds().values().sum::<u64>() + tenant.simulator.broken();
    until(&|| receiver.lines().len() as u64 >= held);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_code(&tenant.collect(&config), 0);
    tenant.assert_delivered_exactly_once();
    repeated(&tenant, &receiver);
}
