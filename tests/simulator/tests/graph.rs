//! Graph: whole collections without loss, filters, pages, and every error that a client can cause.

mod client;

use std::collections::BTreeSet;

use client::{Client, hash, page, unlimited};
use m365_sim::{Faults, LegacyAlerts, Quotas};

const RANGE: &str = "createdDateTime ge 2026-01-14T00:00:00Z and createdDateTime le 2026-01-15T12:00:00Z";

fn collections() -> Vec<(&'static str, String)> {
    let family = |family: &str| {
        format!("beta/auditLogs/signIns?$filter=({RANGE}) and signInEventTypes/any(t: t eq '{family}')&$top=50")
    };
    vec![
        ("graph.signins.interactive", format!("v1.0/auditLogs/signIns?$filter={RANGE}&$orderby=createdDateTime asc")),
        ("graph.signins.noninteractive", family("nonInteractiveUser")),
        ("graph.signins.service-principal", family("servicePrincipal")),
        ("graph.signins.managed-identity", family("managedIdentity")),
        ("graph.directory-audits", "v1.0/auditLogs/directoryAudits?$top=20&$orderby=activityDateTime asc".to_owned()),
        ("graph.alerts", "v1.0/security/alerts_v2?$top=10".to_owned()),
        ("graph.alerts-legacy", "v1.0/security/alerts?$top=5".to_owned()),
    ]
}

#[test]
fn a_whole_run_gets_every_record_once_and_breaks_no_rule() {
    let client = Client::new(unlimited(5, 4_000));
    let token = client.token("graph");
    for (stream, query) in collections() {
        let (records, pages) = client.drain_graph(&query, &token);
        let distinct: BTreeSet<[u8; 32]> = records.iter().map(|record| hash(record.as_bytes())).collect();
        assert_eq!(distinct, client.simulator.record_hashes(stream), "{stream}");
        assert!(records.len() == distinct.len() && pages > 1, "{stream}: {} records, {pages} pages", records.len());
        let served = client.simulator.served()[stream];
        assert_eq!(
            (served.records, served.distinct, served.requests),
            (records.len() as u64, distinct.len() as u64, pages as u64)
        );
    }
    assert_eq!(client.simulator.violations(), Vec::<String>::new());
}

#[test]
fn filters_compare_what_records_spell() {
    let client = Client::new(unlimited(8, 6_000));
    let token = client.token("graph");
    for (path, property) in [
        ("v1.0/auditLogs/signIns", "createdDateTime"),
        ("beta/auditLogs/directoryAudits", "activityDateTime"),
        ("v1.0/security/alerts_v2", "lastUpdateDateTime"),
        ("v1.0/security/alerts_v2", "createdDateTime"),
        ("v1.0/security/alerts", "lastModifiedDateTime"),
        ("v1.0/security/alerts", "createdDateTime"),
        ("v1.0/security/alerts", "eventDateTime"),
    ] {
        let time = |record: &String| {
            serde_json::from_str::<serde_json::Value>(record).unwrap()[property].as_str().unwrap().to_owned()
        };
        let all: Vec<String> = client.drain_graph(path, &token).0.iter().map(time).collect();
        let mut sorted = all.clone();
        sorted.sort();
        sorted.reverse();
        assert_eq!(all, sorted, "{path} is not newest first");
        let middle = &all[all.len() / 2];
        let count = |operator: &str| {
            client.drain_graph(&format!("{path}?$filter={property} {operator} {middle}"), &token).0.len()
        };
        let expected = |wanted: &dyn Fn(&String) -> bool| all.iter().filter(|time| wanted(time)).count();
        assert_eq!(count("ge"), expected(&|time| time >= middle), "{path} {property}");
        assert_eq!(count("gt"), expected(&|time| time > middle), "{path} {property}");
        assert_eq!(count("le"), expected(&|time| time <= middle), "{path} {property}");
        assert_eq!(count("lt"), expected(&|time| time < middle), "{path} {property}");
        assert_eq!(count("eq"), expected(&|time| time == middle), "{path} {property}");
    }
    let noted = client.simulator.violations();
    assert!(
        noted.iter().any(|text| text.contains("without a time range"))
            && noted.iter().any(|text| text.contains("gt and lt"))
    );
}

#[test]
fn interactive_is_what_beta_gives_without_a_filter() {
    let client = Client::new(unlimited(5, 1_000));
    let token = client.token("graph");
    let plain = client.drain_graph(&format!("beta/auditLogs/signIns?$filter={RANGE}"), &token).0;
    assert_eq!(plain.len() as u64, client.simulator.holds()["graph.signins.interactive"]);
    assert!(
        plain.iter().all(|record| !record.contains("signInEventTypes") && record.contains(r#""isInteractive":true"#))
    );
}

#[test]
fn each_mistake_has_its_answer() {
    let client = Client::new(unlimited(5, 1_000));
    let token = client.token("graph");
    for (rest, text) in [
        (
            "v1.0/auditLogs/signIns?$filter=signInEventTypes/any(t: t eq 'servicePrincipal')",
            "Could not find a property named 'signInEventTypes'",
        ),
        ("beta/auditLogs/signIns?$filter=signInEventTypes/any(t: t eq 'robot')", "signInEventTypes"),
        (
            "beta/auditLogs/signIns?$filter=signInEventTypes/any(t: t eq 'managedIdentity') and signInEventTypes/any(t: t eq 'servicePrincipal')",
            "signInEventTypes",
        ),
        (
            "v1.0/auditLogs/signIns?$filter=activityDateTime ge 2026-01-14T00:00:00Z",
            "Could not find a property named 'activityDateTime'",
        ),
        ("v1.0/auditLogs/signIns?$filter=createdDateTime ge yesterday", "Invalid filter clause"),
        ("v1.0/auditLogs/signIns?$top=1001", "page size"),
        ("v1.0/auditLogs/signIns?$top=0", "page size"),
        ("v1.0/auditLogs/signIns?$top=many", "Invalid value"),
        ("v1.0/auditLogs/signIns?$skip=5", "not allowed"),
        ("v1.0/auditLogs/signIns?$search=x", "not allowed"),
        ("v1.0/auditLogs/directoryAudits?$orderby=id", "Could not find a property named 'id'"),
        ("v1.0/auditLogs/directoryAudits?$orderby=activityDateTime up", "$orderby"),
        ("v1.0/auditLogs/provisioning", "Resource not found"),
        ("v2.0/auditLogs/signIns", "Invalid version"),
        ("v1.0/security/alerts?$skip=501", "$skip"),
        ("v1.0/security/alerts_v2?$skip=5999&$top=2", "$skip"),
        (
            "v1.0/security/alerts_v2?$filter=vendorInformation/provider eq 'IPC'",
            "Could not find a property named 'vendorInformation'",
        ),
    ] {
        let reply = client.get(&client.graph(rest), &token);
        assert_eq!((reply.status, reply.code().as_str()), (400, "BadRequest"), "{rest}");
        assert!(reply.json()["error"]["message"].as_str().unwrap().contains(text), "{rest}: {}", reply.body);
        assert_eq!(reply.json()["error"]["innerError"]["request-id"].as_str(), reply.header("request-id"));
    }
    assert_eq!(client.post(&client.graph("v1.0/security/alerts_v2"), &token, "").status, 405);
    let wrong = client.get(&client.graph("v1.0/security/alerts_v2"), &client.token("manage"));
    assert_eq!((wrong.status, wrong.code().as_str()), (401, "InvalidAuthenticationToken"));
}

#[test]
fn page_links_work_only_as_given() {
    let client = Client::new(unlimited(5, 4_000));
    let token = client.token("graph");
    let url = client.graph(&format!("v1.0/auditLogs/signIns?$filter={RANGE}&$top=10"));
    let (first, next) = page(&client.get(&url, &token).body);
    let next = next.unwrap();
    let (second, _) = page(&client.get(&next, &token).body);
    assert!(first.len() == 10 && second.len() == 10 && first.iter().all(|record| !second.contains(record)));
    for altered in [
        next.replace("$top=10", "$top=20"),
        next.replace("v1.0", "beta"),
        format!("{next}A"),
        format!("{next}&$top=10"),
        next.replace("$skiptoken", "%24skiptoken"),
    ] {
        let reply = client.get(&altered, &token);
        assert_eq!((reply.status, reply.code().as_str()), (400, "BadRequest"), "{altered}");
    }
}

#[test]
fn legacy_providers_counts_and_skips() {
    let client = Client::new(unlimited(5, 20_000));
    let token = client.token("graph");
    let count = |rest: &str| client.drain_graph(rest, &token).0.len();
    let all = count("v1.0/security/alerts");
    let providers = ["ASC", "IPC", "Azure Sentinel", "MCAS"]
        .map(|provider| count(&format!("v1.0/security/alerts?$filter=vendorInformation/provider eq '{provider}'")));
    assert!(providers.iter().all(|found| *found > 0));
    assert_eq!(providers.iter().sum::<usize>(), all);
    assert_eq!(count("v1.0/security/alerts?$skip=7"), all - 7);
    let counted = client.get(&client.graph("v1.0/security/alerts_v2?$count=true&$top=1"), &token).json();
    assert_eq!(counted["@odata.count"], client.simulator.holds()["graph.alerts"]);

    let failing = Client::new(
        unlimited(5, 20_000).with_faults(Faults { failing_provider: Some("IPC".to_owned()), ..Faults::default() }),
    );
    let token = failing.token("graph");
    let reply = failing.get(&failing.graph("v1.0/security/alerts"), &token);
    assert_eq!((reply.status, reply.header("warning")), (206, Some("199 - \"Microsoft/IPC/504/10001\"")));
    assert_eq!(failing.drain_graph("v1.0/security/alerts", &token).0.len(), all - providers[1]);
}

#[test]
fn faults_of_a_tenant() {
    let ask = |faults: Faults, rest: &str| {
        let client = Client::new(unlimited(5, 1_000).with_faults(faults));
        let reply = client.get(&client.graph(rest), &client.token("graph"));
        (reply.status, if reply.status == 200 { reply.body.clone() } else { reply.code() })
    };
    let role = |role: &str| Faults { missing_roles: [role.to_owned()].into(), ..Faults::default() };
    let signins = "v1.0/auditLogs/signIns?$top=1";
    assert_eq!(ask(role("AuditLog.Read.All"), signins), (403, "Authentication_MSGraphPermissionMissing".to_owned()));
    assert_eq!(ask(role("SecurityAlert.Read.All"), "v1.0/security/alerts_v2"), (403, "Forbidden".to_owned()));
    assert_eq!(ask(role("SecurityEvents.Read.All"), "v1.0/security/alerts"), (403, "Forbidden".to_owned()));
    assert_eq!(ask(role("SecurityEvents.Read.All"), "v1.0/security/alerts_v2?$top=1").0, 200);
    let free = Faults { no_premium_licence: true, ..Faults::default() };
    assert_eq!(ask(free.clone(), signins), (403, "Authentication_RequestFromNonPremiumTenantOrB2CTenant".to_owned()));
    assert_eq!(ask(free, "v1.0/auditLogs/directoryAudits?$top=1").0, 200);
    let legacy = |legacy_alerts| Faults { legacy_alerts, ..Faults::default() };
    assert_eq!(ask(legacy(LegacyAlerts::Gone), "v1.0/security/alerts").0, 410);
    assert!(ask(legacy(LegacyAlerts::Empty), "v1.0/security/alerts").1.contains(r#""value":[]"#));
    let capped = Faults { top_cap: Some(50), no_alert_order: true, ..Faults::default() };
    assert_eq!(ask(capped.clone(), "v1.0/security/alerts_v2?$top=51").0, 400);
    assert_eq!(ask(capped.clone(), "v1.0/security/alerts_v2?$top=50").0, 200);
    assert_eq!(ask(capped, "v1.0/security/alerts_v2?$orderby=createdDateTime asc").0, 400);
}

#[test]
fn reports_and_alerts_have_their_own_quotas() {
    for retry_after in [false, true] {
        let faults = Faults { retry_after, ..Faults::default() };
        let client = Client::new(unlimited(5, 100).with_quotas(Quotas::default()).with_faults(faults));
        let token = client.token("graph");
        let audits = client.graph("v1.0/auditLogs/directoryAudits?$top=1");
        let signins = client.graph(&format!("v1.0/auditLogs/signIns?$top=1&$filter={RANGE}"));
        for url in [&audits, &signins, &audits, &signins, &audits] {
            assert_eq!(client.get(url, &token).status, 200);
        }
        assert_eq!(client.simulator.violations(), Vec::<String>::new());
        let reply = client.get(&signins, &token);
        assert_eq!((reply.status, reply.code().as_str()), (429, "TooManyRequests"));
        assert_eq!(
            reply.header("retry-after").is_some_and(|wait| (1..=11).contains(&wait.parse::<u32>().unwrap())),
            retry_after
        );
        assert_eq!(client.simulator.violations().len(), 1);
        assert_eq!(client.get(&client.graph("v1.0/security/alerts_v2"), &token).status, 200);
        let last = client.simulator.requests().into_iter().rev().nth(1).unwrap();
        assert_eq!(
            (last.status, last.code.as_str(), last.stream.as_deref()),
            (429, "TooManyRequests", Some("graph.signins.interactive"))
        );
    }
}
