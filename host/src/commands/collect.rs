//! From a configuration to a run: the tenant's id, the way out, the ledger, the sinks.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use url::{Host, Url};

use super::{Failure, Global, exit_codes};
use crate::clock;
use crate::config::{Config, SinkFormat, stream_matches};
use crate::entra::{Credentials, Endpoints, ReadSecret, Tenant, TokenSource};
use crate::guest::{GuestLimits, Plugin, StreamDescription};
use crate::http::{self, Allow, Cancel, Client, ProxyUrl, QuotaRule, Timeouts, TokenProvider as _, Transport};
use crate::ledger::{Ledger, SinkMark};
use crate::pipeline::{LoadAgain, Run, RunError, StreamState, Summary};
use crate::sinks;
use crate::times::utc;

/// What `run`, `demo` and `check` need to talk to a tenant.
pub(super) struct Connection {
    pub(super) plugin: Arc<Plugin>,
    interruptible: LoadAgain,
    /// The plugin's settings, as JSON text.
    pub(super) settings: String,
    pub(super) streams: Vec<StreamDescription>,
    pub(super) client: Client,
    pub(super) cancel: Cancel,
    /// Whether a token was issued.
    logged_in: bool,
    tenant: String,
}

impl Connection {
    /// Loads the plugin, resolves the tenant and opens the way out. With `patient`, a login service that can't be
    /// reached is tried until it can, or until `cancel` is set.
    pub(super) fn open(config: &Config, global: &Global, cancel: Cancel, patient: bool) -> Result<Self, Failure> {
        let plugin = Arc::new(super::plugin::load(global, guest_limits(config))?);
        if !plugin.reads() {
            return Err(Failure::new(
                exit_codes::PLUGIN,
                "This plugin only normalises: it has no source. Use one of the world `plugin`, such as m365.wasm.",
            ));
        }
        let streams = select(&plugin.description().streams, &config.streams)?;
        config.client_secret()?;
        let transport = transport(config)?;
        let endpoints = endpoints(config)?;
        follow_test_clock(&endpoints)?;
        let tenant: Tenant = config.tenant.parse()?;
        let tenant_id = resolve(&tenant, &endpoints, &transport, &cancel, patient)?;
        let credentials =
            Credentials::ClientSecret { client_id: config.client_id.trim().to_owned(), secret: read_secret(config) };
        let tokens = TokenSource::new(tenant_id.parse()?, &endpoints, credentials, transport.clone(), cancel.clone())?;
        let mut http = http::Config::new(transport);
        http.load_header = Some(crate::entra::LOAD_HEADER);
        http.quota_memory = quota_memory(config);
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
        let logged_in = refuse_early(&tokens, &streams)?;
        http.tokens = Arc::new(tokens);
        let client = Client::new(http)?;
        let settings = settings(config, &tenant_id, &endpoints);
        let interruptible = {
            let (global, limits) = (global.clone(), guest_limits(config));
            Box::new(move || super::plugin::load_interruptible(&global, limits).map(Arc::new))
        };
        Ok(Self { plugin, interruptible, settings, streams, client, cancel, logged_in, tenant: tenant_id })
    }

    /// Collects into the configured sinks. Says what the run did, by stream and by sink.
    pub(super) fn collect(self, config: &Config, until_caught_up: bool) -> Result<Collected, Failure> {
        let identity = format!("tenant {}, plugin {}", self.tenant, self.plugin.description().name);
        let ledger = Arc::new(Ledger::open(&config.data_dir, &identity)?);
        ledger.limit_dead_letters(config.dead_letters.max_bytes);
        check_routes(config, &self.plugin.description().streams, &self.streams)?;
        let sinks = config.sinks.iter().map(sinks::open).collect::<Result<Vec<_>, _>>()?;
        let names: Vec<String> = sinks.iter().map(|output| output.sink.name().to_owned()).collect();
        let before = ledger.sink_marks()?;
        let (client, logged_in) = (self.client.clone(), self.logged_in);
        let run = Run {
            plugin: self.plugin,
            settings: self.settings,
            streams: self.streams,
            client: self.client,
            ledger: ledger.clone(),
            sinks,
            interruptible: self.interruptible,
            readers: config.limits.readers,
            batch_bytes: u32::try_from(config.limits.batch_kib << 10).unwrap_or(u32::MAX),
            in_flight_bytes: config.limits.in_flight_mib << 20,
            remember: Duration::from_secs(u64::from(config.limits.remember_days) * 24 * 3600),
            gap_events: config.gap_events.then_some(self.tenant),
            until_caught_up,
            cancel: self.cancel,
        };
        let (summary, stopped) = crate::pipeline::run(run).map_err(|error: RunError| Failure::from(error))?;
        let marks = ledger.sink_marks()?.into_iter().filter(|mark| names.contains(&mark.name));
        let marks = marks.map(|mark| match before.iter().find(|before| before.name == mark.name) {
            Some(before) => mark.since(before),
            None => mark,
        });
        let logged_in = logged_in || !client.stats().answers.is_empty();
        Ok(Collected { summary, sinks: marks.collect(), logged_in, stopped })
    }
}

/// What a run did.
pub(super) struct Collected {
    pub(super) summary: Summary,
    pub(super) sinks: Vec<SinkMark>,
    /// Whether it could log in: it had a token, or a service has answered.
    pub(super) logged_in: bool,
    /// Whether it was stopped from outside.
    pub(super) stopped: bool,
}

/// Sentences about what a finished run found to be lost.
pub(super) fn gaps(summary: &Summary) -> Vec<String> {
    let told = |(stream, (counts, status)): (&String, &(_, crate::pipeline::StreamStatus))| {
        let counts: &crate::ledger::Counts = counts;
        (status.gaps > 0 || counts.lost > 0).then(|| {
            format!(
                "{stream} has lost data in this run: {} stretches that can't be listed any more, {} pieces that can't be read any more. `m365-pipe coverage` lists them with their reasons.",
                status.gaps, counts.lost
            )
        })
    };
    summary.iter().filter_map(told).collect()
}

/// Sentences about the streams of a run that did not come to their end, and why. That a run was stopped is no trouble: of one
/// that was, only what is blocked or held is told.
pub(super) fn troubles(summary: &Summary, stopped: bool) -> Vec<String> {
    let mut troubles = Vec::new();
    for (stream, (_, status)) in summary {
        let only_held = status.held.as_ref().is_some_and(|held| held.pieces == status.open_splits);
        match &status.state {
            StreamState::Blocked(reason) => troubles.push(format!("{stream} is blocked: {reason}")),
            StreamState::Behind if !stopped => {
                let reason = status.trouble.as_deref().unwrap_or("there is more to list");
                troubles.push(format!("{stream} has not caught up: {reason}"));
            }
            _ => {}
        }
        if let Some(held) = &status.held {
            let expires =
                held.expires.map_or_else(String::new, |expires| format!(", the first expires at {}", utc(expires)));
            troubles.push(format!(
                "{stream} holds {} pieces since {} that the service lists and says aren't there ({}){expires}. They keep their place and are asked for again at the next start: {}",
                held.pieces,
                utc(held.since),
                held.code,
                held.reason
            ));
        }
        if status.state == StreamState::CaughtUp && status.open_splits > 0 && !only_held && !stopped {
            troubles.push(format!(
                "{stream} has {} pieces that are not read to their end; they keep their place for the next start.",
                status.open_splits
            ));
        }
    }
    troubles
}

/// The streams that the configuration names, in the plugin's order.
fn select(known: &[StreamDescription], patterns: &[String]) -> Result<Vec<StreamDescription>, Failure> {
    check_patterns(known, patterns, "streams")?;
    Ok(known
        .iter()
        .filter(|stream| patterns.iter().any(|pattern| stream_matches(pattern, &stream.name)))
        .cloned()
        .collect())
}

/// Every pattern has to mean a stream.
fn check_patterns(known: &[StreamDescription], patterns: &[String], key: &str) -> Result<(), Failure> {
    for pattern in patterns {
        if !known.iter().any(|stream| stream_matches(pattern, &stream.name)) {
            let names = known.iter().map(|stream| stream.name.as_str());
            let nearest = names.min_by_key(|name| strsim::damerau_levenshtein(pattern, name)).unwrap_or_default();
            return Err(Failure::new(
                exit_codes::CONFIGURATION,
                format!(
                    "`{key}` names {pattern:?}, and there is no such stream or group. Did you mean {nearest:?}? `m365-pipe streams` lists them."
                ),
            ));
        }
    }
    Ok(())
}

/// Every sink names streams and datasets that there are, and every collected stream goes somewhere: what no sink takes
/// would be read and then forgotten.
fn check_routes(config: &Config, known: &[StreamDescription], collected: &[StreamDescription]) -> Result<(), Failure> {
    for (index, sink) in config.sinks.iter().enumerate() {
        check_patterns(known, sink.streams.as_deref().unwrap_or_default(), &format!("sinks.{index}.streams"))?;
        for dataset in sink.datasets.iter().flatten() {
            if !known.iter().any(|stream| stream.dataset == *dataset) {
                let names = known.iter().map(|stream| stream.dataset.as_str());
                let nearest = names.min_by_key(|name| strsim::damerau_levenshtein(dataset, name)).unwrap_or_default();
                return Err(Failure::new(
                    exit_codes::CONFIGURATION,
                    format!(
                        "`sinks.{index}.datasets` names {dataset:?}, and there is no such dataset. Did you mean {nearest:?}? `m365-pipe streams` lists them."
                    ),
                ));
            }
        }
    }
    let routes: Vec<sinks::Route> = config.sinks.iter().map(sinks::Route::new).collect();
    match collected.iter().find(|stream| !routes.iter().any(|route| route.takes(&stream.name, &stream.dataset))) {
        None => Ok(()),
        Some(stream) => Err(Failure::new(
            exit_codes::CONFIGURATION,
            format!(
                "No sink takes the stream {}, so its records would go nowhere. Add it to the `streams` and `datasets` of a sink, or leave it out of `streams`.",
                stream.name
            ),
        )),
    }
}

/// The bounds on the plugin.
pub(super) fn guest_limits(config: &Config) -> GuestLimits {
    GuestLimits { memory: config.limits.guest_memory_mib << 20, time: Duration::from_secs(config.limits.guest_seconds) }
}

/// Fails if Entra ID refuses the credentials for every audience: nothing could be collected. A refusal for one of them is
/// left to its streams, and a login service that can't be reached is waited for. Whether a token was issued.
fn refuse_early(tokens: &TokenSource, streams: &[StreamDescription]) -> Result<bool, Failure> {
    let audiences: BTreeSet<&str> = streams.iter().map(|stream| stream.audience.as_str()).collect();
    let mut refused = None;
    for audience in audiences {
        match tokens.token(audience) {
            Err(error) if !passes(&error) => refused = Some(error),
            Err(_) => return Ok(false),
            Ok(_) => return Ok(true),
        }
    }
    refused.map_or(Ok(false), |error| Err(error.into()))
}

/// Reads the client secret, each time from where the configuration says.
fn read_secret(config: &Config) -> ReadSecret {
    let config = config.clone();
    Arc::new(move || {
        config
            .client_secret()
            .map_err(|error| http::Error::new(http::ErrorKind::InvalidConfig, "client-secret", error.to_string()))
    })
}

/// Where the use of the quotas is remembered: in the data directory, which is made if it can be. `check` uses it as `run`
/// does, since its requests count as well; without one, as with one that can't be written to, it goes on without.
fn quota_memory(config: &Config) -> Option<PathBuf> {
    let mut folder = std::fs::DirBuilder::new();
    folder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
    if let Err(error) = folder.create(&config.data_dir) {
        tracing::debug!("The use of quotas isn't remembered: {error}");
        return None;
    }
    Some(config.data_dir.join("quotas"))
}

fn transport(config: &Config) -> Result<Transport, Failure> {
    let mut proxy = config.http.proxy.as_deref().map(ProxyUrl::parse).transpose()?;
    if let (Some(user), Some(password)) = (&config.http.proxy_user, &config.http.proxy_password) {
        let password = password.read("http.proxy_password")?;
        proxy = proxy.map(|proxy| proxy.with_login(user, &password));
    }
    Ok(Transport {
        proxy,
        ca_file: config.http.ca_file.clone(),
        timeouts: Timeouts {
            connect: Duration::from_secs(config.http.connect_timeout_seconds),
            whole: Duration::from_secs(config.http.timeout_seconds),
            ..Timeouts::default()
        },
        ..Transport::default()
    })
}

/// Goes by the test clock, if there is one and if everything that is asked is on this machine.
fn follow_test_clock(endpoints: &Endpoints) -> Result<(), Failure> {
    let Ok(setting) = std::env::var(clock::ENVIRONMENT) else { return Ok(()) };
    let loopback = |url: &Url| match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        _ => false,
    };
    let mut roots = endpoints.audiences.values().map(|endpoint| &endpoint.root);
    if !loopback(&endpoints.login) || !roots.all(loopback) {
        return Err(Failure::new(
            exit_codes::CONFIGURATION,
            format!(
                "{} is set, which is for tests against a simulated tenant, and `endpoints` doesn't put everything on a loopback address. Unset it.",
                clock::ENVIRONMENT
            ),
        ));
    }
    clock::set(&setting).map_err(|error| Failure::new(exit_codes::CONFIGURATION, error))
}

/// The cloud's addresses, with what the configuration puts elsewhere.
pub(super) fn endpoints(config: &Config) -> Result<Endpoints, Failure> {
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
    let (since, begun) = (clock::now_ms(), clock::instant());
    let mut told_again = Duration::ZERO;
    loop {
        match crate::entra::tenant_id(tenant, endpoints, transport.clone(), cancel) {
            Ok(tenant) => return Ok(tenant),
            Err(error) if patient && passes(&error) => {
                let waited = clock::instant() - begun;
                // Told once, and then at slowing intervals.
                if waited >= told_again {
                    let (since, retry_in_s) = (utc(since), wait.as_secs());
                    tracing::warn!(since, retry_in_s, "The tenant's id can't be asked for yet: {error}");
                    told_again = (waited * 2).max(Duration::from_secs(120));
                }
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
pub(super) fn settings(config: &Config, tenant: &str, endpoints: &Endpoints) -> String {
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
    // All sinks of events take the same format.
    if config.sinks.iter().any(|sink| sink.format == SinkFormat::Ecs) {
        settings.insert("format".to_owned(), json!("ecs"));
    }
    Value::Object(settings).to_string()
}
