//! What scenarios let the services do is what they say, the same with the same seed, and no collector is accused of it.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod client;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, UNIX_EPOCH};

use client::{Client, NOW, Reply, unlimited};
use m365_sim::misbehaviour::{Late, Trouble, When};
use m365_sim::{Instead, Options, Wait, scenario};

/// The first page of a listing of a client's API.
type Listing = fn(&Client) -> String;

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
fn a_page_that_ends_in_an_error_holds_half_and_shows_nobody_that_it_is_all() {
    let client = tenant(|options| options.misbehaviour.bodies.error_member_every = 1);
    let token = client.token("graph");
    let reply = client.get(&sign_ins(&client), &token);
    let page = reply.json();
    assert_eq!(reply.status, 200);
    assert_eq!(page["error"]["code"], "InternalServerError");
    let held = client.simulator.holds()["graph.signins.interactive"];
    let shown = page["value"].as_array().unwrap().len() as u64;
    assert!(shown > 0 && shown < held && page.get("@odata.nextLink").is_none(), "{shown} of {held}");
    let verdict = client.simulator.verdict(&[]).streams["graph.signins.interactive"].clone();
    assert_eq!((verdict.fetched, verdict.owed, verdict.listed_ms), (shown, 0, None));
}

#[test]
fn some_blobs_are_missing_for_a_while_and_nobody_is_accused_of_asking() {
    let late = Late { one_in: 2, least: 10 * MINUTE, most: 60 * MINUTE };
    let client = tenant(|options| options.misbehaviour.arrival.missing_blobs = Some(late));
    let token = client.token("manage");
    let mut url = general(&client);
    let mut blobs = Vec::new();
    loop {
        let reply = client.get(&url, &token);
        blobs.extend(
            reply.json().as_array().unwrap().iter().map(|item| item["contentUri"].as_str().unwrap().to_owned()),
        );
        match reply.header("nextpageuri") {
            Some(next) => url = format!("{next}&PublisherIdentifier={}", client.simulator.tenant_id()),
            None => break,
        }
    }
    let publisher = format!("PublisherIdentifier={}", client.simulator.tenant_id());
    let ask = |token: &str| -> Vec<(u16, String)> {
        let get = |uri: &String| client.get(&format!("{uri}?{publisher}"), token);
        let kind = |reply: Reply| match reply.body.starts_with('<') {
            true => (reply.status, "html".to_owned()),
            false if reply.status == 200 => (200, String::new()),
            false => (reply.status, reply.code()),
        };
        blobs.iter().map(|uri| kind(get(uri))).collect()
    };
    let first = ask(&token);
    let kinds: BTreeSet<&(u16, String)> = first.iter().collect();
    let expected =
        [(200, String::new()), (400, "AF20052".to_owned()), (404, "AF20050".to_owned()), (404, "html".to_owned())];
    assert_eq!(kinds, expected.iter().collect());
    assert_eq!(first, ask(&token), "a blob says the same each time");
    // They are owed once they can be read, to who lists them then.
    let before = client.simulator.verdict(&[]).streams["office365.general"].clone();
    assert!(before.owed > 0 && before.missing == 0, "{before:?}");
    client.simulator.advance(50 * 60 * Duration::from_secs(1));
    let half: Vec<(u16, String)> = ask(&client.token("manage"));
    let missing = |found: &[(u16, String)]| found.iter().filter(|(status, _)| *status != 200).count();
    assert!((1..missing(&first)).contains(&missing(&half)), "{} of {}", missing(&half), missing(&first));
    client.simulator.advance(15 * MINUTE);
    let token = client.token("manage");
    client.get(&general(&client), &token);
    let owed = client.simulator.verdict(&[]).streams["office365.general"].clone();
    assert!(owed.owed > before.owed && owed.missing > 0, "{owed:?}");
    assert!(ask(&token).iter().all(|(status, _)| *status == 200));
    assert_eq!(client.simulator.verdict(&[]).streams["office365.general"].missing, 0);
    assert_eq!(rules(&client), Vec::<String>::new());
}

#[test]
fn throttled_starts_name_their_time_in_words_and_hold_nothing_else() {
    let client = tenant(|options| {
        options.subscribed = false;
        options.misbehaviour.subscriptions.throttled_starts = Some((3 * MINUTE, 14 * MINUTE));
    });
    let types = ["Audit.AzureActiveDirectory", "Audit.Exchange", "Audit.SharePoint", "DLP.All", "Audit.General"];
    let token = client.token("manage");
    let start = |name: &str| client.post(&client.feed(&format!("subscriptions/start?contentType={name}")), &token, "");
    let refused: Vec<&str> = types.into_iter().filter(|name| matches!(start(name).status, 403 | 429)).collect();
    assert_eq!(refused.len(), 2, "{refused:?}");
    let reply = start(refused[0]);
    let told = (reply.status, reply.code());
    assert!(told == (403, "429".to_owned()) || told == (429, "AF429".to_owned()), "{told:?}");
    assert_eq!(reply.header("retry-after"), None);
    let text = reply.json()["error"]["message"].as_str().unwrap().to_owned();
    let left = text.strip_prefix("Too many frequent subscription start requests. Please retry again after ").unwrap();
    let (minutes, seconds) = left.strip_suffix("s.").unwrap().split_once("m ").unwrap();
    let left = minutes.parse::<u64>().unwrap() * 60 + seconds.parse::<u64>().unwrap();
    assert!((100..=14 * 60).contains(&left), "{text}");
    assert_eq!(rules(&client), ["a subscription was started before the time that the service had named"]);
    client.simulator.advance(Duration::from_secs(left));
    assert_eq!(start(refused[0]).status, 200);
    assert_eq!(rules(&client).len(), 1, "it was started when it might be");
}

#[test]
fn every_second_token_is_refused_while_it_is_fresh() {
    let client = tenant(|options| options.misbehaviour.identity.refuse_fresh = Some(20));
    for (api, url) in [("manage", client.feed("subscriptions/list")), ("graph", sign_ins(&client))] {
        let (first, second) = (client.token(api), client.token(api));
        assert_eq!(client.get(&url, &first).status, 401);
        assert_eq!(client.get(&url, &second).status, 200);
        std::thread::sleep(Duration::from_millis(2_200));
        // Sent again it is no offence: it becomes good.
        client.get(&url, &first);
        client.simulator.advance(Duration::from_secs(20));
        assert_eq!(client.get(&url, &first).status, 200);
    }
    assert_eq!(rules(&client), Vec::<String>::new());
}

#[test]
fn fresh_tokens_are_refused_in_three_manners() {
    let mut bodies = BTreeSet::new();
    for seed in 0..3 {
        let client = tenant(|options| {
            options.seed = seed;
            options.misbehaviour.identity.refuse_fresh = Some(20);
        });
        let reply = client.get(&client.feed("subscriptions/list"), &client.token("manage"));
        assert_eq!(reply.status, 401);
        bodies.insert(reply.body.get(..12).unwrap_or_default().to_owned());
    }
    assert_eq!(bodies.into_iter().collect::<Vec<_>>(), ["", r#"{"Message":""#, r#"{"error":{"c"#]);
}

/// Follows the pages of a listing; what they held, and how many there were.
fn follow(client: &Client, first: String, token: &str, most: usize) -> (Vec<String>, usize) {
    let (mut url, mut held, mut pages) = (first, Vec::new(), 0);
    while pages < most {
        let reply = client.get(&url, token);
        assert_eq!(reply.status, 200, "{}", reply.body);
        pages += 1;
        if let Some(list) = reply.json().as_array() {
            held.extend(list.iter().map(|item| item["contentId"].to_string()));
            let Some(next) = reply.header("nextpageuri") else { break };
            url = format!("{next}&PublisherIdentifier={}", client.simulator.tenant_id());
        } else {
            let (records, next) = client::page(&reply.body);
            held.extend(records);
            let Some(next) = next else { break };
            url = next;
        }
    }
    (held, pages)
}

#[test]
fn listings_go_astray_in_every_way_and_who_follows_them_is_told() {
    let healthy = tenant(|options| options.graph_page = 20);
    let client = tenant(|options| {
        options.graph_page = 20;
        options.misbehaviour.pages.astray_every = 2;
    });
    let streams: [(&str, Listing); 2] = [("manage", general), ("graph", sign_ins)];
    for (api, url) in streams {
        let (all, pages) = follow(&healthy, url(&healthy), &healthy.token(api), 1_000);
        let token = client.token(api);
        let distinct = |held: &[String]| held.iter().cloned().collect::<BTreeSet<_>>().len();
        let mut kinds: BTreeMap<&str, u32> = BTreeMap::new();
        for _ in 0..60 {
            let (held, seen) = follow(&client, url(&client), &token, 30);
            let kind = match (seen, distinct(&held)) {
                (30, found) if found < all.len() => "back",
                (30, _) if held.len() > all.len() => "again",
                (30, _) => "empty without end",
                (seen, _) if seen > pages => "empty between",
                _ => "healthy",
            };
            assert!(held.len() >= all.len(), "{api} {kind}: {} of {}", held.len(), all.len());
            *kinds.entry(kind).or_default() += 1;
        }
        assert_eq!(kinds.len(), 5, "{api}: {kinds:?}");
    }
    assert_eq!(rules(&client), Vec::<String>::new());
    let token = client.token("graph");
    let endless = (0..60).map(|_| follow(&client, sign_ins(&client), &token, 210).1).any(|pages| pages == 210);
    assert!(endless);
    assert_eq!(rules(&client), ["a listing without an end was followed for more than 200 pages"]);
}

#[test]
fn one_record_breaks_every_answer_that_comes_to_it_and_is_not_owed() {
    let client = tenant(|options| {
        options.misbehaviour.bodies.broken_records = &["office365.general", "graph.signins.interactive"];
        options.graph_page = 1_000;
        options.content_page = 1_000;
    });
    let (manage, graph) = (client.token("manage"), client.token("graph"));
    let listed = client.get(&general(&client), &manage).json();
    let publisher = format!("PublisherIdentifier={}", client.simulator.tenant_id());
    let blobs: Vec<Reply> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|item| client.get(&format!("{}?{publisher}", item["contentUri"].as_str().unwrap()), &manage))
        .collect();
    let broken = |reply: &Reply| serde_json::from_str::<serde_json::Value>(&reply.body).is_err();
    assert_eq!(blobs.iter().filter(|blob| broken(blob)).count(), 1);
    assert!(blobs.iter().all(|blob| blob.status == 200));
    assert!(blobs.iter().any(|blob| broken(blob) && blob.body.contains("{\n  \"error\"")));

    // In Graph all that comes before it is there, and with the windows around it all that comes after it.
    let ask = |from: &str, to: &str| {
        let filter = format!("$filter=createdDateTime ge {from} and createdDateTime le {to}");
        client.get(&client.graph(&format!("v1.0/auditLogs/signIns?{filter}&$orderby=createdDateTime asc")), &graph)
    };
    let (begin, end) = ("2026-01-14T00:00:00Z", "2026-01-15T12:00:00Z");
    let whole = ask(begin, end);
    assert!(broken(&whole) && whole.body == ask(begin, end).body);
    let at = whole.body.rfind("\"createdDateTime\":\"");
    assert!(at.is_some() || whole.body.contains("\"value\":[{"), "{}", whole.body);
    let mut times: Vec<String> = client
        .simulator
        .records("graph.signins.interactive")
        .map(|record| serde_json::from_slice::<serde_json::Value>(&record).unwrap())
        .map(|record| record["createdDateTime"].as_str().unwrap().to_owned())
        .collect();
    times.sort();
    let seconds: Vec<&String> = times.iter().filter(|time| broken(&ask(time, time))).collect();
    assert_eq!(seconds.len(), 1, "{seconds:?}");
    for time in times.iter().filter(|time| *time != seconds[0]) {
        assert!(!broken(&ask(time, time)), "{time}");
    }
    let verdict = client.simulator.verdict(&[]);
    assert!(verdict.passed(), "{verdict}");
    for (stream, held) in client.simulator.holds().into_iter().filter(|(_, held)| *held > 0) {
        let one = &verdict.streams[&stream];
        assert!(one.there < held && one.there + 4 >= held && one.owed == one.there, "{verdict}");
    }
}

#[test]
fn the_legacy_alerts_give_everything_whatever_is_asked_for_and_count_who_asks_on() {
    let client = tenant(|options| {
        options.streams = ["graph.alerts-legacy".to_owned(), "graph.alerts".to_owned()].into();
        options.misbehaviour.pages.legacy_filter_ignored = true;
    });
    let token = client.token("graph");
    let ask = |from: &str, to: &str| {
        let filter = format!("$filter=lastModifiedDateTime ge {from} and lastModifiedDateTime le {to}");
        client.get(&client.graph(&format!("v1.0/security/alerts?{filter}")), &token)
    };
    let none = client::page(&ask("2020-01-01T00:00:00Z", "2020-01-01T00:01:00Z").body).0;
    let all = client::page(&ask("2026-01-14T00:00:00Z", "2026-01-15T12:00:00Z").body).0;
    assert!(none.len() > 20 && none == all, "{} {}", none.len(), all.len());
    for _ in 0..97 {
        ask("2020-01-01T00:00:00Z", "2020-01-01T00:01:00Z");
    }
    assert_eq!(rules(&client), Vec::<String>::new());
    ask("2020-01-01T00:00:00Z", "2020-01-01T00:01:00Z");
    assert_eq!(rules(&client), ["a collection that ignores the filter was asked a hundred times"]);
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

#[test]
fn the_same_seed_gives_the_same_misbehaviour() {
    for name in ["odd-retry-after", "errors-in-200", "page-circles", "fresh-token-401", "bad-ten-minutes"] {
        let play = |seed| {
            let options =
                Options { subscribed: true, speed: 1.0, now: Some(NOW), ..scenario(name).unwrap().options(seed) };
            let client = Client::new(options);
            // The login may fail, too: what it answers is among the lines.
            let token = |api: &str| {
                let scope = format!("{}/{api}/.default", client.simulator.url());
                let fields = [
                    ("grant_type", "client_credentials"),
                    ("client_id", client.simulator.client_id()),
                    ("client_secret", client.simulator.client_secret()),
                    ("scope", &scope),
                ];
                (0..20).find_map(|_| {
                    let reply = client.try_login(&fields)?;
                    Some(reply.json().get("access_token")?.as_str()?.to_owned())
                })
            };
            let (manage, graph) = (token("manage").unwrap(), token("graph").unwrap());
            for _ in 0..40 {
                client.try_get(&general(&client), &manage);
                client.try_get(&sign_ins(&client), &graph);
            }
            let lines = client.simulator.requests();
            lines.into_iter().map(|line| (line.status, line.code)).collect::<Vec<_>>()
        };
        let (first, second, other) = (play(3), play(3), play(4));
        assert_eq!(first, second, "{name}");
        assert!(first != other || name == "page-circles", "{name}");
    }
}
