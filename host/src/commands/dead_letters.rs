//! `m365-pipe dead-letters`: what could not be normalised or delivered, to look at, to try again, or to throw away.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::collect::{endpoints, guest_limits, settings};
use super::table::layout;
use super::{Failure, Global, exit_codes};
use crate::config::Config;
use crate::foreign_text::{SENTENCE, WORD, readable};
use crate::ledger::{Ledger, LetterFilter, StoredLetter};
use crate::pipeline::Replay;
use crate::sinks;

/// As many letters as a list shows of its own accord.
const LISTED: usize = 20;

/// Show, replay or drop dead letters: records that gave no event, and events that a sink refused. Works while no other
/// process uses the data directory.
#[derive(Debug, Args)]
pub(super) struct DeadLetters {
    /// The configuration file (TOML) of the collection.
    #[arg(short, long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Write JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Count the letters by stream, code and sink, and list the newest (the default).
    List {
        #[command(flatten)]
        chosen: Chosen,
        /// How many letters to list, the newest ones.
        #[arg(long, value_name = "N", default_value_t = LISTED)]
        limit: usize,
    },
    /// Show one letter: its reason, its position, and the bytes of its record.
    Show {
        /// The letter's number.
        id: i64,
    },
    /// Send letters through the transform and to the sinks once more. What is delivered is a letter no more; an event that
    /// a sink refused goes to that sink only.
    Replay(Chosen),
    /// Throw letters away, and with them their records.
    Drop(Chosen),
}

/// Which letters.
#[derive(Debug, Clone, Default, Args)]
struct Chosen {
    /// Numbers of letters.
    #[arg(value_name = "ID")]
    ids: Vec<i64>,
    /// All of them.
    #[arg(long, conflicts_with_all = ["ids", "stream", "code", "sink"])]
    all: bool,
    /// Those of this stream.
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
    /// Those with this code.
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
    /// Those that this sink refused.
    #[arg(long, value_name = "NAME")]
    sink: Option<String>,
}

impl Chosen {
    fn is_empty(&self) -> bool {
        !self.all && self.ids.is_empty() && self.stream.is_none() && self.code.is_none() && self.sink.is_none()
    }

    fn filter(&self) -> LetterFilter {
        LetterFilter {
            ids: (!self.ids.is_empty()).then(|| self.ids.clone()),
            stream: self.stream.clone(),
            code: self.code.clone(),
            sink: self.sink.clone(),
        }
    }

    /// The letters that are meant, for an action that changes them: nothing is meant by itself.
    fn find(&self, ledger: &Ledger, doing: &str) -> Result<Vec<i64>, Failure> {
        if self.is_empty() {
            return Err(Failure::new(
                exit_codes::CONFIGURATION,
                format!("Say which letters to {doing}: their numbers, --stream, --code, --sink, or --all."),
            ));
        }
        let ids = ledger.letter_ids(&self.filter())?;
        if let Some(missing) = self.ids.iter().find(|id| !ids.contains(id)) {
            return Err(Failure::new(
                exit_codes::CONFIGURATION,
                format!(
                    "There is no dead letter {missing} among those that are meant. `dead-letters list` shows them."
                ),
            ));
        }
        Ok(ids)
    }
}

impl DeadLetters {
    pub(super) fn run(self, global: &Global) -> Result<ExitCode, Failure> {
        let Some(path) = &self.config else {
            return Err(Failure::new(exit_codes::CONFIGURATION, "Name the configuration file with -c."));
        };
        let config = crate::config::load(path)?;
        let ledger = Ledger::open_existing(&config.data_dir)?;
        match self.action.unwrap_or(Action::List { chosen: Chosen::default(), limit: LISTED }) {
            Action::List { chosen, limit } => list(&ledger, &config, &chosen, limit, self.json)?,
            Action::Show { id } => {
                let letter = ledger.letter(id)?.ok_or_else(|| {
                    Failure::new(
                        exit_codes::CONFIGURATION,
                        format!("There is no dead letter {id}. `dead-letters list` shows them."),
                    )
                })?;
                show(&letter, self.json)?;
            }
            Action::Replay(chosen) => {
                let ids = chosen.find(&ledger, "replay")?;
                return replay(ledger, &config, global, &ids, self.json);
            }
            Action::Drop(chosen) => {
                let dropped = ledger.drop_letters(&chosen.find(&ledger, "drop")?)?;
                let text =
                    if self.json { json!({"dropped": dropped}).to_string() } else { format!("{dropped} dropped.") };
                print(&format!("{text}\n"))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn print(text: &str) -> Result<(), Failure> {
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| Failure::stdout(&error))
}

/// A time in words, to the second.
fn time(ms: u64) -> String {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_millis(ms.min(253_402_300_799_000));
    httpdate::fmt_http_date(time)
}

fn list(ledger: &Ledger, config: &Config, chosen: &Chosen, limit: usize, as_json: bool) -> Result<(), Failure> {
    let (groups, bytes) = ledger.letter_groups()?;
    let ids = ledger.letter_ids(&chosen.filter())?;
    let newest = &ids[ids.len().saturating_sub(limit)..];
    let letters =
        newest.iter().filter_map(|id| ledger.letter(*id).transpose()).collect::<Result<Vec<StoredLetter>, _>>()?;
    if as_json {
        let groups: Vec<Value> = groups
            .iter()
            .map(|group| {
                json!({
                    "stream": group.stream, "code": group.code, "sink": group.sink, "letters": group.letters,
                    "bytes": group.bytes, "first_ms": group.first, "last_ms": group.last,
                })
            })
            .collect();
        let letters: Vec<Value> = letters.iter().map(head).collect();
        let whole = json!({
            "bytes": bytes, "max_bytes": config.dead_letters.max_bytes, "groups": groups, "letters": letters,
        });
        return print(&format!("{whole}\n"));
    }
    if groups.is_empty() {
        return print("There are no dead letters.\n");
    }
    let rows: Vec<Vec<String>> = groups
        .iter()
        .map(|group| {
            vec![
                group.stream.clone(),
                group.code.clone(),
                group.sink.clone().unwrap_or_else(|| "-".to_owned()),
                group.letters.to_string(),
                group.bytes.to_string(),
                time(group.last),
            ]
        })
        .collect();
    let mut text = layout(&["STREAM", "CODE", "REFUSED BY", "LETTERS", "BYTES", "LAST"], &rows);
    text.push_str(&format!("\n{bytes} of {} bytes.\n", config.dead_letters.max_bytes));
    if !letters.is_empty() {
        let rows: Vec<Vec<String>> = letters
            .iter()
            .map(|stored| {
                let message = readable(&stored.letter.message, 100);
                vec![
                    stored.id.to_string(),
                    stored.stream.clone(),
                    stored.letter.code.clone(),
                    stored.times.to_string(),
                    message,
                ]
            })
            .collect();
        text.push('\n');
        text.push_str(&layout(&["ID", "STREAM", "CODE", "TIMES", "REASON"], &rows));
        if ids.len() > letters.len() {
            text.push_str(&format!("The newest {} of {}; --limit shows more.\n", letters.len(), ids.len()));
        }
    }
    print(&text)
}

/// A letter without its bytes.
fn head(stored: &StoredLetter) -> Value {
    let letter = &stored.letter;
    json!({
        "id": stored.id, "stream": stored.stream, "sink": letter.sink, "split": letter.split,
        "position": letter.position, "arrival_ms": stored.arrival, "code": letter.code, "message": letter.message,
        "first_ms": stored.first, "last_ms": stored.last, "times": stored.times, "bytes": letter.raw.len(),
    })
}

fn show(stored: &StoredLetter, as_json: bool) -> Result<(), Failure> {
    let letter = &stored.letter;
    if as_json {
        let mut whole = head(stored);
        whole["raw"] = match std::str::from_utf8(&letter.raw) {
            Ok(text) => json!(text),
            // Bytes that are no text are kept as numbers: nothing is lost.
            Err(_) => json!(letter.raw),
        };
        return print(&format!("{whole}\n"));
    }
    let text = format!(
        "stream    {}\nrefused   {}\nsplit     {}\nposition  {}\ncode      {}\nreason    {}\nfirst     {}\nlast      {}\ntimes     {}\n\n",
        readable(&stored.stream, WORD),
        readable(letter.sink.as_deref().unwrap_or("-"), SENTENCE),
        readable(&letter.split, SENTENCE),
        letter.position,
        readable(&letter.code, WORD),
        readable(&letter.message, SENTENCE),
        time(stored.first),
        time(stored.last),
        stored.times,
    );
    print(&text)?;
    let mut out = std::io::stdout().lock();
    if out.is_terminal() {
        // For a file or another program it is the bytes as they came.
        let raw = String::from_utf8_lossy(&letter.raw);
        return print(&format!("{}\n", readable(&raw, raw.len())));
    }
    out.write_all(&letter.raw).and_then(|()| out.write_all(b"\n")).map_err(|error| Failure::stdout(&error))
}

fn replay(ledger: Ledger, config: &Config, global: &Global, ids: &[i64], as_json: bool) -> Result<ExitCode, Failure> {
    let plugin = Arc::new(super::plugin::load_interruptible(global, guest_limits(config))?);
    let identity = ledger.identity()?;
    // As `run` writes it: the tenant's GUID is what the uids of events are made with.
    let tenant = identity
        .strip_prefix("tenant ")
        .and_then(|rest| rest.strip_suffix(&format!(", plugin {}", plugin.description().name)))
        .ok_or_else(|| {
            Failure::new(
                exit_codes::LEDGER,
                format!(
                    "{}: this ledger belongs to {identity}, and the plugin is {}. Use the plugin that wrote it.",
                    config.data_dir.display(),
                    plugin.description().name
                ),
            )
        })?;
    let settings = settings(config, tenant, &endpoints(config)?);
    ledger.limit_dead_letters(config.dead_letters.max_bytes);
    let replay = Replay {
        settings,
        streams: plugin.description().streams.clone(),
        plugin,
        ledger,
        sinks: config.sinks.iter().map(sinks::open).collect::<Result<_, _>>()?,
        cancel: super::run::cancel_on_signals()?,
    };
    let summary = replay.run(ids)?;
    if as_json {
        print(&format!(
            "{}\n",
            json!({"delivered": summary.delivered, "again": summary.again, "left": summary.left, "stopped": summary.stopped})
        ))?;
    } else {
        let mut text = format!("{} delivered, {} dead letters again.\n", summary.delivered, summary.again);
        for (reason, count) in &summary.left {
            text.push_str(&format!("{count} left alone: {reason}.\n"));
        }
        if summary.stopped {
            text.push_str("Stopped before the end; the other letters are still there.\n");
        }
        print(&text)?;
    }
    let all = summary.again == 0 && summary.left.is_empty() && !summary.stopped;
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::from(exit_codes::REJECTS) })
}
