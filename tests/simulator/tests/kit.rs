//! The conformance kit itself: a collector that does everything right passes, and whatever one does wrong is told.

mod client;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use client::{Client, DAY_MS, NOW, unlimited};
use m365_sim::misbehaviour::{Change, Late, Trouble, What, When};
use m365_sim::{Instead, Options, SCENARIOS, Simulator};

const CONTENT: &str = "subscriptions/content?contentType=Audit.General";
const LAST_DAY: &str = "startTime=2026-01-14T12:00:00&endTime=2026-01-15T12:00:00";
const FILTER: &str = "$filter=createdDateTime ge 2026-01-14T00:00:00Z and createdDateTime le 2026-01-15T12:00:00Z";

/// A tenant with two streams, its content types subscribed.
fn tenant(change: impl FnOnce(&mut Options)) -> Client {
    let mut options = Options {
        streams: ["office365.general".to_owned(), "graph.signins.interactive".to_owned()].into(),
        subscribed: true,
        ..unlimited(2, 400)
    };
    change(&mut options);
    Client::new(options)
}

/// Everything that a simple collector gets.
fn collect(client: &Client) -> Vec<String> {
    let (manage, graph) = (client.token("manage"), client.token("graph"));
    let blobs = client.drain_content("Audit.General", &manage).concat();
    let mut records: Vec<String> = blobs.iter().flat_map(|blob| client::elements(blob)).collect();
    records.extend(client.drain_graph(&format!("v1.0/auditLogs/signIns?{FILTER}"), &graph).0);
    records.sort();
    records.dedup();
    records
}

struct File(PathBuf);

impl File {
    fn new(name: &str, lines: &[String]) -> Self {
        let path = std::env::temp_dir().join(format!("m365-sim-{name}-{}", std::process::id()));
        std::fs::write(&path, lines.join("\n")).expect("the folder of the test takes a file");
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn rules(client: &Client) -> Vec<String> {
    client.simulator.verdict(&[]).rules.into_iter().map(|(rule, _, _)| rule).collect()
}

#[track_caller]
fn assert_told(client: &Client, rule: &str) {
    let told = rules(client);
    assert!(told.iter().any(|told| told.contains(rule)), "{rule:?} is not among {told:?}");
    assert!(!client.simulator.verdict(&[]).passed());
}

#[test]
fn who_gets_and_writes_everything_once_passes() {
    let client = tenant(|_| {});
    let records = collect(&client);
    let file = File::new("all", &records);
    let verdict = client.simulator.verdict(std::slice::from_ref(&file.0));
    assert!(verdict.passed(), "{verdict}");
    let general = &verdict.streams["office365.general"];
    assert!(general.there > 0 && general.owed == general.there && general.written == Some(general.there), "{verdict}");
    // Nothing was owed by who never listed anything.
    let idle = tenant(|_| {});
    assert!(idle.simulator.verdict(&[]).passed());
    assert_eq!(idle.simulator.verdict(&[]).streams["office365.general"].owed, 0);
}

#[test]
fn what_is_missing_repeated_or_made_up_is_told() {
    let client = tenant(|_| {});
    let records = collect(&client);
    let verdict = |name: &str, lines: &[String]| {
        let file = File::new(name, lines);
        client.simulator.verdict(std::slice::from_ref(&file.0))
    };
    let missing = verdict("missing", &records[1..]);
    assert!(!missing.passed());
    assert_eq!(missing.streams.values().map(|stream| stream.missing).sum::<u64>(), 1);
    assert!(missing.to_string().contains("fetched, but not written") && missing.to_string().contains("FAILED"));

    let twice = verdict("twice", &[&records[..], &records[..1]].concat());
    assert!(!twice.passed());
    assert_eq!(twice.streams.values().map(|stream| stream.twice).sum::<u64>(), 1);

    let made_up = verdict("made-up", &[&records[..], &[r#"{"Id":"of nobody"}"#.to_owned()]].concat());
    assert!(!made_up.passed());
    assert_eq!(made_up.unknown, 1);
    assert!(!client.simulator.verdict(&[PathBuf::from("/no/such/file")]).passed());
}

#[test]
fn without_an_output_what_was_not_fetched_is_missing() {
    let client = tenant(|_| {});
    let token = client.token("manage");
    assert_eq!(client.get(&client.feed(&format!("{CONTENT}&{LAST_DAY}")), &token).status, 200);
    let verdict = client.simulator.verdict(&[]);
    let general = &verdict.streams["office365.general"];
    assert!(general.missing == general.owed && general.owed > 0, "{verdict}");
    assert!(verdict.to_string().contains("never fetched"));
}

#[test]
fn each_rule_that_is_broken_is_told() {
    let client = tenant(|_| {});
    let token = client.token("manage");
    assert_eq!(rules(&client), Vec::<String>::new());
    client.get(&client.feed(CONTENT), &token);
    assert_told(&client, "without both startTime and endTime");
    let wide = "startTime=2026-01-13T00:00:00&endTime=2026-01-15T12:00:00";
    client.get(&client.feed(&format!("{CONTENT}&{wide}")), &token);
    assert_told(&client, "more than 24 hours");
    client.get(&client.feed(&format!("{CONTENT}&{LAST_DAY}&nextPage=5.1.2-x")), &token);
    assert_told(&client, "not given out like this");
    client.get(&client.feed("audit/2026$2026$audit_general$Audit_General$emea0019"), &token);
    assert_told(&client, "never listed");
    for _ in 0..2 {
        client.post(&client.feed("subscriptions/start?contentType=Audit.General"), &token, "");
    }
    assert_told(&client, "started again within 15 minutes");
    client.post(&client.feed("subscriptions/stop?contentType=Audit.General"), &token, "");
    assert_told(&client, "a subscription was stopped");
}

#[test]
fn content_that_has_expired_is_not_to_be_fetched() {
    let client = tenant(|_| {});
    let token = client.token("manage");
    let listed = client.get(&client.feed(&format!("{CONTENT}&{LAST_DAY}")), &token).json();
    client.simulator.advance(Duration::from_secs(8 * 86_400));
    let uri = listed[0]["contentUri"].as_str().unwrap();
    client.get(&format!("{uri}?PublisherIdentifier={}", client.simulator.tenant_id()), &client.token("manage"));
    assert_told(&client, "after its contentExpiration");
}

#[test]
fn a_foreign_host_sees_tokens_only_from_the_careless() {
    let client = tenant(|options| options.misbehaviour.pages.foreign_content_every = 1);
    let token = client.token("manage");
    let listed = client.get(&client.feed(&format!("{CONTENT}&{LAST_DAY}")), &token).json();
    let uri = listed[0]["contentUri"].as_str().unwrap();
    assert!(!uri.starts_with(&client.simulator.url()));
    client.get(uri, &token);
    assert_told(&client, "a token was sent to a foreign host");
}

#[test]
fn retry_after_is_obeyed_or_told() {
    let answer = Instead::Answer {
        status: 429,
        headers: vec![("retry-after".to_owned(), "600".to_owned())],
        body: String::new(),
    };
    let client = tenant(|options| {
        options.misbehaviour.troubles = vec![Trouble { on: &["/manage/"], when: When::First(1), what: answer }];
    });
    let token = client.token("manage");
    let url = client.feed(&format!("{CONTENT}&{LAST_DAY}"));
    assert_eq!(client.get(&url, &token).status, 429);
    // One more than may be an accident; on a busy machine fewer are so early.
    let asked = Instant::now();
    for _ in 0..10 {
        if asked.elapsed() < Duration::from_millis(50) {
            client.get(&url, &token);
        }
    }
    assert_eq!(rules(&client), Vec::<String>::new(), "they were on their way");
    std::thread::sleep(Duration::from_millis(200));
    for _ in 0..10 {
        client.get(&url, &token);
    }
    assert_told(&client, "Retry-After");
}

#[test]
fn late_blobs_are_listed_when_their_time_has_come() {
    let late = Late { one_in: 2, least: Duration::from_secs(3_600), most: Duration::from_secs(20 * 3_600) };
    let client = tenant(|options| options.misbehaviour.arrival.late_blobs = Some(late));
    let token = client.token("manage");
    let count = || client.drain_content("Audit.General", &token).concat().len();
    let first = count();
    client.simulator.advance(Duration::from_secs(21 * 3_600));
    let token = client.token("manage");
    let later = client.drain_content("Audit.General", &token).concat().len();
    assert!(first > 0 && first < later, "{first} {later}");
}

#[test]
fn disordered_listings_name_every_blob_all_the_same() {
    let blobs = |change: fn(&mut Options)| {
        let client = tenant(change);
        let mut blobs = client.drain_content("Audit.General", &client.token("manage")).concat();
        let listed = blobs.len();
        blobs.sort();
        blobs.dedup();
        (blobs, listed)
    };
    let (healthy, listed) = blobs(|options| options.blob_records = 4);
    assert_eq!(healthy.len(), listed);
    let disordered: [fn(&mut Options); 3] = [
        |options| options.misbehaviour.pages.shuffled = true,
        |options| options.misbehaviour.pages.shifting = 2,
        |options| options.misbehaviour.pages.twice_every = 2,
    ];
    for (at, change) in disordered.into_iter().enumerate() {
        let mut options = Options::default();
        change(&mut options);
        let pages = options.misbehaviour.pages;
        let client = tenant(|options| {
            options.blob_records = 4;
            options.misbehaviour.pages = pages;
        });
        let mut found = client.drain_content("Audit.General", &client.token("manage")).concat();
        assert!(at == 0 || found.len() > listed, "{at}: nothing came twice");
        found.sort();
        found.dedup();
        assert_eq!(found, healthy, "{at}");
    }
}

#[test]
fn connections_are_reset_and_slow_bodies_come_to_their_end() {
    let client = tenant(|options| {
        options.misbehaviour.troubles = vec![
            Trouble { on: &["GET /graph/"], when: When::First(1), what: Instead::Reset },
            Trouble {
                on: &["GET /graph/"],
                when: When::First(2),
                what: Instead::Slow(2_000, Duration::from_millis(1)),
            },
        ];
    });
    let url = client.graph(&format!("v1.0/auditLogs/signIns?{FILTER}"));
    let token = client.token("graph");
    let bearer = format!("Bearer {token}");
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    assert!(agent.get(&url).header("authorization", &bearer).call().is_err(), "the connection was not reset");
    assert!(client.completes(&url, &token));
    assert_eq!(client.simulator.requests().iter().filter(|line| line.code == "reset").count(), 1);
}

#[test]
fn a_stop_by_somebody_else_loses_what_arrives_until_the_next_start() {
    let client = tenant(|options| {
        options.ahead = Duration::from_secs(10 * 3_600);
        options.blob_records = 2;
        options.misbehaviour.changes =
            vec![Change { after: Duration::from_secs(3_600), what: What::Stop("Audit.General") }];
    });
    let token = client.token("manage");
    let url = client.feed(&format!("{CONTENT}&{LAST_DAY}"));
    assert_eq!(client.get(&url, &token).status, 200);
    let before = client.simulator.verdict(&[]).streams["office365.general"].there;
    client.simulator.advance(Duration::from_secs(9 * 3_600));
    let token = client.token("manage");
    assert_eq!(client.get(&url, &token).code(), "AF20023");
    client.post(&client.feed("subscriptions/start?contentType=Audit.General"), &token, "");
    assert_eq!(client.get(&url, &token).status, 200);
    let verdict = client.simulator.verdict(&[]);
    let general = &verdict.streams["office365.general"];
    // Of thirty hours, an hour after the start had arrived before the stop, and eight are lost.
    let held = client.simulator.holds()["office365.general"];
    assert!(general.there > before && general.there < held - held / 5, "{verdict}");
}

#[test]
fn the_clock_runs_as_fast_as_it_is_told_and_tells_its_setting() {
    let before = Instant::now();
    let simulator = Simulator::start(Options { speed: 1_000.0, ..unlimited(1, 12) }).unwrap();
    std::thread::sleep(Duration::from_millis(30));
    let passed = simulator.now_ms() - NOW;
    let most = i64::try_from(before.elapsed().as_millis() + 1).unwrap() * 1_000;
    assert!((30_000..=most).contains(&passed), "{passed} of {most}");
    simulator.advance_to(Duration::from_secs(86_400));
    assert!(simulator.now_ms() - NOW >= DAY_MS);
    simulator.advance_to(Duration::from_secs(60));
    assert!(simulator.now_ms() - NOW < 2 * DAY_MS);
    let setting = simulator.clock_setting();
    let (simulated, rest) = setting.split_once('@').unwrap();
    assert!(simulated.parse::<i64>().unwrap() >= NOW + DAY_MS && rest.ends_with("*1000"), "{setting}");
}

#[test]
fn the_verdict_can_be_asked_for_and_every_scenario_has_a_tenant() {
    for scenario in SCENARIOS.iter().copied().flatten().filter(|scenario| scenario.name != "huge-blobs") {
        let client = Client::new(scenario.options(3));
        let verdict = client.get(&format!("{}/_kit/verdict", client.simulator.url()), "nobody").json();
        assert_eq!(verdict["passed"], true, "{}: {verdict}", scenario.name);
    }
}
