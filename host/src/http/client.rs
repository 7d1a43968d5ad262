//! Sending: the gate, the token, the quota, the exchange, in this order.
//!
//! Invariant: a token is put on last, on a request that passed the gate for that token's audience, and on no other. What an
//! answer says of times and waits is bounded here, before anybody else sees it.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ureq::http::{self, HeaderMap, HeaderName, HeaderValue, header};
use ureq::tls::{PemItem, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{DefaultResolver, Resolver};
use ureq::unversioned::transport::DefaultConnector;

use super::addresses::{GuardedResolver, HostPort};
use super::cancel::Cancel;
use super::clocks::{Clocks, Told, counts};
use super::config::{Config, ProxyUrl, Timeouts, TokenProvider, Transport};
use super::error::{Error, ErrorKind};
use super::policy::{Denial, DenyReason, Gate, Passed};
use super::quota::{Quotas, UnderWay};
use super::request::{Method, Request};
use super::response::{Body, Response};
use super::retry_after::{date, retry_after};
use super::secret::Secret;
use super::stats::{Counters, Stats};
use super::transport_error::{address_denied, translate};
use super::trial::Trials;

/// Headers of answers that could carry credentials back.
const HIDDEN_HEADERS: [&str; 6] = [
    "set-cookie",
    "set-cookie2",
    "authorization",
    "authentication-info",
    "proxy-authorization",
    "proxy-authentication-info",
];

/// How long a token that was just issued may take to get around.
const MOMENT: Duration = Duration::from_secs(1);
/// A request goes out so often, each time with another token, while those are refused.
const TRIES: u32 = 3;

/// The way out. Cheap to clone; clones share connections, quotas and counters.
#[derive(Clone)]
pub struct Client(Arc<Shared>);

pub(super) struct Shared {
    agent: ureq::Agent,
    gate: Gate,
    quotas: Quotas,
    proxy: Option<ProxyUrl>,
    tokens: Arc<dyn TokenProvider>,
    timeouts: Timeouts,
    load_header: Option<&'static str>,
    max_hold: Duration,
    clocks: Clocks,
    pub(super) max_body_bytes: u64,
    counters: Mutex<Counters>,
    trials: Trials,
}

impl Shared {
    fn counters(&self) -> MutexGuard<'_, Counters> {
        // Counters are right between any two statements, so a panic elsewhere doesn't spoil them.
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn failed(&self, error: &Error) {
        *self.counters().stats.failures.entry(error.kind).or_default() += 1;
    }

    pub(super) fn received(&self, bytes: u64) {
        self.counters().stats.bytes_received += bytes;
    }

    /// Puts what an answer says of times into bounds, in its headers as well: everybody reads those. Returns how long the
    /// service asks to wait.
    fn bound_claims(
        &self,
        passed: &Passed,
        request: &Request,
        parts: &mut http::response::Parts,
        (sent, received): (Instant, Instant),
    ) -> Option<Duration> {
        let wait = retry_after(&parts.headers, crate::clock::system_time());
        let date = date(&parts.headers).map(|date| {
            let counts = counts(parts.status.as_u16(), &parts.headers);
            let service = request.audience.as_deref().unwrap_or_default();
            let told = Told { sent, received, date, counts };
            self.clocks.told(service, &passed.origin, told, self.tokens.clock_ahead_ms())
        });
        let mut replace = |name: HeaderName, value: Option<String>| {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
                parts.headers.insert(name, value);
            } else {
                parts.headers.remove(name);
            }
        };
        replace(header::DATE, date.map(httpdate::fmt_http_date));
        replace(header::RETRY_AFTER, wait.map(|wait| wait.as_secs_f64().ceil().to_string()));
        wait
    }

    /// The failure of an exchange, with the proxy's name if it is the proxy's.
    fn translate(&self, error: ureq::Error, passed: &Passed) -> Error {
        let proxy = self.proxy.as_ref().filter(|_| !passed.loopback);
        translate(error, &passed.origin, proxy)
    }

    fn denied(&self, denial: &Denial, request: &Request) -> Error {
        tracing::warn!(
            reason = denial.reason.as_str(),
            origin = denial.origin.as_deref().unwrap_or("unreadable"),
            audience = ?request.audience,
            quota = ?request.quota,
            "request denied"
        );
        *self.counters().stats.denials.entry(denial.reason).or_default() += 1;
        denial.error()
    }
}

impl Client {
    /// Checks the configuration and makes a client. Nothing is connected yet.
    pub fn new(config: Config) -> Result<Self, Error> {
        Self::with_names(config, DefaultResolver::default())
    }

    /// As [`Client::new`], with names looked up by `names`; what it finds passes the address check all the same.
    fn with_names(config: Config, names: impl Resolver) -> Result<Self, Error> {
        let gate = Gate::new(&config.allow)?;
        let quotas = Quotas::new(&config.quotas, &config.backoff, config.quota_memory)?;
        let agent = agent(&config.transport, &gate, names)?;
        Ok(Self(Arc::new(Shared {
            agent,
            gate,
            quotas,
            proxy: config.transport.proxy.clone(),
            tokens: config.tokens,
            timeouts: config.transport.timeouts,
            load_header: config.load_header,
            max_hold: config.max_hold,
            clocks: Clocks::new(),
            max_body_bytes: config.transport.max_body_bytes,
            counters: Mutex::default(),
            trials: Trials::default(),
        })))
    }

    /// Sends a request and waits for status and headers. Every status is a response, 3xx, 4xx and 5xx as well.
    ///
    /// # Errors
    /// `denied-by-host` for what the policy refuses, `rate-limited` if the quota has no room for long, the token
    /// provider's errors, `cancelled`, and the failures of transport: `unavailable`, `timeout`, `protocol`, `too-large`.
    pub fn send(&self, request: Request, cancel: &Cancel) -> Result<Response, Error> {
        let shared = &self.0;
        let passed = shared.gate.check(&request).map_err(|denial| shared.denied(&denial, &request))?;
        if !shared.quotas.contains(&request.quota) {
            let denial = Denial { reason: DenyReason::UnknownQuota, origin: Some(passed.origin) };
            return Err(shared.denied(&denial, &request));
        }
        self.send_passed(&passed, &request, cancel).inspect_err(|error| {
            // Denials are counted where they are found.
            if error.kind != ErrorKind::DeniedByHost {
                shared.failed(error);
            }
        })
    }

    /// Tells that the service asked for fewer requests in a way that only the caller understands. Without a time, the
    /// quota's requests go out more slowly. Returns for how long none goes out now.
    pub fn penalize(&self, quota: &str, retry_after: Option<Duration>) -> Duration {
        self.0.quotas.penalize(quota, retry_after)
    }

    /// What time it is at the service of an audience, in milliseconds since 1970, as far as several answers agree; what this
    /// machine's clock says until then, or less.
    pub fn now_ms(&self, audience: Option<&str>) -> u64 {
        self.0.clocks.now_ms(audience.unwrap_or_default(), self.0.tokens.clock_ahead_ms())
    }

    /// By how many milliseconds that is ahead of this machine's clock.
    pub(crate) fn clock_ahead_ms(&self, audience: Option<&str>) -> i64 {
        self.0.clocks.ahead_ms(audience.unwrap_or_default())
    }

    /// Whether answers for an audience contradict this machine's clock, and more are needed to know which is right.
    pub(crate) fn clock_in_doubt(&self, audience: Option<&str>) -> bool {
        self.0.clocks.in_doubt(audience.unwrap_or_default())
    }

    /// Whether the service of an audience refused a token (401) within the last minute: that may pass, since a token that was just
    /// issued can take its time to get around.
    pub(crate) fn refusal_may_pass(&self, audience: Option<&str>) -> bool {
        audience.is_some_and(|audience| self.0.trials.refusal_may_pass(audience))
    }

    /// What happened so far.
    pub fn stats(&self) -> Stats {
        Stats { quotas: self.0.quotas.stats(), ..self.0.counters().stats.clone() }
    }

    /// Closes every connection, so that calls that wait for the network fail now. For a stopping host, after its
    /// [`Cancel`]; the client is of no use afterwards.
    pub fn shutdown(&self) {
        self.0.agent.clone().shutdown();
    }

    fn send_passed(&self, passed: &Passed, request: &Request, cancel: &Cancel) -> Result<Response, Error> {
        let shared = &self.0;
        let whole = match request.timeout {
            Duration::ZERO => shared.timeouts.whole,
            asked => asked.min(shared.timeouts.whole),
        };
        let audience = request.audience.as_deref();
        let token = || audience.map(|audience| shared.tokens.token(audience)).transpose();
        // Before the quota, so that a request that gets no token takes nobody's place; and again after it, from the
        // provider's cache, because the first may have run out meanwhile.
        let first = token()?;
        let mut trial = match (audience, &first) {
            (Some(audience), Some(token)) => shared.trials.begin(audience, token, cancel)?,
            _ => None,
        };
        let under_way = self.acquire(request, cancel)?;
        let mut token = token()?;
        let start = Instant::now();
        let mut response = self.exchange(passed, request, token.as_ref(), whole, cancel, under_way)?;
        // A token that is refused is renewed, and so is the next one, in a moment: what was just issued may not have got around
        // yet. None that was refused is sent again, but one to which the answer was a 403 that says nothing.
        for tried in 1..TRIES {
            let (Some(audience), Some(refused)) = (audience, &token) else { break };
            if !response.refuses_token() {
                break;
            }
            shared.counters().stats.refused_tokens += 1;
            if tried > 1 {
                cancel.wait(MOMENT)?;
            }
            let renewed = shared.tokens.renew(audience, refused)?;
            if renewed == *refused && response.status == 401 {
                break;
            }
            if trial.is_none() {
                trial = shared.trials.begin(audience, &renewed, cancel)?;
            }
            token = Some(renewed);
            let left = whole.saturating_sub(start.elapsed()).max(Duration::from_millis(1));
            let under_way = self.acquire(request, cancel)?;
            response = self.exchange(passed, request, token.as_ref(), left, cancel, under_way)?;
        }
        Ok(response)
    }

    fn acquire<'a>(&'a self, request: &'a Request, cancel: &Cancel) -> Result<UnderWay<'a>, Error> {
        self.0.quotas.acquire(&request.quota, self.0.max_hold, cancel)
    }

    fn exchange(
        &self,
        passed: &Passed,
        request: &Request,
        token: Option<&Secret>,
        timeout: Duration,
        cancel: &Cancel,
        under_way: UnderWay<'_>,
    ) -> Result<Response, Error> {
        cancel.check()?;
        let shared = &self.0;
        let message = message(passed, request, token)?;
        {
            let mut counters = shared.counters();
            counters.stats.requests += 1;
            counters.stats.bytes_sent += request.body.as_ref().map_or(0, |body| body.len() as u64);
        }
        let sent = crate::clock::instant();
        let answer = self.run(message, passed.loopback, timeout);
        drop(under_way);
        let received = crate::clock::instant();
        let answer = match answer {
            Ok(answer) => answer,
            Err(_) if cancel.is_cancelled() => return Err(Error::cancelled()),
            Err(error) if address_denied(&error).is_some() => {
                let denial = Denial { reason: DenyReason::AddressNotAllowed, origin: Some(passed.origin.clone()) };
                return Err(shared.denied(&denial, request));
            }
            Err(error) => return Err(shared.translate(error, passed)),
        };
        let (mut parts, body) = answer.into_parts();
        let status = parts.status.as_u16();
        // What can't be decoded here couldn't be read by the caller either.
        if let Some(encoding) = parts.headers.get(header::CONTENT_ENCODING)
            && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
        {
            return Err(Error::new(
                ErrorKind::Protocol,
                "content-encoding",
                format!("The answer from {} has a content encoding that was not asked for.", passed.origin),
            ));
        }
        let retry_after = shared.bound_claims(passed, request, &mut parts, (sent, received));
        self.learn(request, status, retry_after);
        if let (Some(audience), Some(token)) = (&request.audience, token) {
            shared.trials.answered(audience, token, status);
        }
        if let Some(load) =
            shared.load_header.and_then(|name| parts.headers.get(name)?.to_str().ok()?.trim().parse().ok())
        {
            shared.quotas.ease(&request.quota, load);
        }
        Ok(Response {
            status,
            headers: visible_headers(&parts.headers, token),
            retry_after,
            body: Body::Open(Box::new(body.into_reader())),
            ahead: None,
            read_bytes: 0,
            origin: passed.origin.clone(),
            shared: Arc::clone(shared),
            cancel: cancel.clone(),
        })
    }

    fn run(
        &self,
        message: http::Request<Vec<u8>>,
        loopback: bool,
        timeout: Duration,
    ) -> Result<http::Response<ureq::Body>, ureq::Error> {
        let agent = &self.0.agent;
        // GET goes out without any body, which an empty one is not.
        if message.method() == http::Method::GET {
            let message = agent.configure_request(message.map(|_| ())).timeout_global(Some(timeout));
            return agent.run(if loopback { message.proxy(None) } else { message }.build());
        }
        let message = agent.configure_request(message).timeout_global(Some(timeout));
        agent.run(if loopback { message.proxy(None) } else { message }.build())
    }

    /// What an answer tells about the quota.
    fn learn(&self, request: &Request, status: u16, retry_after: Option<Duration>) {
        let shared = &self.0;
        match (status, retry_after) {
            (429 | 503, _) if request.apart => {}
            (429, wait) | (503, wait @ Some(_)) => {
                tracing::info!(quota = ?request.quota, status, retry_after_s = wait.map(|wait| wait.as_secs()), "service asks for fewer requests");
                shared.quotas.penalize(&request.quota, wait);
            }
            (200..300, _) => shared.quotas.relieve(&request.quota),
            _ => {}
        }
        *shared.counters().stats.answers.entry(status / 100).or_default() += 1;
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

fn message(passed: &Passed, request: &Request, token: Option<&Secret>) -> Result<http::Request<Vec<u8>>, Error> {
    let mut message = http::Request::new(request.body.clone().unwrap_or_default());
    *message.method_mut() = match request.method {
        Method::Get => http::Method::GET,
        Method::Post => http::Method::POST,
    };
    *message.uri_mut() = passed.uri.clone();
    for (name, value) in &passed.headers {
        message.headers_mut().append(name, value.clone());
    }
    if let Some(token) = token {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose())).map_err(|_| {
            Error::new(
                ErrorKind::Unauthenticated,
                "token-malformed",
                "The access token holds characters that can't be sent in a header.",
            )
        })?;
        value.set_sensitive(true);
        message.headers_mut().insert(header::AUTHORIZATION, value);
    }
    Ok(message)
}

/// The headers without those that carry credentials, or that echo the token.
fn visible_headers(headers: &HeaderMap, token: Option<&Secret>) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .filter(|(name, value)| {
            !HIDDEN_HEADERS.contains(&name.as_str()) && !token.is_some_and(|token| value.contains(token.expose()))
        })
        .collect()
}

/// The certificates of a PEM file, to trust in place of the built-in roots.
pub(crate) fn root_certificates(path: &Path) -> Result<RootCerts, Error> {
    let bad = |message: String| Error::new(ErrorKind::InvalidConfig, "ca-file", message);
    let pem = crate::files::read(path, 16 << 20)
        .map_err(|error| bad(format!("The certificates in {} can't be read: {error}.", path.display())))?;
    let mut roots = Vec::new();
    for item in ureq::tls::parse_pem(&pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => roots.push(certificate),
            Ok(_) => {}
            Err(_) => return Err(bad(format!("{} is not a valid PEM file.", path.display()))),
        }
    }
    if roots.is_empty() {
        return Err(bad(format!("{} holds no certificate in PEM form.", path.display())));
    }
    Ok(RootCerts::from(roots))
}

fn agent(transport: &Transport, gate: &Gate, names: impl Resolver) -> Result<ureq::Agent, Error> {
    let bad = |code: &str, message: String| Error::new(ErrorKind::InvalidConfig, code, message);
    let mut tls = TlsConfig::builder();
    if let Some(path) = &transport.ca_file {
        tls = tls.root_certs(root_certificates(path)?);
    }
    let mut resolver = GuardedResolver { loopback: gate.loopback(), proxy: None, system: names };
    let mut proxy = None;
    if let Some(url) = transport.proxy.as_ref().map(|proxy| proxy.url()) {
        resolver.proxy = url
            .host_str()
            .zip(url.port_or_known_default())
            .map(|(host, port)| HostPort { host: host.to_owned(), port });
        // The error would quote the address and with it the password.
        proxy =
            Some(ureq::Proxy::new(url.as_str()).map_err(|_| {
                bad("proxy", "The proxy address can't be used; write it as http://host:port.".to_owned())
            })?);
    }
    let timeouts = &transport.timeouts;
    let config = ureq::Agent::config_builder()
        .proxy(proxy)
        .tls_config(tls.build())
        .max_redirects(0)
        .http_status_as_error(false)
        .user_agent(transport.user_agent.as_str())
        .max_response_header_size(transport.max_header_bytes)
        .max_idle_connections(4 * transport.idle_connections_per_host)
        .max_idle_connections_per_host(transport.idle_connections_per_host)
        .timeout_resolve(Some(timeouts.connect))
        .timeout_connect(Some(timeouts.connect))
        .timeout_recv_response(Some(timeouts.headers))
        .timeout_per_read(Some(timeouts.idle))
        .timeout_per_write(Some(timeouts.idle))
        .timeout_global(Some(timeouts.whole))
        .build();
    Ok(ureq::Agent::with_parts(config, DefaultConnector::default(), resolver))
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tls_tests;
