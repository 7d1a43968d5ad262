//! From a configuration to a run: the tenant's id, the way out, the ledger, the sinks.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use url::Url;

use super::{Failure, Global, exit_codes};
use crate::config::Config;
use crate::entra::{Credentials, Endpoints, Tenant, TokenSource};
use crate::guest::{GuestLimits, Plugin, StreamDescription};
use crate::http::{self, Allow, Cancel, Client, ProxyUrl, QuotaRule, Timeouts, TokenProvider as _, Transport};
use crate::ledger::Ledger;
use crate::pipeline::{Run, RunError, StreamState, Summary};
use crate::sinks;

/// What `run`, `demo` and `check` need to talk to a tenant.
pub(super) struct Connection {
    pub(super) plugin: Arc<Plugin>,
    /// The plugin's settings, as JSON text.
    pub(super) settings: String,
    pub(super) streams: Vec<StreamDescription>,
    pub(super) client: Client,
    pub(super) cancel: Cancel,
    tenant: String,
}

impl Connection {
    /// Loads the plugin, resolves the tenant and opens the way out. With `patient`, a login service that can't be
    /// reached is tried until it can, or until `cancel` is set.
    pub(super) fn open(config: &Config, global: &Global, cancel: Cancel, patient: bool) -> Result<Self, Failure> {
        let limits = GuestLimits {
            memory: config.limits.guest_memory_mib << 20,
            time: Duration::from_secs(config.limits.guest_seconds),
        };
        let plugin = Arc::new(super::plugin::load(global, limits)?);
        if !plugin.reads() {
            return Err(Failure::new(
                exit_codes::PLUGIN,
                "This plugin only normalises: it has no source. Use one of the world `plugin`, such as m365.wasm.",
            ));
        }
        let streams = select(&plugin.description().streams, &config.streams)?;
        let secret = config.client_secret()?;
        let transport = transport(config)?;
        let endpoints = endpoints(config)?;
        let tenant: Tenant = config.tenant.parse()?;
        let tenant_id = resolve(&tenant, &endpoints, &transport, &cancel, patient)?;
        let credentials = Credentials::ClientSecret { client_id: config.client_id.trim().to_owned(), secret };
        let tokens = TokenSource::new(tenant_id.parse()?, &endpoints, credentials, transport.clone(), cancel.clone())?;
        let mut http = http::Config::new(transport);
        for described in &plugin.description().audiences {
            let Some(root) = endpoints.audiences.get(&described.name).map(|endpoint| &endpoint.root) else {
                return Err(Failure::new(
                    exit_codes::CONFIGURATION,
                    format!(
                        "The plugin asks for the audience {:?} ({}), which the cloud {} doesn't have.",
                        described.name, described.title, config.cloud
                    ),
                ));
            };
            // What a plugin asks for is no grant: its list has to hold the host that the operator chose.
            let host = root.host_str().unwrap_or_default();
            if !config.endpoints.audiences.contains_key(&described.name)
                && !described.hosts.iter().any(|asked| asked == host)
            {
                return Err(Failure::new(
                    exit_codes::CONFIGURATION,
                    format!(
                        "The plugin doesn't list {host} among the hosts of {:?}, and so doesn't know this cloud.",
                        described.name
                    ),
                ));
            }
            http.allow.push(Allow::origin_of(Some(&described.name), root));
        }
        for quota in &plugin.description().quotas {
            let (requests, per) = match config.quotas.get(&quota.name) {
                Some(own) => (own.requests, Duration::from_secs(own.per_seconds.into())),
                None => (quota.requests, Duration::from_millis(quota.per_ms.into())),
            };
            http.quotas.push(QuotaRule { name: quota.name.clone(), requests, per });
        }
        if let Some(name) =
            config.quotas.keys().find(|name| !plugin.description().quotas.iter().any(|quota| quota.name == **name))
        {
            let names: Vec<&str> = plugin.description().quotas.iter().map(|quota| quota.name.as_str()).collect();
            return Err(Failure::new(
                exit_codes::CONFIGURATION,
                format!("There is no quota {name:?}. The quotas are: {}.", names.join(", ")),
            ));
        }
        refuse_early(&tokens, &streams)?;
        http.tokens = Arc::new(tokens);
        let client = Client::new(http)?;
        let settings = settings(config, &tenant_id, &endpoints);
        Ok(Self { plugin, settings, streams, client, cancel, tenant: tenant_id })
    }

    /// Collects into the configured sinks.
    pub(super) fn collect(self, config: &Config, until_caught_up: bool) -> Result<Summary, Failure> {
        let identity = format!("tenant {}, plugin {}", self.tenant, self.plugin.description().name);
        let ledger = Arc::new(Ledger::open(&config.data_dir, &identity)?);
        let sinks = config.sinks.iter().map(sinks::open).collect::<Result<Vec<_>, _>>()?;
        for stream in &self.streams {
            if !stream.notice.is_empty() {
                tracing::info!(stream = stream.name, "{}", stream.notice);
            }
        }
        let run = Run {
            plugin: self.plugin,
            settings: self.settings,
            streams: self.streams,
            client: self.client,
            ledger,
            sinks,
            readers: config.limits.readers,
            batch_bytes: u32::try_from(config.limits.batch_kib << 10).unwrap_or(u32::MAX),
            in_flight_bytes: config.limits.in_flight_mib << 20,
            remember: Duration::from_secs(u64::from(config.limits.remember_days) * 24 * 3600),
            until_caught_up,
            cancel: self.cancel,
        };
        crate::pipeline::run(run).map_err(|error: RunError| error.into())
    }
}

/// Sentences about the streams of a finished run that did not come to their end.
pub(super) fn troubles(summary: &Summary) -> Vec<String> {
    let mut troubles = Vec::new();
    for (stream, (_, status)) in summary {
        match &status.state {
            StreamState::Blocked(reason) => troubles.push(format!("{stream} is blocked: {reason}")),
            StreamState::Behind => {
                let reason = status.trouble.as_deref().unwrap_or("it was stopped before it had caught up");
                troubles.push(format!("{stream} has not caught up: {reason}"));
            }
            StreamState::CaughtUp if status.open_splits > 0 => troubles.push(format!(
                "{stream} has {} pieces that are not read to their end; they keep their place for the next start.",
                status.open_splits
            )),
            StreamState::CaughtUp => {}
        }
    }
    troubles
}

/// The streams that the configuration names, in the plugin's order.
fn select(known: &[StreamDescription], patterns: &[String]) -> Result<Vec<StreamDescription>, Failure> {
    let matches = |pattern: &str, name: &str| {
        pattern == "*"
            || pattern == name
            || pattern.strip_suffix('*').is_some_and(|prefix| prefix.ends_with('.') && name.starts_with(prefix))
    };
    for pattern in patterns {
        if !known.iter().any(|stream| matches(pattern, &stream.name)) {
            let nearest = known
                .iter()
                .min_by_key(|stream| strsim::damerau_levenshtein(pattern, &stream.name))
                .map(|stream| stream.name.as_str())
                .unwrap_or_default();
            return Err(Failure::new(
                exit_codes::CONFIGURATION,
                format!(
                    "`streams` names {pattern:?}, and there is no such stream or group. Did you mean {nearest:?}? `m365-pipe streams` lists them."
                ),
            ));
        }
    }
    Ok(known.iter().filter(|stream| patterns.iter().any(|pattern| matches(pattern, &stream.name))).cloned().collect())
}

/// Fails if Entra ID refuses the credentials for every audience: nothing could be collected. A refusal for one of them is
/// left to its streams, and a login service that can't be reached is waited for.
fn refuse_early(tokens: &TokenSource, streams: &[StreamDescription]) -> Result<(), Failure> {
    let audiences: BTreeSet<&str> = streams.iter().map(|stream| stream.audience.as_str()).collect();
    let mut refused = None;
    for audience in audiences {
        match tokens.token(audience) {
            Err(error) if !passes(&error) => refused = Some(error),
            _ => return Ok(()),
        }
    }
    refused.map_or(Ok(()), |error| Err(error.into()))
}

fn transport(config: &Config) -> Result<Transport, Failure> {
    Ok(Transport {
        proxy: config.http.proxy.as_deref().map(ProxyUrl::parse).transpose()?,
        ca_file: config.http.ca_file.clone(),
        timeouts: Timeouts {
            connect: Duration::from_secs(config.http.connect_timeout_seconds),
            whole: Duration::from_secs(config.http.timeout_seconds),
            ..Timeouts::default()
        },
        ..Transport::default()
    })
}

/// The cloud's addresses, with what the configuration puts elsewhere.
fn endpoints(config: &Config) -> Result<Endpoints, Failure> {
    let parse = |key: &str, text: &str| {
        Url::parse(text).map_err(|error| {
            Failure::new(
                exit_codes::CONFIGURATION,
                format!("`endpoints.{key}` is no URL: {error}. Write scheme, host and port."),
            )
        })
    };
    let mut endpoints = Endpoints::new(config.cloud);
    if let Some(login) = &config.endpoints.login {
        endpoints.login = parse("login", login)?;
    }
    for (audience, root) in &config.endpoints.audiences {
        endpoints.set_root(audience, parse(&format!("audiences.{audience}"), root)?)?;
    }
    Ok(endpoints)
}

/// The tenant's GUID. A collector that starts before the network does waits for it.
fn resolve(
    tenant: &Tenant,
    endpoints: &Endpoints,
    transport: &Transport,
    cancel: &Cancel,
    patient: bool,
) -> Result<String, Failure> {
    let mut wait = Duration::from_secs(1);
    loop {
        match crate::entra::tenant_id(tenant, endpoints, transport.clone(), cancel) {
            Ok(tenant) => return Ok(tenant),
            Err(error) if patient && passes(&error) => {
                tracing::warn!(retry_in_s = wait.as_secs(), "The tenant's id can't be asked for yet: {error}");
                cancel.wait(wait)?;
                wait = (wait * 2).min(Duration::from_secs(60));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn passes(error: &http::Error) -> bool {
    use http::ErrorKind;
    matches!(error.kind, ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::RateLimited | ErrorKind::Protocol)
}

/// The object that configures the plugin's source and transform.
fn settings(config: &Config, tenant: &str, endpoints: &Endpoints) -> String {
    let roots: Map<String, Value> = endpoints
        .audiences
        .iter()
        .map(|(name, endpoint)| (name.clone(), json!(endpoint.root.as_str().trim_end_matches('/'))))
        .collect();
    let mut settings = Map::from_iter([("tenant".to_owned(), json!(tenant)), ("endpoints".to_owned(), json!(roots))]);
    for part in [serde_json::to_value(&config.source), serde_json::to_value(&config.transform)] {
        if let Ok(Value::Object(part)) = part {
            settings.extend(part);
        }
    }
    Value::Object(settings).to_string()
}
