//! `m365-pipe check`: the connection test, one line per stream, with the mend where it fails.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::collect::Connection;
use super::{Failure, Global, exit_codes};
use crate::guest::{Finding, Severity};

/// Test every configured stream: tenant, credentials, permission, licence, subscription. Nothing is changed and nothing
/// is delivered. Exit code 1 if a stream doesn't work.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// The configuration file (TOML).
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
}

impl Check {
    pub(super) fn run(self, global: &Global) -> Result<ExitCode, Failure> {
        let config = crate::config::load(&self.config)?;
        let cancel = super::run::cancel_on_signals()?;
        let connection = Connection::open(&config, global, cancel, false)?;
        let width = connection.streams.iter().map(|stream| stream.name.len()).max().unwrap_or(0);
        let mut failed = false;
        let mut out = io::stdout().lock();
        for stream in &connection.streams {
            let findings = connection
                .plugin
                .source(&connection.settings, &stream.name, connection.client.clone(), connection.cancel.clone())
                .and_then(|mut instance| instance.check(&stream.name, connection.client.now_ms(Some(&stream.audience))))
                .unwrap_or_else(|error| {
                    vec![Finding {
                        severity: Severity::Failure,
                        code: error.code().to_owned(),
                        message: error.to_string(),
                        mend: String::new(),
                    }]
                });
            let (word, sentence) = verdict(&findings);
            failed |= word == FAILED;
            writeln!(out, "{word:<6}  {:<width$}  {sentence}", stream.name).map_err(|error| Failure::stdout(&error))?;
        }
        Ok(if failed { ExitCode::from(exit_codes::FOUND) } else { ExitCode::SUCCESS })
    }
}

const FAILED: &str = "FAILED";

/// One word and one line for what a stream's test found, the worst first.
fn verdict(findings: &[Finding]) -> (&'static str, String) {
    let of = |severity: Severity| findings.iter().filter(move |finding| finding.severity == severity);
    let word = if of(Severity::Failure).next().is_some() {
        FAILED
    } else if of(Severity::Note).next().is_some() {
        "note"
    } else {
        "ok"
    };
    let sentences: Vec<String> = of(Severity::Failure)
        .chain(of(Severity::Note))
        .chain(of(Severity::Ok).filter(|_| word == "ok"))
        .flat_map(|finding| [finding.message.clone(), finding.mend.clone()])
        .filter(|sentence| !sentence.is_empty())
        .collect();
    (word, sentences.join(" "))
}
