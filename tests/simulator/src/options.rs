//! What can be chosen about a simulated tenant: size, time, quotas, and how it misbehaves.
//!
//! Invariant: with equal options, `now` included, two simulators hold the same records and the same blobs.

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf, time::Duration};

use crate::misbehaviour::Misbehaviour;

/// Settings of a [`Simulator`](crate::Simulator). Start from `Options::default()` and set the public fields.
#[derive(Clone, Debug)]
pub struct Options {
    /// Determines every record, id and address.
    pub seed: u64,
    /// Number of distinct, well-formed records over all streams in sum. Ignored with `corpus`.
    pub events: u64,
    /// Names of the streams that have records; empty means all twelve. The others are served, but empty.
    pub streams: BTreeSet<String>,
    /// Serve the NDJSON files of this folder, byte for byte, instead of generated records. A file `<prefix>.<origin>.ndjson` belongs to the
    /// stream of its prefix (`o365-exchange`, `graph-signins-interactive`, ...; `o365-edge` to `office365.general`). Lines that are no JSON
    /// are left out. The records' own times stay as they are: an arrival within `spread` is assigned, and Graph filters compare that.
    pub corpus: Option<PathBuf>,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Aim for about this many bytes in each generated record. Records are padded with further list items of their own kind, never cut.
    pub record_bytes: Option<usize>,
    /// Own records in each content blob of the Management Activity API (repeats come on top).
    pub blob_records: usize,
    /// Content blobs in one page of `subscriptions/content`.
    pub content_page: usize,
    /// Most records in one Graph page, however large `$top` is.
    pub graph_page: usize,
    /// Delay before each answer.
    pub latency: Duration,
    /// Request quotas.
    pub quotas: Quotas,
    /// The simulated "now" at the start, in epoch milliseconds. `None` is the real time.
    pub now: Option<i64>,
    /// How many times as fast as the real one the simulated clock runs; one at least.
    pub speed: f64,
    /// The records lie within this time before now.
    pub spread: Duration,
    /// The newest record has arrived this long before now.
    pub newest_age: Duration,
    /// The newest record arrives this much later than `newest_age` says: with more than `newest_age`, records keep arriving while the
    /// simulator runs.
    pub ahead: Duration,
    /// The most by which a Graph record becomes visible after its own time. Keep it below `newest_age` if all is to be visible at the start.
    pub graph_lateness: Duration,
    /// Validity of access tokens.
    pub token_lifetime: Duration,
    /// How long content can be fetched after `contentCreated`: documented are 7 days, observed were 20.
    pub content_lifetime: Duration,
    /// Time that must pass between two effective starts of one subscription.
    pub start_guard: Duration,
    /// Whether all content types are subscribed at the start. A tenant that nobody has collected from yet has none.
    pub subscribed: bool,
    /// NDJSON files that the collector writes, for the verdict.
    pub outputs: Vec<PathBuf>,
    /// Compress bodies for clients that accept gzip.
    pub gzip: bool,
    /// Serve over TLS, with a certificate made at the start for this machine: [`Simulator::ca_pem`](crate::Simulator::ca_pem).
    #[cfg(feature = "tls")]
    pub tls: bool,
    /// Threads that serve requests.
    pub workers: usize,
    /// What is wrong with the tenant.
    pub faults: Faults,
    /// What is odd about the tenant and its services, as scenarios set it.
    pub misbehaviour: Misbehaviour,
}

impl Default for Options {
    fn default() -> Self {
        let hours = |n: u64| Duration::from_secs(n * 3_600);
        Self {
            seed: 1,
            events: 2_000,
            streams: BTreeSet::new(),
            corpus: None,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            record_bytes: None,
            blob_records: 20,
            content_page: 5,
            graph_page: 100,
            latency: Duration::ZERO,
            quotas: Quotas::default(),
            now: None,
            speed: 1.0,
            spread: hours(20),
            newest_age: Duration::from_secs(20 * 60),
            ahead: Duration::ZERO,
            graph_lateness: Duration::from_secs(15 * 60),
            token_lifetime: Duration::from_secs(3_599),
            content_lifetime: hours(7 * 24),
            start_guard: Duration::from_secs(15 * 60),
            subscribed: false,
            outputs: Vec::new(),
            gzip: true,
            #[cfg(feature = "tls")]
            tls: false,
            workers: 2,
            faults: Faults::default(),
            misbehaviour: Misbehaviour::default(),
        }
    }
}

impl Options {
    /// Options for `events` records made from `seed`, everything else at its default.
    #[must_use]
    pub fn new(seed: u64, events: u64) -> Self {
        Self { seed, events, ..Self::default() }
    }

    /// The same options with other quotas.
    #[must_use]
    pub fn with_quotas(mut self, quotas: Quotas) -> Self {
        self.quotas = quotas;
        self
    }

    /// The same options with faults.
    #[must_use]
    pub fn with_faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }
}

/// Requests that are answered in each period; more are refused, and noted as violations. Refused requests do not count against the quota.
#[derive(Clone, Copy, Debug)]
pub struct Quotas {
    /// Management Activity API, requests in a minute.
    pub management_per_minute: u32,
    /// Graph sign-ins and directory audits together, requests in ten seconds.
    pub reports_per_10_seconds: u32,
    /// Graph alerts, both kinds together, requests in a minute.
    pub alerts_per_minute: u32,
}

impl Default for Quotas {
    /// The documented quotas: 2,000 in a minute, 5 in ten seconds, 150 in a minute.
    fn default() -> Self {
        Self { management_per_minute: 2_000, reports_per_10_seconds: 5, alerts_per_minute: 150 }
    }
}

impl Quotas {
    /// No limit on any API.
    #[must_use]
    pub fn unlimited() -> Self {
        Self { management_per_minute: u32::MAX, reports_per_10_seconds: u32::MAX, alerts_per_minute: u32::MAX }
    }
}

/// What is wrong with the tenant or its services. The default is a healthy one.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Application roles the collector was not granted, such as `AuditLog.Read.All` or `ActivityFeed.ReadDlp`.
    pub missing_roles: BTreeSet<String>,
    /// The client secret has expired.
    pub secret_expired: bool,
    /// The tenant has no Entra ID P1 or P2 licence: sign-ins cannot be read.
    pub no_premium_licence: bool,
    /// The unified audit log is off: subscriptions cannot be started.
    pub auditing_off: bool,
    /// Content types whose subscription an administrator has disabled.
    pub disabled_content_types: BTreeSet<String>,
    /// What the retired `/security/alerts` does.
    pub legacy_alerts: LegacyAlerts,
    /// Provider of legacy alerts that fails: answers are 206 with a `Warning` header.
    pub failing_provider: Option<String>,
    /// The Management Activity API refuses over quota with HTTP 429 instead of the documented 403.
    pub management_429: bool,
    /// Throttling answers carry `Retry-After`.
    pub retry_after: bool,
    /// `NextPageUri` goes out as `Nextpageuri`, other headers alike, instead of lower case. (Header names are case-insensitive; the HTTP
    /// library cannot write the spelling of the documentation.)
    pub title_case_headers: bool,
    /// Greater `$top` values are refused by Graph, below the documented 1,000.
    pub top_cap: Option<u32>,
    /// `$orderby` on alerts, which is undocumented, is refused.
    pub no_alert_order: bool,
    /// Answers that replace the real ones, the first that fits wins.
    pub injections: Vec<Injection>,
}

/// The state of the legacy alerts endpoint, whose retirement date has passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LegacyAlerts {
    /// Serves alerts.
    #[default]
    Served,
    /// Answers 410.
    Gone,
    /// Answers with an empty list.
    Empty,
}

/// Replaces some answers: the requests whose path and query contain `part`, after the first `skip` of them, `times` times.
#[derive(Clone, Debug)]
pub struct Injection {
    /// What the request's path and query must contain.
    pub part: String,
    /// How many such requests are answered normally first.
    pub skip: u32,
    /// How many are then answered with `instead`.
    pub times: u32,
    /// The other answer.
    pub instead: Instead,
}

/// The other answer of an [`Injection`].
#[derive(Clone, Debug)]
pub enum Instead {
    /// A status, headers and a body that the simulator would not have sent.
    Answer {
        /// HTTP status.
        status: u16,
        /// Headers, `content-type` among them.
        headers: Vec<(String, String)>,
        /// The body.
        body: String,
    },
    /// The real answer, but the connection breaks after this many bytes of its body.
    CutAfter(usize),
    /// A refusal in the envelope of the API that was asked, which asks to wait.
    AskToWait {
        /// HTTP status.
        status: u16,
        /// What `Retry-After` says.
        wait: Wait,
    },
    /// A refusal with this status whose message repeats the headers of the request, the token among them.
    Echo(u16),
    /// No answer: the connection is reset.
    Reset,
    /// No answer: nothing for so long, for real, and then the connection is reset.
    Silence(Duration),
    /// The real answer, this many bytes of its body at a time with a real pause between them.
    Slow(usize, Duration),
}

/// The value of a `Retry-After`.
#[derive(Clone, Copy, Debug)]
pub enum Wait {
    /// This text.
    Text(&'static str),
    /// A date so many seconds from now, or before now if negative.
    Date(i64),
    /// The same in the spelling of RFC 850.
    OldDate(i64),
}

/// Names and meanings of the faults that [`Faults::set`] knows.
pub const FAULTS: &[(&str, &str)] = &[
    ("missing-role=ROLE", "the application lacks a role, such as AuditLog.Read.All (repeatable)"),
    ("secret-expired", "the client secret has expired (AADSTS7000222)"),
    ("no-premium-licence", "sign-ins answer 403: no Entra ID P1 or P2"),
    ("auditing-off", "subscriptions/start answers 400: the unified audit log is off"),
    ("disabled=CONTENT-TYPE", "an administrator disabled the subscription (AF20023; repeatable)"),
    ("legacy-gone", "/security/alerts answers 410"),
    ("legacy-empty", "/security/alerts answers with an empty list"),
    ("failing-provider=NAME", "/security/alerts answers 206 with a Warning for this provider"),
    ("management-429", "over quota the Management Activity API answers 429 instead of 403"),
    ("retry-after", "throttling answers carry Retry-After"),
    ("title-case-headers", "response headers in title case instead of lower case"),
    ("top-cap=N", "Graph refuses $top above N"),
    ("no-alert-order", "Graph refuses $orderby on alerts"),
    ("unavailable=TEXT", "the first three requests whose path contains TEXT answer 503 with an HTML page (repeatable)"),
    ("cut=TEXT", "the first answer to a request whose path contains TEXT breaks off after 1,000 bytes (repeatable)"),
];

impl Faults {
    /// These faults and the ones of `other`, whose single values win.
    #[must_use]
    pub fn with(mut self, other: Self) -> Self {
        self.missing_roles.extend(other.missing_roles);
        self.disabled_content_types.extend(other.disabled_content_types);
        self.injections.extend(other.injections);
        Self {
            secret_expired: self.secret_expired || other.secret_expired,
            no_premium_licence: self.no_premium_licence || other.no_premium_licence,
            auditing_off: self.auditing_off || other.auditing_off,
            legacy_alerts: match other.legacy_alerts {
                LegacyAlerts::Served => self.legacy_alerts,
                set => set,
            },
            failing_provider: other.failing_provider.or(self.failing_provider),
            management_429: self.management_429 || other.management_429,
            retry_after: self.retry_after || other.retry_after,
            title_case_headers: self.title_case_headers || other.title_case_headers,
            top_cap: other.top_cap.or(self.top_cap),
            no_alert_order: self.no_alert_order || other.no_alert_order,
            missing_roles: self.missing_roles,
            disabled_content_types: self.disabled_content_types,
            injections: self.injections,
        }
    }

    /// Sets a fault by its name in [`FAULTS`], written `name` or `name=value`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with `text`.
    pub fn set(&mut self, text: &str) -> Result<(), String> {
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        let needed = || match value {
            Some(value) if !value.is_empty() => Ok(value.to_owned()),
            _ => Err(format!("Fault {name} needs a value: write {name}=VALUE.")),
        };
        match name {
            "missing-role" => drop(self.missing_roles.insert(needed()?)),
            "secret-expired" => self.secret_expired = true,
            "no-premium-licence" => self.no_premium_licence = true,
            "auditing-off" => self.auditing_off = true,
            "disabled" => drop(self.disabled_content_types.insert(needed()?)),
            "legacy-gone" => self.legacy_alerts = LegacyAlerts::Gone,
            "legacy-empty" => self.legacy_alerts = LegacyAlerts::Empty,
            "failing-provider" => self.failing_provider = Some(needed()?),
            "management-429" => self.management_429 = true,
            "retry-after" => self.retry_after = true,
            "title-case-headers" => self.title_case_headers = true,
            "top-cap" => {
                let cap = needed()?.parse().map_err(|_| "Fault top-cap needs a whole number.".to_owned())?;
                self.top_cap = Some(cap);
            }
            "no-alert-order" => self.no_alert_order = true,
            "unavailable" => self.injections.push(Injection {
                part: needed()?,
                skip: 0,
                times: 3,
                instead: Instead::Answer {
                    status: 503,
                    headers: vec![("content-type".to_owned(), "text/html".to_owned())],
                    body: "<html><head><title>503 Service Unavailable</title></head><body>The service is unavailable.</body></html>".to_owned(),
                },
            }),
            "cut" => self.injections.push(Injection { part: needed()?, skip: 0, times: 1, instead: Instead::CutAfter(1_000) }),
            _ => return Err(format!("There is no fault {name}; see the list of faults.")),
        }
        Ok(())
    }
}
