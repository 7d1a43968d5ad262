//! What scenarios let the services do is what they say, the same with the same seed, and no collector is accused of it.

mod client;

use std::time::{Duration, UNIX_EPOCH};

use client::{Client, Reply, unlimited};
use m365_sim::misbehaviour::{Trouble, When};
use m365_sim::{Instead, Options, Wait};

const CONTENT: &str = "subscriptions/content?contentType=Audit.General";
const LAST_DAY: &str = "startTime=2026-01-14T12:00:00&endTime=2026-01-15T12:00:00";
const FILTER: &str = "$filter=createdDateTime ge 2026-01-14T00:00:00Z and createdDateTime le 2026-01-15T12:00:00Z";
const MINUTE: Duration = Duration::from_secs(60);

/// A tenant with two streams, its content types subscribed.
fn tenant(change: impl FnOnce(&mut Options)) -> Client {
    let mut options = Options {
        streams: ["office365.general".to_owned(), "graph.signins.interactive".to_owned()].into(),
        subscribed: true,
        blob_records: 4,
        ..unlimited(2, 400)
    };
    change(&mut options);
    Client::new(options)
}

fn general(client: &Client) -> String {
    client.feed(&format!("{CONTENT}&{LAST_DAY}"))
}

fn sign_ins(client: &Client) -> String {
    client.graph(&format!("v1.0/auditLogs/signIns?{FILTER}"))
}

fn rules(client: &Client) -> Vec<String> {
    client.simulator.verdict(&[]).rules.into_iter().map(|(rule, _, _)| rule).collect()
}

/// By how many seconds the `Date` of an answer is wrong.
fn error(client: &Client, reply: &Reply) -> i64 {
    let date = httpdate::parse_http_date(reply.header("date").unwrap()).unwrap();
    let seconds = i64::try_from(date.duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
    seconds - client.simulator.now_ms() / 1_000
}

#[test]
fn dates_are_odd_on_answers_of_every_kind_and_both_ways() {
    let client = tenant(|options| {
        options.misbehaviour.dates.odd_every = 4;
        options.misbehaviour.dates.odd_instead_every = 2;
        let page = Instead::Answer { status: 503, headers: Vec::new(), body: "<html></html>".to_owned() };
        options.misbehaviour.troubles = vec![Trouble { on: &["/alerts"], when: When::OneIn(1), what: page }];
    });
    let (manage, graph) = (client.token("manage"), client.token("graph"));
    let blob = client.get(&general(&client), &manage).json()[0]["contentUri"].as_str().unwrap().to_owned();
    let blob = format!("{blob}?PublisherIdentifier={}", client.simulator.tenant_id());
    let url = client.simulator.url();
    let urls = [
        (general(&client), &manage),
        (client.feed("subscriptions/list"), &manage),
        (blob, &manage),
        (client.feed("audit/nonsense"), &manage),
        (sign_ins(&client), &graph),
        (client.graph("v1.0/security/alerts"), &graph),
        (format!("{url}/login/contoso.com/v2.0/.well-known/openid-configuration"), &graph),
    ];
    for (url, token) in urls {
        let errors: Vec<i64> = (0..60).map(|_| error(&client, &client.get(&url, token))).collect();
        // Between the answer and the reading of the clock a second may pass.
        let odd: Vec<i64> = errors.into_iter().filter(|error| !(-1..=0).contains(error)).collect();
        assert!((4..45).contains(&odd.len()), "{url}: {odd:?}");
        assert!(odd.iter().any(|error| *error < 0) && odd.iter().any(|error| *error > 0), "{url}: {odd:?}");
        assert!(odd.iter().all(|error| error.abs() <= 10 * 366 * 86_400), "{url}: {odd:?}");
    }
    let tokens: Vec<i64> = (0..60).map(|_| error(&client, &client.login("contoso.com", &[]))).collect();
    assert!(tokens.iter().any(|error| error.abs() > 60));
}

#[test]
fn throttles_ask_to_wait_in_every_spelling() {
    let waits = [Wait::Text("0.249"), Wait::Date(-600), Wait::OldDate(90), Wait::Text("18446744073709551615")];
    let client = tenant(|options| {
        let trouble = |wait| Trouble {
            on: &["subscriptions/content"],
            when: When::Times(1, 1),
            what: Instead::AskToWait { status: 429, wait },
        };
        options.misbehaviour.troubles = waits.map(trouble).to_vec();
    });
    let token = client.token("manage");
    let replies: Vec<Reply> = (0..6).map(|_| client.get(&general(&client), &token)).collect();
    let told: Vec<&str> = replies.iter().filter_map(|reply| reply.header("retry-after")).collect();
    assert_eq!(told.len(), 4, "{told:?}");
    assert_eq!((told[0], told[3]), ("0.249", "18446744073709551615"));
    assert!(told[1].starts_with("Thu, 15 Jan 2026 11:50:0") && told[2].starts_with("Thursday, 15-Jan-26 12:01:3"));
    let statuses: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
    // After three in a row one goes well.
    assert_eq!(statuses, [429, 429, 429, 200, 429, 200]);
    assert_eq!(replies[0].code(), "AF429");
}

#[test]
fn a_wait_for_a_start_concerns_no_other_request_and_no_wait_counts_for_more_than_an_hour() {
    let client = tenant(|options| {
        let wait = |on, text| Trouble {
            on,
            when: When::First(1),
            what: Instead::AskToWait { status: 429, wait: Wait::Text(text) },
        };
        options.misbehaviour.troubles =
            vec![wait(&["subscriptions/start"], "600"), wait(&["subscriptions/content"], "31536000")];
    });
    let token = client.token("manage");
    assert_eq!(client.post(&client.feed("subscriptions/start?contentType=Audit.Exchange"), &token, "").status, 429);
    std::thread::sleep(Duration::from_millis(200));
    for _ in 0..10 {
        client.get(&client.feed("subscriptions/list"), &token);
    }
    assert_eq!(rules(&client), Vec::<String>::new());
    assert_eq!(client.get(&general(&client), &token).status, 429);
    client.simulator.advance(60 * MINUTE);
    let token = client.token("manage");
    for _ in 0..10 {
        assert_eq!(client.get(&general(&client), &token).status, 200);
    }
    assert_eq!(rules(&client), Vec::<String>::new());
}

#[test]
fn silence_ends_without_an_answer() {
    let client = tenant(|options| {
        let what = Instead::Silence(Duration::from_millis(30));
        options.misbehaviour.troubles = vec![Trouble { on: &["GET /graph/"], when: When::First(1), what }];
    });
    let bearer = format!("Bearer {}", client.token("graph"));
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let begun = std::time::Instant::now();
    assert!(agent.get(&sign_ins(&client)).header("authorization", &bearer).call().is_err());
    assert!(begun.elapsed() >= Duration::from_millis(30));
}
