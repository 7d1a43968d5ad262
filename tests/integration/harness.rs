//! A tenant, a configuration for it, and the program: what every test needs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use m365_sim::{Options, Quotas, Simulator};
use tempfile::TempDir;

/// The program under test, with a cache of compiled code that all tests share.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_m365-pipe"));
    command
        .env("M365_PIPE_CACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"))
        .env_remove("M365_PIPE_LOG")
        .stdin(Stdio::null());
    command
}

/// Runs the program to its end.
pub fn run(arguments: &[&str]) -> Output {
    program().args(arguments).output().expect("the program starts")
}

/// Runs the program with text on its standard input.
pub fn run_with_input(arguments: &[&str], input: &[u8]) -> Output {
    use std::io::Write as _;
    let mut child = program()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // A program that refuses its arguments doesn't read.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().expect("the program ends");
    writer.join().expect("the writer ends");
    output
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The exit code, or a message with everything the program said.
#[track_caller]
pub fn assert_code(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "standard error:\n{}", stderr(output));
}

/// A simulated tenant, and a folder with a configuration for it.
pub struct Tenant {
    pub simulator: Simulator,
    pub folder: TempDir,
}

impl Tenant {
    /// A healthy tenant without quotas.
    pub fn new(events: u64) -> Self {
        Self::with(Options::new(7, events).with_quotas(Quotas::unlimited()))
    }

    pub fn with(options: Options) -> Self {
        let simulator = Simulator::start(options).expect("the simulator starts");
        let folder = tempfile::tempdir().expect("a folder");
        Self { simulator, folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Bytes of the raw records that were delivered, committed or not.
    pub fn delivered_bytes(&self) -> u64 {
        std::fs::metadata(self.path("raw.ndjson")).map_or(0, |file| file.len())
    }

    /// Waits until a run that was just started delivers, two seconds at most.
    pub fn await_delivery(&self) {
        let (before, started) = (self.delivered_bytes(), Instant::now());
        while self.delivered_bytes() == before && started.elapsed() < Duration::from_secs(2) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Writes a configuration that collects into two files, raw records and events, and adds some text at its end.
    pub fn configure(&self, addition: &str) -> PathBuf {
        self.configure_with(self.simulator.client_secret(), self.simulator.domain(), addition)
    }

    pub fn configure_with(&self, secret: &str, tenant: &str, addition: &str) -> PathBuf {
        let secret_file = self.path("secret");
        std::fs::write(&secret_file, secret).expect("a file");
        let url = self.simulator.url();
        let mut text = String::new();
        writeln!(text, "tenant = {tenant:?}").expect("a string takes text");
        writeln!(text, "client_id = {:?}", self.simulator.client_id()).expect("a string takes text");
        writeln!(text, "client_secret_file = {secret_file:?}").expect("a string takes text");
        writeln!(text, "data_dir = {:?}", self.path("data")).expect("a string takes text");
        if !addition.contains("[[sinks]]") {
            for (format, file) in [("raw", "raw.ndjson"), ("ocsf", "events.ndjson")] {
                writeln!(text, "[[sinks]]\ntype = \"file\"\nformat = {format:?}\npath = {:?}", self.path(file))
                    .expect("a string takes text");
            }
        }
        writeln!(
            text,
            "[endpoints]\nlogin = \"{url}/login\"\n[endpoints.audiences]\noffice365-management = \"{url}/manage\"\nmicrosoft-graph = \"{url}/graph\""
        )
        .expect("a string takes text");
        if let Some(pem) = self.simulator.ca_pem() {
            let file = self.path("ca.pem");
            std::fs::write(&file, pem).expect("a file");
            writeln!(text, "[http]\nca_file = {file:?}").expect("a string takes text");
        }
        if !addition.contains("[quotas") {
            for quota in ["office365", "graph-reports", "graph-alerts"] {
                writeln!(text, "[quotas.{quota}]\nrequests = 1000000\nper_seconds = 1").expect("a string takes text");
            }
        }
        // Keys of the top level have to stand before the first table.
        let first_table = if addition.starts_with('[') { Some(0) } else { addition.find("\n[").map(|at| at + 1) };
        let (top, tables) = addition.split_at(first_table.unwrap_or(addition.len()));
        let path = self.path("config.toml");
        std::fs::write(&path, format!("{top}\n{text}\n{tables}")).expect("a file");
        path
    }

    /// Runs `m365-pipe run -c CONFIG --until-caught-up`.
    pub fn collect(&self, config: &Path) -> Output {
        program().args(["run", "--until-caught-up", "-c"]).arg(config).output().expect("the program starts")
    }

    /// The raw records in the file sink by stream, each with the number of times that it is there.
    pub fn delivered(&self) -> BTreeMap<String, BTreeMap<Vec<u8>, u32>> {
        let mut streams: BTreeMap<String, BTreeMap<Vec<u8>, u32>> = BTreeMap::new();
        let text = std::fs::read(self.path("raw.ndjson")).expect("the sink's file");
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let (stream, record) = unwrap(line);
            *streams.entry(stream).or_default().entry(record).or_default() += 1;
        }
        streams
    }

    /// Everything the tenant holds was delivered exactly once, and nothing else but the broken elements.
    #[track_caller]
    pub fn assert_delivered_exactly_once(&self) {
        let delivered = self.delivered();
        let mut broken = 0;
        for stream in self.simulator.holds().into_keys() {
            let mut found = delivered.get(&stream).cloned().unwrap_or_default();
            for record in self.simulator.records(&stream) {
                let count = found.remove(&record).unwrap_or(0);
                assert_eq!(count, 1, "{stream}: delivered {count} times: {}", String::from_utf8_lossy(&record));
            }
            assert!(found.values().all(|count| *count == 1), "{stream}: something was delivered twice");
            broken += found.len() as u64;
        }
        assert_eq!(broken, self.simulator.broken(), "only broken elements are beyond what the tenant holds");
    }
}

/// A line of a raw sink: its stream and the record's bytes.
fn unwrap(line: &[u8]) -> (String, Vec<u8>) {
    let marker = b",\"record\":";
    let at = line.windows(marker.len()).position(|window| window == marker).expect("a wrapped record");
    let head: serde_json::Value =
        serde_json::from_slice(&[&line[..at], b"}".as_slice()].concat()).expect("the wrapper is JSON");
    assert_eq!(head["vendor"], "msft");
    let stream = head["stream"].as_str().expect("a stream").to_owned();
    (stream, line[at + marker.len()..line.len() - 1].to_vec())
}

/// The lines of a file as JSON.
pub fn json_lines(text: &[u8]) -> Vec<serde_json::Value> {
    text.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).expect("a line of JSON"))
        .collect()
}
