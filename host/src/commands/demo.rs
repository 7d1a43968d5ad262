//! `m365-pipe demo`: a simulated tenant on loopback and a run against it, the whole path with no account.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use m365_sim::{Options, Quotas, Served, Simulator};

use super::collect::{Collected, Connection, troubles};
use super::table::layout;
use super::{Failure, Global, exit_codes};
use crate::config::{Config, EndpointsConfig, QuotaConfig};
use crate::entra::{GRAPH, OFFICE365_MANAGEMENT};
use crate::pipeline::Summary;

/// Start a simulated tenant on this machine, collect all of its twelve streams through the plugin, write OCSF events to
/// standard output and, at the end, a summary to standard error. Needs no account and no network.
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// How many records the tenant holds, over all streams.
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    events: u64,
    /// What determines the tenant's records: the same seed, the same records.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Serve the records of this folder of NDJSON files instead, each named after its stream.
    #[arg(long, value_name = "DIR")]
    corpus: Option<PathBuf>,
}

impl Demo {
    pub(super) fn run(self, global: &Global) -> Result<ExitCode, Failure> {
        if let Some(folder) = &self.corpus
            && !folder.is_dir()
        {
            let error = std::io::Error::new(std::io::ErrorKind::NotFound, "there is no such folder");
            return Err(Failure::file("read", folder, &error));
        }
        let options = Options {
            seed: self.seed,
            events: self.events,
            corpus: self.corpus.clone(),
            // A person is waiting: the tenant of the demonstration doesn't ration its answers.
            quotas: Quotas::unlimited(),
            ..Options::default()
        };
        let tenant = Simulator::start(options).map_err(|error| {
            Failure::new(exit_codes::UNREACHABLE, format!("The simulated tenant can't be started: {error}."))
        })?;
        let folder = Scratch::new()?;
        let config = configure(&tenant, &folder)?;
        eprintln!(
            "A simulated tenant ({}) listens on {}. Collecting its twelve streams …",
            tenant.domain(),
            tenant.url()
        );

        let cancel = super::run::cancel_on_signals()?;
        let connection = Connection::open(&config, global, cancel, false)?;
        let Collected { summary, stopped, .. } = connection.collect(&config, true)?;
        // The events are out before the table that follows them.
        std::io::stdout().flush().map_err(|error| Failure::stdout(&error))?;
        report(&summary, stopped, &tenant.served())
    }
}

/// The configuration that somebody would write for this tenant.
fn configure(tenant: &Simulator, folder: &Scratch) -> Result<Config, Failure> {
    let secret = folder.0.join("secret");
    std::fs::write(&secret, tenant.client_secret()).map_err(|error| Failure::file("written to", &secret, &error))?;
    let mut config = crate::config::parse(&format!(
        "tenant = {:?}\nclient_id = {:?}\nclient_secret_file = {:?}\ndata_dir = {:?}\n",
        tenant.domain(),
        tenant.client_id(),
        secret,
        folder.0.join("data"),
    ))?;
    config.endpoints = EndpointsConfig {
        login: Some(format!("{}/login", tenant.url())),
        audiences: BTreeMap::from([
            (OFFICE365_MANAGEMENT.to_owned(), format!("{}/manage", tenant.url())),
            (GRAPH.to_owned(), format!("{}/graph", tenant.url())),
        ]),
    };
    config.quotas = ["office365", "graph-reports", "graph-alerts"]
        .map(|name| (name.to_owned(), QuotaConfig { requests: 1_000_000, per_seconds: 1 }))
        .into();
    Ok(config)
}

/// Prints the table and says whether everything served is accounted for.
fn report(summary: &Summary, stopped: bool, served: &BTreeMap<String, Served>) -> Result<ExitCode, Failure> {
    let header = ["STREAM", "SERVED", "DELIVERED", "REJECTED", "DUPLICATES DROPPED", "OCSF EVENTS", "SECONDS"];
    let mut rows = Vec::new();
    let mut total = [0u64; 5];
    let mut balanced = true;
    for (stream, (counts, status)) in summary {
        let served = served.get(stream).map_or(0, |served| served.records);
        let cells = [served, counts.delivered, counts.rejected, counts.duplicates, counts.events];
        balanced &= served == counts.delivered + counts.rejected + counts.duplicates;
        for (sum, cell) in total.iter_mut().zip(cells) {
            *sum += cell;
        }
        rows.push(row(stream, cells, status.last_commit.as_secs_f32()));
    }
    let seconds = summary.values().map(|(_, status)| status.last_commit.as_secs_f32()).fold(0.0, f32::max);
    rows.push(row("total", total, seconds));
    eprint!("\n{}", layout(&header, &rows));

    let troubles = troubles(summary, stopped);
    for trouble in &troubles {
        eprintln!("m365-pipe: {trouble}");
    }
    if !balanced {
        eprintln!("m365-pipe: The table doesn't balance: not every record that was served is accounted for.");
    }
    if !troubles.is_empty() || !balanced {
        return Ok(ExitCode::from(exit_codes::INCOMPLETE));
    }
    eprintln!(
        "\nEvery record that the tenant served is accounted for: served = delivered + rejected + duplicates dropped.\nNext, with a tenant of your own: \"A real tenant in five minutes\" in README.md."
    );
    Ok(ExitCode::SUCCESS)
}

fn row(name: &str, cells: [u64; 5], seconds: f32) -> Vec<String> {
    let mut row = vec![name.to_owned()];
    row.extend(cells.iter().map(u64::to_string));
    row.push(format!("{seconds:.2}"));
    row
}

/// A folder that is gone when the demonstration ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("m365-pipe-demo-{}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|error| Failure::file("made", &path, &error))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays behind is in the folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
