//! The sinks of the real binary: a service that misbehaves, several sinks, files that rotate, and a prompt end.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use m365_sim::{Options, Quotas};

use crate::harness::{Tenant, assert_code, json_lines, program, run, stderr};
use crate::receiver::Receiver;

/// The uids of events, which have to be all different.
#[track_caller]
fn uids(events: &[u8]) -> BTreeSet<String> {
    let events = json_lines(events);
    let uids: BTreeSet<String> =
        events.iter().map(|event| event["metadata"]["uid"].as_str().unwrap().to_owned()).collect();
    assert_eq!(uids.len(), events.len(), "an event is there twice");
    uids
}

fn terminate(child: &Child) {
    rustix::process::kill_process(rustix::process::Pid::from_child(child), rustix::process::Signal::TERM).unwrap();
}

/// Two files as the harness has them, and more sinks.
fn with_files(tenant: &Tenant, more: &str) -> std::path::PathBuf {
    let mut sinks = String::new();
    for (format, file) in [("raw", "raw.ndjson"), ("ocsf", "events.ndjson")] {
        sinks += &format!("[[sinks]]\ntype = \"file\"\nformat = {format:?}\npath = {:?}\n", tenant.path(file));
    }
    tenant.configure(&format!("{sinks}{more}"))
}

#[test]
fn a_service_that_fails_now_and_then_gets_every_event_exactly_once() {
    let tenant = Tenant::new(600);
    let calls = Arc::new(AtomicUsize::new(0));
    let receiver = Receiver::start(move |request| {
        assert_eq!(request.header("authorization"), Some("Bearer canary-77"));
        match calls.fetch_add(1, Ordering::SeqCst) % 5 {
            1 => (503, "busy".to_owned()),
            3 => (0, String::new()),
            _ if request.body.len() > 60_000 => (413, String::new()),
            _ => (200, String::new()),
        }
    });
    std::fs::write(tenant.path("token"), "canary-77\n").unwrap();
    let config = with_files(
        &tenant,
        &format!(
            "[[sinks]]\ntype = \"http\"\nurl = {:?}\nauth = {{ bearer = {{ file = {:?} }} }}\nbatch_events = 50\n",
            receiver.url,
            tenant.path("token")
        ),
    );
    let output = tenant.collect(&config);
    assert_code(&output, 0);
    tenant.assert_delivered_exactly_once();
    assert_eq!(uids(&receiver.kept()), uids(&std::fs::read(tenant.path("events.ndjson")).unwrap()));
    assert!(!stderr(&output).contains("canary-77"));
}

#[test]
fn a_refused_credential_holds_delivery_up_and_says_what_to_mend() {
    let tenant = Tenant::new(60);
    let receiver = Receiver::start(|_| (403, "not you".to_owned()));
    let config = with_files(&tenant, &format!("[[sinks]]\ntype = \"http\"\nurl = {:?}\n", receiver.url));
    let output = tenant.collect(&config);
    assert_code(&output, 6);
    let log = stderr(&output);
    assert!(log.contains("status 403") && log.contains("not you") && log.contains("credentials"), "{log}");
    let letters = program().args(["dead-letters", "-c"]).arg(&config).output().unwrap();
    assert!(!String::from_utf8_lossy(&letters.stdout).contains("http-403"), "no record became a dead letter");

    // The files are cut back to what was committed, which is nothing, and everything comes once.
    assert_code(&tenant.collect(&with_files(&tenant, "")), 0);
    tenant.assert_delivered_exactly_once();
}

#[test]
fn an_optional_sink_that_is_down_holds_nothing_up() {
    let tenant = Tenant::new(120);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config =
        with_files(&tenant, &format!("[[sinks]]\ntype = \"http\"\nurl = \"http://{free}/\"\noptional = true\n"));
    let output = tenant.collect(&config);
    assert_code(&output, 0);
    tenant.assert_delivered_exactly_once();
    let log = stderr(&output);
    assert!(log.contains("This optional sink fails"), "{log}");
    let row = log.lines().find(|line| line.starts_with("http:")).unwrap_or_else(|| panic!("{log}"));
    let cells: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(cells[1], "0", "{row}");
    assert!(cells[3].parse::<u64>().unwrap() >= 110, "{row}");
}

#[test]
fn sinks_get_their_own_streams_and_datasets() {
    let tenant = Tenant::new(240);
    let sink = |name: &str, rest: &str| {
        format!("[[sinks]]\ntype = \"file\"\nformat = \"raw\"\npath = {:?}\n{rest}\n", tenant.path(name))
    };
    let config = tenant.configure(
        &[
            sink("raw.ndjson", ""),
            sink("office", "streams = [\"office365.*\"]"),
            sink("graph", "streams = [\"graph.*\"]\ndatasets = [\"msft_azure_ad_raw\"]"),
        ]
        .concat(),
    );
    assert_code(&tenant.collect(&config), 0);
    tenant.assert_delivered_exactly_once();
    let lines = |name: &str| json_lines(&std::fs::read(tenant.path(name)).unwrap());
    let streams = |name: &str| -> BTreeSet<String> {
        lines(name).iter().map(|line| line["stream"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(streams("office").len(), 5);
    assert!(streams("office").iter().all(|stream| stream.starts_with("office365.")));
    assert_eq!(streams("graph").len(), 4);
    assert!(streams("graph").iter().all(|stream| stream.starts_with("graph.signins.")));

    // A stream that would go nowhere, and names that mean nothing, are refused before anything is read.
    for (sinks, expected) in [
        (sink("office", "streams = [\"office365.*\"]"), "No sink takes the stream graph."),
        (sink("office", "streams = [\"ofice365.*\"]"), "Did you mean \"office365."),
        (sink("office", "datasets = [\"msft_azure_ad\"]"), "Did you mean \"msft_azure_ad_raw\"?"),
    ] {
        let output = tenant.collect(&tenant.configure(&sinks));
        assert_code(&output, 2);
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    }
}

#[test]
fn killed_at_any_moment_rotating_compressed_files_hold_every_event_once() {
    let options = Options::new(21, 900).with_quotas(Quotas::unlimited());
    let tenant = Tenant::with(Options {
        latency: Duration::from_millis(4),
        start_guard: Duration::ZERO,
        blob_records: 10,
        ..options
    });
    let folder = tenant.path("out");
    std::fs::create_dir(&folder).unwrap();
    let config = tenant.configure(&format!(
        "[[sinks]]\ntype = \"file\"\nformat = \"raw\"\npath = {:?}\n\
         [[sinks]]\ntype = \"file\"\npath = {:?}\ncompression = \"gzip\"\nrotate = {{ max_bytes = 6000 }}\n\
         [[sinks]]\ntype = \"file\"\npath = {:?}\ncompression = \"zstd\"\nrotate = {{ max_bytes = 6000, max_age_minutes = 5 }}\n\
         [limits]\nbatch_kib = 16\n",
        tenant.path("raw.ndjson"),
        folder.join("a.ndjson.gz"),
        folder.join("b.ndjson.zst"),
    ));
    for round in 0..10u64 {
        let mut child = program().arg("run").arg("-c").arg(&config).stderr(Stdio::null()).spawn().unwrap();
        tenant.await_delivery();
        std::thread::sleep(Duration::from_millis((round * 7) % 40));
        if round % 3 == 0 {
            terminate(&child);
            assert_eq!(child.wait().unwrap().code(), Some(0));
        } else {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
    assert_code(&tenant.collect(&config), 0);
    tenant.assert_delivered_exactly_once();

    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let content = |prefix: &str, expand: &dyn Fn(&[u8]) -> Vec<u8>| -> Vec<u8> {
        let own = files.iter().filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(prefix));
        own.flat_map(|path| expand(&std::fs::read(path).unwrap())).collect()
    };
    let gzip = content("a", &|bytes| {
        let mut out = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(bytes), &mut out).unwrap();
        out
    });
    let zstd = content("b", &|bytes| zstd::decode_all(bytes).unwrap());
    assert!(files.len() > 6, "they rotated: {files:?}");
    assert_eq!(uids(&gzip), uids(&zstd));
    assert!(uids(&gzip).len() >= 880);
}

#[test]
fn a_stop_while_a_sink_is_down_is_prompt_clean_and_loses_nothing() {
    for hangs in [false, true] {
        let tenant = Tenant::new(200);
        let receiver = Receiver::start(move |_| {
            if hangs {
                std::thread::sleep(Duration::from_secs(300));
            }
            (503, "down".to_owned())
        });
        let config = with_files(&tenant, &format!("[[sinks]]\ntype = \"http\"\nurl = {:?}\n", receiver.url));
        let child = program().arg("run").arg("-c").arg(&config).stderr(Stdio::piped()).spawn().unwrap();
        // Until the file has what the service doesn't take.
        while std::fs::metadata(tenant.path("raw.ndjson")).map_or(0, |file| file.len()) == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(300));
        let asked = Instant::now();
        terminate(&child);
        let output = child.wait_with_output().unwrap();
        assert_code(&output, 0);
        assert!(asked.elapsed() < Duration::from_secs(60), "it took {:?}", asked.elapsed());

        assert_code(&tenant.collect(&with_files(&tenant, "")), 0);
        tenant.assert_delivered_exactly_once();
        uids(&std::fs::read(tenant.path("events.ndjson")).unwrap());
    }
}

#[test]
fn a_disk_that_fills_up_under_a_file_holds_delivery_up_and_loses_nothing() {
    // A limit on the size of files stands for the disk. The ledger is below it, and the files of the sinks are not.
    let tenant = Tenant::new(4_000);
    let config = tenant.configure("");
    let command = format!(
        "trap '' XFSZ; ulimit -f 12288; exec {:?} run -c {:?}",
        env!("CARGO_BIN_EXE_m365-pipe"),
        config.display().to_string()
    );
    let mut child = std::process::Command::new("sh")
        .args(["-c", &command])
        .env("M365_PIPE_CACHE", std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    // As long as it takes; some time after it, it was not told again.
    let mut log: Vec<String> = Vec::new();
    for line in lines.by_ref() {
        log.push(line);
        if log.last().is_some_and(|line| line.contains("Delivery is held up")) {
            break;
        }
    }
    std::thread::sleep(Duration::from_secs(3));
    terminate(&child);
    log.extend(lines);
    let log = log.join("\n");
    assert_eq!(child.wait().unwrap().code(), Some(0), "{log}");
    assert!(log.contains("Nothing is lost"), "{log}");
    assert_eq!(log.matches("Delivery is held up").count(), 1, "told once: {log}");
    assert_code(&tenant.collect(&config), 0);
    tenant.assert_delivered_exactly_once();
    assert_code(&run(&["validate", tenant.path("events.ndjson").to_str().unwrap()]), 0);
}
