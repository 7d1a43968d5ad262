//! `m365-pipe run`: collect until stopped, or until caught up.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::collect::{Collected, Connection, gaps, troubles};
use super::table::layout;
use super::{Failure, Global, exit_codes};
use crate::http::Cancel;
use crate::ledger::SinkMark;
use crate::pipeline::{StreamState, Summary};

/// Collect from a tenant and deliver to the configured sinks. SIGINT and SIGTERM stop cleanly: what was read is
/// delivered and committed, and the next start goes on from there. SIGHUP changes nothing: a run outlives its terminal.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// The configuration file (TOML). `m365-pipe schema print config` describes it.
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// End once everything that is there has been delivered. It does not wait for what is blocked, nor for what the service
    /// lists and says isn't there: then, and if anything was lost in this run, the exit code is 5.
    #[arg(long)]
    until_caught_up: bool,
}

impl Run {
    pub(super) fn run(self, global: &Global) -> Result<ExitCode, Failure> {
        let config = crate::config::load(&self.config)?;
        let cancel = cancel_on_signals()?;
        let connection = match Connection::open(&config, global, cancel.clone(), !self.until_caught_up) {
            Err(_) if cancel.is_cancelled() => return Err(nothing_collected("before it could log in")),
            other => other?,
        };
        tracing::info!(streams = connection.streams.len(), data_dir = %config.data_dir.display(), "Collecting.");
        let Collected { summary, sinks, logged_in, stopped } = connection.collect(&config, self.until_caught_up)?;
        eprint!("{}\n{}", table(&summary), sink_table(&sinks));
        if summary.values().any(|(_, status)| status.unknown > 0) {
            eprintln!(
                "m365-pipe: records held record types, operations, fields or values that the plugin doesn't know, counted above as UNKNOWN. `m365-pipe drift -c {}` lists them.",
                self.config.display()
            );
        }
        let (lost, troubles) = (gaps(&summary), troubles(&summary, stopped));
        for sentence in lost.iter().chain(&troubles) {
            eprintln!("m365-pipe: {sentence}");
        }
        if stopped && !logged_in {
            return Err(nothing_collected("before it could log in"));
        }
        let behind = stopped && self.until_caught_up && !all_caught_up(&summary);
        if behind {
            eprintln!("m365-pipe: it was stopped before it had caught up; the next start goes on from there.");
        }
        // A service that is asked to end has done what it was asked to do.
        if !self.until_caught_up || (lost.is_empty() && troubles.is_empty() && !behind) {
            return Ok(ExitCode::SUCCESS);
        }
        let not_loaded = summary.values().any(|(_, status)| status.plugin_not_loaded);
        Ok(ExitCode::from(if not_loaded { exit_codes::PLUGIN } else { exit_codes::INCOMPLETE }))
    }
}

/// The end of a run that was stopped too early to do anything.
fn nothing_collected(when: &str) -> Failure {
    Failure::new(exit_codes::INCOMPLETE, format!("The run was stopped {when}: nothing was collected."))
}

fn all_caught_up(summary: &Summary) -> bool {
    summary.values().all(|(_, status)| status.state == StreamState::CaughtUp && status.open_splits == 0)
}

/// A signal asks the run to end; a second one ends the process at once, which the ledger makes safe. SIGHUP is none of them:
/// a terminal that is closed is no reason to stop collecting.
pub(super) fn cancel_on_signals() -> Result<Cancel, Failure> {
    let cancel = Cancel::new();
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])
        .map_err(|error| Failure::new(exit_codes::CONFIGURATION, format!("Signals can't be handled: {error}.")))?;
    let asked = cancel.clone();
    std::thread::spawn(move || {
        for signal in signals.forever() {
            if signal == SIGHUP {
                tracing::info!("SIGHUP changes nothing: send SIGTERM to stop.");
                continue;
            }
            if asked.is_cancelled() {
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
