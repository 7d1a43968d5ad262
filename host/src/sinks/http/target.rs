//! The service at the other end: its address, who we are to it, and one exchange.
//!
//! This is not the plugin's way out: it has connections of its own, follows no redirect, uses no proxy, and goes to one
//! address that the operator wrote down. Secrets are put on here, and shown nowhere.

use std::io::Read as _;
use std::time::{Duration, SystemTime};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use ureq::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use ureq::tls::TlsConfig;
use url::{Host, Url};

use super::answer::{Verdict, judge, readable};
use super::{Interrupter, LONGEST_WAIT, SinkError, Trouble};
use crate::config::{AuthConfig, Compression, HttpEncoding, SinkConfig};
use crate::foreign_text;
use crate::http::{retry_after, root_certificates, translate};
use crate::sinks::compression::compress;

/// As much of an answer's body as is looked at.
const ANSWER_BYTES: u64 = 4096;

/// Headers that this sink sets itself.
const OWN_HEADERS: [&str; 8] = [
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "connection",
    "expect",
    "accept-encoding",
];

pub(super) struct Target {
    agent: ureq::Agent,
    uri: Uri,
    /// The address without what could be secret, for people.
    place: String,
    headers: HeaderMap,
    encoding: HttpEncoding,
    compression: Compression,
}

/// What came of an exchange.
pub(super) enum Outcome {
    Answer(Verdict),
    Failed {
        message: String,
        /// Whether the connection was cut in the middle.
        cut: bool,
    },
}

fn fault(message: impl Into<String>) -> SinkError {
    SinkError::new(Trouble::Configuration, message)
}

impl Target {
    pub(super) fn new(config: &SinkConfig) -> Result<Self, SinkError> {
        let url = address(config)?;
        let place = format!("{}{}", url.origin().ascii_serialization(), url.path());
        let uri: Uri = url.as_str().parse().map_err(|error| fault(format!("`url` {place} can't be used: {error}.")))?;
        let encoding = config.encoding.unwrap_or_default();
        let mut headers = headers(config)?;
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(match encoding {
                HttpEncoding::Ndjson => "application/x-ndjson",
                HttpEncoding::Json => "application/json",
            }),
        );
        match config.compression {
            Compression::None => {}
            Compression::Gzip => drop(headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))),
            Compression::Zstd => drop(headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("zstd"))),
        }
        let mut tls = TlsConfig::builder();
        if let Some(path) = &config.ca_file {
            tls = tls.root_certs(root_certificates(path).map_err(|error| fault(error.message))?);
        }
        let seconds = config.timeout_seconds.unwrap_or(if config.optional { 5 } else { 30 });
        let whole = Duration::from_secs(seconds);
        let agent = ureq::Agent::config_builder()
            .proxy(None)
            .tls_config(tls.build())
            .max_redirects(0)
            .http_status_as_error(false)
            .user_agent(concat!("m365-pipe/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(whole.min(Duration::from_secs(15))))
            .timeout_global(Some(whole))
            .build();
        Ok(Self {
            agent: ureq::Agent::new_with_config(agent),
            uri,
            place,
            headers,
            encoding,
            compression: config.compression,
        })
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Ends an exchange that is going on, from another thread. The target is of no use afterwards.
    pub(super) fn interrupter(&self) -> Interrupter {
        let agent = self.agent.clone();
        Box::new(move || agent.clone().shutdown())
    }

    /// Sends lines as one request.
    pub(super) fn post(&self, lines: &[&[u8]]) -> Result<Outcome, SinkError> {
        let body =
            self.body(lines).map_err(|error| SinkError::passing(format!("A batch can't be compressed: {error}.")))?;
        let mut request = ureq::http::Request::new(body);
        *request.method_mut() = ureq::http::Method::POST;
        *request.uri_mut() = self.uri.clone();
        request.headers_mut().extend(self.headers.clone());
        let answer = match self.agent.run(request) {
            Ok(answer) => answer,
            Err(error) => {
                let error = translate(error, &self.place, None);
                let cut = matches!(error.code.as_str(), "reset" | "cut");
                return Ok(Outcome::Failed { message: error.message, cut });
            }
        };
        let (parts, body) = answer.into_parts();
        let status = parts.status.as_u16();
        let wait = retry_after(&parts.headers, SystemTime::now()).map(|wait| wait.min(LONGEST_WAIT));
        let mut start = Vec::new();
        // The status says it all; a body that can't be read changes nothing. Reading it to its end keeps the connection.
        let _ = body.into_reader().take(ANSWER_BYTES).read_to_end(&mut start);
        Ok(Outcome::Answer(judge(status, &self.place, &readable(&start), wait)))
    }

    fn body(&self, lines: &[&[u8]]) -> std::io::Result<Vec<u8>> {
        let bytes: usize = lines.iter().map(|line| line.len() + 1).sum();
        let mut body = Vec::with_capacity(bytes + 2);
        match self.encoding {
            HttpEncoding::Ndjson => {
                for line in lines {
                    body.extend_from_slice(line);
                    body.push(b'\n');
                }
            }
            HttpEncoding::Json => {
                body.push(b'[');
                for (index, line) in lines.iter().enumerate() {
                    if index > 0 {
                        body.push(b',');
                    }
                    body.extend_from_slice(line);
                }
                body.push(b']');
            }
        }
        if self.compression == Compression::None { Ok(body) } else { compress(self.compression, &body) }
    }
}

fn address(config: &SinkConfig) -> Result<Url, SinkError> {
    let text = config.url.as_deref().unwrap_or_default();
    // The text isn't quoted: it may hold a password.
    let url = Url::parse(text).map_err(|error| {
        fault(format!("The `url` of an http sink is no URL: {error}. Write it as https://host/path."))
    })?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(fault("The `url` of an http sink holds a user or a password. Put them into `auth` instead."));
    }
    if url.fragment().is_some() {
        return Err(fault("The `url` of an http sink has a fragment (#…), which is never sent. Remove it."));
    }
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return Err(fault("The `url` of an http sink names no host. Write it as https://host/path.")),
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if loopback || config.allow_insecure => Ok(url),
        "http" => Err(fault(format!(
            "The `url` of an http sink is plain http to {}: anybody on the way could read the data and the credentials. \
             Use https, or set `allow_insecure = true` if the network is yours.",
            url.host_str().unwrap_or_default()
        ))),
        other => Err(fault(format!("The `url` of an http sink begins with {other}:, and has to begin with https:."))),
    }
}

/// The configured headers.
fn headers(config: &SinkConfig) -> Result<HeaderMap, SinkError> {
    let mut headers = HeaderMap::new();
    let mut put = |name: HeaderName, key: &str, text: &str, secret: bool| -> Result<(), SinkError> {
        let mut value = HeaderValue::from_str(text)
            .map_err(|_| fault(format!("`{key}` of an http sink holds characters that can't be sent in a header.")))?;
        value.set_sensitive(secret);
        headers.insert(name, value);
        Ok(())
    };
    for (name, value) in &config.headers {
        let key = format!("headers.{name}");
        let parsed = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| fault(format!("{name:?} can't be the name of a header. Correct it in `headers`.")))?;
        if OWN_HEADERS.contains(&parsed.as_str()) {
            return Err(fault(format!("The header {name} is set by the sink itself. Remove it from `headers`.")));
        }
        if parsed == header::AUTHORIZATION && config.auth.is_some() {
            return Err(fault("An http sink has both `auth` and a header Authorization. Keep one of them."));
        }
        let text = value.read(&key)?;
        let secret = value.value.is_none();
        put(parsed, &key, text.expose(), secret)?;
    }
    match &config.auth {
        None => {}
        Some(AuthConfig { bearer: Some(bearer), user: None, password: None }) => {
            let token = bearer.read("auth.bearer")?;
            put(header::AUTHORIZATION, "auth.bearer", &format!("Bearer {}", token.expose()), true)?;
        }
        Some(AuthConfig { bearer: None, user: Some(user), password: Some(password) }) => {
            if user.contains(':') {
                return Err(fault(
                    "`auth.user` of an http sink holds a colon, which basic authentication can't carry.",
                ));
            }
            let password = password.read("auth.password")?;
            let both = BASE64_STANDARD.encode(format!("{user}:{}", password.expose()));
            put(header::AUTHORIZATION, "auth.password", &format!("Basic {both}"), true)?;
            // Also where the password alone is too short to be hidden.
            foreign_text::hide(&both);
        }
        Some(_) => {
            return Err(fault("`auth` of an http sink needs either `bearer`, or `user` and `password`, and not both."));
        }
    }
    Ok(headers)
}
