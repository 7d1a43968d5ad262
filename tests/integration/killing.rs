//! Killed at any moment and started again, the collector delivers every record.

use std::time::Duration;

use m365_sim::{Options, Quotas};

use crate::harness::{Tenant, assert_code, program};

#[test]
fn killed_at_any_moment_it_delivers_everything_exactly_once_in_the_end() {
    let options = Options::new(9, 1_500).with_quotas(Quotas::unlimited());
    let tenant = Tenant::with(Options { latency: Duration::from_millis(5), start_guard: Duration::ZERO, ..options });
    let config = tenant.configure("[limits]\nbatch_kib = 16\n");
    // Moments from before the first request to near the end, in no order.
    for round in 0..12u64 {
        let moment = Duration::from_millis(50 + (round * 7919) % 450);
        let mut child =
            program().arg("run").arg("-c").arg(&config).stderr(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(moment);
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert_code(&tenant.collect(&config), 0);
    tenant.assert_delivered_exactly_once();
}
