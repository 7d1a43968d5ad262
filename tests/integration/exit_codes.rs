//! Every exit code that `--help` promises, and how a run ends that a signal stops.

use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use m365_sim::{Faults, Options, Quotas};
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Tenant, assert_code, program, run, run_with_input, stderr, stdout};

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Waits until `done`, but not for ever.
#[track_caller]
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(120), "{what} doesn't come");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Starts `run` as a service, with its log in a file.
fn service(tenant: &Tenant, config: &std::path::Path) -> Child {
    let log = std::fs::File::create(tenant.path("log")).unwrap();
    program().args(["run", "-c"]).arg(config).stderr(log).stdout(Stdio::null()).spawn().unwrap()
}

fn log(tenant: &Tenant) -> String {
    std::fs::read_to_string(tenant.path("log")).unwrap()
}

fn end(tenant: &Tenant, child: Child) -> Output {
    signal(&child, Signal::TERM);
    let output = child.wait_with_output().unwrap();
    Output { stderr: log(tenant).into_bytes(), ..output }
}

/// A configuration whose endpoints nobody listens at.
fn unreachable(tenant: &Tenant, domain: &str) -> std::path::PathBuf {
    let config = tenant.configure_with(tenant.simulator.client_secret(), domain, "");
    let text = std::fs::read_to_string(&config).unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    std::fs::write(&config, text.replace(&tenant.simulator.url(), &format!("http://{free}"))).unwrap();
    config
}

#[test]
fn help_promises_these_and_no_others() {
    let text = stdout(&run(&["--help"]));
    let codes = text.split("Exit codes:").nth(1).unwrap();
    let codes: Vec<u8> = codes.lines().filter_map(|line| line.get(..4)?.trim().parse().ok()).collect();
    assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 70]);
}

#[test]
fn codes_that_need_no_tenant() {
    assert_code(&run(&["streams"]), 0);
    assert_code(&run_with_input(&["validate", "--schema", "records/activity"], b"{\"Id\":1}\n"), 1);
    assert_code(&run(&["run", "-c", "no/such/file.toml"]), 2);
    assert_code(&run(&["run"]), 2);
    assert_code(&run_with_input(&["normalize", "--stream", "office365.exchange"], b"[1]\n"), 3);
    assert_code(&run(&["--plugin", "no/such.wasm", "streams"]), 4);
    assert_code(&run(&["normalize", "--stream", "office365.exchange", "no/such/records.ndjson"]), 10);
}

#[test]
fn codes_of_a_run_that_nobody_stops() {
    let tenant = Tenant::new(24);
    assert_code(&tenant.collect(&tenant.configure("")), 0);
    let nowhere = "[[sinks]]\ntype = \"file\"\npath = \"/no/such/folder/out.ndjson\"\n";
    assert_code(&tenant.collect(&tenant.configure(nowhere)), 6);
    std::fs::write(tenant.path("data/ledger.sqlite"), "this is no database, and long enough to be looked at as one")
        .unwrap();
    assert_code(&tenant.collect(&tenant.configure("")), 7);
    assert_code(&tenant.collect(&tenant.configure_with("wrong", tenant.simulator.domain(), "")), 8);
    assert_code(&tenant.collect(&unreachable(&tenant, tenant.simulator.domain())), 9);

    let mut faults = Faults::default();
    faults.set("missing-role=AuditLog.Read.All").unwrap();
    let tenant = Tenant::with(Options::new(4, 60).with_quotas(Quotas::unlimited()).with_faults(faults));
    assert_code(&tenant.collect(&tenant.configure("")), 5);
}

#[test]
fn a_run_that_is_stopped_before_it_could_log_in_says_that_nothing_was_collected() {
    let tenant = Tenant::new(12);
    // With a domain it waits for the tenant's id; with an id it waits for tokens.
    for (domain, waits_for) in
        [(tenant.simulator.domain(), "can't be asked for yet"), (m365_sim::TENANT_ID, "Collecting")]
    {
        let config = unreachable(&tenant, domain);
        let child = service(&tenant, &config);
        until(waits_for, || log(&tenant).contains(waits_for));
        let output = end(&tenant, child);
        assert_code(&output, 5);
        let text = stderr(&output);
        assert!(text.contains("nothing was collected"), "{text}");
    }
}

#[test]
fn a_service_that_is_stopped_tells_what_is_blocked_and_ends_with_0() {
    let mut faults = Faults::default();
    faults.set("missing-role=AuditLog.Read.All").unwrap();
    let tenant = Tenant::with(Options::new(4, 60).with_quotas(Quotas::unlimited()).with_faults(faults));
    let config = tenant.configure("");
    let child = service(&tenant, &config);
    until("the trouble", || log(&tenant).contains("are blocked"));
    let output = end(&tenant, child);
    assert_code(&output, 0);
    let text = stderr(&output);
    assert!(text.contains("m365-pipe: graph.directory-audits is blocked"), "{text}");
    assert!(!text.contains("has not caught up"), "{text}");
    // One cause, one line, however many streams.
    assert_eq!(text.lines().filter(|line| line.contains("are blocked")).count(), 1, "{text}");
}

#[test]
fn a_hangup_stops_nothing() {
    let tenant = Tenant::new(24);
    let config = tenant.configure("");
    let mut child = service(&tenant, &config);
    until("the start", || log(&tenant).contains("Collecting"));
    for count in 1..=2 {
        signal(&child, Signal::HUP);
        until("its line", || log(&tenant).matches("SIGHUP changes nothing").count() == count);
    }
    assert!(child.try_wait().unwrap().is_none(), "it goes on");
    until("the records", || tenant.delivered_bytes() > 0);
    assert_code(&end(&tenant, child), 0);
}

#[test]
fn a_batch_run_that_is_stopped_says_so_in_one_line() {
    let options =
        Options { latency: Duration::from_millis(20), ..Options::new(8, 900).with_quotas(Quotas::unlimited()) };
    let tenant = Tenant::with(options);
    let config = tenant.configure("");
    let log_file = std::fs::File::create(tenant.path("log")).unwrap();
    let child = program().args(["run", "--until-caught-up", "-c"]).arg(&config).stderr(log_file).spawn().unwrap();
    until("the records", || tenant.delivered_bytes() > 0);
    let output = end(&tenant, child);
    let text = stderr(&output);
    if output.status.code() == Some(5) {
        assert_eq!(text.lines().filter(|line| line.starts_with("m365-pipe:")).count(), 1, "{text}");
        assert!(text.contains("before it had caught up"), "{text}");
    } else {
        assert_code(&output, 0);
    }
}
