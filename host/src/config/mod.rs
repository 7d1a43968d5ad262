//! The configuration file: its types, defaults and meaning.
//!
//! These types are the one source of the reference: their JSON Schema is generated into `schemas/config.schema.json`.

mod faults;
mod load;
mod secrets;
mod sinks;

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use load::{ConfigError, load, parse};
pub use secrets::{HeaderConfig, SecretSource};
pub use sinks::{
    AuthConfig, Compression, HttpEncoding, RotateConfig, SinkConfig, SinkFormat, SinkKind, stream_matches,
};

use crate::entra::Cloud;

/// One tenant, what to collect of it, and where to deliver.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[schemars(rename = "m365-pipe configuration")]
#[schemars(extend("additionalProperties" = false))]
pub struct Config {
    /// The tenant: its GUID, or one of its domains such as `contoso.onmicrosoft.com`.
    pub tenant: String,
    /// The application (client) ID of the app registration.
    pub client_id: String,
    /// The environment variable that holds the client secret. One of `client_secret_env` and `client_secret_file` is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_env: Option<String>,
    /// The file that holds the client secret; a line break at its end is ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_file: Option<PathBuf>,
    /// The Microsoft cloud that the tenant lives in: `global`, `gcc`, `gcc-high`, `dod` or `china`.
    #[serde(default)]
    #[schemars(with = "CloudName")]
    pub cloud: Cloud,
    /// Where the ledger lives: positions, pending work, delivered keys, dead letters. One process at a time may use it.
    pub data_dir: PathBuf,
    /// The streams to collect, by name (`office365.exchange`) or by group (`office365.*`, `graph.signins.*`, `*`).
    #[serde(default = "every_stream")]
    pub streams: Vec<String>,
    /// Where events or records go. All of them, but for the optional ones, have to confirm before a position moves on.
    #[serde(default = "stdout_only")]
    pub sinks: Vec<SinkConfig>,
    /// Records that gave no event, or that a sink refused.
    #[serde(default)]
    pub dead_letters: DeadLettersConfig,
    /// Whether a declared gap (what can't be read any more) is also delivered as an event, to the sinks that take OCSF events
    /// of its stream.
    #[serde(default)]
    pub gap_events: bool,
    /// How the source reads.
    #[serde(default)]
    pub source: SourceConfig,
    /// How records become events.
    #[serde(default)]
    pub transform: TransformConfig,
    /// The way out to the network.
    #[serde(default)]
    pub http: HttpConfig,
    /// Bounds on memory, time and parallel work.
    #[serde(default)]
    pub limits: LimitsConfig,
    /// Other request rates than the plugin's own, by name of the quota: less, to leave room for other applications, or
    /// more, where Microsoft raised them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub quotas: BTreeMap<String, QuotaConfig>,
    /// Other addresses than those of the cloud, for tests against a simulated tenant. Plain `http` is accepted for
    /// loopback addresses only.
    #[serde(default, skip_serializing_if = "EndpointsConfig::is_empty")]
    pub endpoints: EndpointsConfig,
}

/// The names of the clouds, for the generated schema.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
#[allow(dead_code, reason = "only its schema is used")]
enum CloudName {
    Global,
    Gcc,
    GccHigh,
    Dod,
    China,
}

/// How the source reads. Every member is passed to the plugin, whose own defaults apply where one is absent.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[schemars(extend("additionalProperties" = false))]
pub struct SourceConfig {
    /// How many hours back a stream starts when it is read for the first time, 1 to 168. The plugin's default is 24.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 168))]
    pub lookback_hours: Option<u32>,
    /// The `PublisherIdentifier` of the Management Activity API: a tenant GUID. The default is the tenant's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publisher: Option<String>,
    /// At which ages a stretch of a Management Activity stream is listed again, for content that shows up late: whole
    /// numbers of minutes, hours or days, from `5m` to `156h`. The plugin's default is 15m, 1h, 4h, 24h and 6d. What is new
    /// always goes first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 12), inner(regex(pattern = r"^[0-9]+[mhd]$")))]
    pub passes: Option<Vec<String>>,
    /// How many minutes of the arrival clock each poll of the Management Activity API lists again, for late content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 720))]
    pub office365_overlap_minutes: Option<u32>,
    /// The seconds between two polls of a Management Activity stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86400))]
    pub office365_poll_seconds: Option<u32>,
    /// How many minutes behind the clock sign-ins and directory audits are read: they take that long to appear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1440))]
    pub reports_lag_minutes: Option<u32>,
    /// How many minutes behind the clock alerts are read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1440))]
    pub alerts_lag_minutes: Option<u32>,
    /// At which ages a stretch of a Graph stream is read again, for records that appear late: as `passes`, from `5m` to
    /// `6d`. The plugin's default is 20m, 1h and 4h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 12), inner(regex(pattern = r"^[0-9]+[mhd]$")))]
    pub graph_passes: Option<Vec<String>>,
    /// Whether each stretch of a Graph stream is read once more when it is a day old. The plugin's default is no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graph_sweep: Option<bool>,
    /// The seconds between two polls of a Graph stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86400))]
    pub graph_poll_seconds: Option<u32>,
    /// The widest stretch of a Graph stream that is read in one piece, in minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 5, max = 1440))]
    pub window_minutes: Option<u32>,
    /// The records asked for in one page of a Graph stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub page_size: Option<u32>,
    /// The largest record that is read, in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 256))]
    pub record_limit_mib: Option<u32>,
}

/// How records become events.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[schemars(extend("additionalProperties" = false))]
pub struct TransformConfig {
    /// Whether an event carries its record's text as `raw_data`: `none` or `string`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<RawData>,
    /// Whether events carry `observables`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observables: Option<bool>,
    /// What happens to content that is secret by nature, such as the matches of data loss prevention: `mask`, `hash` or `keep`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redact: Option<Redact>,
}

/// Whether events carry the text of their record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RawData {
    /// No `raw_data`.
    None,
    /// The record's text as a string.
    String,
}

/// What happens to content that is secret by nature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Redact {
    /// Replaced by a marker.
    Mask,
    /// Replaced by a hash, so that equal values stay equal.
    Hash,
    /// Kept as it is.
    Keep,
}

/// The way out to the network.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("additionalProperties" = false))]
pub struct HttpConfig {
    /// An `http://` proxy, as `http://host:port`. Proxies of the environment are not used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// The user for the proxy, if it wants one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_user: Option<String>,
    /// Where the password of the proxy's user is: `{ env = "…" }` or `{ file = "…" }`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_password: Option<SecretSource>,
    /// A file of PEM certificates to trust in place of the built-in roots, for proxies that open TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The seconds that a connection may take to open.
    pub connect_timeout_seconds: u64,
    /// The seconds that a whole exchange may take, the body included.
    pub timeout_seconds: u64,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            proxy: None,
            proxy_user: None,
            proxy_password: None,
            ca_file: None,
            connect_timeout_seconds: 15,
            timeout_seconds: 300,
        }
    }
}

/// Bounds on memory, time and parallel work.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("additionalProperties" = false))]
pub struct LimitsConfig {
    /// How many splits are read at a time, each by a thread and a plugin instance of its own.
    #[schemars(range(min = 1, max = 64))]
    pub readers: usize,
    /// How many KiB of records a reader hands on at a time.
    #[schemars(range(min = 16, max = 16384))]
    pub batch_kib: usize,
    /// How many MiB of events and raw lines may wait for the sinks; readers wait when it is reached.
    #[schemars(range(min = 1, max = 4096))]
    pub in_flight_mib: usize,
    /// How many MiB of memory one plugin instance may use.
    #[schemars(range(min = 16, max = 4096))]
    pub guest_memory_mib: usize,
    /// How many seconds a plugin may compute or sleep in one call of the host.
    #[schemars(range(min = 1))]
    pub guest_seconds: u64,
    /// For how many days the ledger remembers what was delivered, on the arrival clock.
    #[schemars(range(min = 8))]
    pub remember_days: u32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            readers: 4,
            batch_kib: 128,
            in_flight_mib: 4,
            guest_memory_mib: 256,
            guest_seconds: 60,
            remember_days: 10,
        }
    }
}

/// Where records wait that gave no event, or that a sink refused: in the ledger, until somebody looks at them.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("additionalProperties" = false))]
pub struct DeadLettersConfig {
    /// How many bytes they may take. It warns from 80 % on; once they are full, delivery is held up until some are
    /// replayed or dropped (`m365-pipe dead-letters`): no record is thrown away.
    #[schemars(range(min = 65536))]
    pub max_bytes: u64,
}

impl Default for DeadLettersConfig {
    fn default() -> Self {
        Self { max_bytes: 1 << 30 }
    }
}

/// A request rate.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[schemars(extend("additionalProperties" = false))]
pub struct QuotaConfig {
    /// At most this many requests …
    #[schemars(range(min = 1))]
    pub requests: u32,
    /// … in any stretch of this many seconds.
    #[schemars(range(min = 1))]
    pub per_seconds: u32,
}

/// Other addresses than those of the cloud.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[schemars(extend("additionalProperties" = false))]
pub struct EndpointsConfig {
    /// The root in place of `https://login.microsoftonline.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// The roots of the audiences, by the audience's name (`office365-management`, `microsoft-graph`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub audiences: BTreeMap<String, String>,
}

impl EndpointsConfig {
    fn is_empty(&self) -> bool {
        self.login.is_none() && self.audiences.is_empty()
    }
}

fn every_stream() -> Vec<String> {
    vec!["*".to_owned()]
}

fn stdout_only() -> Vec<SinkConfig> {
    vec![SinkConfig::new(SinkKind::Stdout)]
}

/// The JSON Schema of the configuration file, as it stands in `schemas/config.schema.json`.
pub fn json_schema() -> String {
    let schema = schemars::schema_for!(Config);
    // A schema made from types is always writable as JSON.
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is JSON");
    text.push('\n');
    text
}
