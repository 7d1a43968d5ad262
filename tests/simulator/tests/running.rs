//! What holds for the simulator as a whole: equal options give equal tenants, bodies that break do not count, a corpus is served as it is.

mod client;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use client::{Client, NOW, unlimited};
use m365_sim::{CLIENT_SECRET, FAULTS, Faults, Injection, Instead, Options, Simulator};

const SIGN_INS: &str = "v1.0/auditLogs/signIns?$filter=createdDateTime ge 2026-01-14T00:00:00Z";

#[test]
fn equal_options_give_equal_tenants() {
    let make = |seed| {
        let client = Client::new(Options { subscribed: true, ..unlimited(seed, 1_500) });
        let token = client.token("manage");
        let graph = client.drain_graph(SIGN_INS, &client.token("graph")).0;
        (client.drain_content("Audit.General", &token), graph)
    };
    let (first, second, other) = (make(3), make(3), make(4));
    assert_eq!(first, second);
    assert_ne!(first, other);
}

#[test]
fn records_are_as_many_and_as_large_as_asked_for() {
    for events in [0, 12, 777, 3_000] {
        let client = Client::new(unlimited(1, events));
        assert_eq!(client.simulator.holds().values().sum::<u64>(), events);
    }
    let only =
        Options { streams: ["office365.sharepoint".to_owned()].into(), record_bytes: Some(3_000), ..unlimited(1, 900) };
    let client = Client::new(only);
    assert_eq!(client.simulator.holds()["office365.sharepoint"], 900);
    let sizes: Vec<usize> = client.simulator.records("office365.sharepoint").map(|record| record.len()).collect();
    let mean = sizes.iter().sum::<usize>() / sizes.len();
    assert!((2_700..3_300).contains(&mean), "{mean}");
    assert!(
        Simulator::start(Options { streams: ["office365.teams".to_owned()].into(), ..Options::default() }).is_err()
    );
}

#[test]
fn records_become_visible_while_it_runs() {
    let ahead = Duration::from_secs(20 * 60 + 4);
    // On a busy machine the first look may come when all is there; that tells nothing, and another tenant is looked at.
    let grew = (0..20).any(|_| {
        let client = Client::new(Options {
            spread: Duration::from_secs(4),
            graph_lateness: Duration::from_secs(1),
            ahead,
            ..unlimited(1, 4_000)
        });
        let token = client.token("graph");
        let seen = || client.drain_graph(SIGN_INS, &token).0.len() as u64;
        let all = client.simulator.holds()["graph.signins.interactive"];
        let first = seen();
        if first >= all {
            return false;
        }
        loop {
            let now = seen();
            assert!((first..=all).contains(&now), "{now} of {all}, {first} before");
            if now > first {
                return true;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    assert!(grew, "never were there more than at first");
}

#[test]
fn injected_answers_replace_some_and_cut_bodies_do_not_count() {
    let mut faults = Faults::default();
    faults.set("unavailable=directoryAudits").unwrap();
    faults.injections.push(Injection {
        part: "signIns".to_owned(),
        skip: 1,
        times: 1,
        instead: Instead::CutAfter(700),
    });
    let client = Client::new(unlimited(1, 1_000).with_faults(faults));
    let token = client.token("graph");
    let audits = client.graph("v1.0/auditLogs/directoryAudits");
    let statuses: Vec<u16> = (0..4).map(|_| client.get(&audits, &token).status).collect();
    assert_eq!(statuses, [503, 503, 503, 200]);
    let url = client.graph(SIGN_INS);
    let complete: Vec<bool> = (0..3).map(|_| client.completes(&url, &token)).collect();
    assert_eq!(complete, [true, false, true]);
    let served = client.simulator.served()["graph.signins.interactive"];
    assert_eq!((served.records, served.distinct, served.requests), (160, 80, 3));
}

#[test]
fn every_listed_fault_can_be_set() {
    for (name, _) in FAULTS {
        let text = name.replace("=N", "=5");
        assert!(Faults::default().set(&text).is_ok(), "{text}");
        if let Some((bare, _)) = name.split_once('=') {
            assert!(Faults::default().set(bare).is_err());
        }
    }
    assert!(Faults::default().set("gremlins").is_err());
}

#[test]
fn headers_answer_the_request() {
    let client = Client::new(unlimited(1, 1_000));
    let token = format!("Bearer {}", client.token("graph"));
    let own = "6a1f0c52-7d3b-4e98-b0a4-5c9e2d17f836";
    let reply = client.get_with(&client.graph(SIGN_INS), &[("authorization", &token), ("client-request-id", own)]);
    assert_eq!(reply.header("client-request-id"), Some(own));
    assert_eq!(reply.header("date"), Some("Thu, 15 Jan 2026 12:00:00 GMT"));
    let identity =
        client.get_with(&client.graph(SIGN_INS), &[("authorization", &token), ("accept-encoding", "identity")]);
    assert_eq!(identity.header("content-encoding"), None);
    assert!(client.simulator.requests().iter().all(|line| !line.path_and_query.contains(CLIENT_SECRET)));
}

#[test]
fn a_corpus_is_served_byte_for_byte() {
    let folder = std::env::temp_dir().join(format!("m365-sim-corpus-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let exchange =
        [r#"{"Id":"1",  "CreationTime":"2020-02-07T20:49:49","b":1.0}"#, r#"{"Id":"2","Id":"2","x":"\u00e9\/"}"#];
    std::fs::write(
        folder.join("o365-exchange.a.ndjson"),
        format!("{}\nno json\n{}\n{}\n", exchange[0], exchange[1], exchange[0]),
    )
    .unwrap();
    std::fs::write(folder.join("o365-edge.a.ndjson"), "{\"Id\":null}\n").unwrap();
    std::fs::write(
        folder.join("graph-alerts-v1.a.ndjson"),
        "{\"id\":\"3\",\"vendorInformation\":{\"provider\":\"IPC\"}}\n{\"id\":\"4\"}\n",
    )
    .unwrap();
    let client = Client::new(Options { corpus: Some(folder.clone()), subscribed: true, ..unlimited(1, 1_000) });
    std::fs::remove_dir_all(&folder).unwrap();
    let token = client.token("manage");
    let mut found: Vec<String> = client
        .drain_content("Audit.Exchange", &token)
        .iter()
        .flatten()
        .flat_map(|blob| client::elements(blob))
        .collect();
    found.sort();
    assert_eq!(found, [exchange[0], exchange[1]]);
    assert_eq!(client.drain_content("Audit.General", &token).concat(), ["[{\"Id\":null}]"]);
    let provider = client
        .drain_graph("v1.0/security/alerts?$filter=vendorInformation/provider eq 'IPC'", &client.token("graph"))
        .0;
    assert_eq!(provider.len(), 1);
    assert!(Simulator::start(Options { corpus: Some(folder), now: Some(NOW), ..Options::default() }).is_err());
}

/// The folder of real records: `M365_CORPUS`, else where the project keeps it beside the workspace.
fn corpus() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let folder = std::env::var_os("M365_CORPUS").map_or(beside, PathBuf::from);
    assert!(folder.is_dir() || std::env::var_os("CI").is_none(), "{} is missing", folder.display());
    folder.is_dir().then_some(folder)
}

#[test]
fn real_records_are_served_whole() {
    let Some(folder) = corpus() else {
        eprintln!("No corpus here: set M365_CORPUS to its folder.");
        return;
    };
    let client = Client::new(Options { corpus: Some(folder), subscribed: true, ..unlimited(1, 0) });
    let (manage, graph) = (client.token("manage"), client.token("graph"));
    let mut distinct = 0;
    for (stream, content_type) in [("office365.exchange", "Audit.Exchange"), ("office365.general", "Audit.General")] {
        let blobs = client.drain_content(content_type, &manage).concat();
        let found: BTreeSet<[u8; 32]> = blobs
            .iter()
            .flat_map(|blob| client::elements(blob))
            .map(|record| client::hash(record.as_bytes()))
            .collect();
        assert_eq!(found, client.simulator.record_hashes(stream), "{stream}");
        distinct += found.len();
    }
    for (stream, path) in
        [("graph.directory-audits", "v1.0/auditLogs/directoryAudits"), ("graph.alerts", "v1.0/security/alerts_v2")]
    {
        let found: BTreeSet<[u8; 32]> =
            client.drain_graph(path, &graph).0.iter().map(|record| client::hash(record.as_bytes())).collect();
        assert_eq!(found, client.simulator.record_hashes(stream), "{stream}");
        distinct += found.len();
    }
    assert!(distinct > 100, "{distinct}");
    assert_eq!(client.simulator.violations(), Vec::<String>::new());
}
