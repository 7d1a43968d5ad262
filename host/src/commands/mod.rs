//! The command line. Standard output carries data only; everything meant for a person goes to standard error.

mod check;
mod collect;
mod coverage;
mod dead_letters;
mod demo;
mod drift;
mod failure;
mod normalize;
mod plugin;
mod retry_lost;
mod run;
mod schema;
mod streams;
mod table;
mod validate;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::foreign_text::{Hiding, without_secrets};

pub use failure::{Failure, exit_codes};

/// Microsoft 365 audit streams in, schema-valid OCSF events out.
#[derive(Debug, Parser)]
#[command(name = "m365-pipe", version, about, after_help = failure::EXIT_CODES_HELP, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    global: Global,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
struct Global {
    /// Use this component in place of the built-in plugin. It runs with checks that cost some speed.
    #[arg(long, global = true, value_name = "FILE")]
    plugin: Option<std::path::PathBuf>,
    /// Tell more: once for what is listed and read, twice for everything.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Tell warnings and errors only.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run against a simulated tenant on this machine: no account needed.
    Demo(demo::Demo),
    /// Collect from a tenant and deliver, until stopped.
    Run(run::Run),
    /// Turn raw records (NDJSON) into OCSF events or ECS documents (NDJSON).
    Normalize(normalize::Normalize),
    /// Check events or raw records against the schemas, for CI.
    Validate(validate::Validate),
    /// Show the built-in schemas.
    Schema(schema::Schema),
    /// Show the streams: API, permissions, dataset, event classes; or what the operations in them mean.
    Streams(streams::Streams),
    /// Test the connection of every configured stream, without changing anything.
    Check(check::Check),
    /// Show, replay or drop records that could not be normalised or delivered.
    DeadLetters(dead_letters::DeadLetters),
    /// Show what is lost, or put it back to be read again at the next start.
    RetryLost(retry_lost::RetryLost),
    /// Show what was listed and read of each stream, how often, and what is missing: gaps first.
    Coverage(coverage::Coverage),
    /// Show what records held that the plugin doesn't know: record types, operations, fields, values.
    Drift(drift::Drift),
}

/// Parses the arguments and runs the command.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // Who tries the demonstration wants to see its events and its table.
    let usual = if matches!(cli.command, Command::Demo(_)) { "warn" } else { "info" };
    log_to_stderr(&cli.global, usual);
    survive_size_limits();
    let result = match cli.command {
        Command::Demo(command) => command.run(&cli.global),
        Command::Run(command) => command.run(&cli.global),
        Command::Normalize(command) => command.run(&cli.global),
        Command::Validate(command) => command.run(&cli.global),
        Command::Schema(command) => command.run(&cli.global),
        Command::Streams(command) => command.run(&cli.global),
        Command::Check(command) => command.run(&cli.global),
        Command::DeadLetters(command) => command.run(&cli.global),
        Command::RetryLost(command) => command.run(),
        Command::Coverage(command) => command.run(),
        Command::Drift(command) => command.run(),
    };
    match result {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("m365-pipe: {}", without_secrets(&failure.to_string()));
            failure.exit_code()
        }
    }
}

/// Writing over the limit on the size of files then fails with an error, as on a full disk, and doesn't end the process.
fn survive_size_limits() {
    // Where that can't be, the process ends as it would have.
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, std::sync::Arc::default());
}

fn log_to_stderr(global: &Global, usual: &str) {
    let level = match (global.quiet, global.verbose) {
        (true, _) => "warn",
        (false, 0) => usual,
        (false, 1) => "info,m365_pipe=debug,plugin=debug",
        (false, _) => "info,m365_pipe=trace,plugin=trace",
    };
    let filter = EnvFilter::try_from_env("M365_PIPE_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let coloured = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || Hiding::new(std::io::stderr(), coloured))
        .with_ansi(coloured)
        .with_target(false)
        .init();
}
