//! What an operator decides about the way out: where to, how often, how long, how much.
//!
//! Invariant: a [`Config`] that [`Client::new`](super::Client::new) took allows no more than it names.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::error::{Error, ErrorKind};
use super::quota::{Backoff, QuotaRule};
use super::secret::Secret;

/// One place that requests may go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allow {
    /// The audience whose token belongs there; `None` for requests that carry no token.
    pub audience: Option<String>,
    /// Scheme, host and port, such as `https://api.example.com`. Plain `http` and IP addresses are taken only on the
    /// loopback interface.
    pub root: Url,
}

impl Allow {
    /// The scheme, host and port of a URL; its path counts for nothing, since the gate is about origins.
    pub fn origin_of(audience: Option<&str>, url: &Url) -> Self {
        let mut root = url.clone();
        root.set_path("");
        root.set_query(None);
        root.set_fragment(None);
        Self { audience: audience.map(str::to_owned), root }
    }
}

/// Gives out access tokens.
pub trait TokenProvider: Send + Sync {
    /// A token for `audience` that is good for some minutes at least.
    fn token(&self, audience: &str) -> Result<Secret, Error>;

    /// Called after the service refused a token. The same token again means: there is no other one for now.
    fn renew(&self, audience: &str, refused: &Secret) -> Result<Secret, Error>;

    /// By how many milliseconds the believed time of the service that issues tokens is ahead of this machine's clock: it
    /// answers before any other service does.
    fn clock_ahead_ms(&self) -> i64 {
        0
    }
}

/// For clients that send no tokens: every audience is unknown.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoTokens;

impl TokenProvider for NoTokens {
    fn token(&self, audience: &str) -> Result<Secret, Error> {
        Err(Error::new(
            ErrorKind::InvalidConfig,
            "no-tokens",
            format!("No credentials are configured for the audience {audience:?}."),
        ))
    }

    fn renew(&self, audience: &str, _refused: &Secret) -> Result<Secret, Error> {
        self.token(audience)
    }
}

/// Time limits of one exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// For the name look-up, and again for the connection with TLS.
    pub connect: Duration,
    /// From the end of the request to the end of the answer's headers. `idle` bounds this as well.
    pub headers: Duration,
    /// Between two arrivals of bytes.
    pub idle: Duration,
    /// For the whole exchange until the end of the body: the default, and the most that a request may ask for.
    pub whole: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            headers: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            whole: Duration::from_secs(300),
        }
    }
}

/// The address of an HTTP proxy (`http://` or `https://`), possibly with credentials, which are never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl(Url);

impl ProxyUrl {
    /// Reads `http://[user:password@]host[:port]`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let bad = |why: &str| {
            // The text isn't quoted: it may hold a password.
            Error::new(
                ErrorKind::InvalidConfig,
                "proxy",
                format!("The proxy address {why}. Write it as http://host:port."),
            )
        };
        let url = Url::parse(text).map_err(|error| bad(&format!("is not a URL ({error})")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(bad("does not begin with http:// or https://"));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(bad("names no host"));
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(bad("has a path, a query or a fragment"));
        }
        Ok(Self(url))
    }

    /// The same proxy, with who we are to it.
    #[must_use]
    pub fn with_login(mut self, user: &str, password: &Secret) -> Self {
        // What is read from it is decoded once. An address with a host, as this is, takes both.
        let escaped = |text: &str| -> String { text.bytes().map(|byte| format!("%{byte:02X}")).collect() };
        let _ = self.0.set_username(&escaped(user));
        let _ = self.0.set_password(Some(&escaped(password.expose())));
        self
    }

    pub(super) fn url(&self) -> &Url {
        &self.0
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without user and password.
        f.write_str(&self.0[..url::Position::BeforeUsername])?;
        f.write_str(&self.0[url::Position::BeforeHost..url::Position::AfterPort])
    }
}

impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// How bytes travel: everything that doesn't depend on who is asked for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transport {
    /// The proxy, if there is one. The environment is not consulted. Loopback endpoints are reached without it. The
    /// proxy resolves the names of its targets, so the address check then is the proxy's.
    pub proxy: Option<ProxyUrl>,
    /// A PEM file with the root certificates to trust *in place of* the built-in ones, for proxies that inspect TLS.
    pub ca_file: Option<PathBuf>,
    /// Time limits.
    pub timeouts: Timeouts,
    /// The `User-Agent` of requests that set none.
    pub user_agent: String,
    /// The most bytes of a body, counted after decompression.
    pub max_body_bytes: u64,
    /// The most bytes of an answer's status line and headers.
    pub max_header_bytes: usize,
    /// How many idle connections are kept for each host.
    pub idle_connections_per_host: usize,
}

impl Default for Transport {
    fn default() -> Self {
        Self {
            proxy: None,
            ca_file: None,
            timeouts: Timeouts::default(),
            user_agent: concat!("m365-pipe/", env!("CARGO_PKG_VERSION")).to_owned(),
            max_body_bytes: 1 << 30,
            max_header_bytes: 64 << 10,
            idle_connections_per_host: 16,
        }
    }
}

/// Everything that a [`Client`](super::Client) needs to know.
#[derive(Clone)]
pub struct Config {
    /// Where requests may go. Anywhere else is refused.
    pub allow: Vec<Allow>,
    /// The rates. A request names one of these; another name is refused.
    pub quotas: Vec<QuotaRule>,
    /// What to do when a service says 429 or "not before".
    pub backoff: Backoff,
    /// The header in which an answer tells how much of its limit is used, as a number of which 1 is all of it; lower case.
    pub load_header: Option<&'static str>,
    /// How long a request may be held back. If it would be longer, the call fails at once with `rate-limited` and the
    /// time to come back.
    pub max_hold: Duration,
    /// The file in which the use of the quotas is remembered beyond the process, if there is one.
    pub quota_memory: Option<PathBuf>,
    /// Where tokens come from.
    pub tokens: Arc<dyn TokenProvider>,
    /// How bytes travel.
    pub transport: Transport,
}

impl Config {
    /// A configuration that allows nothing yet and sends no tokens.
    pub fn new(transport: Transport) -> Self {
        Self {
            allow: Vec::new(),
            quotas: Vec::new(),
            backoff: Backoff::default(),
            load_header: None,
            max_hold: Duration::from_secs(120),
            quota_memory: None,
            tokens: Arc::new(NoTokens),
            transport,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_printed_without_its_password() {
        let proxy = ProxyUrl::parse("http://me:canary@proxy.example.com:3128").unwrap();
        assert_eq!(format!("{proxy} {proxy:?}"), "http://proxy.example.com:3128 http://proxy.example.com:3128");
    }

    #[test]
    fn a_bad_proxy_is_refused_without_quoting_it() {
        for text in ["socks5://u:canary@p", "proxy:3128", "http://u:canary@p/path", "http://", "http://p?canary"] {
            let error = ProxyUrl::parse(text).unwrap_err();
            assert_eq!(error.kind, ErrorKind::InvalidConfig, "{text}");
            assert!(!error.message.contains("canary"), "{text}");
        }
    }
}
