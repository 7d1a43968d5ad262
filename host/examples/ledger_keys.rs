//! What a delivered key costs: `cargo run --release -p m365-pipe --example ledger_keys -- [KEYS…]`
//!
//! For each number of keys it fills a new ledger as ten days of collecting would, in commits of 2,000 keys, then measures
//! looking up keys that are new and keys that are known, and committing more. The figures are those of `docs/ledger.md`.

use std::path::Path;
use std::time::{Duration, Instant};

use m365_pipe::ledger::{Counts, Delivered, Key, KeyHash, Ledger, Progress};

const DAY: u64 = 24 * 60 * 60 * 1000;
const COMMIT: u64 = 2_000;
const PROBES: u64 = 200_000;
/// Keys are looked up as a reader does: those of a chunk at a time.
const CHUNK: u64 = 250;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut sizes: Vec<u64> = std::env::args().skip(1).map(|size| size.parse()).collect::<Result<_, _>>()?;
    if sizes.is_empty() {
        sizes = vec![10_000, 1_000_000, 5_000_000, 20_000_000];
    }
    println!(
        "{:>10} {:>12} {:>12} {:>14} {:>14} {:>12} {:>14} {:>10} {:>10}",
        "keys", "new ns", "known ns", "insert ns", "fill ns", "disk B/key", "memory B/key", "open ms", "longest ms"
    );
    for size in sizes {
        measure(size)?;
    }
    Ok(())
}

fn measure(size: u64) -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let before = resident();
    let ledger = Ledger::open(folder.path(), "measurement")?;
    let start = Instant::now();
    for first in (0..size).step_by(COMMIT as usize) {
        commit(&ledger, first..(first + COMMIT).min(size), 20_000 * DAY + first * 10 * DAY / size)?;
    }
    let fill = per(start, size);
    let memory = resident().saturating_sub(before);
    let disk = disk(folder.path())?;
    drop(ledger);

    let start = Instant::now();
    let ledger = Ledger::open(folder.path(), "measurement")?;
    let open = start.elapsed();
    let reader = ledger.key_reader()?;
    let look = |numbers: &dyn Fn(u64) -> u64, known: bool| -> Result<u128, Box<dyn std::error::Error>> {
        let mut nanos = 0;
        for first in (0..PROBES).step_by(CHUNK as usize) {
            let keys: Vec<Key> = (first..first + CHUNK).map(|probe| key(numbers(probe))).collect();
            let start = Instant::now();
            let found = reader.known(&keys)?;
            nanos += start.elapsed().as_nanos();
            assert!(found.into_iter().all(|found| found == known));
        }
        Ok(nanos / u128::from(PROBES))
    };
    let new = look(&|probe| size + 1_000_000 + probe, false)?;
    let known = look(&|probe| probe.wrapping_mul(0x9e37_79b9_7f4a_7c15) % size, true)?;
    // A day more, with all that its keys and the passing of the day before have to be written again.
    let more = (size / 10).max(50_000);
    let mut longest = Duration::ZERO;
    let start = Instant::now();
    for first in (size..size + more).step_by(COMMIT as usize) {
        let start = Instant::now();
        commit(&ledger, first..first + COMMIT, 20_010 * DAY)?;
        longest = longest.max(start.elapsed());
    }
    let insert = per(start, more);
    println!(
        "{size:>10} {new:>12} {known:>12} {insert:>14} {fill:>14} {:>12.1} {:>14.1} {:>10} {:>10}",
        disk as f64 / size as f64,
        memory as f64 / size as f64,
        open.as_millis(),
        longest.as_millis()
    );
    Ok(())
}

fn key(number: u64) -> Key {
    KeyHash::Unkeyed.key("office365.exchange", &number.to_le_bytes())
}

fn commit(ledger: &Ledger, numbers: std::ops::Range<u64>, arrival: u64) -> Result<(), Box<dyn std::error::Error>> {
    let delivered = Delivered {
        stream: "office365.exchange".to_owned(),
        split: "split".to_owned(),
        arrival,
        progress: Progress::Resume(None),
        keys: numbers.map(key).collect(),
        dead_letters: Vec::new(),
        unknown: Vec::new(),
        losses: Vec::new(),
        counts: Counts::default(),
    };
    ledger.commit(&[delivered], &[], arrival)?;
    Ok(())
}

fn per(start: Instant, number: u64) -> u128 {
    start.elapsed().as_nanos() / u128::from(number.max(1))
}

fn disk(folder: &Path) -> std::io::Result<u64> {
    std::fs::read_dir(folder)?.map(|entry| Ok(entry?.metadata()?.len())).sum()
}

/// Resident memory of this process, in bytes; 0 where it can't be told.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}
