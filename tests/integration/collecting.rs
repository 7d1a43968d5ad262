//! `m365-pipe run`: everything once, in the files and in the ledger.

use std::collections::BTreeMap;
use std::time::Duration;

use m365_sim::{Faults, Options, Quotas};

use crate::harness::{Tenant, assert_code, json_lines, program, run, run_with_input, stderr};

#[test]
fn everything_is_delivered_exactly_once_and_stays_so_on_the_next_run() {
    let tenant = Tenant::new(900);
    let config = tenant.configure("");
    assert_code(&tenant.collect(&config), 0);
    tenant.assert_delivered_exactly_once();
    assert_eq!(tenant.simulator.violations(), Vec::<String>::new());

    let before = std::fs::read(tenant.path("events.ndjson")).unwrap();
    assert_code(&run(&["validate", tenant.path("events.ndjson").to_str().unwrap()]), 0);
    let again = tenant.collect(&config);
    assert_code(&again, 0);
    assert_eq!(std::fs::read(tenant.path("events.ndjson")).unwrap(), before, "{}", stderr(&again));
    tenant.assert_delivered_exactly_once();
}

#[test]
fn a_run_over_tls_delivers_everything_exactly_once() {
    let options = || Options { tls: true, ..Options::new(9, 600).with_quotas(Quotas::unlimited()) };
    let tenant = Tenant::with(options());
    let config = tenant.configure("");
    assert_code(&tenant.collect(&config), 0);
    tenant.assert_delivered_exactly_once();
    assert_eq!(tenant.simulator.violations(), Vec::<String>::new());

    // The same without the certificate: nothing is asked.
    let tenant = Tenant::with(options());
    let config = tenant.configure("");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("ca_file", "# ca_file")).unwrap();
    let output = tenant.collect(&config);
    assert_ne!(output.status.code(), Some(0));
    assert!(stderr(&output).contains("certificate"), "{}", stderr(&output));
    assert_eq!(tenant.simulator.requests(), []);
}

#[test]
fn the_quotas_of_the_apis_are_kept_without_being_told() {
    // Real quotas on both sides: what the plugin declares has to be what the service allows.
    let tenant = Tenant::with(Options::new(11, 300));
    let config = tenant.configure("[quotas]\n");
    let output = tenant.collect(&config);
    assert_code(&output, 0);
    assert_eq!(tenant.simulator.violations(), Vec::<String>::new());
    tenant.assert_delivered_exactly_once();
}

#[test]
fn raw_records_are_wrapped_with_their_dataset() {
    let tenant = Tenant::new(200);
    let config = tenant.configure("streams = [\"office365.sharepoint\", \"graph.directory-audits\"]\n");
    assert_code(&tenant.collect(&config), 0);
    let datasets: BTreeMap<String, String> = json_lines(&std::fs::read(tenant.path("raw.ndjson")).unwrap())
        .iter()
        .map(|line| (line["stream"].as_str().unwrap().to_owned(), line["dataset"].as_str().unwrap().to_owned()))
        .collect();
    assert_eq!(
        datasets,
        BTreeMap::from([
            ("graph.directory-audits".to_owned(), "msft_azure_ad_audit_raw".to_owned()),
            ("office365.sharepoint".to_owned(), "msft_o365_sharepoint_online_raw".to_owned()),
        ])
    );
}

#[test]
fn a_sink_takes_documents_of_the_elastic_common_schema() {
    let tenant = Tenant::new(100);
    let config = tenant.configure("");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("format = \"ocsf\"", "format = \"ecs\"")).unwrap();
    assert_code(&tenant.collect(&config), 0);
    let documents = std::fs::read(tenant.path("events.ndjson")).unwrap();
    assert!(json_lines(&documents).iter().all(|document| document["ecs"]["version"] == "9.4.0"));
    let output = run_with_input(&["validate", "--schema", "events/ecs"], &documents);
    assert_code(&output, 0);
    let records: u32 = tenant.delivered().values().flat_map(BTreeMap::values).sum();
    assert!(json_lines(&documents).len() >= records as usize && records > 0);
}

#[test]
fn a_page_that_breaks_off_and_a_service_that_is_down_lose_nothing() {
    let mut faults = Faults::default();
    for fault in ["cut=/audit/", "cut=signIns", "unavailable=directoryAudits", "unavailable=subscriptions/content"] {
        faults.set(fault).unwrap();
    }
    // Over TLS as well, where a connection that is cut ends without its closing message.
    for tls in [false, true] {
        let options = Options::new(5, 400).with_quotas(Quotas::unlimited()).with_faults(faults.clone());
        let tenant = Tenant::with(Options { tls, ..options });
        let config = tenant.configure("");
        assert_code(&tenant.collect(&config), 0);
        tenant.assert_delivered_exactly_once();
    }
}

#[test]
fn odd_headers_small_pages_and_refused_options_are_coped_with() {
    let mut faults = Faults::default();
    for fault in ["title-case-headers", "top-cap=50", "no-alert-order"] {
        faults.set(fault).unwrap();
    }
    let tenant = Tenant::with(Options::new(6, 600).with_quotas(Quotas::unlimited()).with_faults(faults));
    let config = tenant.configure("");
    assert_code(&tenant.collect(&config), 0);
    tenant.assert_delivered_exactly_once();
}

#[test]
fn sigterm_stops_cleanly_and_the_next_start_goes_on() {
    let tenant = Tenant::with(Options {
        latency: Duration::from_millis(20),
        ..Options::new(8, 900).with_quotas(Quotas::unlimited())
    });
    let config = tenant.configure("");
    let mut child = program().arg("run").arg("-c").arg(&config).stderr(std::process::Stdio::piped()).spawn().unwrap();
    // In the middle of its work: something is delivered, and not everything.
    while std::fs::metadata(tenant.path("raw.ndjson")).map_or(0, |file| file.len()) == 0 {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::sleep(Duration::from_millis(5));
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_code(&output, 0);
    assert!(stderr(&output).contains("Stopping"), "{}", stderr(&output));

    assert_code(&tenant.collect(&config), 0);
    tenant.assert_delivered_exactly_once();
}

#[test]
fn no_secret_and_no_token_is_written_anywhere() {
    let tenant = Tenant::new(200);
    let config = tenant.configure("");
    let output = program().args(["-vv", "run", "--until-caught-up", "-c"]).arg(&config).output().unwrap();
    assert_code(&output, 0);
    std::fs::remove_file(tenant.path("secret")).unwrap();
    let mut texts = vec![("standard error".to_owned(), output.stderr), ("standard output".to_owned(), output.stdout)];
    let mut folders = vec![tenant.folder.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                texts.push((path.display().to_string(), std::fs::read(path).unwrap()));
            }
        }
    }
    assert!(texts.len() >= 5);
    // Tokens of the simulated tenant are JSON Web Tokens, as Microsoft's are: their header begins like this.
    for needle in [tenant.simulator.client_secret().as_bytes(), b"eyJ0eXAi".as_slice(), b"eyJhbGci".as_slice()] {
        for (name, text) in &texts {
            assert!(!text.windows(needle.len()).any(|window| window == needle), "found in {name}");
        }
    }
}
