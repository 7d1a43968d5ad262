//! Everything that can be wrong gets one clear sentence with the mend and an exit code of its own, and one stream's
//! trouble never stops the others.

use std::process::Stdio;

use m365_sim::{Faults, Options, Quotas};

use crate::harness::{Tenant, assert_code, program, run, run_with_input, stderr, stdout};

fn faulty(faults: &[&str]) -> Tenant {
    let mut set = Faults::default();
    for fault in faults {
        set.set(fault).unwrap();
    }
    Tenant::with(Options::new(4, 300).with_quotas(Quotas::unlimited()).with_faults(set))
}

/// The streams that the summary shows with delivered records.
fn delivering(log: &str) -> Vec<String> {
    log.lines()
        .filter(|line| line.starts_with("office365.") || line.starts_with("graph."))
        .filter_map(|line| {
            let cells: Vec<&str> = line.split_whitespace().collect();
            (cells.get(2)?.parse::<u64>().ok()? > 0).then(|| cells[0].to_owned())
        })
        .collect()
}

#[track_caller]
fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} isn't in:\n{text}");
    }
}

#[test]
fn a_missing_configuration() {
    let output = run(&["run", "-c", "no/such/file.toml"]);
    assert_code(&output, 2);
    assert_says(&stderr(&output), &["no/such/file.toml", "Name an existing file with -c"]);
}

#[test]
fn a_configuration_with_an_unknown_key_or_stream() {
    let tenant = Tenant::new(12);
    let config = tenant.configure("[limits]\nreader = 3\n");
    let output = tenant.collect(&config);
    assert_code(&output, 2);
    assert_says(&stderr(&output), &["`reader` in [limits]", "Did you mean `readers`?"]);

    let config = tenant.configure("streams = [\"office365.exchnge\"]\n");
    let output = tenant.collect(&config);
    assert_code(&output, 2);
    assert_says(&stderr(&output), &["office365.exchnge", "Did you mean \"office365.exchange\"?"]);
}

#[test]
fn a_wrong_secret() {
    let tenant = Tenant::new(12);
    let config = tenant.configure_with("not the secret", tenant.simulator.domain(), "");
    let output = tenant.collect(&config);
    assert_code(&output, 8);
    assert_says(&stderr(&output), &["AADSTS7000215", "Value"]);
    assert!(!stderr(&output).contains("not the secret"));
}

#[test]
fn a_wrong_tenant() {
    let tenant = Tenant::new(12);
    let config = tenant.configure_with(tenant.simulator.client_secret(), "nobody.example.com", "");
    let output = tenant.collect(&config);
    assert_code(&output, 8);
    assert_says(&stderr(&output), &["nobody.example.com", "cloud global"]);
}

#[test]
fn an_unreachable_host() {
    let tenant = Tenant::new(12);
    let config = tenant.configure("");
    let text = std::fs::read_to_string(&config).unwrap();
    // A port that nothing listens on: one that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    std::fs::write(&config, text.replace(&tenant.simulator.url(), &format!("http://{free}"))).unwrap();
    let output = tenant.collect(&config);
    assert_code(&output, 9);
    assert_says(&stderr(&output), &[&free.to_string()]);
}

#[test]
fn a_missing_permission_blocks_its_streams_and_no_other() {
    let tenant = faulty(&["missing-role=AuditLog.Read.All"]);
    let config = tenant.configure("");
    let output = tenant.collect(&config);
    assert_code(&output, 5);
    let log = stderr(&output);
    assert_says(
        &log,
        &["graph.signins.interactive is blocked", "graph.directory-audits is blocked", "AuditLog.Read.All"],
    );
    let streams = delivering(&log);
    assert_eq!(streams.len(), 7, "{streams:?}\n{log}");
    assert!(!log.contains("office365.exchange is blocked"));
}

#[test]
fn a_missing_licence_is_told_by_name() {
    let tenant = faulty(&["no-premium-licence"]);
    let config = tenant.configure("");
    let output = program().args(["check", "-c"]).arg(&config).output().unwrap();
    assert_code(&output, 1);
    let lines = stdout(&output);
    assert_eq!(lines.lines().filter(|line| line.starts_with("FAILED") && line.contains("P1")).count(), 4, "{lines}");
    assert_eq!(lines.lines().filter(|line| !line.starts_with("FAILED")).count(), 8, "{lines}");
}

#[test]
fn auditing_that_is_off() {
    let tenant = faulty(&["auditing-off"]);
    let config = tenant.configure("");
    let output = tenant.collect(&config);
    assert_code(&output, 5);
    let log = stderr(&output);
    assert_says(&log, &["office365.exchange is blocked", "UnifiedAuditLogIngestionEnabled"]);
    assert_eq!(delivering(&log).len(), 7, "{log}");
}

#[test]
fn retired_legacy_alerts_are_told_plainly() {
    let tenant = faulty(&["legacy-gone"]);
    let config = tenant.configure("");
    let output = tenant.collect(&config);
    assert_code(&output, 5);
    let log = stderr(&output);
    assert_says(&log, &["graph.alerts-legacy is blocked", "graph.alerts"]);
    assert_eq!(delivering(&log).len(), 11, "{log}");
}

#[test]
fn something_that_is_no_component_and_a_component_that_is_no_plugin() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plugin.wasm");
    let name = file.to_str().unwrap();
    std::fs::write(&file, "no component").unwrap();
    let output = run(&["--plugin", name, "streams"]);
    assert_code(&output, 4);
    assert_says(&stderr(&output), &["is not a WebAssembly component", "wasm32-wasip2"]);

    // The smallest component there is: a header and nothing else.
    std::fs::write(&file, b"\0asm\x0d\0\x01\0").unwrap();
    let output = run(&["--plugin", name, "streams"]);
    assert_code(&output, 4);
    assert_says(&stderr(&output), &["is a component, but no plugin"]);

    let output = run(&["--plugin", "no/such.wasm", "streams"]);
    assert_code(&output, 4);
    assert_says(&stderr(&output), &["no/such.wasm"]);
}

#[test]
fn a_component_of_somebody_else_is_loaded_and_limited() {
    // The built-in one, as a file: it gets the limits of a stranger, and works.
    let output = run(&["--plugin", env!("M365_COMPONENT"), "streams", "--json"]);
    assert_code(&output, 0);
    // One that only normalises can't collect, and says so.
    let tenant = Tenant::new(12);
    let config = tenant.configure("");
    let output =
        program().args(["--plugin", env!("M365_TRANSFORM_COMPONENT"), "run", "-c"]).arg(&config).output().unwrap();
    assert_code(&output, 4);
    assert_says(&stderr(&output), &["only normalises"]);
}

#[test]
fn a_data_directory_in_use() {
    let tenant = Tenant::new(60);
    let config = tenant.configure("");
    let mut first = program().args(["run", "-c"]).arg(&config).stderr(Stdio::null()).spawn().unwrap();
    while !tenant.path("data/ledger.sqlite").exists() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let second = tenant.collect(&config);
    first.kill().unwrap();
    first.wait().unwrap();
    assert_code(&second, 7);
    assert_says(&stderr(&second), &["is in use by another m365-pipe", "stop the other one"]);
}

#[test]
fn a_sink_whose_folder_is_missing() {
    let tenant = Tenant::new(12);
    let config = tenant.configure("[[sinks]]\ntype = \"file\"\npath = \"/no/such/folder/out.ndjson\"\n");
    let output = tenant.collect(&config);
    assert_code(&output, 6);
    assert_says(&stderr(&output), &["/no/such/folder/out.ndjson"]);
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_holds_delivery_up_and_loses_nothing() {
    let tenant = Tenant::new(60);
    let config = tenant.configure("[[sinks]]\ntype = \"stdout\"\nformat = \"raw\"\n");
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = program().args(["run", "--until-caught-up", "-c"]).arg(&config).stdout(full).output().unwrap();
    assert_code(&output, 6);
    assert_says(&stderr(&output), &["Delivery is held up"]);

    // With room again, everything is delivered.
    let output = tenant.collect(&config);
    assert_code(&output, 0);
    std::fs::write(tenant.path("raw.ndjson"), &output.stdout).unwrap();
    tenant.assert_delivered_exactly_once();

    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output =
        program().args(["schema", "print", "events/ocsf"]).stdout(full).stderr(Stdio::piped()).output().unwrap();
    assert_code(&output, 6);
    assert_says(&stderr(&output), &["full"]);
}

#[test]
fn input_that_cannot_be_read() {
    let output = run(&["normalize", "--stream", "office365.exchange", "no/such/records.ndjson"]);
    assert_code(&output, 10);
    assert_says(&stderr(&output), &["no/such/records.ndjson"]);
    let output = run_with_input(&["normalize", "--stream", "office365.exchang"], b"{}\n");
    assert_code(&output, 2);
    assert_says(&stderr(&output), &["office365.exchange"]);
}
