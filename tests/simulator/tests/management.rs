//! The Management Activity API: a whole run without loss, and every error that a client can cause.

mod client;

use std::collections::BTreeSet;
use std::time::Duration;

use client::{Client, elements, hash, unlimited};
use m365_sim::{Faults, Options, Quotas, TENANT_ID};

const TYPES: [(&str, &str); 5] = [
    ("office365.azure-ad", "Audit.AzureActiveDirectory"),
    ("office365.exchange", "Audit.Exchange"),
    ("office365.sharepoint", "Audit.SharePoint"),
    ("office365.dlp", "DLP.All"),
    ("office365.general", "Audit.General"),
];

fn start(client: &Client, content_type: &str, token: &str) -> client::Reply {
    client.post(&client.feed(&format!("subscriptions/start?contentType={content_type}")), token, "")
}

fn faulty(faults: Faults) -> Client {
    Client::new(unlimited(1, 600).with_faults(faults))
}

#[test]
fn a_whole_run_gets_every_record_and_breaks_no_rule() {
    let client = Client::new(unlimited(11, 6_000));
    let token = client.token("manage");
    assert_eq!(client.get(&client.feed("subscriptions/list"), &token).body, "[]");
    for (stream, content_type) in TYPES {
        let started = start(&client, content_type, &token);
        assert_eq!((started.status, &started.json()["status"]), (200, &"enabled".into()));
        let pages = client.drain_content(content_type, &token);
        let held = client.simulator.holds()[stream];
        assert!(held < 101 || pages.len() > 1, "{stream} does not page");
        let records: Vec<String> = pages.iter().flatten().flat_map(|blob| elements(blob)).collect();
        let distinct: BTreeSet<[u8; 32]> =
            records.iter().filter(|record| record.starts_with('{')).map(|record| hash(record.as_bytes())).collect();
        assert_eq!(distinct, client.simulator.record_hashes(stream));
        assert_eq!(distinct.len() as u64, held);
        let served = client.simulator.served()[stream];
        let broken = if stream == "office365.general" { client.simulator.broken() } else { 0 };
        assert_eq!((served.records, served.distinct), (records.len() as u64, held + broken));
        assert!(served.bytes > held * 400 && served.requests > pages.len() as u64);
    }
    let listed = client.get(&client.feed("subscriptions/list"), &token).json();
    assert_eq!(listed.as_array().unwrap().len(), 5);
    assert!(client.simulator.served().values().any(|served| served.records > served.distinct), "nothing was repeated");
    assert_eq!(client.simulator.broken(), 2);
    assert_eq!(client.simulator.violations(), Vec::<String>::new());
}

#[test]
fn windows_are_half_open_and_pages_are_sealed() {
    let client = Client::new(Options { subscribed: true, ..unlimited(2, 4_000) });
    let token = client.token("manage");
    let list = |rest: &str| {
        client.get(&client.feed(&format!("subscriptions/content?contentType=Audit.Exchange{rest}")), &token)
    };
    let all: Vec<serde_json::Value> =
        list("&startTime=2026-01-14T12:00&endTime=2026-01-15T12:00").json().as_array().unwrap().clone();
    let created = |at: usize| all[at]["contentCreated"].as_str().unwrap().to_owned();
    let second = list(&format!("&startTime={}&endTime={}", created(1), created(2))).json();
    assert_eq!(
        second.as_array().unwrap().iter().map(|content| &content["contentId"]).collect::<Vec<_>>(),
        [&all[1]["contentId"]]
    );
    assert!(all.windows(2).all(|pair| pair[0]["contentCreated"].as_str() <= pair[1]["contentCreated"].as_str()));
    assert!(all[0]["contentUri"].as_str().unwrap().contains('$'));
    assert_eq!(list("").status, 200);

    let next = list("&startTime=2026-01-14&endTime=2026-01-15").header("nextpageuri").unwrap().to_owned();
    let publisher = format!("&PublisherIdentifier={TENANT_ID}");
    assert_eq!(client.get(&format!("{next}{publisher}"), &token).status, 200);
    for altered in
        [next.replace("2026-01-15", "2026-01-14T20:00"), format!("{next}x"), next.replace("nextPage=", "nextPage=9")]
    {
        let reply = client.get(&format!("{altered}{publisher}"), &token);
        assert_eq!((reply.status, reply.code().as_str()), (400, "AF20031"), "{altered}");
    }
}

#[test]
fn each_mistake_has_its_code() {
    let client = Client::new(unlimited(1, 600));
    let token = client.token("manage");
    let root = format!("{}/manage/api/v1.0", client.simulator.url());
    let publisher = format!("PublisherIdentifier={TENANT_ID}");
    let content = |rest: &str| client.feed(&format!("subscriptions/content?contentType=Audit.General{rest}"));
    assert_eq!(start(&client, "Audit.General", &token).status, 200);
    let cases = [
        (format!("{root}/contoso.com/activity/feed/subscriptions/list?{publisher}"), 400, "AF20013"),
        (
            format!("{root}/11111111-2222-4333-8444-555555555555/activity/feed/subscriptions/list?{publisher}"),
            400,
            "AF20010",
        ),
        (client.feed("subscriptions/content"), 400, "AF20001"),
        (client.feed("subscriptions/content?contentType=Audit.Teams"), 400, "AF20020"),
        (client.feed("subscriptions/content?contentType=Audit.Exchange"), 400, "AF20022"),
        (content("&startTime=2026-01-15T00:00"), 400, "AF20030"),
        (content("&startTime=yesterday&endTime=2026-01-15T00:00"), 400, "AF20002"),
        (content("&startTime=2026-01-15T00:00&endTime=2026-01-14T23:00"), 400, "AF20055"),
        (content("&startTime=2026-01-14T00:00&endTime=2026-01-15T00:01"), 400, "AF20055"),
        (content("&startTime=2026-01-08T10:59&endTime=2026-01-08T12:00"), 400, "AF20055"),
        (content("&startTime=2026-01-08T11:01&endTime=2026-01-08T12:00"), 200, ""),
        (content("&startTime=2026-01-15T11:00&endTime=2026-01-15T13:00"), 200, ""),
        (content("&nextPage=1-nonsense"), 400, "AF20031"),
        (client.feed("audit/nonsense"), 400, "AF20052"),
        (client.feed("audit/20260115$20260115$audit_general$Audit_General$emea0019"), 404, "AF20050"),
        (client.feed("subscriptions/start?contentType=Audit.General"), 405, "MethodNotAllowed"),
        (client.feed("subscriptions/nothing"), 404, "NotFound"),
    ];
    for (url, status, code) in cases {
        let reply = client.get(&url, &token);
        let found = if reply.status == 200 { String::new() } else { reply.code() };
        assert_eq!((reply.status, found.as_str()), (status, code), "{url}");
    }
    assert_eq!(start(&client, "Audit.General", &token).code(), "AF20024");
    let webhook = client.post(
        &client.feed("subscriptions/start?contentType=Audit.Exchange"),
        &token,
        r#"{"webhook":{"address":"https://example.net/hook"}}"#,
    );
    assert_eq!(webhook.code(), "AF20021");
    // What is a mistake in one request is not one in another: tokens, quotas and the publisher were right.
    let violations = client.simulator.violations();
    assert!(violations.iter().all(|told| !told.contains("token") && !told.contains("quota")), "{violations:?}");
}

#[test]
fn a_stopped_subscription_loses_content_and_cannot_start_again_at_once() {
    let client = Client::new(Options { start_guard: Duration::from_secs(900), ..unlimited(1, 600) });
    let token = client.token("manage");
    let stop = || client.post(&client.feed("subscriptions/stop?contentType=Audit.Exchange"), &token, "");
    assert_eq!(stop().code(), "AF20022");
    assert_eq!(start(&client, "Audit.Exchange", &token).status, 200);
    assert_eq!(stop().status, 200);
    assert_eq!(client.get(&client.feed("subscriptions/content?contentType=Audit.Exchange"), &token).code(), "AF20023");
    assert_eq!(client.get(&client.feed("subscriptions/list"), &token).json()[0]["status"], "disabled");
    assert_eq!(start(&client, "Audit.Exchange", &token).status, 429);
}

#[test]
fn content_comes_when_it_is_created_and_goes_when_it_expires() {
    // Half of the content is still to come, and what there is can be fetched for two hours only.
    let options = Options {
        spread: Duration::from_secs(36_000),
        ahead: Duration::from_secs(36_000 + 1_200),
        content_lifetime: Duration::from_secs(7_200),
        subscribed: true,
        content_page: 1_000,
        ..unlimited(4, 4_000)
    };
    let client = Client::new(options.clone());
    let token = client.token("manage");
    let listed = client
        .get(
            &client.feed(
                "subscriptions/content?contentType=Audit.Exchange&startTime=2026-01-15T00:00&endTime=2026-01-15T23:00",
            ),
            &token,
        )
        .json();
    let listed = listed.as_array().unwrap();
    let times: Vec<&str> = listed.iter().map(|content| content["contentCreated"].as_str().unwrap()).collect();
    assert!(
        !times.is_empty() && times.iter().all(|time| *time > "2026-01-15T10:00" && *time < "2026-01-15T12:00:10"),
        "{times:?}"
    );

    let later = Client::new(Options {
        now: Some(client::NOW + 3 * 3_600_000),
        spread: Duration::from_secs(36_000 + 3 * 3_600),
        ahead: Duration::from_secs(36_000 - 3 * 3_600 + 1_200),
        ..options
    });
    let uri = listed[0]["contentUri"].as_str().unwrap().replace(&client.simulator.url(), &later.simulator.url());
    let reply = later.get(&format!("{uri}?PublisherIdentifier={TENANT_ID}"), &later.token("manage"));
    assert_eq!((reply.status, reply.code().as_str()), (400, "AF20051"));
}

#[test]
fn tokens_are_checked_and_their_misuse_is_noted() {
    let client = Client::new(Options { token_lifetime: Duration::from_secs(6), ..unlimited(1, 0) });
    let list = client.feed("subscriptions/list");
    let (manage, graph) = (client.token("manage"), client.token("graph"));
    assert_eq!(client.get(&list, &manage).status, 200);
    assert_eq!(client.get(&list, &graph).status, 401);
    assert!(client.simulator.violations().last().unwrap().contains("one API was sent to the other"));
    assert_eq!(client.get_with(&list, &[]).status, 401);
    let noted = client.simulator.violations().len();
    std::thread::sleep(Duration::from_millis(6_100));
    assert_eq!(client.get(&list, &manage).status, 401);
    assert_eq!(client.simulator.violations().len(), noted, "an expired token is no offence");
    std::thread::sleep(Duration::from_millis(2_100));
    assert_eq!(client.get(&list, &manage).status, 401);
    assert!(client.simulator.violations().last().unwrap().contains("after it had been refused"));
    assert_eq!(client.get(&list, &client.token("manage")).status, 200);
    client.get_with(
        &list,
        &[("authorization", &format!("Bearer {}", client.token("manage"))), ("host", "manage.example.net")],
    );
    assert!(client.simulator.violations().last().unwrap().contains("another host"));
}

#[test]
fn missing_permissions_and_switched_off_tenants() {
    let role = |role: &str| Faults { missing_roles: [role.to_owned()].into(), ..Faults::default() };
    let client = faulty(role("ActivityFeed.Read"));
    let reply = client.get(&client.feed("subscriptions/list"), &client.token("manage"));
    assert_eq!((reply.status, reply.code().as_str()), (401, "AF10001"));

    let client = faulty(role("ActivityFeed.ReadDlp"));
    let token = client.token("manage");
    assert_eq!(start(&client, "DLP.All", &token).code(), "AF10001");
    assert_eq!(start(&client, "Audit.General", &token).status, 200);

    let client = faulty(Faults { auditing_off: true, ..Faults::default() });
    let reply = start(&client, "Audit.General", &client.token("manage"));
    assert_eq!(reply.status, 400);
    assert!(
        reply.body.contains(&format!("Tenant {TENANT_ID} does not exist"))
            && reply.code().starts_with("StartSubscription [CorrId=")
    );

    let client = faulty(Faults { disabled_content_types: ["Audit.General".to_owned()].into(), ..Faults::default() });
    assert_eq!(start(&client, "Audit.General", &client.token("manage")).code(), "AF20023");
}

#[test]
fn quota_and_publisher() {
    let quotas = Quotas { management_per_minute: 3, ..Quotas::unlimited() };
    for (faults, status) in
        [(Faults::default(), 403), (Faults { management_429: true, retry_after: true, ..Faults::default() }, 429)]
    {
        let retry_after = faults.retry_after;
        let client = Client::new(unlimited(1, 0).with_quotas(quotas).with_faults(faults));
        let token = client.token("manage");
        let url = client.feed("subscriptions/list");
        for _ in 0..3 {
            assert_eq!(client.get(&url, &token).status, 200);
        }
        assert_eq!(client.simulator.violations(), Vec::<String>::new());
        let reply = client.get(&url, &token);
        assert_eq!((reply.status, reply.code().as_str()), (status, "AF429"));
        assert!(reply.body.contains(&format!("PublisherId={TENANT_ID}")));
        assert_eq!(
            reply.header("retry-after").is_some_and(|wait| (1..=61).contains(&wait.parse::<u32>().unwrap())),
            retry_after
        );
        assert_eq!(client.simulator.violations().len(), 1);
        // Without an identifier the request comes out of another pool.
        let anonymous = client.get(url.split('?').next().unwrap(), &token);
        assert_eq!(anonymous.status, 200);
        assert!(client.simulator.violations()[1].contains("PublisherIdentifier"));
    }
}

#[test]
fn sensitive_types_take_one_language() {
    let client = Client::new(unlimited(1, 0));
    let token = format!("Bearer {}", client.token("manage"));
    let ask = |language: &str| {
        client.get_with(
            &client.feed("resources/dlpSensitiveTypes"),
            &[("authorization", &token), ("accept-language", language)],
        )
    };
    assert!(
        ask("de-CH").json().as_array().unwrap().iter().all(|kind| kind["id"].is_string() && kind["name"].is_string())
    );
    assert_eq!(ask("de, en").code(), "AF20053");
    assert_eq!(ask("?!").code(), "AF20054");
}
