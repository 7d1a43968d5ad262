//! Whole processes: what the collector takes of a machine, beside a plain round trip and in numbers of the operating system.
//!
//! `cargo bench -p m365-bench --bench whole_process -- --help`; docs/performance.md says what each measurement is.

mod day;
mod idle;
mod process;
mod quota;
mod start;
mod table;
mod tenant;
mod throughput;

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::PathBuf;
use std::process::Command;

use clap::{Parser, ValueEnum};
use m365_bench::{machine, plain_round_trip, records};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// What to measure, and of what size.
#[derive(Clone, Parser)]
struct Arguments {
    /// What to measure (repeatable). Default: throughput, or blobs if their sizes are given.
    #[arg(long = "measure", value_enum, value_name = "NAME")]
    measures: Vec<Measure>,
    /// Measure everything.
    #[arg(long)]
    bars: bool,
    /// Plain HTTP between the tenant and the collector.
    #[arg(long)]
    no_tls: bool,
    /// Records in the simulated tenant, and ten times as many as in the files to normalise.
    #[arg(long, default_value_t = 400_000)]
    events: u64,
    /// How often throughput is measured, the processes in turn.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// About how many bytes a record has.
    #[arg(long, default_value_t = 1_500)]
    record_bytes: usize,
    /// Records in a content blob.
    #[arg(long, default_value_t = 500)]
    blob_records: u64,
    /// Milliseconds before each answer of the tenant. Default: none for throughput and blobs, else 50.
    #[arg(long)]
    latency: Option<u64>,
    /// The streams of the tenant, each given anew. Default: all.
    #[arg(long = "stream")]
    streams: Vec<String>,
    /// `limits.readers` of the collector. Default: its own.
    #[arg(long)]
    readers: Option<u32>,
    /// Sizes of content blobs in MiB. Default: 1,25,68,250.
    #[arg(long, value_delimiter = ',')]
    blob_mib: Vec<u64>,
    /// About how many requests the backlogs under the real quota take.
    #[arg(long, value_delimiter = ',', default_value = "2500,3500,4000")]
    quota_requests: Vec<u64>,
    /// For how long an idle collector is watched. Polls are 180 and 300 seconds apart.
    #[arg(long, default_value_t = 60)]
    idle_seconds: u64,
    /// Records that arrive in the simulated day.
    #[arg(long, default_value_t = 100_000)]
    day_events: u64,
    /// How many times as fast the simulated day goes.
    #[arg(long, default_value_t = 480)]
    day_speed: u32,
    /// Do the plain round trip of this file, and nothing else: the process that the others are compared with.
    #[arg(long, hide = true)]
    plain: Option<PathBuf>,
    /// Write a sample of records to this folder, a file for each stream, and do nothing else.
    #[arg(long, hide = true)]
    prepare: Option<PathBuf>,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Measure {
    /// Plain round trip, `normalize`, and a full run.
    Throughput,
    /// Full runs of one stream with content blobs of several sizes.
    Blobs,
    /// A full run with latency and without quotas.
    Latency,
    /// A backlog of many small blobs under the real quota of the Management Activity API.
    Quota,
    /// The time to the first event, and to the end of `--help`.
    Start,
    /// A collector that has caught up.
    Idle,
    /// The memory of a collector over a simulated day.
    Day,
}

/// What all measurements need.
struct Bench {
    arguments: Arguments,
    /// The folder of the programs.
    programs: PathBuf,
    /// This program.
    me: PathBuf,
}

impl Bench {
    /// The collector.
    fn collector(&self) -> Command {
        Command::new(self.programs.join("m365-pipe"))
    }

    fn measure(&self, measure: Measure) -> Outcome<()> {
        match measure {
            Measure::Throughput => throughput::all(self),
            Measure::Blobs => throughput::blobs(self),
            Measure::Latency => throughput::latency(self),
            Measure::Quota => quota::measure(self),
            Measure::Start => start::measure(self),
            Measure::Idle => idle::measure(self),
            Measure::Day => day::measure(self),
        }
    }
}

fn main() -> Outcome<()> {
    let arguments = Arguments::parse();
    if let Some(file) = &arguments.plain {
        let output = BufWriter::with_capacity(1 << 20, std::io::stdout().lock());
        plain_round_trip(BufReader::with_capacity(1 << 18, File::open(file)?), output)?;
        return Ok(());
    }
    if let Some(folder) = &arguments.prepare {
        for (stream, count, data) in records(arguments.events)? {
            std::fs::write(folder.join(format!("{stream}.ndjson")), data)?;
            println!("{stream} {count}");
        }
        return Ok(());
    }
    // One after the other, so that the collector is built as it is shipped, without the tenant's TLS.
    build(&["-p", "m365-pipe"])?;
    build(&["-p", "m365-sim", "--features", "tls"])?;
    let me = std::env::current_exe()?;
    let programs = me.ancestors().nth(2).ok_or("no target folder")?.to_owned();
    let measures = match (arguments.bars, arguments.measures.is_empty(), arguments.blob_mib.is_empty()) {
        (true, ..) => Measure::value_variants().to_vec(),
        (false, false, _) => arguments.measures.clone(),
        (false, true, true) => vec![Measure::Throughput],
        (false, true, false) => vec![Measure::Blobs],
    };
    let bench = Bench { arguments, programs, me };
    println!("{}", machine());
    measures.into_iter().try_for_each(|measure| bench.measure(measure))
}

fn build(what: &[&str]) -> Outcome<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--quiet"]).args(what);
    // What `cargo bench` says of this package isn't for others: build scripts that watch it (ring's) would run again.
    for (name, _) in std::env::vars_os() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    let built = command.status()?;
    if built.success() { Ok(()) } else { Err(format!("{what:?} can't be built").into()) }
}
