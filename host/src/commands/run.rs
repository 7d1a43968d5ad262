//! `m365-pipe run`: collect until stopped, or until caught up.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::collect::{Connection, gaps, troubles};
use super::table::layout;
use super::{Failure, Global, exit_codes};
use crate::http::Cancel;
use crate::ledger::SinkMark;
use crate::pipeline::Summary;

/// Collect from a tenant and deliver to the configured sinks. SIGINT and SIGTERM stop cleanly: what was read is
/// delivered and committed, and the next start goes on from there.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// The configuration file (TOML). `m365-pipe schema print config` describes it.
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// End once everything that is there has been delivered.
    #[arg(long)]
    until_caught_up: bool,
}

impl Run {
    pub(super) fn run(self, global: &Global) -> Result<ExitCode, Failure> {
        let config = crate::config::load(&self.config)?;
        let cancel = cancel_on_signals()?;
        let connection = match Connection::open(&config, global, cancel.clone(), !self.until_caught_up) {
            // Stopped while it waited for the network: nothing was begun.
            Err(_) if cancel.is_cancelled() => return Ok(ExitCode::SUCCESS),
            other => other?,
        };
        tracing::info!(streams = connection.streams.len(), data_dir = %config.data_dir.display(), "Collecting.");
        let (summary, sinks) = connection.collect(&config, self.until_caught_up)?;
        eprint!("{}\n{}", table(&summary), sink_table(&sinks));
        if summary.values().any(|(_, status)| status.unknown > 0) {
            eprintln!(
                "m365-pipe: records held record types, operations, fields or values that the plugin doesn't know, counted above as UNKNOWN. `m365-pipe drift -c {}` lists them.",
                self.config.display()
            );
        }
        for gap in gaps(&summary) {
            eprintln!("m365-pipe: {gap}");
        }
        if !self.until_caught_up {
            return Ok(ExitCode::SUCCESS);
        }
        let troubles = troubles(&summary);
        for trouble in &troubles {
            eprintln!("m365-pipe: {trouble}");
        }
        Ok(if troubles.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(exit_codes::INCOMPLETE) })
    }
}

/// A signal asks the run to end; a second one ends the process at once, which the ledger makes safe.
pub(super) fn cancel_on_signals() -> Result<Cancel, Failure> {
    let cancel = Cancel::new();
    let mut signals = Signals::new([SIGINT, SIGTERM])
        .map_err(|error| Failure::new(exit_codes::CONFIGURATION, format!("Signals can't be handled: {error}.")))?;
    let asked = cancel.clone();
    std::thread::spawn(move || {
        for (count, signal) in signals.forever().enumerate() {
            if count > 0 {
                std::process::exit(128 + signal);
            }
            tracing::info!(
                "Stopping: what was read is being delivered and committed. Send the signal again to end at once."
            );
            asked.cancel();
        }
    });
    Ok(cancel)
}

/// What each sink took, in lines.
fn sink_table(sinks: &[SinkMark]) -> String {
    let rows: Vec<Vec<String>> = sinks
        .iter()
        .map(|sink| {
            let counts = [sink.delivered, sink.refused, sink.missed];
            [sink.name.clone()].into_iter().chain(counts.iter().map(u64::to_string)).collect()
        })
        .collect();
    layout(&["SINK", "DELIVERED", "REFUSED", "MISSED"], &rows)
}

fn table(summary: &Summary) -> String {
    let header =
        ["STREAM", "RECORDS", "DELIVERED", "REJECTED", "DUPLICATES", "EVENTS", "LOST PIECES", "UNKNOWN", "SECONDS"];
    let rows: Vec<Vec<String>> = summary
        .iter()
        .map(|(stream, (counts, status))| {
            vec![
                stream.clone(),
                counts.records.to_string(),
                counts.delivered.to_string(),
                counts.rejected.to_string(),
                counts.duplicates.to_string(),
                counts.events.to_string(),
                counts.lost.to_string(),
                status.unknown.to_string(),
                format!("{:.1}", status.last_commit.as_secs_f32()),
            ]
        })
        .collect();
    layout(&header, &rows)
}
