//! The simulated tenant as a program: prints where it listens and the credentials as one JSON line, then serves.
//!
//! Invariant: nothing but that line goes to standard output; the verdict on the collector goes to standard error, and the exit
//! code tells it: 0 passed, 1 failed, 2 the tenant could not be started.

use std::collections::{BTreeMap, BTreeSet};
use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Parser, ValueEnum};
use m365_sim::{FAULTS, Faults, Options, Quotas, SCENARIOS, Simulator};

#[derive(Parser)]
#[command(name = "m365-sim", version, about = "A simulated Microsoft 365 tenant on a loopback address.")]
struct Arguments {
    /// Determines every record.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A scenario of the conformance kit; see --list. It sets most of what the other arguments set: of these, only --seed,
    /// --events, --stream, --corpus, --listen, --now, --speed, --latency-ms, --workers, --fault, --output and --tally count with it.
    #[arg(long, value_name = "NAME")]
    scenario: Option<String>,
    /// A file of NDJSON lines that the collector writes, for the verdict (repeatable): raw records, or lines that hold them.
    #[arg(long = "output", value_name = "FILE")]
    outputs: Vec<PathBuf>,
    /// How many times as fast as the real one the simulated clock runs. The collector has to go by the same clock: the line on
    /// standard output has its setting for M365_PIPE_TEST_CLOCK.
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    speed: f64,
    /// Records over all streams in sum; default is 2000, or what the scenario says.
    #[arg(long)]
    events: Option<u64>,
    /// Only this stream has records (repeatable).
    #[arg(long = "stream", value_name = "NAME")]
    streams: Vec<String>,
    /// Serve the NDJSON files of this folder instead of generated records.
    #[arg(long, value_name = "DIR")]
    corpus: Option<PathBuf>,
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Pad each record to about this many bytes.
    #[arg(long, value_name = "BYTES")]
    record_bytes: Option<usize>,
    /// Records in each content blob.
    #[arg(long, default_value_t = 20)]
    blob_records: usize,
    /// Content blobs in each page of a listing.
    #[arg(long, default_value_t = 5)]
    content_page: usize,
    /// Most records in each Graph page.
    #[arg(long, default_value_t = 100)]
    graph_page: usize,
    /// Delay before each answer, in milliseconds.
    #[arg(long)]
    latency_ms: Option<u64>,
    /// Request quotas.
    #[arg(long, value_enum, default_value_t = QuotaChoice::Documented)]
    quotas: QuotaChoice,
    /// The simulated time at the start, in epoch milliseconds; default is the real time.
    #[arg(long, value_name = "MS")]
    now: Option<i64>,
    /// The records lie within this many hours before now.
    #[arg(long, default_value_t = 20)]
    spread_hours: u64,
    /// Records keep arriving for this many minutes after the start (default: all are there).
    #[arg(long, value_name = "MINUTES")]
    arriving_minutes: Option<u64>,
    /// Validity of access tokens, in seconds.
    #[arg(long, default_value_t = 3_599)]
    token_seconds: u64,
    /// How long content can be fetched, in days.
    #[arg(long, default_value_t = 7)]
    content_days: u64,
    /// All content types are subscribed from the start.
    #[arg(long)]
    subscribed: bool,
    /// Never compress bodies.
    #[arg(long)]
    no_gzip: bool,
    /// Serve over TLS, with a certificate made at the start; the line on standard output has it as `ca_pem`.
    #[cfg(feature = "tls")]
    #[arg(long)]
    tls: bool,
    /// At the end, write to this file what was sent and asked, as JSON.
    #[arg(long, value_name = "FILE")]
    tally: Option<PathBuf>,
    /// Threads that serve requests.
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Something that is wrong with the tenant, NAME or NAME=VALUE (repeatable); see --list.
    #[arg(long = "fault", value_name = "FAULT")]
    faults: Vec<String>,
    /// Print the scenarios and the faults and end.
    #[arg(long)]
    list: bool,
    /// End when standard input is closed.
    #[arg(long)]
    until_stdin_closes: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum QuotaChoice {
    /// Those that Microsoft documents.
    Documented,
    /// None.
    Unlimited,
}

fn options(arguments: &Arguments) -> Result<Options, String> {
    let mut faults = Faults::default();
    for fault in &arguments.faults {
        faults.set(fault)?;
    }
    let defaults = Options::default();
    let latency = arguments.latency_ms.map(Duration::from_millis);
    if let Some(name) = &arguments.scenario {
        let scenario = m365_sim::scenario(name).ok_or_else(|| format!("There is no scenario {name}; see --list."))?;
        let set = scenario.options(arguments.seed);
        let streams: BTreeSet<String> = arguments.streams.iter().cloned().collect();
        return Ok(Options {
            events: arguments.events.unwrap_or(set.events),
            streams: if streams.is_empty() { set.streams } else { streams },
            corpus: arguments.corpus.clone(),
            listen: arguments.listen,
            now: arguments.now,
            speed: arguments.speed,
            latency: latency.unwrap_or(set.latency),
            workers: arguments.workers,
            outputs: arguments.outputs.clone(),
            faults: set.faults.with(faults),
            #[cfg(feature = "tls")]
            tls: arguments.tls,
            ..set
        });
    }
    let arriving = arguments.arriving_minutes.map(|minutes| Duration::from_secs(minutes.saturating_mul(60)));
    Ok(Options {
        seed: arguments.seed,
        events: arguments.events.unwrap_or(defaults.events),
        streams: arguments.streams.iter().cloned().collect(),
        corpus: arguments.corpus.clone(),
        listen: arguments.listen,
        record_bytes: arguments.record_bytes,
        blob_records: arguments.blob_records,
        content_page: arguments.content_page,
        graph_page: arguments.graph_page,
        latency: latency.unwrap_or_default(),
        quotas: match arguments.quotas {
            QuotaChoice::Documented => Quotas::default(),
            QuotaChoice::Unlimited => Quotas::unlimited(),
        },
        now: arguments.now,
        speed: arguments.speed,
        spread: Duration::from_secs(arguments.spread_hours.saturating_mul(3_600)),
        ahead: arriving.map_or(defaults.ahead, |arriving| defaults.newest_age.saturating_add(arriving)),
        token_lifetime: Duration::from_secs(arguments.token_seconds),
        content_lifetime: Duration::from_secs(arguments.content_days.saturating_mul(86_400)),
        subscribed: arguments.subscribed,
        gzip: !arguments.no_gzip,
        #[cfg(feature = "tls")]
        tls: arguments.tls,
        workers: arguments.workers,
        outputs: arguments.outputs.clone(),
        faults,
        ..defaults
    })
}

async fn interrupted(until_stdin_closes: bool) {
    let stdin_closed = async move {
        if !until_stdin_closes {
            return std::future::pending().await;
        }
        let (closed, heard) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            let _ = closed.send(());
        });
        // An error means that the thread is gone, which also ends the wait.
        let _ = heard.await;
    };
    #[cfg(unix)]
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminated = std::future::pending::<()>();
    tokio::select! {
        () = stdin_closed => {}
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}

/// What was sent and asked: bytes over all connections, and the requests by the API that they were for.
fn tally(simulator: &Simulator) -> serde_json::Value {
    let mut requests = BTreeMap::<String, u64>::new();
    for line in simulator.requests() {
        let api = line.path_and_query.split(['/', '?']).nth(1).unwrap_or_default().to_owned();
        *requests.entry(api).or_default() += 1;
    }
    let traffic = simulator.traffic();
    serde_json::json!({
        "connections": traffic.connections, "sent": traffic.sent, "received": traffic.received, "requests": requests,
    })
}

/// Serves until it is told to end; whether the collector passed.
fn run(arguments: &Arguments) -> Result<bool, String> {
    let simulator =
        Simulator::start(options(arguments)?).map_err(|error| format!("The simulated tenant cannot start: {error}"))?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let url = simulator.url();
    println!(
        "{}",
        serde_json::json!({
            "url": url, "login": format!("{url}/login"), "manage": format!("{url}/manage"), "graph": format!("{url}/graph"),
            "tenant_id": simulator.tenant_id(), "domain": simulator.domain(), "client_id": simulator.client_id(),
            "client_secret": simulator.client_secret(), "holds": simulator.holds(), "broken": simulator.broken(),
            "clock": simulator.clock_setting(), "verdict": format!("{url}/_kit/verdict"), "ca_pem": simulator.ca_pem(),
        })
    );
    runtime.block_on(interrupted(arguments.until_stdin_closes));
    if let Some(file) = &arguments.tally {
        std::fs::write(file, tally(&simulator).to_string()).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    let verdict = simulator.verdict(&arguments.outputs);
    eprint!("{verdict}");
    simulator.stop();
    // A reader of standard input may still be blocked; it does not keep the program alive.
    runtime.shutdown_background();
    Ok(verdict.passed())
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list {
        println!("Scenarios (--scenario NAME):");
        for scenario in SCENARIOS.iter().copied().flatten() {
            println!("{:28}{}", scenario.name, scenario.about);
        }
        println!("\nFaults (--fault NAME):");
        for (name, meaning) in FAULTS {
            println!("{name:28}{meaning}");
        }
        return ExitCode::SUCCESS;
    }
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
