//! The configuration of sinks: where to, what, and for how much of the data.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{HeaderConfig, SecretSource};

/// Where a sink delivers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SinkKind {
    /// Standard output, newline-delimited JSON.
    Stdout,
    /// A file that is appended to, newline-delimited JSON.
    File,
    /// A web service that takes batches by POST.
    Http,
}

/// What a sink delivers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SinkFormat {
    /// Normalised OCSF events.
    #[default]
    Ocsf,
    /// The same events as documents of the Elastic Common Schema. The sinks of one run take events in one of the two.
    Ecs,
    /// Records as they came, each wrapped with its dataset, vendor and product.
    Raw,
}

/// How the bytes of a sink are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// Gzip (RFC 1952).
    Gzip,
    /// Zstandard (RFC 8878).
    Zstd,
}

/// How an `http` sink puts events together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HttpEncoding {
    /// One event a line (`application/x-ndjson`).
    #[default]
    Ndjson,
    /// One JSON array (`application/json`).
    Json,
}

/// One destination.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[schemars(extend("additionalProperties" = false))]
pub struct SinkConfig {
    /// The kind of sink.
    #[serde(rename = "type")]
    pub kind: SinkKind,
    /// The sink's name in logs, in dead letters and in the ledger, which keeps its position by it. The default is its
    /// type with its path or URL. A sink with another name is another sink.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub name: Option<String>,
    /// What is delivered: `ocsf`, `ecs` or `raw`.
    #[serde(default)]
    pub format: SinkFormat,
    /// The streams that this sink takes, by name or by group such as `office365.*`. The default is all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub streams: Option<Vec<String>>,
    /// The datasets that this sink takes, such as `msft_azure_ad_raw`; `m365-pipe streams` shows them. The default is all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub datasets: Option<Vec<String>>,
    /// Whether delivery goes on without this sink when it fails. What comes while it fails is lost to this sink, told
    /// and counted, and never delivered to it later.
    #[serde(default)]
    pub optional: bool,
    /// For `file` and `http`: how the bytes are compressed.
    #[serde(default)]
    pub compression: Compression,
    /// For `file`: the file to append to. Its folder has to exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// For `file`: the mode of a new file, in octal. The default is `0640`; the umask may take away from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^0?[0-7]{3}$"))]
    pub mode: Option<String>,
    /// For `file`: when to begin a new file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate: Option<RotateConfig>,
    /// For `http`: the address to POST to. Plain `http` is for loopback addresses only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// For `http`: `ndjson` or `json` (an array).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<HttpEncoding>,
    /// For `http`: who we are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<AuthConfig>,
    /// For `http`: headers of your own, by name: `{ value = "…" }`, or a secret as `{ env = "…" }` or `{ file = "…" }`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, HeaderConfig>,
    /// For `http`: the most events in one request. The default is 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub batch_events: Option<usize>,
    /// For `http`: the most KiB of events in one request, before compression. A larger event goes alone. The default is 1024.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_536))]
    pub batch_kib: Option<usize>,
    /// For `http`: the seconds that a request with its answer may take. The default is 30, and 5 for an optional sink.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3600))]
    pub timeout_seconds: Option<u64>,
    /// For `http`: a file of PEM certificates to trust in place of the built-in roots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// For `http`: allow plain `http` to any address. Whoever is on the way reads everything, secrets too.
    #[serde(default)]
    pub allow_insecure: bool,
    /// For `http`: after so many events in a row that the service refused as bad data, delivery is held up, since the
    /// fault is then hardly in each of them. The default is 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_refusals: Option<usize>,
}

impl SinkConfig {
    /// A sink with nothing but its kind.
    pub fn new(kind: SinkKind) -> Self {
        Self {
            kind,
            name: None,
            format: SinkFormat::Ocsf,
            streams: None,
            datasets: None,
            optional: false,
            compression: Compression::None,
            path: None,
            mode: None,
            rotate: None,
            url: None,
            encoding: None,
            auth: None,
            headers: BTreeMap::new(),
            batch_events: None,
            batch_kib: None,
            timeout_seconds: None,
            ca_file: None,
            allow_insecure: false,
            max_refusals: None,
        }
    }

    /// The keys that are set and belong to another kind of sink.
    pub(super) fn foreign_keys(&self) -> Vec<&'static str> {
        use SinkKind::{File, Http};
        let keys: [(&str, bool, &[SinkKind]); 14] = [
            ("compression", self.compression != Compression::None, &[File, Http]),
            ("path", self.path.is_some(), &[File]),
            ("mode", self.mode.is_some(), &[File]),
            ("rotate", self.rotate.is_some(), &[File]),
            ("url", self.url.is_some(), &[Http]),
            ("encoding", self.encoding.is_some(), &[Http]),
            ("auth", self.auth.is_some(), &[Http]),
            ("headers", !self.headers.is_empty(), &[Http]),
            ("batch_events", self.batch_events.is_some(), &[Http]),
            ("batch_kib", self.batch_kib.is_some(), &[Http]),
            ("timeout_seconds", self.timeout_seconds.is_some(), &[Http]),
            ("ca_file", self.ca_file.is_some(), &[Http]),
            ("allow_insecure", self.allow_insecure, &[Http]),
            ("max_refusals", self.max_refusals.is_some(), &[Http]),
        ];
        keys.into_iter().filter(|(_, set, kinds)| *set && !kinds.contains(&self.kind)).map(|(key, ..)| key).collect()
    }
}

/// When a file sink begins a new file. The full one is renamed to carry the time and a number, as in
/// `events-20260504T030201Z-000007.ndjson`. Both conditions may be given.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[schemars(extend("additionalProperties" = false))]
pub struct RotateConfig {
    /// Once the file has this many bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1024))]
    pub max_bytes: Option<u64>,
    /// Once the first event of the file was written this many minutes ago.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_age_minutes: Option<u64>,
    /// How many full files are kept; older ones are deleted. The default is all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub keep_files: Option<usize>,
    /// For how many days full files are kept; older ones are deleted at the next rotation. The default is for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub keep_days: Option<u64>,
}

/// Who an `http` sink is to the service: a bearer token, or a user with a password.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[schemars(extend("additionalProperties" = false))]
pub struct AuthConfig {
    /// Where the bearer token is: `{ env = "…" }` or `{ file = "…" }`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer: Option<SecretSource>,
    /// The user for basic authentication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Where the user's password is: `{ env = "…" }` or `{ file = "…" }`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretSource>,
}

/// Whether a stream's name is meant by a pattern: `*`, the name itself, or a group such as `office365.*`.
pub fn stream_matches(pattern: &str, name: &str) -> bool {
    pattern == "*"
        || pattern == name
        || pattern.strip_suffix('*').is_some_and(|prefix| prefix.ends_with('.') && name.starts_with(prefix))
}
