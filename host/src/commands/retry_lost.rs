//! `m365-pipe retry-lost`: what was declared lost, to look at, and to put back so that the next start reads it again.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::table::layout;
use super::{Failure, exit_codes};
use crate::ledger::{Ledger, LostPiece};
use crate::times::utc;

/// Show what was declared lost: pieces that the service listed and then said weren't there, and parts of pieces that couldn't be
/// read. With numbers, --stream or --all, put it back: the next start reads it again, and what is delivered is lost no more. A
/// part takes everything that was lost of its piece along. Works while no other process uses the data directory.
#[derive(Debug, Args)]
pub(super) struct RetryLost {
    /// The configuration file (TOML) of the collection.
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// Numbers of what to put back.
    #[arg(value_name = "ID", conflicts_with = "all")]
    ids: Vec<i64>,
    /// Put back everything.
    #[arg(long)]
    all: bool,
    /// Put back what is lost of this stream; with --list or numbers, of those.
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
    /// List only, also with --stream. Without any choice, this is what happens.
    #[arg(long, conflicts_with_all = ["ids", "all"])]
    list: bool,
    /// Write JSON.
    #[arg(long)]
    json: bool,
}

impl RetryLost {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let config = crate::config::load(&self.config)?;
        let ledger = Ledger::open_existing(&config.data_dir)?;
        let lost = ledger.lost_pieces(self.stream.as_deref())?;
        let chosen = self.all || !self.ids.is_empty() || (self.stream.is_some() && !self.list);
        if !chosen {
            let text = if self.json { format!("{}\n", json!({"lost": lost})) } else { as_text(&lost) };
            return print(&text);
        }
        if let Some(missing) = self.ids.iter().find(|id| !lost.iter().any(|piece| piece.id == **id)) {
            return Err(Failure::new(
                exit_codes::CONFIGURATION,
                format!("There is nothing lost with the number {missing}. `retry-lost --list` shows what is."),
            ));
        }
        let meant = lost.iter().filter(|piece| self.ids.is_empty() || self.ids.contains(&piece.id));
        let ids: Vec<i64> = meant.map(|piece| piece.id).collect();
        let pieces = ledger.retry_lost(&ids)?;
        print(&if self.json {
            format!("{}\n", json!({"put_back": pieces}))
        } else if pieces == 0 {
            "Nothing is lost.\n".to_owned()
        } else {
            format!("{pieces} put back; the next start reads them again.\n")
        })
    }
}

fn print(text: &str) -> Result<ExitCode, Failure> {
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| Failure::stdout(&error))?;
    Ok(ExitCode::SUCCESS)
}

fn as_text(lost: &[LostPiece]) -> String {
    if lost.is_empty() {
        return "Nothing is lost.\n".to_owned();
    }
    let rows: Vec<Vec<String>> = lost
        .iter()
        .map(|piece| {
            let what = match &piece.oversized {
                Some(record) => format!("a record of {} bytes, {} MiB would read it", record.bytes, record.limit_mib),
                None if piece.whole => "a piece".to_owned(),
                None => format!("{} to {}", utc(piece.start), utc(piece.end)),
            };
            let reason: String = piece.reason.chars().take(100).collect();
            vec![
                piece.id.to_string(),
                piece.stream.clone(),
                utc(piece.arrival),
                utc(piece.lost_at),
                piece.code.clone(),
                what,
                reason,
            ]
        })
        .collect();
    let table = layout(&["ID", "STREAM", "ARRIVED", "LOST", "CODE", "WHAT", "REASON"], &rows);
    format!("{table}\nNumbers, --stream NAME or --all put it back, to be read again at the next start.\n")
}
