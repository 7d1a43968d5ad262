//! The simulated tenant as a process of its own, so that only the collector is counted, and a configuration to collect from it.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::{Bench, Outcome};

/// What a tenant holds and how it answers.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) events: u64,
    pub(crate) blob_records: u64,
    pub(crate) latency: u64,
    pub(crate) streams: Vec<String>,
    /// The documented quotas on both sides, instead of none.
    pub(crate) real_quotas: bool,
    /// Further arguments of `m365-sim`.
    pub(crate) more: Vec<String>,
}

impl Plan {
    /// As the arguments say, for measurements without latency of their own.
    pub(crate) fn of(bench: &Bench) -> Self {
        let arguments = &bench.arguments;
        Self {
            events: arguments.events,
            blob_records: arguments.blob_records,
            latency: arguments.latency.unwrap_or(0),
            streams: arguments.streams.clone(),
            real_quotas: false,
            more: Vec::new(),
        }
    }
}

/// Where the collector delivers to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sink {
    File,
    Stdout,
}

/// A tenant that runs, and the folder of its collector.
pub(crate) struct Tenant {
    child: Child,
    description: serde_json::Value,
    real_quotas: bool,
    folder: TempDir,
}

/// What the tenant says at its end.
pub(crate) struct Tally {
    /// Bytes that it sent, headers, compression and TLS as they are.
    pub(crate) sent: u64,
    /// Requests to the Management Activity API.
    pub(crate) management_requests: u64,
    /// Whether nothing was missing and no rule was broken.
    pub(crate) passed: bool,
}

impl Tenant {
    pub(crate) fn start(bench: &Bench, plan: &Plan) -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        let mut child = Command::new(bench.programs.join("m365-sim"))
            .args(["--events", &plan.events.to_string()])
            .args(["--record-bytes", &bench.arguments.record_bytes.to_string()])
            .args(["--blob-records", &plan.blob_records.to_string()])
            .args(["--graph-page", "1000", "--content-page", "100"])
            .args(["--latency-ms", &plan.latency.to_string()])
            .args(["--quotas", if plan.real_quotas { "documented" } else { "unlimited" }])
            .args(plan.streams.iter().flat_map(|stream| ["--stream", stream]))
            .args((!bench.arguments.no_tls).then_some("--tls"))
            .args(&plan.more)
            .arg("--until-stdin-closes")
            .arg("--tally")
            .arg(folder.path().join("tally"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        Ok(Self { description: serde_json::from_str(&line)?, child, real_quotas: plan.real_quotas, folder })
    }

    /// A member of the description that the tenant prints.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.description[name].as_str().unwrap_or_default()
    }

    /// A file of the collector's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a configuration that collects into `out.ndjson` or to standard output, with a ledger of this name.
    pub(crate) fn configure(&self, bench: &Bench, sink: Sink, ledger: &str) -> Outcome<PathBuf> {
        let (secret, config) = (self.path("secret"), self.path("config.toml"));
        std::fs::write(&secret, self.get("client_secret"))?;
        let url = self.get("url");
        let mut file = File::create(&config)?;
        writeln!(file, "tenant = {:?}\nclient_id = {:?}", self.get("tenant_id"), self.get("client_id"))?;
        writeln!(file, "client_secret_file = {secret:?}\ndata_dir = {:?}", self.path(ledger))?;
        if sink == Sink::File {
            writeln!(file, "[[sinks]]\ntype = \"file\"\npath = {:?}", self.path("out.ndjson"))?;
        }
        if !bench.arguments.no_tls {
            let ca = self.path("ca.pem");
            std::fs::write(&ca, self.get("ca_pem"))?;
            writeln!(file, "[http]\nca_file = {ca:?}")?;
        }
        if let Some(readers) = bench.arguments.readers {
            writeln!(file, "[limits]\nreaders = {readers}")?;
        }
        writeln!(file, "[endpoints]\nlogin = \"{url}/login\"\n[endpoints.audiences]")?;
        writeln!(file, "office365-management = \"{url}/manage\"\nmicrosoft-graph = \"{url}/graph\"")?;
        if !self.real_quotas {
            for quota in ["office365", "graph-reports", "graph-alerts"] {
                writeln!(file, "[quotas.{quota}]\nrequests = 1000000\nper_seconds = 1")?;
            }
        }
        Ok(config)
    }

    /// The lines that were delivered to the file: counted, not believed.
    pub(crate) fn delivered(&self) -> Outcome<u64> {
        lines(&self.path("out.ndjson"))
    }

    /// Ends the tenant and asks it what went over its connections.
    pub(crate) fn end(mut self) -> Outcome<Tally> {
        drop(self.child.stdin.take());
        let passed = self.child.wait()?.success();
        let tally: serde_json::Value = serde_json::from_slice(&std::fs::read(self.path("tally"))?)?;
        Ok(Tally {
            sent: tally["sent"].as_u64().ok_or("no count of bytes")?,
            management_requests: tally["requests"]["manage"].as_u64().unwrap_or(0),
            passed,
        })
    }
}

fn lines(file: &Path) -> Outcome<u64> {
    let mut reader = BufReader::with_capacity(1 << 20, File::open(file)?);
    let mut count = 0;
    while reader.skip_until(b'\n')? > 0 {
        count += 1;
    }
    Ok(count)
}

impl Drop for Tenant {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
