//! `m365-pipe drift`: what records held that the plugin doesn't know. It reads only, and beside a run that holds the ledger.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::table::layout;
use super::{Failure, exit_codes};
use crate::ledger::{DriftRow, read_drift};
use crate::pipeline::now_ms;
use crate::times::{parse, utc};

/// Show what the records of each stream held that the plugin doesn't know: record types, operations, fields and values of
/// enumerations, with counts and redacted samples. The records were delivered all the same. Works while a run is going on.
#[derive(Debug, Args)]
pub(super) struct Drift {
    /// The configuration file (TOML).
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// Print a JSON array: times as text in UTC.
    #[arg(long)]
    json: bool,
    /// Leave out what was last found before: a time such as 2026-11-29T20:00:00Z, a date, or how long ago, such as 36h or 7d.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
}

impl Drift {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let config = crate::config::load(&self.config)?;
        let since = match &self.since {
            None => 0,
            Some(text) => parse(text, now_ms()).ok_or_else(|| {
                Failure::new(
                    exit_codes::CONFIGURATION,
                    format!(
                        "--since {text:?} is no time. Write it as 2026-11-29T20:00:00Z, 2026-11-29, or as a time ago: 90m, 36h, 7d."
                    ),
                )
            })?,
        };
        let rows = read_drift(&config.data_dir, since)?.unwrap_or_else(|| {
            eprintln!("m365-pipe: there is no ledger in {} yet: nothing was collected.", config.data_dir.display());
            Vec::new()
        });
        let text = if self.json { as_json(&rows) } else { as_text(&rows) };
        io::stdout().write_all(text.as_bytes()).map_err(|error| Failure::stdout(&error))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn as_json(rows: &[DriftRow]) -> String {
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({
                "stream": row.stream, "kind": row.kind, "place": row.place, "name": row.name, "records": row.records,
                "first_at": utc(row.first_at), "last_at": utc(row.last_at), "sample": row.sample,
            })
        })
        .collect();
    format!("{:#}\n", Value::Array(rows))
}

fn as_text(rows: &[DriftRow]) -> String {
    if rows.is_empty() {
        return "The records held nothing that the plugin doesn't know.\n".to_owned();
    }
    let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    let header = ["STREAM", "KIND", "WHERE", "NAME", "RECORDS", "FIRST", "LAST", "SAMPLE"];
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            vec![
                row.stream.clone(),
                row.kind.clone(),
                or_dash(&row.place),
                row.name.clone(),
                row.records.to_string(),
                utc(row.first_at),
                utc(row.last_at),
                or_dash(&row.sample),
            ]
        })
        .collect();
    layout(&header, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_told_with_times_and_samples() {
        let row = DriftRow {
            stream: "office365.exchange".to_owned(),
            kind: "field".to_owned(),
            place: "ExchangeAdmin".to_owned(),
            name: "NewField".to_owned(),
            records: 12,
            first_at: 1_795_984_132_000,
            last_at: 1_795_984_132_000,
            sample: "text xxxx@xxx.xxx".to_owned(),
        };
        let text = as_text(std::slice::from_ref(&row));
        assert!(text.contains("NewField       12  2026-11-29T20:28:52Z"), "{text}");
        let value: Value = serde_json::from_str(&as_json(&[row])).unwrap();
        assert_eq!(value[0]["first_at"], "2026-11-29T20:28:52Z");
        assert!(as_text(&[]).starts_with("The records held nothing"));
    }
}
