//! Counts the instructions that normalising a record takes, natively, under valgrind's callgrind. Unlike a time, the count
//! doesn't depend on what else the machine does, so it can fail a build.
//!
//! `cargo bench -p m365-bench --bench instructions` compares with `tests/bench/instructions.json`, and fails if a stream's
//! count has grown by more than the tolerance; `-- --update` writes the file anew, for review as a change of it.
//!
//! The records are the golden ones. Two runs, of one round and of three, tell a round without what a start costs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Parser;
use m365_plugin::normalize::Normalizer;
use serde_json::Value;

/// What a count may grow by. Libraries choose instructions by the processor, so that machines differ a little.
const TOLERANCE: f64 = 0.05;
const SETTINGS: &str = r#"{"tenant":"3f1c7a52-6d3e-4a53-9f0e-5b0f4b1d2c11"}"#;
const NOW: u64 = 1_764_061_441_000;
/// Records are repeated up to this many for each stream, so that what a batch costs is spread as in a run.
const RECORDS: usize = 120;

#[derive(Parser)]
struct Arguments {
    /// Write the counts down instead of comparing.
    #[arg(long)]
    update: bool,
    /// Normalise this stream so many rounds, and do nothing else: what is counted.
    #[arg(long, hide = true, num_args = 2, value_names = ["STREAM", "ROUNDS"])]
    counted: Option<Vec<String>>,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let arguments = Arguments::parse();
    if let Some(counted) = &arguments.counted {
        let batch = batch(&golden().join(&counted[0]))?;
        let normalizer = Normalizer::new(SETTINGS)?;
        for _ in 0..counted[1].parse()? {
            std::hint::black_box(normalizer.process(&counted[0], &batch, NOW)?);
        }
        return Ok(());
    }
    let mut streams = Vec::new();
    for entry in std::fs::read_dir(golden())? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            streams.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    streams.sort();
    let mut counts = BTreeMap::new();
    for stream in streams {
        let (one, three) = (instructions(&stream, 1)?, instructions(&stream, 3)?);
        let rounds = three.checked_sub(one).filter(|rounds| *rounds > 0);
        let rounds = rounds.ok_or_else(|| format!("three rounds of {stream} take no more than one"))?;
        counts.insert(stream, rounds / 2 / RECORDS as u64);
    }
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.json");
    if arguments.update {
        std::fs::write(&kept, serde_json::to_string_pretty(&counts)? + "\n")?;
    }
    let before: BTreeMap<String, u64> = serde_json::from_slice(&std::fs::read(&kept)?)?;
    println!("| stream | instructions per record | before | change |");
    println!("|---|---|---|---|");
    let uncounted = before.keys().filter(|stream| !counts.contains_key(*stream));
    let mut grown: Vec<String> = uncounted.map(|stream| format!("{stream} has no golden records any more")).collect();
    for (stream, count) in &counts {
        let Some(before) = before.get(stream) else {
            grown.push(format!("{stream} is new"));
            continue;
        };
        let change = *count as f64 / *before as f64 - 1.0;
        println!("| {stream} | {count} | {before} | {:+.1} % |", 100.0 * change);
        if change > TOLERANCE {
            grown.push(format!("{stream} takes {:.1} % more", 100.0 * change));
        }
    }
    if grown.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{}. If that is worth its cost, write the counts down: cargo bench -p m365-bench --bench instructions -- --update",
        grown.join(", ")
    )
    .into())
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../golden")
}

/// A stream's golden records, over and over, one a line.
fn batch(folder: &Path) -> Outcome<Vec<u8>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(".record.json") {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(format!("{} holds no records", folder.display()).into());
    }
    files.sort();
    let mut batch = Vec::new();
    for file in files.iter().cycle().take(RECORDS) {
        let record: Value = serde_json::from_slice(&std::fs::read(file)?)?;
        serde_json::to_writer(&mut batch, &record)?;
        batch.push(b'\n');
    }
    Ok(batch)
}

/// How many instructions a process takes that normalises a stream's records so many times.
fn instructions(stream: &str, rounds: u32) -> Outcome<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["--counted", stream, &rounds.to_string()])
        .output()
        .map_err(|error| format!("valgrind can't be started: {error}. It is a package of that name."))?;
    let log = String::from_utf8_lossy(&output.stderr);
    let collected = log.lines().find_map(|line| line.split_once("Collected :")).map(|(_, count)| count.trim());
    let count = collected.filter(|_| output.status.success()).and_then(|count| count.parse().ok());
    count.ok_or_else(|| format!("valgrind counted nothing for {stream}: {log}").into())
}
