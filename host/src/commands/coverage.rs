//! `m365-pipe coverage`: what was listed and read of each stream, how often, and what is missing.
//!
//! It reads only, and beside a run that holds the ledger. What needs a person comes first.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::table::layout;
use super::{Failure, exit_codes};
use crate::ledger::{Coverage as Read, StreamCoverage};
use crate::pipeline::now_ms;
use crate::times::{long, parse, utc};

/// Show which stretches of each stream's arrival clock were listed, how often, with what counts, and what is missing.
/// Gaps come first: stretches and pieces that can't be read any more, each with its reason. Works while a run is going on.
#[derive(Debug, Args)]
pub(super) struct Coverage {
    /// The configuration file (TOML).
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// Print JSON: times as text in UTC, all counts.
    #[arg(long)]
    json: bool,
    /// Leave out what ended before: a time such as 2026-11-29T20:00:00Z, a date, or how long ago, such as 36h or 7d.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
}

impl Coverage {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let config = crate::config::load(&self.config)?;
        let now = now_ms();
        let since = match &self.since {
            None => 0,
            Some(text) => parse(text, now).ok_or_else(|| {
                Failure::new(
                    exit_codes::CONFIGURATION,
                    format!(
                        "--since {text:?} is no time. Write it as 2026-11-29T20:00:00Z, 2026-11-29, or as a time ago: 90m, 36h, 7d."
                    ),
                )
            })?,
        };
        let Some(coverage) = Read::read(&config.data_dir, since)? else {
            eprintln!("m365-pipe: there is no ledger in {} yet: nothing was collected.", config.data_dir.display());
            if self.json {
                println!("{}", json!({"streams": {}}));
            }
            return Ok(ExitCode::SUCCESS);
        };
        if self.json {
            println!("{}", as_json(&coverage));
        } else {
            print!("{}", as_text(&coverage, now));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn as_text(coverage: &Read, now: u64) -> String {
    let mut text = String::new();
    let write = |text: &mut String, title: &str, header: &[&str], rows: Vec<Vec<String>>| {
        if !rows.is_empty() {
            // Writing into a string can't fail.
            let _ = write!(text, "{title}\n{}\n", layout(header, &rows));
        }
    };
    let lost = rows(coverage, |name, stream| {
        let gaps = stream.gaps.iter().map(|gap| {
            let pieces = if gap.pieces == 0 { "unknown".to_owned() } else { gap.pieces.to_string() };
            [name.to_owned(), utc(gap.start), utc(gap.end), pieces, utc(gap.first_at), gap.reason.clone()].to_vec()
        });
        let holes = stream.holes.iter().map(|(start, end)| {
            let reason = "It was neither listed nor declared lost. Please report this.".to_owned();
            [name.to_owned(), utc(*start), utc(*end), "unknown".to_owned(), "-".to_owned(), reason].to_vec()
        });
        gaps.chain(holes).collect()
    });
    if lost.is_empty() {
        text.push_str("No gaps: everything that was listed is read or waits to be read.\n\n");
    }
    write(
        &mut text,
        "GAPS: can't be read any more; `m365-pipe retry-lost` shows the pieces among them and puts them back",
        &["STREAM", "FROM", "TO", "PIECES", "DECLARED", "REASON"],
        lost,
    );
    let open = rows(coverage, |name, stream| {
        let (0, None) = (stream.open_pieces, stream.oldest_open) else {
            let oldest = stream.oldest_open.unwrap_or(now);
            let error = stream.last_error.clone().unwrap_or_default();
            let cells = [stream.open_pieces.to_string(), utc(oldest), long(now.saturating_sub(oldest)), error];
            return vec![std::iter::once(name.to_owned()).chain(cells).collect()];
        };
        Vec::new()
    });
    write(
        &mut text,
        "OPEN: listed and not read to the end",
        &["STREAM", "PIECES", "OLDEST", "AGE", "LAST ERROR"],
        open,
    );
    let stretches = rows(coverage, |name, stream| {
        let row = |stretch: &crate::ledger::Stretch| {
            let sealed =
                if stretch.sealed && stream.oldest_open.is_none_or(|open| open >= stretch.end) { "yes" } else { "no" };
            let numbers = [
                stretch.passes,
                stretch.pieces,
                stretch.records,
                stretch.duplicates,
                stretch.rejected,
                stretch.late,
                stretch.lost,
            ];
            let times = [name.to_owned(), utc(stretch.start), utc(stretch.end), sealed.to_owned()];
            times.into_iter().chain(numbers.map(|number| number.to_string())).collect()
        };
        stream.stretches.iter().map(row).collect()
    });
    write(
        &mut text,
        "COVERED: stretches of the arrival clock, sealed when no further pass comes",
        &["STREAM", "FROM", "TO", "SEALED", "PASSES", "PIECES", "RECORDS", "DUPLICATES", "REJECTED", "LATE", "LOST"],
        stretches,
    );
    let late = rows(coverage, |name, stream| {
        let late = &stream.late;
        if late.records == 0 {
            return Vec::new();
        }
        let by_pass: Vec<String> = late.by_pass.iter().map(|(pass, records)| format!("{pass}: {records}")).collect();
        let times = [late.p50_ms, late.p95_ms, late.max_ms].map(long);
        let cells = [name.to_owned(), late.records.to_string()].into_iter().chain(times);
        vec![cells.chain([by_pass.join(", ")]).collect()]
    });
    write(
        &mut text,
        "LATE: records that the first listing of their stretch didn't have",
        &["STREAM", "RECORDS", "HALF WITHIN", "95 % WITHIN", "ALL WITHIN", "FOUND BY PASS"],
        late,
    );
    text
}

fn rows(coverage: &Read, of: impl Fn(&str, &StreamCoverage) -> Vec<Vec<String>>) -> Vec<Vec<String>> {
    coverage.streams.iter().flat_map(|(name, stream)| of(name, stream)).collect()
}

/// The same with times as text, so that a person can read it too.
fn as_json(coverage: &Read) -> Value {
    // Numbers, strings and lists of them: writing them as JSON can't fail.
    let mut value = serde_json::to_value(coverage).unwrap_or_default();
    write_times(&mut value, "");
    value
}

fn write_times(value: &mut Value, name: &str) {
    const TIMES: [&str; 8] = ["start", "end", "first_at", "last_at", "listed_at", "sealed", "oldest_open", "holes"];
    match value {
        Value::Number(number) if TIMES.contains(&name) => {
            *value = number.as_u64().map_or(Value::Null, |time| Value::String(utc(time)));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| write_times(item, name)),
        Value::Object(members) => members.iter_mut().for_each(|(name, value)| write_times(value, name)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Gap, Late, Stretch};

    fn coverage() -> Read {
        let hour = 3_600_000;
        let start = 1_795_984_132_000;
        let stream = StreamCoverage {
            gaps: vec![Gap {
                start,
                end: start + hour,
                code: "unlisted".to_owned(),
                reason: "Too old.".to_owned(),
                pieces: 0,
                first_at: start + hour,
                last_at: start + hour,
            }],
            stretches: vec![Stretch {
                start: start + hour,
                end: start + 2 * hour,
                passes: 5,
                sealed: true,
                records: 7,
                ..Stretch::default()
            }],
            late: Late {
                records: 3,
                p50_ms: hour,
                p95_ms: 2 * hour,
                max_ms: 2 * hour,
                by_pass: [("1h".to_owned(), 3)].into(),
            },
            ..StreamCoverage::default()
        };
        Read { streams: [("office365.exchange".to_owned(), stream)].into() }
    }

    #[test]
    fn gaps_come_first() {
        let text = as_text(&coverage(), 0);
        let places: Vec<_> =
            ["GAPS", "Too old.", "COVERED", "LATE", "1h: 3"].iter().map(|word| text.find(word)).collect();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{text}");
        assert!(!text.contains("OPEN"));
        assert!(as_text(&Read::default(), 0).starts_with("No gaps"));
    }

    #[test]
    fn json_has_times_as_text() {
        let value = as_json(&coverage());
        let stream = &value["streams"]["office365.exchange"];
        assert_eq!(stream["gaps"][0]["start"], "2026-11-29T20:28:52Z");
        assert_eq!(stream["stretches"][0]["records"], 7);
        assert_eq!(stream["stretches"][0]["sealed"], true);
        assert_eq!(stream["sealed"], Value::Null);
        assert_eq!(stream["late"]["max_ms"], 7_200_000);
    }
}
