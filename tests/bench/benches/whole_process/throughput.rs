//! Records per CPU second: the plain round trip, `normalize`, and full runs, with large blobs and over a slow network.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use crate::process::{Used, run};
use crate::table::{mib, print};
use crate::tenant::{Plan, Sink, Tenant};
use crate::{Arguments, Bench, Outcome};

/// What a process did and what it used.
struct Measured {
    name: String,
    records: u64,
    used: Used,
    /// Bytes that came over the network.
    received_bytes: u64,
}

impl Measured {
    fn nothing(name: &str) -> Self {
        Self { name: name.to_owned(), records: 0, used: Used::default(), received_bytes: 0 }
    }

    fn add(&mut self, records: u64, command: &mut Command) -> Outcome<()> {
        self.used.add(&run(command)?);
        self.records += records;
        Ok(())
    }

    fn rate(&self) -> f64 {
        self.records as f64 / self.used.cpu.as_secs_f64()
    }
}

/// Plain round trip, `normalize`, and a full run, in turn, since the speed of a machine can change within minutes.
pub(crate) fn all(bench: &Bench) -> Outcome<()> {
    let rounds = bench.arguments.rounds.max(1);
    let mut measured = Vec::new();
    for _ in 0..rounds {
        let [plain, normalize] = native(bench)?;
        measured.push(vec![plain, normalize, full_run(bench, &Plan::of(bench), "`m365-pipe run`, to a file")?]);
    }
    show(bench, &format!("Throughput, {rounds} rounds"), &measured);
    Ok(())
}

/// Runs against blobs of several sizes: peak memory must not depend on them.
pub(crate) fn blobs(bench: &Bench) -> Outcome<()> {
    let [plain, _] = native(bench)?;
    let mut measured = vec![plain];
    let given = &bench.arguments.blob_mib;
    for mib in if given.is_empty() { &[1, 25, 68, 250] } else { given.as_slice() } {
        let blob_records = ((mib << 20) / bench.arguments.record_bytes as u64).max(1);
        let plan = Plan {
            // Two large blobs at least, and small ones until there is as much to do.
            events: (2 * blob_records).max(bench.arguments.events.min(100_000)),
            blob_records,
            streams: vec!["office365.sharepoint".to_owned()],
            ..Plan::of(bench)
        };
        measured.push(full_run(bench, &plan, &format!("`m365-pipe run`, blobs of {mib} MiB"))?);
    }
    show(bench, "Content blobs of several sizes, one stream", &[measured]);
    Ok(())
}

/// A run against a tenant that takes its time: whether requests in parallel make up for it.
pub(crate) fn latency(bench: &Bench) -> Outcome<()> {
    let [plain, _] = native(bench)?;
    let latency = bench.arguments.latency.unwrap_or(50);
    let plan = Plan { latency, ..Plan::of(bench) };
    let run = full_run(bench, &plan, &format!("`m365-pipe run`, {latency} ms before each answer"))?;
    show(bench, "Latency without quotas", &[vec![plain, run]]);
    Ok(())
}

/// The plain round trip and `normalize` on the same files, one for each stream.
fn native(bench: &Bench) -> Outcome<[Measured; 2]> {
    let folder = tempfile::tempdir()?;
    // A tenth of the records is enough for a steady rate.
    let sample = (bench.arguments.events / 10).clamp(1_000, 40_000);
    // By a process of its own: the peak memory of a child begins with that of its parent, which has to stay small.
    let prepared =
        Command::new(&bench.me).args(["--events", &sample.to_string(), "--prepare"]).arg(folder.path()).output()?;
    // The first start after a build compiles the component; every later one loads it.
    run(bench.collector().args(["normalize", "--stream", "graph.alerts", "/dev/null"]))?;
    let mut plain = Measured::nothing("plain parse and write (native)");
    let mut normalize = Measured::nothing("`m365-pipe normalize`");
    for line in String::from_utf8(prepared.stdout)?.lines() {
        let (stream, count) = line.split_once(' ').ok_or("no count")?;
        let count: u64 = count.parse()?;
        let file = folder.path().join(format!("{stream}.ndjson"));
        plain.add(count, Command::new(&bench.me).arg("--plain").arg(&file))?;
        let mut command = bench.collector();
        normalize.add(count, command.args(["normalize", "--stream", stream, "--rejects", "/dev/null"]).arg(&file))?;
    }
    Ok([plain, normalize])
}

fn full_run(bench: &Bench, plan: &Plan, name: &str) -> Outcome<Measured> {
    let tenant = Tenant::start(bench, plan)?;
    let config = tenant.configure(bench, Sink::File, "data")?;
    warm_page_cache(&tenant.path("warm"), plan.events)?;
    let mut measured = Measured::nothing(name);
    measured.add(0, bench.collector().args(["--quiet", "run", "--until-caught-up", "-c"]).arg(&config))?;
    measured.records = tenant.delivered()?;
    let tally = tenant.end()?;
    if !tally.passed {
        return Err(format!("{name}: something is missing, or a rule was broken").into());
    }
    measured.received_bytes = tally.sent;
    Ok(measured)
}

/// Writes as much as the run will, and deletes it. A virtual machine gets memory from its host when it is first touched, which
/// can cost the first writer a fifth of its time, and says nothing of the writer.
fn warm_page_cache(path: &Path, events: u64) -> Outcome<()> {
    let mut file = std::fs::File::create(path)?;
    let block = vec![b' '; 1 << 20];
    for _ in 0..events * 5_000 / (1 << 20) {
        file.write_all(&block)?;
    }
    drop(file);
    Ok(std::fs::remove_file(path)?)
}

/// Shows what each process did in all rounds together; its ratio is the median of the rounds, the least and the most behind it.
fn show(bench: &Bench, title: &str, rounds: &[Vec<Measured>]) {
    let header = [
        "process",
        "records",
        "CPU s",
        "wall s",
        "cores busy",
        "records per CPU s",
        "ratio",
        "peak MiB",
        "MiB from the network",
        "MiB written",
    ];
    let mut rows: Vec<Vec<String>> = Vec::new();
    for process in 0..rounds.first().map_or(0, Vec::len) {
        let mut all = Measured::nothing(&rounds[0][process].name);
        let mut ratios = Vec::new();
        for round in rounds {
            let measured = &round[process];
            all.records += measured.records;
            all.received_bytes += measured.received_bytes;
            all.used.add(&measured.used);
            ratios.push(measured.rate() / round[0].rate());
        }
        ratios.sort_unstable_by(f64::total_cmp);
        let ratio = match ratios.as_slice() {
            [least, .., most] if process > 0 => format!("{:.2} ({least:.2} to {most:.2})", ratios[ratios.len() / 2]),
            ratios => format!("{:.2}", ratios[0]),
        };
        let (cpu, wall) = (all.used.cpu.as_secs_f64(), all.used.wall.as_secs_f64());
        rows.push(vec![
            all.name.clone(),
            all.records.to_string(),
            format!("{cpu:.2}"),
            format!("{wall:.2}"),
            format!("{:.2}", cpu / wall),
            format!("{:.0}", all.rate()),
            ratio,
            mib(all.used.peak_bytes),
            mib(all.received_bytes),
            mib(all.used.written_bytes),
        ]);
    }
    let Arguments { record_bytes, no_tls, .. } = &bench.arguments;
    let tls = if *no_tls { "plain HTTP" } else { "TLS" };
    print(&format!("{title}; records of about {record_bytes} bytes, {tls}"), &header, &rows);
}
