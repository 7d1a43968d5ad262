//! The tenant over TLS: who trusts its certificate gets everything, and nobody else gets in.
//!
//! The feature `tls` has to be on: `cargo test -p m365-sim --features tls`. With `cargo test --workspace` it is.
#![cfg(feature = "tls")]

mod client;

use std::collections::BTreeSet;

use client::{Client, elements, hash, unlimited};
use m365_sim::{Options, Simulator};

#[test]
fn every_link_is_https_and_leads_to_every_record() {
    let client = Client::new(Options { tls: true, subscribed: true, ..unlimited(5, 3_000) });
    assert!(client.simulator.url().starts_with("https://127.0.0.1:"));
    let pages = client.drain_content("Audit.Exchange", &client.token("manage"));
    assert!(pages.len() > 1);
    let found: BTreeSet<[u8; 32]> =
        pages.iter().flatten().flat_map(|blob| elements(blob)).map(|record| hash(record.as_bytes())).collect();
    assert_eq!(found, client.simulator.record_hashes("office365.exchange"));
    let filter = "v1.0/auditLogs/signIns?$filter=createdDateTime ge 2026-01-14T00:00:00Z";
    let (records, pages) = client.drain_graph(filter, &client.token("graph"));
    assert!(pages > 1);
    assert_eq!(records.len() as u64, client.simulator.holds()["graph.signins.interactive"]);
    assert_eq!(client.simulator.violations(), Vec::<String>::new());
    // Fewer bytes than without compression, and more than nothing.
    let served: u64 = client.simulator.served().values().map(|served| served.bytes).sum();
    let traffic = client.simulator.traffic();
    assert!(traffic.connections > 0 && traffic.received > 0);
    assert!((10_000..served).contains(&traffic.sent), "{traffic:?}");
}

#[test]
fn who_does_not_trust_the_certificate_is_not_served() {
    let simulator = Simulator::start(Options { tls: true, ..unlimited(1, 12) }).unwrap();
    let url = format!("{}/login/contoso.com/v2.0/.well-known/openid-configuration", simulator.url());
    let refused = ureq::get(&url).call().unwrap_err().to_string();
    assert!(refused.to_lowercase().contains("certificate"), "{refused}");
    let other = Simulator::start(Options { tls: true, ..unlimited(1, 12) }).unwrap();
    assert!(client::agent(other.ca_pem()).get(&url).call().is_err(), "each has a certificate of its own");
    assert!(client::agent(simulator.ca_pem()).get(&url).call().is_ok());
    assert!(client::agent(simulator.ca_pem()).get(url.replace("https://", "http://")).call().is_err());
    assert_eq!(simulator.requests().len(), 1);
}
