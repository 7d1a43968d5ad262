//! The gate: what a request may be and where it may go.
//!
//! Invariant: a request that isn't expressly allowed is refused, and what was checked is exactly what is sent: the URL
//! is parsed once and the parsed form goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ureq::http::{HeaderName, HeaderValue, Uri};
use url::{Host, Url};

use super::addresses::HostPort;
use super::config::Allow;
use super::error::{Error, ErrorKind};
use super::request::{Method, Request};

/// Longest URL that is taken. Addresses of next pages run to some thousand bytes.
const MAX_URL_BYTES: usize = 32 << 10;

/// Names of headers that only the host sets, beside every name that begins with `proxy-`. The first row is that of the
/// plugin contract; the second holds the remaining headers that steer the connection.
const RESERVED_HEADERS: [&str; 12] = [
    "authorization",
    "host",
    "cookie",
    "connection",
    "content-length",
    "transfer-encoding",
    "accept-encoding",
    "expect",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
];

/// Why a request was refused. A closed set, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DenyReason {
    /// Not an absolute URL, or one that two parsers could read in two ways.
    MalformedUrl,
    /// A control character, blank or backslash in the URL.
    ControlCharacter,
    /// A user name or password in the URL.
    UserInfo,
    /// A fragment in the URL.
    Fragment,
    /// A scheme other than https, and not a configured loopback endpoint.
    Scheme,
    /// An IP address in place of a name.
    IpLiteral,
    /// An audience that nothing is allowed for.
    UnknownAudience,
    /// Scheme, host and port aren't allowed for the audience.
    OriginNotAllowed,
    /// The name led to an address that isn't public.
    AddressNotAllowed,
    /// A header that only the host sets.
    ReservedHeader,
    /// A header name that is no token, or a value with line breaks or other control characters.
    InvalidHeader,
    /// A body on a GET.
    UnexpectedBody,
    /// A quota that wasn't declared.
    UnknownQuota,
}

impl DenyReason {
    /// The name for metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MalformedUrl => "malformed-url",
            Self::ControlCharacter => "control-character",
            Self::UserInfo => "user-info",
            Self::Fragment => "fragment",
            Self::Scheme => "scheme",
            Self::IpLiteral => "ip-literal",
            Self::UnknownAudience => "unknown-audience",
            Self::OriginNotAllowed => "origin-not-allowed",
            Self::AddressNotAllowed => "address-not-allowed",
            Self::ReservedHeader => "reserved-header",
            Self::InvalidHeader => "invalid-header",
            Self::UnexpectedBody => "unexpected-body",
            Self::UnknownQuota => "unknown-quota",
        }
    }

    /// What is wrong, as the end of a sentence.
    fn sentence(self) -> &'static str {
        match self {
            Self::MalformedUrl => "its URL is malformed",
            Self::ControlCharacter => "its URL holds a control character, a blank or a backslash",
            Self::UserInfo => "its URL holds a user name or password",
            Self::Fragment => "its URL holds a fragment",
            Self::Scheme => "its URL isn't https",
            Self::IpLiteral => "its URL names an IP address in place of a host",
            Self::UnknownAudience => "its audience isn't allowed by the configuration",
            Self::OriginNotAllowed => {
                "its scheme, host and port aren't allowed for its audience; check the cloud that is configured"
            }
            Self::AddressNotAllowed => "its host leads to an address that isn't public",
            Self::ReservedHeader => "it sets a header that only the host sets",
            Self::InvalidHeader => "it holds a header with an invalid name or value",
            Self::UnexpectedBody => "it is a GET with a body",
            Self::UnknownQuota => "its quota isn't declared",
        }
    }
}

impl fmt::Display for DenyReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Denial {
    pub reason: DenyReason,
    /// Scheme, host and port, if the URL could be read; never its path, query or user.
    pub origin: Option<String>,
}

impl Denial {
    pub(super) fn error(&self) -> Error {
        let to = self.origin.as_ref().map(|origin| format!(" to {origin}")).unwrap_or_default();
        Error::new(
            ErrorKind::DeniedByHost,
            self.reason.as_str(),
            format!("The host refused a request{to} and sent nothing: {}.", self.reason.sentence()),
        )
    }
}

/// Scheme, host and port: where a URL leads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl Origin {
    fn of(url: &Url) -> Option<Self> {
        Some(Self {
            scheme: url.scheme().to_owned(),
            host: url.host_str()?.to_owned(),
            port: url.port_or_known_default()?,
        })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme, self.host, self.port)
    }
}

/// A request that passed.
#[derive(Debug)]
pub(super) struct Passed {
    pub uri: Uri,
    /// For messages: scheme, host and port.
    pub origin: String,
    /// Whether it goes to a configured loopback endpoint, past any proxy.
    pub loopback: bool,
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// The allow-list, by audience.
#[derive(Debug)]
pub(super) struct Gate {
    origins: BTreeMap<Option<String>, BTreeSet<Origin>>,
    loopback: BTreeSet<Origin>,
}

impl Gate {
    /// Takes the operator's list; refuses entries that would allow less than they seem to.
    pub(super) fn new(allow: &[Allow]) -> Result<Self, Error> {
        let mut gate = Self { origins: BTreeMap::new(), loopback: BTreeSet::new() };
        for Allow { audience, root } in allow {
            let bad = |why: &str| {
                // Without user information, which could be a password.
                let shown = Origin::of(root).map_or_else(|| root.scheme().to_owned(), |origin| origin.to_string());
                Error::new(ErrorKind::InvalidConfig, "allow", format!("The allowed address {shown} {why}."))
            };
            let origin = Origin::of(root).ok_or_else(|| bad("names no host or port"))?;
            if root.path() != "/" || root.query().is_some() || root.fragment().is_some() {
                return Err(bad("must end after host and port: paths can't be allowed one by one"));
            }
            if !root.username().is_empty() || root.password().is_some() {
                return Err(bad("holds a user name or password"));
            }
            match (root.scheme(), is_loopback(root)) {
                ("http" | "https", true) => {
                    gate.loopback.insert(origin.clone());
                }
                ("https", false) if matches!(root.host(), Some(Host::Domain(_))) => {}
                ("https", false) => {
                    return Err(bad("must name its host; IP addresses are for loopback only"));
                }
                _ => return Err(bad("must be https; plain http is for loopback only")),
            }
            gate.origins.entry(audience.clone()).or_default().insert(origin);
        }
        Ok(gate)
    }

    /// The configured endpoints on the loopback interface.
    pub(super) fn loopback(&self) -> Vec<HostPort> {
        self.loopback.iter().map(|origin| HostPort { host: origin.host.clone(), port: origin.port }).collect()
    }

    /// Checks everything about a request but its quota and the address behind its host name.
    pub(super) fn check(&self, request: &Request) -> Result<Passed, Denial> {
        let (url, origin) = self.check_url(&request.url, request.audience.as_deref())?;
        let deny = |reason| Denial { reason, origin: Some(origin.to_string()) };
        let headers = request
            .headers
            .iter()
            .map(|(name, value)| check_header(name, value))
            .collect::<Result<Vec<_>, _>>()
            .map_err(deny)?;
        if request.method == Method::Get && request.body.is_some() {
            return Err(deny(DenyReason::UnexpectedBody));
        }
        let uri: Uri = url.as_str().parse().map_err(|_| deny(DenyReason::MalformedUrl))?;
        // The HTTP library reads the text again: it must see the same place.
        let same = uri.scheme_str() == Some(&origin.scheme)
            && uri.host() == Some(&origin.host)
            && uri.port_u16().or(url.port_or_known_default()) == Some(origin.port)
            && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        if !same {
            return Err(deny(DenyReason::MalformedUrl));
        }
        Ok(Passed { uri, loopback: self.loopback.contains(&origin), origin: origin.to_string(), headers })
    }

    fn check_url(&self, text: &str, audience: Option<&str>) -> Result<(Url, Origin), Denial> {
        let blind = |reason| Denial { reason, origin: None };
        if text.len() > MAX_URL_BYTES {
            return Err(blind(DenyReason::MalformedUrl));
        }
        // The parser would drop or turn these silently, and what it drops another parser may keep.
        if text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
            return Err(blind(DenyReason::ControlCharacter));
        }
        let url = Url::parse(text).map_err(|_| blind(DenyReason::MalformedUrl))?;
        let origin = match Origin::of(&url) {
            Some(origin) => origin,
            None if !matches!(url.scheme(), "http" | "https") => {
                return Err(blind(DenyReason::Scheme));
            }
            None => return Err(blind(DenyReason::MalformedUrl)),
        };
        let deny = |reason| Denial { reason, origin: Some(origin.to_string()) };
        // The parser forgives missing and superfluous slashes, which other parsers read as something else.
        let written = text
            .get(url.scheme().len()..)
            .and_then(|rest| rest.strip_prefix("://"))
            .and_then(|rest| rest.split(['/', '?', '#']).next())
            .filter(|authority| !authority.is_empty())
            .ok_or_else(|| deny(DenyReason::MalformedUrl))?;
        // An `@` with nothing before it parses as no user information: refused as well.
        if !url.username().is_empty() || url.password().is_some() || written.contains('@') {
            return Err(deny(DenyReason::UserInfo));
        }
        if url.fragment().is_some() {
            return Err(deny(DenyReason::Fragment));
        }
        let loopback = self.loopback.contains(&origin);
        if !matches!(url.host(), Some(Host::Domain(_))) && !loopback {
            return Err(deny(DenyReason::IpLiteral));
        }
        if url.scheme() != "https" && !loopback {
            return Err(deny(DenyReason::Scheme));
        }
        let allowed = self.origins.get(&audience.map(str::to_owned));
        match allowed {
            None if audience.is_some() => Err(deny(DenyReason::UnknownAudience)),
            Some(origins) if origins.contains(&origin) => Ok((url, origin)),
            _ => Err(deny(DenyReason::OriginNotAllowed)),
        }
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

fn check_header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), DenyReason> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| DenyReason::InvalidHeader)?;
    // `HeaderName` is in lower case whatever the case of its source.
    if RESERVED_HEADERS.contains(&name.as_str()) || name.as_str().starts_with("proxy-") {
        return Err(DenyReason::ReservedHeader);
    }
    let value = HeaderValue::from_str(value).map_err(|_| DenyReason::InvalidHeader)?;
    Ok((name, value))
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
