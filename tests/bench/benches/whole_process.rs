//! Whole processes side by side: a plain round trip, `normalize`, and a full run against the simulated tenant, with the
//! operating system's own account of CPU time and peak memory.
//!
//! `cargo bench -p m365-bench --bench whole_process -- --events 400000`

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use m365_bench::{plain_round_trip, records};
use wait4::Wait4;

/// What to measure.
#[derive(Parser)]
struct Arguments {
    /// Records in the simulated tenant, and in the file to normalise.
    #[arg(long, default_value_t = 400_000)]
    events: u64,
    /// About how many bytes a record has.
    #[arg(long, default_value_t = 1_500)]
    record_bytes: usize,
    /// Records in a content blob.
    #[arg(long, default_value_t = 500)]
    blob_records: usize,
    /// Milliseconds before each answer of the tenant.
    #[arg(long, default_value_t = 0)]
    latency: u64,
    /// The streams of the tenant, each given anew. Default: all.
    #[arg(long = "stream")]
    streams: Vec<String>,
    /// Measure a run of one stream with content blobs of each of these sizes instead, in MiB: `1,25,68,250`.
    #[arg(long, value_delimiter = ',')]
    blob_mib: Vec<u64>,
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

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

struct Measured {
    name: String,
    records: u64,
    cpu: Duration,
    wall: Duration,
    peak_bytes: u64,
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
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built =
        Command::new(cargo).args(["build", "--release", "--quiet", "-p", "m365-pipe", "-p", "m365-sim"]).status()?;
    if !built.success() {
        return Err("the programs can't be built".into());
    }
    let me = std::env::current_exe()?;
    let programs = me.ancestors().nth(2).ok_or("no target folder")?.to_owned();
    let folder = tempfile::tempdir()?;

    if !arguments.blob_mib.is_empty() {
        return blobs(&arguments, &programs);
    }
    // A tenth of the records is enough for a steady rate, and each stream is a call of its own.
    let sample = arguments.events.min(40_000);
    let mut measured = Vec::new();
    let mut plain = Measured {
        name: "plain parse and write (native)".to_owned(),
        records: 0,
        cpu: Duration::ZERO,
        wall: Duration::ZERO,
        peak_bytes: 0,
    };
    let mut normalize = Measured { name: "m365-pipe normalize".to_owned(), ..copy(&plain) };
    // By a process of its own: the peak memory of a child begins with that of its parent, which has to stay small.
    let prepared =
        Command::new(&me).args(["--events", &sample.to_string(), "--prepare"]).arg(folder.path()).output()?;
    // The first start after a build compiles the component; every later one loads it.
    let mut first = Command::new(programs.join("m365-pipe"));
    first.args(["normalize", "--stream", "graph.alerts", "/dev/null"]);
    add(&mut copy(&plain), 0, &mut first)?;
    for line in String::from_utf8(prepared.stdout)?.lines() {
        let (stream, count) = line.split_once(' ').ok_or("no count")?;
        let count: u64 = count.parse()?;
        let file = folder.path().join(format!("{stream}.ndjson"));
        let mut command = Command::new(&me);
        command.arg("--plain").arg(&file);
        add(&mut plain, count, &mut command)?;
        let mut command = Command::new(programs.join("m365-pipe"));
        command.args(["normalize", "--stream", stream, "--rejects", "/dev/null"]).arg(&file);
        add(&mut normalize, count, &mut command)?;
    }
    measured.push(plain);
    measured.push(normalize);
    measured.push(full_run(&arguments, &programs, folder.path())?);

    print(&arguments, &measured)
}

/// Runs against blobs of several sizes: peak memory must not depend on them.
fn blobs(arguments: &Arguments, programs: &Path) -> Outcome<()> {
    let mut measured = Vec::new();
    for mib in &arguments.blob_mib {
        let blob_records = ((mib << 20) / arguments.record_bytes as u64).max(1);
        let sized = Arguments {
            // Two large blobs at least, and small ones until there is as much to do.
            events: (2 * blob_records).max(arguments.events.min(100_000)),
            blob_records: usize::try_from(blob_records)?,
            streams: vec!["office365.sharepoint".to_owned()],
            blob_mib: Vec::new(),
            plain: None,
            prepare: None,
            ..*arguments
        };
        let folder = tempfile::tempdir()?;
        let run = full_run(&sized, programs, folder.path())?;
        measured.push(Measured { name: format!("m365-pipe run, blobs of {mib} MiB"), ..run });
    }
    print(arguments, &measured)
}

fn print(arguments: &Arguments, measured: &[Measured]) -> Outcome<()> {
    let base = rate(&measured[0]);
    println!("{} cores; records of about {} bytes", std::thread::available_parallelism()?, arguments.record_bytes);
    println!(
        "{:<34} {:>9} {:>8} {:>8} {:>14} {:>7} {:>9}",
        "process", "records", "CPU s", "wall s", "records/CPU s", "ratio", "peak MiB"
    );
    for row in measured {
        println!(
            "{:<34} {:>9} {:>8.2} {:>8.2} {:>14.0} {:>7.2} {:>9.1}",
            row.name,
            row.records,
            row.cpu.as_secs_f64(),
            row.wall.as_secs_f64(),
            rate(row),
            rate(row) / base,
            row.peak_bytes as f64 / 1_048_576.0
        );
    }
    Ok(())
}

fn copy(measured: &Measured) -> Measured {
    Measured { name: measured.name.clone(), ..*measured }
}

fn rate(measured: &Measured) -> f64 {
    measured.records as f64 / measured.cpu.as_secs_f64()
}

/// Runs a process and adds what it used.
fn add(measured: &mut Measured, records: u64, command: &mut Command) -> Outcome<()> {
    let start = Instant::now();
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let used = child.wait4()?;
    if used.status.code() != Some(0) && used.status.code() != Some(3) {
        return Err(format!("{command:?} ended with {:?}", used.status).into());
    }
    measured.wall += start.elapsed();
    measured.records += records;
    measured.cpu += used.rusage.utime + used.rusage.stime;
    measured.peak_bytes = measured.peak_bytes.max(used.rusage.maxrss);
    Ok(())
}

/// The tenant is a process of its own, so that only the collector is counted.
struct Tenant {
    child: Child,
    description: serde_json::Value,
}

impl Tenant {
    fn start(arguments: &Arguments, programs: &Path) -> Outcome<Self> {
        let mut child = Command::new(programs.join("m365-sim"))
            .args(["--events", &arguments.events.to_string()])
            .args(["--record-bytes", &arguments.record_bytes.to_string()])
            .args(["--blob-records", &arguments.blob_records.to_string()])
            .args(["--graph-page", "1000", "--content-page", "100"])
            .args(["--latency-ms", &arguments.latency.to_string()])
            .args(["--quotas", "unlimited", "--until-stdin-closes"])
            .args(arguments.streams.iter().flat_map(|stream| ["--stream", stream]))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        Ok(Self { description: serde_json::from_str(&line)?, child })
    }

    fn get(&self, name: &str) -> &str {
        self.description[name].as_str().unwrap_or_default()
    }
}

impl Drop for Tenant {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn full_run(arguments: &Arguments, programs: &Path, folder: &Path) -> Outcome<Measured> {
    let tenant = Tenant::start(arguments, programs)?;
    let (secret, config) = (folder.join("secret"), folder.join("config.toml"));
    std::fs::write(&secret, tenant.get("client_secret"))?;
    let url = tenant.get("url");
    let mut file = File::create(&config)?;
    writeln!(file, "tenant = {:?}\nclient_id = {:?}", tenant.get("tenant_id"), tenant.get("client_id"))?;
    writeln!(file, "client_secret_file = {secret:?}\ndata_dir = {:?}", folder.join("data"))?;
    writeln!(file, "[[sinks]]\ntype = \"file\"\npath = {:?}", folder.join("out.ndjson"))?;
    writeln!(file, "[endpoints]\nlogin = \"{url}/login\"\n[endpoints.audiences]")?;
    writeln!(file, "office365-management = \"{url}/manage\"\nmicrosoft-graph = \"{url}/graph\"")?;
    for quota in ["office365", "graph-reports", "graph-alerts"] {
        writeln!(file, "[quotas.{quota}]\nrequests = 1000000\nper_seconds = 1")?;
    }
    drop(file);
    let mut measured = Measured {
        name: "m365-pipe run, to a file".to_owned(),
        records: 0,
        cpu: Duration::ZERO,
        wall: Duration::ZERO,
        peak_bytes: 0,
    };
    let mut command = Command::new(programs.join("m365-pipe"));
    command.args(["--quiet", "run", "--until-caught-up", "-c"]).arg(&config);
    add(&mut measured, 0, &mut command)?;
    // Counted in what was delivered, not believed.
    measured.records =
        BufReader::with_capacity(1 << 20, File::open(folder.join("out.ndjson"))?).split(b'\n').count() as u64;
    Ok(measured)
}
