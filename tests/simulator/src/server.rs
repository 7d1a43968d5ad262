//! The HTTP side: takes requests, hands them to the API they are for, sends and logs the answers.
//!
//! Invariant: every request is logged with its answer, whatever the answer is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};
use axum::routing::any;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::answer::{Answer, Body, Completion, gzip};
use crate::catalogue::Shelf;
use crate::clock::{Clock, http_date};
use crate::manage::Subscriptions;
use crate::options::{Injection, Instead, Options};
use crate::quota::Windows;
use crate::request::Request;
use crate::streams::STREAMS;
use crate::tally::{RequestLine, Tally};
use crate::template::{mix, write_guid};
use crate::token::{Audience, Mint, Refusal};
use crate::{graph, login, manage};

/// Longest request body: token requests and webhooks are far shorter.
const REQUEST_LIMIT: usize = 64 * 1024;
/// Shorter bodies are not worth compressing.
const GZIP_FROM: usize = 512;
/// Wait after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// Everything a handler can consult.
pub(crate) struct Tenant {
    pub(crate) options: Options,
    /// `http://127.0.0.1:PORT`
    pub(crate) url: String,
    pub(crate) clock: Clock,
    pub(crate) shelves: Vec<Shelf>,
    pub(crate) mint: Mint,
    pub(crate) windows: Windows,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) tally: Arc<Tally>,
    numbers: AtomicU64,
    /// How often each injection's part was asked for.
    injected: Vec<AtomicU64>,
}

impl Tenant {
    pub(crate) fn new(options: Options, url: String, clock: Clock, shelves: Vec<Shelf>) -> Self {
        Self {
            url,
            clock,
            mint: Mint::new(options.seed),
            windows: Windows::new(options.quotas),
            subscriptions: Subscriptions::new(options.subscribed),
            tally: Arc::new(Tally::new(shelves.iter().map(|shelf| shelf.len + shelf.broken))),
            numbers: AtomicU64::new(0),
            injected: options.faults.injections.iter().map(|_| AtomicU64::new(0)).collect(),
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

    /// Notes that the client broke a rule.
    pub(crate) fn violation(&self, request: &Request, rule: &str) {
        let millis = self.clock.elapsed().as_millis();
        self.tally.violation(format!("{millis} ms, {} {}: {rule}", request.method, request.path_and_query()));
    }

    /// The roles of the request's token, or why it is refused.
    pub(crate) fn authorise(&self, request: &Request, audience: Audience) -> Result<Vec<String>, Refusal> {
        let header = request.header("authorization");
        self.mint.check(header, audience, self.clock.now()).inspect_err(|refusal| {
            match refusal {
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
        let host = request.header("host").unwrap_or("");
        if self.url.strip_prefix("http://") != Some(host) {
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
            _ => Answer::management(404, "NotFound", "No such resource."),
        }
    }

    /// The first injection that fits this request now.
    fn injection(&self, request: &Request) -> Option<&Injection> {
        let path = request.path_and_query();
        self.options.faults.injections.iter().zip(&self.injected).find_map(|(injection, count)| {
            if !path.contains(&injection.part) {
                return None;
            }
            let before = count.fetch_add(1, Relaxed);
            let from = u64::from(injection.skip);
            (from..from + u64::from(injection.times)).contains(&before).then_some(injection)
        })
    }

    fn respond(&self, request: &Request) -> Response<Body> {
        let (answer, cut_after) = match self.injection(request).map(|injection| &injection.instead) {
            None => (self.routed(request), None),
            Some(Instead::CutAfter(bytes)) => (self.routed(request), Some(*bytes)),
            Some(Instead::Answer { status, headers, body }) => {
                return self.injected(request, *status, headers, body);
            }
        };
        let graph = request.path.starts_with("/graph");
        let request_id = self.new_guid();
        let client_id = request.header("client-request-id").unwrap_or(&request_id).to_owned();
        let mut answer = answer;
        if graph && !answer.code.is_empty() {
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
        let mut response = Response::new(Body::new(packed.unwrap_or(answer.body), cut_after, completion));
        *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        let mut set = |name: &str, value: &str| {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                headers.insert(name, value);
            }
        };
        set("date", &http_date(self.clock.now()));
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
        response
    }

    fn injected(&self, request: &Request, status: u16, headers: &[(String, String)], body: &str) -> Response<Body> {
        self.log(request, status, "injected", None);
        let mut response = Response::new(Body::new(body.as_bytes().to_vec(), None, None));
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

async fn handle(State(tenant): State<Arc<Tenant>>, request: axum::extract::Request) -> Response<axum::body::Body> {
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
    tenant.respond(&request).map(axum::body::Body::new)
}

/// Serves until told to stop; open connections are then cut.
pub(crate) async fn serve(tenant: Arc<Tenant>, listener: TcpListener, mut stop: oneshot::Receiver<()>) {
    let title_case = tenant.options.faults.title_case_headers;
    let router: Router = Router::new().fallback(any(handle)).with_state(tenant);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stop => break,
            Some(_) = connections.join_next() => {}
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
                let service = TowerToHyperService::new(router.clone());
                connections.spawn(async move {
                    let mut http = hyper::server::conn::http1::Builder::new();
                    // Clients come and go as they please, and cut bodies end connections on purpose.
                    let _ = http.title_case_headers(title_case).serve_connection(TokioIo::new(socket), service).await;
                });
            }
        }
    }
}
