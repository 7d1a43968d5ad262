//! A plain client for the tests: logs in, asks, follows links exactly as given.

// Each test file uses a part of it, and a failed step here is a failed test.
#![allow(dead_code, clippy::unwrap_used)]

use m365_sim::{Options, Quotas, Simulator};
use serde_json::{Value, value::RawValue};
use sha2::{Digest, Sha256};

pub const DAY_MS: i64 = 86_400_000;
/// 2026-01-15T12:00:00Z
pub const NOW: i64 = 1_768_478_400_000;

pub struct Reply {
    pub status: u16,
    pub headers: ureq::http::HeaderMap,
    pub body: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The error code of either API.
    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

pub struct Client {
    pub simulator: Simulator,
    agent: ureq::Agent,
}

pub fn unlimited(seed: u64, events: u64) -> Options {
    Options { now: Some(NOW), ..Options::new(seed, events).with_quotas(Quotas::unlimited()) }
}

/// A record's bytes as the tests compare them.
pub fn hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// The elements of a JSON array as they are spelled.
pub fn elements(array: &str) -> Vec<String> {
    let found: Vec<&RawValue> = serde_json::from_str(array).unwrap();
    found.into_iter().map(|value| value.get().to_owned()).collect()
}

/// The elements of a Graph page as they are spelled, and the link to the next.
pub fn page(body: &str) -> (Vec<String>, Option<String>) {
    let found: std::collections::BTreeMap<&str, &RawValue> = serde_json::from_str(body).unwrap();
    let next = found.get("@odata.nextLink").map(|link| serde_json::from_str(link.get()).unwrap());
    (elements(found["value"].get()), next)
}

pub fn encode(text: &str) -> String {
    text.replace(' ', "%20").replace('\'', "%27")
}

/// A client that trusts this certificate alone.
pub fn agent(ca_pem: Option<&str>) -> ureq::Agent {
    let roots = ca_pem.map(|pem| ureq::tls::Certificate::from_pem(pem.as_bytes()).unwrap());
    let tls = ureq::tls::TlsConfig::builder().root_certs(roots.into()).build();
    ureq::Agent::config_builder().http_status_as_error(false).tls_config(tls).build().into()
}

impl Client {
    pub fn new(options: Options) -> Self {
        let simulator = Simulator::start(options).unwrap();
        Self { agent: agent(simulator.ca_pem()), simulator }
    }

    fn reply(result: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Reply {
        let response = result.unwrap();
        let (parts, mut body) = response.into_parts();
        let body = body.with_config().limit(100_000_000).read_to_string().unwrap();
        Reply { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    pub fn login(&self, tenant: &str, fields: &[(&str, &str)]) -> Reply {
        let url = format!("{}/login/{tenant}/oauth2/v2.0/token", self.simulator.url());
        Self::reply(self.agent.post(url).send_form(fields.iter().copied()))
    }

    /// The answer of the login, if there is one and it is JSON.
    pub fn try_login(&self, fields: &[(&str, &str)]) -> Option<Reply> {
        let url = format!("{}/login/{}/oauth2/v2.0/token", self.simulator.url(), self.simulator.domain());
        let reply = Self::reply(Ok(self.agent.post(url).send_form(fields.iter().copied()).ok()?));
        reply.body.starts_with('{').then_some(reply)
    }

    /// A token for `manage` or `graph`.
    pub fn token(&self, api: &str) -> String {
        let scope = format!("{}/{api}/.default", self.simulator.url());
        let fields = [
            ("grant_type", "client_credentials"),
            ("client_id", self.simulator.client_id()),
            ("client_secret", self.simulator.client_secret()),
            ("scope", &scope),
        ];
        let reply = self.login(self.simulator.domain(), &fields);
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.json()["access_token"].as_str().unwrap().to_owned()
    }

    pub fn get(&self, url: &str, token: &str) -> Reply {
        Self::reply(self.agent.get(url).header("authorization", format!("Bearer {token}")).call())
    }

    /// Asks, whether there is an answer or not.
    pub fn try_get(&self, url: &str, token: &str) {
        let _ = self.agent.get(url).header("authorization", format!("Bearer {token}")).call();
    }

    pub fn get_with(&self, url: &str, headers: &[(&str, &str)]) -> Reply {
        let request = headers.iter().fold(self.agent.get(url), |request, (name, value)| request.header(*name, *value));
        Self::reply(request.call())
    }

    /// Whether a body comes to its end.
    pub fn completes(&self, url: &str, token: &str) -> bool {
        let mut response = self.agent.get(url).header("authorization", format!("Bearer {token}")).call().unwrap();
        response.body_mut().read_to_string().is_ok()
    }

    pub fn post(&self, url: &str, token: &str, body: &str) -> Reply {
        Self::reply(self.agent.post(url).header("authorization", format!("Bearer {token}")).send(body))
    }

    /// An operation of the Management Activity API, with `PublisherIdentifier`.
    pub fn feed(&self, operation: &str) -> String {
        let tenant = self.simulator.tenant_id();
        let separator = if operation.contains('?') { '&' } else { '?' };
        format!(
            "{}/manage/api/v1.0/{tenant}/activity/feed/{operation}{separator}PublisherIdentifier={tenant}",
            self.simulator.url()
        )
    }

    pub fn graph(&self, rest: &str) -> String {
        format!("{}/graph/{}", self.simulator.url(), encode(rest))
    }

    /// Every blob of a content type from the last 24 hours, by listing page.
    pub fn drain_content(&self, content_type: &str, token: &str) -> Vec<Vec<String>> {
        let mut pages = Vec::new();
        let mut url = self.feed(&format!(
            "subscriptions/content?contentType={content_type}&startTime=2026-01-14T12:00:00&endTime=2026-01-15T12:00:00"
        ));
        loop {
            let reply = self.get(&url, token);
            assert_eq!(reply.status, 200, "{}", reply.body);
            let contents = reply.json();
            let blob = |content: &Value| {
                let uri = format!(
                    "{}?PublisherIdentifier={}",
                    content["contentUri"].as_str().unwrap(),
                    self.simulator.tenant_id()
                );
                let reply = self.get(&uri, token);
                assert_eq!(reply.status, 200, "{}", reply.body);
                reply.body
            };
            pages.push(contents.as_array().unwrap().iter().map(blob).collect());
            match reply.header("NextPageUri") {
                Some(next) => url = format!("{next}&PublisherIdentifier={}", self.simulator.tenant_id()),
                None => return pages,
            }
        }
    }

    /// Every record of a Graph query, and the number of pages.
    pub fn drain_graph(&self, rest: &str, token: &str) -> (Vec<String>, usize) {
        let (mut records, mut pages, mut url) = (Vec::new(), 0, self.graph(rest));
        loop {
            let reply = self.get(&url, token);
            assert!(matches!(reply.status, 200 | 206), "{}", reply.body);
            let (found, next) = page(&reply.body);
            records.extend(found);
            pages += 1;
            match next {
                Some(next) => url = next,
                None => return (records, pages),
            }
        }
    }
}
