//! Quotas count at the service, whichever process asks: one after the other, and one that dies again and again, keep them as
//! one process does.

use std::process::{Output, Stdio};
use std::time::Duration;

use m365_sim::Options;

use crate::harness::{Tenant, assert_code, program};

/// A tenant with the documented quotas, whose Graph streams take many requests.
fn tenant(seed: u64) -> Tenant {
    let options = Options::new(seed, 600);
    Tenant::with(Options { speed: 20.0, graph_page: 20, subscribed: true, ..options })
}

/// Runs a command by the tenant's clock to its end.
fn run(tenant: &Tenant, config: &std::path::Path, arguments: &[&str]) -> Output {
    program()
        .args(arguments)
        .arg("-c")
        .arg(config)
        .env("M365_PIPE_TEST_CLOCK", tenant.simulator.clock_setting())
        .output()
        .unwrap()
}

#[test]
fn a_check_and_the_run_after_it_keep_the_quotas_together() {
    let tenant = tenant(3);
    let config = tenant.configure("[quotas]\n");
    for _ in 0..2 {
        assert_code(&run(&tenant, &config, &["check"]), 0);
    }
    assert_code(&run(&tenant, &config, &["run", "--until-caught-up"]), 0);
    tenant.assert_delivered_exactly_once();
    assert_eq!(tenant.simulator.violations(), Vec::<String>::new());
}

#[test]
fn a_crash_loop_keeps_the_quotas() {
    let tenant = tenant(4);
    let config = tenant.configure("[quotas]\n");
    let mut moments = fastrand::Rng::with_seed(11);
    for _ in 0..12 {
        let mut child = program()
            .args(["run", "-c"])
            .arg(&config)
            .env("M365_PIPE_TEST_CLOCK", tenant.simulator.clock_setting())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(moments.u64(300..1_200)));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert_code(&run(&tenant, &config, &["run", "--until-caught-up"]), 0);
    tenant.assert_delivered_exactly_once();
    assert_eq!(tenant.simulator.violations(), Vec::<String>::new());
}

#[test]
fn a_data_directory_that_cannot_be_made_is_no_trouble_for_a_check() {
    let tenant = tenant(5);
    let config = tenant.configure("[quotas]\n");
    // A file where the folder would be.
    std::fs::write(tenant.path("data"), "").unwrap();
    assert_code(&run(&tenant, &config, &["check"]), 0);
}
