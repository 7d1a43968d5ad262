//! The HTTP side: takes requests, hands them to the API they are for, sends and logs the answers.
//!
//! Invariant: every request is logged with its answer, whatever the answer is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};
use axum::routing::any;
use axum::{Extension, Router};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;

use crate::answer::{Answer, Body, Completion, Flow, gzip};
use crate::catalogue::Shelf;
use crate::clock::{Clock, TICKS_PER_SECOND, http_date, old_http_date, ticks};
use crate::connection::{Manner, connection};
use crate::kit::rules::Rules;
use crate::kit::verdict;
use crate::manage::{Missing, Subscriptions};
use crate::misbehaviour::{Astray, What, date_error};
use crate::options::{Instead, Options, Wait};
use crate::quota::Windows;
use crate::replacements::Replacements;
use crate::request::Request;
use crate::streams::STREAMS;
use crate::tally::{RequestLine, Tally};
use crate::template::{mix, write_guid};
use crate::tls::Tls;
use crate::token::{Audience, Mint, Refusal};
use crate::{graph, login, manage};

/// Longest request body: token requests and webhooks are far shorter.
const REQUEST_LIMIT: usize = 64 * 1024;
/// Shorter bodies are not worth compressing.
const GZIP_FROM: usize = 512;
/// Tokens that are younger, in seconds, are not revoked: no service revokes what it has just issued, again and again.
const REVOKED_AGE: i64 = 61;
/// Wait after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// Everything a handler can consult.
pub(crate) struct Tenant {
    pub(crate) options: Options,
    /// `http://127.0.0.1:PORT`, or the same with `https`.
    pub(crate) url: String,
    /// The root of a host that is none of the tenant's, and that nobody should be led to.
    pub(crate) decoy: String,
    pub(crate) clock: Clock,
    pub(crate) shelves: Vec<Shelf>,
    pub(crate) mint: Mint,
    pub(crate) windows: Windows,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) missing: Missing,
    pub(crate) tally: Arc<Tally>,
    pub(crate) rules: Rules,
    numbers: AtomicU64,
    replacements: Replacements,
    /// Which changes have been made.
    changed: Vec<AtomicBool>,
    /// Tokens from before this second are no longer good.
    revoked_before: AtomicI64,
}

impl Tenant {
    pub(crate) fn new(options: Options, url: String, decoy: String, clock: Clock, shelves: Vec<Shelf>) -> Self {
        let flags = || options.misbehaviour.changes.iter().map(|_| AtomicBool::new(false)).collect();
        Self {
            url,
            decoy,
            mint: Mint::new(options.seed),
            windows: Windows::new(options.quotas, &clock),
            rules: Rules::new(options.start_guard),
            clock,
            subscriptions: Subscriptions::new(options.subscribed),
            missing: Missing::default(),
            tally: Arc::new(Tally::new(shelves.iter().map(|shelf| shelf.len + shelf.broken))),
            numbers: AtomicU64::new(0),
            replacements: Replacements::new(&options),
            changed: flags(),
            revoked_before: AtomicI64::new(i64::MIN),
            shelves,
            options,
        }
    }

    /// A number that no other answer has.
    pub(crate) fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Relaxed)
    }

    /// A GUID for request, trace and correlation ids.
    pub(crate) fn new_guid(&self) -> String {
        let mut out = Vec::with_capacity(36);
        write_guid(&mut out, mix(self.options.seed) ^ self.next_number());
        String::from_utf8_lossy(&out).into_owned()
    }

    /// True for one answer in `every`, by the seed; never if it is zero.
    pub(crate) fn rolls(&self, every: u64) -> bool {
        every > 0 && mix(self.options.seed ^ mix(self.next_number())).is_multiple_of(every)
    }

    /// How the listing of a number leads astray, if it does. Each of its pages is counted.
    pub(crate) fn astray(&self, request: &Request, number: u64) -> Option<Astray> {
        let astray = self.options.misbehaviour.pages.astray(mix(self.options.seed ^ mix(number)))?;
        if astray != Astray::Between {
            self.rules.astray(self, request, number);
        }
        Some(astray)
    }

    /// Whether somebody else has done something to the tenant by now.
    pub(crate) fn changed(&self, what: impl Fn(&What) -> bool) -> bool {
        let changes = &self.options.misbehaviour.changes;
        changes.iter().zip(&self.changed).any(|(change, done)| what(&change.what) && done.load(Relaxed))
    }

    /// Lets happen what should have happened by now.
    fn catch_up(&self) {
        let since = self.clock.since_start();
        for (change, done) in self.options.misbehaviour.changes.iter().zip(&self.changed) {
            if since < change.after || done.swap(true, Relaxed) {
                continue;
            }
            if let What::Stop(content_type) = change.what {
                self.subscriptions.stop_at(content_type, self.clock.base() + ticks(change.after));
            }
        }
    }

    /// Notes that the client broke a rule.
    pub(crate) fn violation(&self, request: &Request, rule: &str) {
        let millis = self.clock.elapsed().as_millis();
        self.tally.violation(format!("{millis} ms, {} {}", request.method, request.path_and_query()), rule);
    }

    /// The roles of the request's token, or why it is refused.
    pub(crate) fn authorise(&self, request: &Request, audience: Audience) -> Result<Vec<String>, Refusal> {
        let header = request.header("authorization");
        let now = self.clock.now();
        if let Some(every) = self.options.misbehaviour.identity.revoke_every
            && self.next_number().is_multiple_of(every.max(1))
        {
            self.revoked_before.fetch_max(now / TICKS_PER_SECOND - REVOKED_AGE, Relaxed);
        }
        let checked = self.mint.check(header, audience, now, self.revoked_before.load(Relaxed));
        let known = checked.and_then(|grant| {
            let age = now / TICKS_PER_SECOND - grant.issued;
            let refused = self.options.misbehaviour.identity.refuse_fresh.is_some_and(|most| {
                let until = 1 + mix(self.options.seed ^ mix(grant.number)) % most.max(1);
                grant.number.is_multiple_of(2) && u64::try_from(age).is_ok_and(|age| age < until)
            });
            if refused { Err(Refusal::Fresh(grant.number / 2 + self.options.seed)) } else { Ok(grant.roles) }
        });
        known.inspect_err(|refusal| {
            match refusal {
                // It will be good: there is nothing wrong with sending it again.
                Refusal::Fresh(_) => return,
                Refusal::WrongAudience => self.violation(request, "a token for one API was sent to the other"),
                Refusal::Malformed => self.violation(request, "a token that this login did not issue"),
                Refusal::Missing => self.violation(request, "no bearer token"),
                Refusal::Expired => {}
            }
            if header.is_some_and(|header| self.mint.refused_again(header, Instant::now())) {
                self.violation(request, "a token was sent again after it had been refused");
            }
        })
    }

    fn routed(&self, request: &Request) -> Answer {
        self.catch_up();
        let host = request.header("host").unwrap_or("");
        if self.url.split_once("://").map(|(_, own)| own) != Some(host) {
            self.violation(request, &format!("the request is for another host, {host}"));
        }
        let (api, rest) = request.path.trim_start_matches('/').split_once('/').unwrap_or((&request.path, ""));
        match (api, rest.split('/').collect::<Vec<_>>().as_slice()) {
            ("login", [tenant, "oauth2", "v2.0", "token"]) if request.method == "POST" => {
                login::token(self, tenant, request)
            }
            ("login", [tenant, "v2.0", ".well-known", "openid-configuration"]) if request.method == "GET" => {
                login::discovery(self, tenant)
            }
            ("manage", _) => manage::answer(self, &decoded(rest), request),
            ("graph", _) => graph::answer(self, &decoded(rest), request),
            ("_kit", ["verdict"]) => verdict::answer(self),
            _ => Answer::management(404, "NotFound", "No such resource."),
        }
    }

    /// The answer; or after which time the connection is to be reset.
    fn respond(&self, request: &Request) -> Result<Response<Body>, Duration> {
        let kit = request.path.starts_with("/_kit/");
        let instead = self.replacements.choose(&self.options, request, self.clock.since_start());
        let (answer, flow) = match instead.filter(|_| !kit) {
            None => (self.routed(request), Flow::Whole),
            Some(Instead::CutAfter(bytes)) => (self.routed(request), Flow::CutAfter(*bytes)),
            Some(Instead::Slow(bytes, pause)) => (self.routed(request), Flow::Slow(*bytes, *pause)),
            Some(Instead::Answer { status, headers, body }) => {
                return Ok(self.injected(request, *status, headers, body));
            }
            Some(Instead::AskToWait { status, wait }) => {
                let (headers, body) = self.asks_to_wait(request, *status, *wait);
                return Ok(self.injected(request, *status, &headers, &body));
            }
            Some(Instead::Echo(status)) => {
                let headers: Vec<String> = request
                    .headers
                    .iter()
                    .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap_or_default()))
                    .collect();
                let error =
                    serde_json::json!({"code": "Forbidden", "message": format!("Refused: {}", headers.join("; "))});
                let kind = [("content-type".to_owned(), "application/json".to_owned())];
                return Ok(self.injected(request, *status, &kind, &serde_json::json!({"error": error}).to_string()));
            }
            Some(Instead::Reset) => {
                self.log(request, 0, "reset", None);
                return Err(Duration::ZERO);
            }
            Some(Instead::Silence(time)) => {
                self.log(request, 0, "silence", None);
                return Err(*time);
            }
        };
        if !kit {
            self.rules.observe(self, request, &answer);
        }
        let graph = request.path.starts_with("/graph");
        let request_id = self.new_guid();
        let client_id = request.header("client-request-id").unwrap_or(&request_id).to_owned();
        let mut answer = answer;
        if graph && answer.status >= 400 && !answer.code.is_empty() {
            identify(&mut answer.body, &http_date(self.clock.now()), &request_id, &client_id);
        }
        self.log(request, answer.status, &answer.code, answer.stream);
        let size = answer.body.len();
        let completion = answer.stream.map(|stream| Completion {
            tally: Arc::clone(&self.tally),
            stream,
            entries: answer.entries,
            bytes: size,
        });
        let accepts = request.header("accept-encoding").is_some_and(|accepted| accepted.contains("gzip"));
        let packed = if accepts && self.options.gzip && size >= GZIP_FROM { gzip(&answer.body) } else { None };
        let zipped = packed.is_some();
        let mut response = Response::new(Body::new(packed.unwrap_or(answer.body), flow, completion));
        *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        let mut set = |name: &str, value: &str| {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                headers.insert(name, value);
            }
        };
        set("date", &self.date(self.options.misbehaviour.dates.odd_every));
        set("request-id", &request_id);
        if graph {
            set("client-request-id", &client_id);
        }
        if zipped {
            set("content-encoding", "gzip");
            set("vary", "Accept-Encoding");
        }
        for (name, value) in &answer.headers {
            set(name, value);
        }
        Ok(response)
    }

    /// The `Date` of an answer, which is wrong in one of `odd_every`.
    fn date(&self, odd_every: u64) -> String {
        let dice = if odd_every > 0 { mix(self.options.seed ^ mix(self.next_number())) } else { 1 };
        let odd = odd_every > 0 && dice.is_multiple_of(odd_every);
        let error = if odd { date_error(mix(dice)).saturating_mul(TICKS_PER_SECOND) } else { 0 };
        http_date(self.clock.now().saturating_add(error))
    }

    /// Headers and body of a refusal that asks to wait.
    fn asks_to_wait(&self, request: &Request, status: u16, wait: Wait) -> (Vec<(String, String)>, String) {
        let at = |seconds: i64| self.clock.now().saturating_add(seconds.saturating_mul(TICKS_PER_SECOND));
        let wait = match wait {
            Wait::Text(text) => text.to_owned(),
            Wait::Date(seconds) => http_date(at(seconds)),
            Wait::OldDate(seconds) => old_http_date(at(seconds)),
        };
        let code = match (request.path.starts_with("/graph/"), status) {
            (true, 429) => "TooManyRequests",
            (true, _) => "UnknownError",
            (false, 429) => "AF429",
            (false, _) => "AF50000",
        };
        let body = serde_json::json!({ "error": { "code": code, "message": "Please wait and try again." } });
        let json = "application/json; charset=utf-8".to_owned();
        (vec![("content-type".to_owned(), json), ("retry-after".to_owned(), wait)], body.to_string())
    }

    fn injected(&self, request: &Request, status: u16, headers: &[(String, String)], body: &str) -> Response<Body> {
        self.log(request, status, "injected", None);
        self.rules.throttled(self, request, status, headers);
        let mut response = Response::new(Body::new(body.as_bytes().to_vec(), Flow::Whole, None));
        // Every answer of the services carries a date; an injected header of that name replaces it.
        let date = self.date(self.options.misbehaviour.dates.odd_instead_every);
        if let Ok(date) = HeaderValue::try_from(date) {
            response.headers_mut().insert("date", date);
        }
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }

    fn log(&self, request: &Request, status: u16, code: &str, stream: Option<usize>) {
        let line = RequestLine {
            millis: u64::try_from(self.clock.elapsed().as_millis()).unwrap_or(u64::MAX),
            method: request.method.clone(),
            path_and_query: request.path_and_query(),
            status,
            code: code.to_owned(),
            stream: stream.map(|stream| STREAMS[stream].name.to_owned()),
        };
        self.tally.request(stream, line);
    }
}

/// The host that nobody should be led to: it notes who comes.
async fn stranger(State(tenant): State<Arc<Tenant>>, request: axum::extract::Request) -> Response<axum::body::Body> {
    let (parts, _) = request.into_parts();
    let request = Request {
        method: parts.method.as_str().to_owned(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or("").to_owned(),
        headers: parts.headers,
        body: Vec::new(),
    };
    let token = request.header("authorization").is_some();
    let rule =
        if token { "a token was sent to a foreign host" } else { "a foreign host was asked, though without a token" };
    tenant.violation(&request, rule);
    Response::new(axum::body::Body::from("[]"))
}

/// Undoes percent-encoding in a path.
fn decoded(path: &str) -> String {
    // A plus sign stands for itself in a path, unlike in a query.
    let text = format!("p={}", path.replace('+', "%2B").replace('&', "%26"));
    form_urlencoded::parse(text.as_bytes()).next().map_or_else(String::new, |(_, value)| value.into_owned())
}

/// Fills in the `innerError` of a Graph error.
fn identify(body: &mut Vec<u8>, date: &str, request_id: &str, client_id: &str) {
    let Ok(mut value) = serde_json::from_slice::<serde_json::Value>(body) else { return };
    value["error"]["innerError"] =
        serde_json::json!({ "date": date, "request-id": request_id, "client-request-id": client_id });
    *body = value.to_string().into_bytes();
}

async fn handle(
    State(tenant): State<Arc<Tenant>>,
    Extension(reset): Extension<Arc<Notify>>,
    request: axum::extract::Request,
) -> Response<axum::body::Body> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, REQUEST_LIMIT).await.map(|bytes| bytes.to_vec()).unwrap_or_default();
    let request = Request {
        method: parts.method.as_str().to_owned(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or("").to_owned(),
        headers: parts.headers,
        body,
    };
    if !tenant.options.latency.is_zero() {
        tokio::time::sleep(tenant.options.latency).await;
    }
    match tenant.respond(&request) {
        Ok(response) => response.map(axum::body::Body::new),
        Err(silence) => {
            tokio::time::sleep(silence).await;
            // The connection's task ends this one.
            reset.notify_one();
            std::future::pending().await
        }
    }
}

/// Serves until told to stop; open connections are then cut.
/// `strangers` is the host that is none of the tenant's.
pub(crate) async fn serve(
    tenant: Arc<Tenant>,
    tls: Option<Tls>,
    listener: TcpListener,
    strangers: TcpListener,
    mut stop: oneshot::Receiver<()>,
) {
    let manner = Manner { title_case: tenant.options.faults.title_case_headers, tls, tally: Arc::clone(&tenant.tally) };
    let foreign: Router = Router::new().fallback(any(stranger)).with_state(Arc::clone(&tenant));
    let router: Router = Router::new().fallback(any(handle)).with_state(tenant);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stop => break,
            Some(_) = connections.join_next() => {}
            accepted = strangers.accept() => {
                if let Ok((socket, _)) = accepted {
                    let service = TowerToHyperService::new(foreign.clone());
                    connections.spawn(connection(socket, service, manner.clone(), Arc::new(Notify::new())));
                }
            }
            accepted = listener.accept() => {
                let socket = match accepted {
                    Ok((socket, _)) => socket,
                    // The client's loss, or too many open files: others may do better in a moment.
                    Err(_) => {
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                };
                let _ = socket.set_nodelay(true);
                let reset = Arc::new(Notify::new());
                let service = TowerToHyperService::new(router.clone().layer(Extension(Arc::clone(&reset))));
                connections.spawn(connection(socket, service, manner.clone(), reset));
            }
        }
    }
}
